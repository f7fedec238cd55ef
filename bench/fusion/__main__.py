"""Accuracy of the fusion methods under the errors of real sensors, on scenes with a truth.

    python -m bench fusion -- --scenes real --protocols clean real-world --methods baselines
    python -m bench.fusion --scenes jasper validation --methods baselines physics --seeds 4
    python -m bench.fusion train --protocol real-world --minutes 12

The table goes to the terminal and, with every single record, into the folder ``--out``. A run that
is stopped goes on where it was when it is started again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from bench.fusion import claims, methods, results, runner, scenes, tables
from trifuse.simulate import PROTOCOLS

PAIRS = (
    "physics:regression-best",
    "physics:regression",
    "default:physics",
    "default:refined@network=none",
    "default:regression-best",
    "default:regression",
    "default:fusformer-paper",
    "physics:limit-sharp",
)


def main(given: list[str] | None = None) -> int:
    given = sys.argv[1:] if given is None else given
    if given[:1] == ["train"]:
        from bench.fusion.fusformer_paper import main as train

        return train(given[1:])
    options = parse(given)
    import torch

    torch.set_num_threads(1)
    code = results.digest()
    names = methods.expand(options.methods)
    records = options.out / "records.jsonl"
    done = results.read(records, None if options.keep else code)
    chosen = scenes.expand(options.scenes)
    protocols = list(PROTOCOLS) if options.protocols == ["all"] else options.protocols
    if unknown := [p for p in protocols if p not in PROTOCOLS]:
        raise SystemExit(f"no protocol {', '.join(unknown)}; there are {', '.join(PROTOCOLS)}")
    jobs = runner.plan(
        chosen, options.ratios, protocols, options.seeds, names, done, options.out, code
    )
    start = time.perf_counter()
    for number, made in enumerate(runner.run(jobs, options.jobs), start=1):
        results.append(records, made)
        done |= {r.key: r for r in made}
        took = time.perf_counter() - start
        print(f"\r{number}/{len(jobs)} draws, {took:.0f} s", end="", file=sys.stderr, flush=True)
    if jobs:
        print(file=sys.stderr)
    asked = [
        r
        for r in done.values()
        if r.scene in chosen
        and r.ratio in options.ratios
        and r.protocol in protocols
        and r.seed < options.seeds
        and r.method in names
    ]

    def place(r: results.Record) -> tuple[int, ...]:
        """In the order that was asked for."""
        scene, protocol = chosen.index(r.scene), protocols.index(r.protocol)
        return scene, r.ratio, protocol, names.index(r.method)

    found = tables.Results(sorted(asked, key=place))
    pairs = [tuple(p.split(":", 1)) for p in options.pairs]
    text = tables.format_results(found, pairs, options.per_band)  # type: ignore[arg-type]
    text = "\n\n".join(filter(None, [text, claims.format_claims(found)]))
    print(text)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "table.txt").write_text(text + "\n", encoding="utf-8")
    rows = tables.to_json(found, pairs)  # type: ignore[arg-type]
    (options.out / "table.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    expected = sum(len(j.methods) for j in jobs)
    return 0 if expected == 0 or asked else 1


def parse(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.fusion",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    groups = f"names, or {', '.join(scenes.GROUPS)}; see bench/fusion/scenes.py"
    errors = f"{', '.join(PROTOCOLS)}, or all"
    kinds = f"names, or {', '.join(methods.GROUPS)}; name@field=value sets fields"
    usual = ["limits", "baselines", "default"]
    add("--scenes", nargs="+", default=["real"], help=groups)
    add("--protocols", nargs="+", default=["clean", "real-world"], help=errors)
    add("--ratios", nargs="+", type=int, default=[10])
    add("--methods", nargs="+", default=usual, help=kinds)
    add("--pairs", nargs="*", default=list(PAIRS), help="first:second, to take differences of")
    add("--seeds", type=int, default=8, help="draws of the errors")
    add("--jobs", type=int, default=1, help="processes")
    add("--per-band", action="store_true", help="also a table by band for each scene")
    add("--keep", action="store_true", help="count records of other code too")
    add("--out", type=Path, default=Path("out/fusion"))
    return parser.parse_args(given)


if __name__ == "__main__":
    sys.exit(main())
