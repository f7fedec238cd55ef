"""All measurements with one command.

    python -m bench                     # list them
    python -m bench simulate fuse_scene # run some, each in a process of its own
    python -m bench all
    python -m bench simulate -- --size 300

A measurement is a file, or a folder with a ``__main__.py``. What each prints is shown and
appended to ``bench.jsonl`` with the facts of the machine and the commit, so that two commits can be
compared.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from _machine import facts

HERE = Path(__file__).parent


def found() -> dict[str, str]:
    """Name → first line of each measurement."""
    files = {p.stem: p for p in HERE.glob("*.py") if not p.name.startswith("_")}
    files |= {p.parent.name: p for p in HERE.glob("*/__main__.py")}
    out = {}
    for name, path in sorted(files.items()):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        out[name] = text.splitlines()[0] if text else ""
    return out


def command(name: str) -> list[str]:
    """How a measurement is run; a package imports its own modules and so runs by its name."""
    path = HERE / f"{name}.py"
    return [sys.executable, *([str(path)] if path.is_file() else ["-m", f"bench.{name}"])]


def figures(printed: str) -> object:
    """The last line, where a measurement ends with one of JSON."""
    with contextlib.suppress(ValueError, IndexError):
        return json.loads(printed.splitlines()[-1])
    return None


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*")
    parser.add_argument("-o", "--output", type=Path, default=Path("bench.jsonl"))
    given = sys.argv[1:]
    passed = given[given.index("--") + 1 :] if "--" in given else []
    options = parser.parse_args(given[: given.index("--")] if passed else given)
    there = found()
    if not options.names:
        for name, text in there.items():
            print(f"{name:22} {text}")
        return 0
    names = list(there) if options.names == ["all"] else options.names
    if unknown := [n for n in names if n not in there]:
        parser.error(f"no measurement {', '.join(unknown)}; there are {', '.join(there)}")
    failed = 0
    for name in names:
        print(f"== {name}", flush=True)
        start = time.perf_counter()
        done = subprocess.run(
            [*command(name), *passed], stdout=subprocess.PIPE, text=True, check=False
        )
        print(done.stdout, flush=True)
        failed |= done.returncode
        record = {
            "name": name,
            "arguments": passed,
            "code": done.returncode,
            "seconds": time.perf_counter() - start,
            "machine": facts(),
            "printed": done.stdout,
            "figures": figures(done.stdout),
        }
        with options.output.open("a", encoding="utf-8") as f:
            f.write(json.dumps(record) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
