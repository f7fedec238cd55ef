"""Whether a rearrangement of the code changes a result: digests of what every flow makes.

    PYTHONPATH=before/.typing python -m bench.same_bytes record before.json
    PYTHONPATH=after/.typing python -m bench.same_bytes record after.json
    python -m bench.same_bytes compare before.json after.json

`record` runs the command line of the TriFuse that Python finds (of a tree: by its `.typing`) in a
folder of its own, with fixed seeds and one thread, and writes name → SHA-256 of all that is made
(`_flows.py`). It takes nothing from the code but its commands, so it serves trees whose modules
lie elsewhere. Of a file, bytes, values and words are taken apart (`_digests.py`), so that a
change in what a record says is no change of pixels. `--keep FOLDER` keeps the products and what
the commands printed, to look at what differs.

`compare` ends with 1 if anything differs that is not in PURPOSEFUL, or a command failed. Records
are to be of one machine with the same libraries: others round otherwise.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import shlex
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from fnmatch import fnmatchcase
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from _digests import digests_of
from _flows import steps
from _machine import processor
from _one_by_one import Commands, Ran, commands

PURPOSEFUL: Mapping[str, str] = {
    "said/evaluate/*.out words": "angles in degrees, and every method of SERIES_METHODS is listed",
    "said/fidelity.out words": "angles in degrees",
}
"""Pattern of names (as of files in a shell) → why they differ, in words."""

STATES = ("equal", "purposeful", "different", "only in A", "only in B")
LIBRARIES = ("numpy", "scipy", "torch", "rasterio", "h5py", "pillow", "matplotlib")
MODULE = re.compile(r"(?<=^WARNING )trifuse(?:\.\w+)*")
FIXED = "0"
"""Version that TriFuse has in its products here, so that another one changes no bytes."""


def record(work: Path) -> dict[str, Any]:
    """Run all commands in an empty folder.

    Returns:
        ``about`` the run, ``failed`` commands, and ``entries``, name → SHA-256.
    """
    entries: dict[str, str] = {}
    cpu: dict[str, float] = {}
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as beside:
        site = fixed_version(Path(beside))
        with commands(work, Path(beside), [site]) as run:
            home = run.home()
            print(f"commands of {home}", file=sys.stderr)
            places = {str(work): "<folder>", str(home.parent.parent): "<code>"}
            for step in steps(work, methods_of(run)):
                done = run([*shlex.split(step.command), "--json"])
                cpu[step.name] = round(done.seconds, 2)
                mark = "" if done.code == 0 else f"  code {done.code}: {done.err.strip()}"
                print(f"{done.seconds:6.1f} s  {step.name}{mark}", file=sys.stderr, flush=True)
                if done.code:
                    failed.append(step.name)
                keep(work / "said" / step.name, done)
    for path in sorted(p for p in work.rglob("*") if p.is_file()):
        name = path.relative_to(work).as_posix()
        entries |= {f"{name} {kind}": digest for kind, digest in digests_of(path, places).items()}
    about = {"code": str(home), "commit": commit_of(home), **machine(), "cpu_seconds": cpu}
    return {"about": about, "failed": failed, "entries": entries}


def fixed_version(folder: Path) -> Path:
    """A folder in which Python finds TriFuse's version, and nothing else."""
    facts = folder / "site" / f"trifuse-{FIXED}.dist-info" / "METADATA"
    facts.parent.mkdir(parents=True)
    facts.write_text(f"Metadata-Version: 2.1\nName: trifuse\nVersion: {FIXED}\n", encoding="utf-8")
    return facts.parent.parent


def methods_of(run: Commands) -> list[str]:
    """Methods of fusion, as the help of `trifuse fuse` lists them."""
    text = run(["fuse", "--help"]).out
    found = re.search(r"--method NAME.*?\[([^]]*)]", text, re.DOTALL)
    if found is None:
        raise SystemExit("the help of `trifuse fuse` lists no methods")
    # A name that does not fit into the column is broken after a hyphen.
    return [re.sub(r"\s+", "", name) for name in found[1].split(",")]


def keep(path: Path, done: Ran) -> None:
    """Write what a command printed beside the products.

    Of its warnings, the bar of a progress and the module that warns are left out.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [MODULE.sub("trifuse", t) for t in done.err.splitlines(keepends=True) if "\r" not in t]
    warned = f"code {done.code}\n{''.join(lines)}"
    path.with_name(f"{path.name}.out").write_text(done.out, encoding="utf-8")
    path.with_name(f"{path.name}.err").write_text(warned, encoding="utf-8")


def machine() -> dict[str, object]:
    """What bytes depend on besides the code."""
    libraries = {name: version(name) for name in LIBRARIES}
    return {"cpu": processor(), "python": platform.python_version(), "libraries": libraries}


def commit_of(home: Path) -> str:
    """Of the tree in which the code really lies; empty if it is none."""
    git = ["git", "-C", str(home.resolve().parent), "describe", "--always", "--dirty"]
    done = subprocess.run(git, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def states_of(a: Mapping[str, str], b: Mapping[str, str]) -> dict[str, str]:
    """Name → one of STATES."""
    found = {}
    for name in sorted({*a, *b}):
        if name not in b:
            state = "only in A"
        elif name not in a:
            state = "only in B"
        else:
            state = "equal" if a[name] == b[name] else "different"
        if state != "equal" and reason_of(name) is not None:
            state = "purposeful"
        found[name] = state
    return found


def reason_of(name: str) -> str | None:
    """Why an entry differs, if that is known."""
    return next((why for like, why in PURPOSEFUL.items() if fnmatchcase(name, like)), None)


def compare(a: Mapping[str, Any], b: Mapping[str, Any]) -> int:
    """Print what differs, and a table of counts by flow and kind.

    Returns:
        0 if all that differs, or is in one record only, is named in PURPOSEFUL, and no command
        failed, whose products would then be compared by nobody; else 1.
    """
    for label, one in (("A", a), ("B", b)):
        about = one["about"]
        print(f"{label}: {about['commit'] or 'no commit'}  {about['code']}")
        if one["failed"]:
            print(f"   commands that failed: {', '.join(one['failed'])}")
    for key in machine():
        if a["about"][key] != b["about"][key]:
            print(f"other {key}, so bytes may differ: {a['about'][key]} and {b['about'][key]}")
    found = states_of(a["entries"], b["entries"])
    for name, state in found.items():
        if state != "equal":
            print(f"{state:10}  {name}  {reason_of(name) or ''}".rstrip())
    for like in PURPOSEFUL:
        if not any(s == "purposeful" and fnmatchcase(n, like) for n, s in found.items()):
            print(f"named as purposeful, but nothing differs: {like}")
    print(table(found))
    unnamed = sum(state not in ("equal", "purposeful") for state in found.values())
    print(f"{unnamed} of {len(found)} entries differ and are not named in PURPOSEFUL")
    return 1 if unnamed or a["failed"] or b["failed"] else 0


def table(found: Mapping[str, str]) -> str:
    """Counts of each state, a line for each flow and kind of digest."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for name, state in found.items():
        what, _, kind = name.rpartition(" ")
        counts.setdefault((what.split("/")[0], kind), Counter())[state] += 1
    lines = [f"{'':24}" + "".join(f"{state:>12}" for state in STATES)]
    rows = [*sorted(counts.items()), (("all", ""), Counter(found.values()))]
    for (flow, kind), count in rows:
        lines.append(f"{flow:15} {kind:8}" + "".join(f"{count[state]:12}" for state in STATES))
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.same_bytes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action")
    recording = actions.add_parser("record", help="run all flows and write their digests")
    recording.add_argument("out", type=Path)
    recording.add_argument("--keep", type=Path, help="new folder in which the products stay")
    comparing = actions.add_parser("compare", help="say what differs; 1 if anything does")
    comparing.add_argument("a", type=Path)
    comparing.add_argument("b", type=Path)
    options = parser.parse_args()
    if options.action == "compare":
        return compare(*(json.loads(p.read_text(encoding="utf-8")) for p in (options.a, options.b)))
    if options.action is None:
        parser.print_help()
        return 0
    if options.keep is not None:
        options.keep.mkdir(parents=True)
        made = record(options.keep.resolve())
    else:
        with tempfile.TemporaryDirectory() as folder:
            made = record(Path(folder).resolve())
    options.out.write_text(json.dumps(made, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{len(made['entries'])} entries, {sum(made['about']['cpu_seconds'].values()):.0f} CPU s")
    return 1 if made["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
