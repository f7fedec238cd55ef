"""What is attacked: commands on small inputs, and what each makes when nobody disturbs it."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from bench._digests import digests_of
from bench.attack.children import Ended, run
from bench.attack.commands import INPUTS, LISTED, PLACES, Command

PROGRESS = ("manifest.json", "index.json", "metrics.jsonl", "last.pt", "previous.pt", "config.yaml")
"""Files that grow as work goes on: in between they are to be whole, at the end to be equal."""

GROWING = (*PROGRESS, "best.safetensors", "best.json")
OUT = "out"
"""Folder that commands write to, in the folder of a run."""


@dataclass
class Bench:
    """A folder with inputs, commands, and what these make.

    Attributes:
        base: the folder; ``in`` and the expected results lie there.
        commands: by name.
        expected: command → file → digests.
        seconds: command → that it takes undisturbed.
    """

    base: Path
    commands: dict[str, Command]
    expected: dict[str, dict[str, Mapping[str, str]]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    @property
    def inputs(self) -> Path:
        return self.base / "in"

    def place(self, name: str) -> Path:
        """A fresh folder for a run, from which ``in`` is seen."""
        folder = self.base / "runs" / name
        shutil.rmtree(folder, ignore_errors=True)
        (folder / OUT).mkdir(parents=True)
        (folder / "in").symlink_to(self.inputs)
        return folder

    def run(self, name: str, folder: Path, *more: str) -> Ended:
        """Run a command undisturbed."""
        return run([*self.commands[name].words, *more], folder, folder / "said")


def prepare(base: Path, names: Sequence[str] | None = None) -> Bench:
    """Make the inputs, and run every command undisturbed, twice: it has to repeat itself.

    Raises:
        SystemExit: if a command fails or does not repeat itself.
    """
    inputs = base / "in"
    inputs.mkdir(parents=True)
    wanted = [c for c in LISTED if not names or c.name in names]
    make_inputs(inputs, {need for c in wanted for need in c.needs})
    bench = Bench(base, {c.name: c for c in wanted})
    for name in bench.commands:
        for again in (False, True):
            folder = bench.place(f"expected-{name}")
            ended = bench.run(name, folder)
            found = digests(folder)
            if ended.code:
                raise SystemExit(f"{name} ended with {ended.code}: {ended.said[-500:]}")
            if again and found != bench.expected[name]:
                raise SystemExit(f"{name} does not repeat itself: {differing(found, bench, name)}")
            bench.expected[name], bench.seconds[name] = found, ended.seconds
            sizes = [p.stat().st_size for p in (folder / OUT).rglob("*") if p.is_file()]
            bench.sizes[name] = max(sizes, default=0)
    return bench


def make_inputs(folder: Path, wanted: Collection[str]) -> None:
    """Make what commands read; one thing may need another.

    Raises:
        SystemExit: if that fails.
    """
    for name, (line, _) in INPUTS.items():
        if not {name, *(n for n, (_, of) in INPUTS.items() if name in of)} & set(wanted):
            continue
        ended = run(line.split(), folder, folder.parent / "said")
        if ended.code:
            raise SystemExit(f"{line} ended with {ended.code}: {ended.said[-500:]}")
    (folder / "p.geojson").write_text(PLACES, encoding="utf-8")


def digests(folder: Path) -> dict[str, Mapping[str, str]]:
    """Digests of all files that a run has published."""
    places = {str(folder.resolve()): "<run>", str(folder): "<run>"}
    found = {}
    for path in sorted((folder / OUT).rglob("*")):
        name = path.relative_to(folder / OUT).as_posix()
        if path.is_file() and not any(part.startswith(".") for part in name.split("/")):
            found[name] = digests_of(path, places)
    return found


def leftovers(folder: Path) -> list[str]:
    """Hidden files and folders in the output."""
    every = ((folder / OUT) / "").rglob(".*")
    return sorted(p.relative_to(folder / OUT).as_posix() for p in every)


def differing(
    found: Mapping[str, Mapping[str, str]], bench: Bench, name: str, *, begun: bool = False
) -> list[str]:
    """Files that are not as expected; of work that was disturbed some may be missing.

    Args:
        found: digests of what is there.
        bench: with what is expected.
        name: of the command.
        begun: whether the work was disturbed, so that records may tell of a part of it.
    """
    expected = bench.expected[name]
    wrong = []
    for file in sorted({*found, *expected}):
        if file not in found:
            if not begun:
                wrong.append(f"{file} is missing")
        elif begun and (fnmatches(file, GROWING) or file not in expected):
            continue  # that it could be read is what counts here
        elif found[file] != expected.get(file):
            wrong.append(f"{file} differs")
    return wrong


def fnmatches(file: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(file.rpartition("/")[2], p) for p in patterns)
