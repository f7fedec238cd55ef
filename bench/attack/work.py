"""What is attacked: commands on small inputs, and what each makes when nobody disturbs it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from bench._digests import digests_of
from bench.attack.children import Ended, run

TRAINING = (
    *("optim.warmup=0", "run.log_every=1", "run.device=cpu", "model.width=12", "model.heads=3"),
    *("model.encoder=1", "model.decoder=1", "optim.batch=2", "optim.steps=3"),
    *("validation.every=2", "data.val_samples=2"),
)
PROGRESS = ("manifest.json", "index.json", "metrics.jsonl", "last.pt", "previous.pt", "config.yaml")
"""Files that grow as work goes on: in between they are to be whole, at the end to be equal."""

GROWING = (*PROGRESS, "best.safetensors", "best.json")
OUT = "out"
"""Folder that commands write to, in the folder of a run."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command that is attacked.

    Attributes:
        name: of it.
        arguments: what follows ``trifuse``; inputs lie in ``in``, outputs go to ``out``.
        inputs: files that are mutated, as patterns below ``in``.
        resumes: whether it is run again as it is; else it may ask for ``--overwrite``.
        jobs: whether it can be given processes.
    """

    name: str
    arguments: str
    inputs: tuple[str, ...] = ()
    jobs: bool = False

    @property
    def words(self) -> list[str]:
        """The arguments as a list."""
        return self.arguments.split()


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
    make = [
        "scene -o scene --size 120 --seed 3",
        "scene -o small --size 60 --seed 4",
        "series make -o area --size 24 --seed 7",
    ]
    for line in make:
        _must(line.split(), inputs)
    enmap = next(inputs.glob("scene/ENMAP01-*")).relative_to(inputs).as_posix()
    pair = "--s2 in/scene/S2_HrMSI.tif --s3 in/scene/S3_LrHSI.tif"
    _must(f"simulate {enmap} -o store --patch 40 --split 0.5,0.5,0".split(), inputs)
    local = pair.replace("in/", "")
    _must(f"fuse {local} -o fused.tif --method regression".split(), inputs)
    (inputs / "p.geojson").write_text(
        '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"name": '
        '"a"}, "geometry": {"type": "Point", "coordinates": [13.0315, 52.4225]}}]}'
    )
    images = "in/scene/S2_HrMSI.tif", "in/scene/S3_LrHSI.tif"
    dates = "--dates 2022-05-15:2022-06-15:1M"
    built = "--s2 in/area/sentinel2 --landsat in/area/landsat --dates 2022-05-01:2022-06-15"
    all_of_them = (
        Command("ndvi", "ndvi in/scene/truth_HrHSI.tif -o out/n.tif", ("scene/truth_HrHSI.tif",)),
        Command("fuse", f"fuse {pair} -o out/f.tif --method regression", ("scene/S*.tif",), True),
        Command("refined", f"fuse {pair} -o out/r.tif --uncertainty", ("scene/S*.tif",)),
        Command(
            "sharpen",
            "sharpen in/scene/S2_HrMSI.tif -o out/s.tif --sharpness 1:2:6 --force",
            ("scene/S2_HrMSI.tif",),
        ),
        Command("simulate", f"simulate in/{enmap} -o out/store --patch 40", (f"{enmap}/*",)),
        Command(
            "train",
            f"train fusformer in/store -o out/run {' '.join(f'--set {key}' for key in TRAINING)}",
            ("store/*.h5", "store/manifest.json"),
        ),
        Command(
            "report",
            f"report in/fused.tif -o out/p.html --s2 {images[0]} --s3 {images[1]}",
            ("fused.tif", "fused.tif.json"),
        ),
        Command("scene", "scene -o out/scene --size 60 --seed 5"),
        Command("make", "series make -o out/area --size 24 --seed 8"),
        Command(
            "build",
            f"series build {built} -o out/built",
            ("area/sentinel2/2022-0[56]*.tif", "area/sentinel2/index.json"),
        ),
        Command(
            "interpolate",
            f"interpolate in/area {dates} -o out/dates --weights prior",
            ("area/*/2022-0[56]*.tif", "area/*/index.json"),
            True,
        ),
        Command(
            "course",
            "ndvi in/area/sentinel2 -o out/course --geojson in/p.geojson",
            ("area/sentinel2/*", "p.geojson"),
        ),
        Command(
            "evaluate",
            f"evaluate in/fused.tif --truth in/scene/truth_HrHSI.tif --s3 {images[1]}",
            ("fused.tif", "scene/truth_HrHSI.tif"),
        ),
        Command("verify", "verify in/store in/area in/fused.tif", ("store/*", "fused.tif*")),
        Command("inspect", f"inspect in/{enmap}", (f"{enmap}/*",)),
    )
    bench = Bench(base, {c.name: c for c in all_of_them if not names or c.name in names})
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


def _must(command: Sequence[str], folder: Path) -> None:
    ended = run(command, folder, folder.parent / "said")
    if ended.code:
        raise SystemExit(f"{' '.join(command)} ended with {ended.code}: {ended.said[-500:]}")


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
