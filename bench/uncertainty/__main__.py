"""Coverage of the told standard deviations: how often the truth lies within one and two of them.

    python -m bench uncertainty                       # on scenes that nothing was fitted on
    python -m bench.uncertainty --scenes jasper berlin --protocols clean real-world --method physics
    python -m bench.uncertainty --fit fusion/spectral/calibration.json
    python -m bench.uncertainty --scenes potsdam --json bench/uncertainty/coverage.json --merge

A normal distribution covers 68.3 % and 95.0 % within 1 and 1.96 deviations. Shares are means over
the bands, with the least and the largest of them; those of dark and of bright pixels stand beside
them, since these fail first on scenes that are unlike those of the fit.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from bench.fusion import scenes
from bench.uncertainty.draws import Draw, draw
from bench.uncertainty.fitting import WITHIN, by_band, fit
from trifuse.core import write_json
from trifuse.fusion.spectral.calibration import calibration

FEWEST = 200
"""Pixels of a kind in all draws below which nothing is said of it."""


def covered(each: Draw) -> tuple[dict[str, tuple[np.ndarray, int]], float]:
    """What the deviations of a draw hold.

    Returns:
        Of all, dark and bright pixels: (2, L) per cent within 1 and 1.96 deviations, and how many
        pixels they are; and the share that is called strange, per cent.
    """
    told = each.chain.deviation(each.whole, each.pixels)
    off = np.abs(each.left) / told[:-1]
    known = np.isfinite(off)
    shares = {}
    for kind, there in (("all", np.True_), ("dark", each.dark), ("bright", each.bright)):
        counted = known & there
        count = np.maximum(counted.sum(axis=(1, 2)), 1)
        within = [(counted & (off <= w)).sum(axis=(1, 2)) / count for w in WITHIN]
        shares[kind] = 100 * np.array(within), int(counted.any(axis=0).sum())
    return shares, 100 * float((told[-1] > 1).mean())


def row(scene: str, protocol: str, method: str, seeds: int) -> dict[str, Any]:
    """Coverage over draws of a scene."""
    draws = [draw(scene, protocol, s, method) for s in range(seeds)]
    found = [covered(d) for d in draws]
    names = draws[0].seen.truth.bands.names
    out: dict[str, Any] = {"scene": scene, "protocol": protocol, "method": method}
    for kind in ("all", "dark", "bright"):
        count = sum(shares[kind][1] for shares, _ in found)
        if count < FEWEST:
            continue
        weights = [shares[kind][1] for shares, _ in found]
        mean = np.average([shares[kind][0] for shares, _ in found], axis=0, weights=weights)
        if kind == "all":
            keyed = zip(WITHIN, mean, strict=True)
            out |= {f"within_{w:g}": by_band(names, s) for w, s in keyed}
        else:
            out[kind] = {
                "share": round(count / sum(d.dark.size for d in draws), 3),
                **{
                    f"within_{w:g}": round(float(s.mean()), 2)
                    for w, s in zip(WITHIN, mean, strict=True)
                },
            }
    out["strange"] = round(float(np.mean([s for _, s in found])), 2)
    return out


def line(found: dict[str, Any]) -> str:
    """A row as text."""
    parts = []
    for w in WITHIN:
        values = list(found[f"within_{w:g}"].values())
        parts.append(f"{np.mean(values):5.1f} ({min(values):5.1f}–{max(values):5.1f})")
    for kind in ("dark", "bright"):
        own = found.get(kind)
        parts.append("" if own is None else f"{own['within_1']:5.1f} {own['within_1.96']:5.1f}")
    return (
        f"{found['scene']:20} {found['protocol']:13} {parts[0]:>20} {parts[1]:>20} "
        f"{parts[2]:>12} {parts[3]:>12} {found['strange']:6.2f} %"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fit", type=Path, help="write the factors here, and measure nothing")
    test = [f"procedural-{s}x240" for s in scenes.TEST[:5]]
    parser.add_argument("--scenes", nargs="+", default=[*scenes.REAL, *test])
    parser.add_argument("--protocols", nargs="+", default=["clean", "real-world", "native-noise"])
    parser.add_argument("--method", default="refined", choices=["physics", "refined"])
    parser.add_argument("--json", type=Path, help="also write the shares here")
    parser.add_argument("--merge", action="store_true", help="keep the file's rows of other scenes")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--per-band", action="store_true")
    options = parser.parse_args()
    if options.fit:
        value = fit([f"procedural-{s}x240" for s in scenes.VALIDATION[:10]])
        write_json(options.fit, value, overwrite=True)
        print(json.dumps(value, indent=1))
        return
    print(f"calibrated on {calibration().source}")
    print(
        f"{'scene':20} {'protocol':13} {'within 1: mean':>20} {'within 1.96: mean':>20} "
        f"{'dark pixels':>12} {'bright':>12} strange"
    )
    rows = []
    for scene in options.scenes:
        for protocol in options.protocols:
            silent = protocol in ("clean", "sharp-as-blurred")
            rows.append(row(scene, protocol, options.method, 1 if silent else options.seeds))
            print(line(rows[-1]), flush=True)
            if options.per_band:
                shares = (rows[-1][f"within_{w:g}"] for w in WITHIN)
                for (name, one), two in zip(*(s.items() for s in shares), strict=True):
                    print(f"    {name:6} {one:5.1f} {two:5.1f}")
    if options.json:
        kept = []
        if options.merge and options.json.is_file():
            kept = [
                r
                for r in json.loads(options.json.read_text(encoding="utf-8"))
                if r["scene"] not in options.scenes
            ]
        write_json(options.json, kept + rows, overwrite=True)


if __name__ == "__main__":
    main()
