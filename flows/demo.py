"""The whole flow on embedded scenes, as a user would run it with real products."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from trifuse.core import Cube, refuse_existing, say, writes
from trifuse.flows.evaluate import Evaluation, evaluate
from trifuse.flows.fuse import DEFAULT, fuse
from trifuse.flows.ndvi import ndvi
from trifuse.flows.panels import Picture, draw_panel, require_matplotlib, rgb, rgb_stretch
from trifuse.products import open_cube, write_sidecar
from trifuse.simulate import (
    Observed,
    SceneFiles,
    SimulateConfig,
    observe,
    simulate_store,
    write_scene,
)

TRAINING_SCENES = 4
RATIO = 10


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demo made.

    Attributes:
        evaluation: of the network beside bicubic and the regression, on a scene not trained on.
        with_errors: of the default method beside them on the same scene as real sensors see it.
        files: name → path.
        record: scores, files and seconds of each step; plain JSON values.
    """

    evaluation: Evaluation
    with_errors: Evaluation
    files: Mapping[str, Path]
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The tables and the paths."""
        seconds = self.record["seconds"]
        steps = ", ".join(f"{k} {v:.0f} s" for k, v in seconds.items())
        paths = "\n".join(f"{name:8} {path}" for name, path in self.files.items())
        return (
            f"without errors:\n{self.evaluation.table()}\n\n"
            "as real sensors see it (20 m and 60 m bands blurred, noise, calibration, shift):\n"
            f"{self.with_errors.table()}\n\n{paths}\n\n{steps}"
        )


@writes(folder=True)
def run_demo(
    out: Path | str, *, size: int = 240, seed: int = 0, steps: int = 200, overwrite: bool = False
) -> Demo:
    """Procedural scenes → EnMAP-like deliveries → triplets → training → fusion → NDVI → picture.

    Args:
        out: folder to write.
        size: edge of the scenes in pixels of 30 m, at least 120.
        seed: another seed, other places.
        steps: updates of the network.
        overwrite: replace an earlier demo in the folder.

    Raises:
        OutputExistsError: if the folder exists and ``overwrite`` is False.
        MissingExtraError: if matplotlib is not installed.
    """
    from trifuse.train import TrainConfig, load_config, train_fusion

    require_matplotlib()  # a missing extra is told before any work
    out = Path(out)
    refuse_existing(out, overwrite=overwrite)
    _remove_earlier(out)
    seconds: dict[str, float] = {}
    clock = _Clock(seconds)

    say("scenes: four to train on, one to fuse")
    test = write_scene(out / "test", size=size, seed=seed + 1000, ratio=RATIO)
    training = [
        write_scene(out / f"scene{i}", size=size, seed=seed + i, ratio=RATIO).enmap
        for i in range(TRAINING_SCENES)
    ]
    clock("scenes")
    say("triplets of four scenes")
    config = SimulateConfig(ratio=RATIO, patch=60, stride=30, split=(0.75, 0.25, 0.0), seed=seed)
    simulate_store(training, out / "store", config)
    clock("triplets")
    settings = load_config(
        TrainConfig,
        None,
        [
            *NETWORK,
            f"seed={seed}",
            f"optim.steps={steps}",
            f"validation.every={max(1, steps // 3)}",
            f"optim.warmup={min(50, steps // 4)}",
        ],
    )
    say(f"training of a small network, {steps} updates")
    trained = train_fusion(settings, out / "store", out / "run")
    clock("training")
    say("fusion and scores, without errors")
    fused = fuse(test.s2, test.s3, out / "fused.tif", weights=trained.weights)
    clock("fusion")
    evaluation = evaluate(
        out / "fused.tif",
        truth=test.truth,
        s2=test.s2,
        s3=test.s3,
        baselines=("bicubic", "regression", DEFAULT),
    )
    clock("metrics")
    say("the same as real sensors see it")
    with_errors, seen, made = _with_errors(test, seed)
    clock("errors")
    say("NDVI and the panel")
    ndvi(out / "fused.tif", out / "ndvi.tif")
    clock("NDVI")
    draw_panel(_pictures(seen, made[DEFAULT], made["regression"]), out / "panel.png")
    clock("panel")
    files = {"fused": out / "fused.tif", "NDVI": out / "ndvi.tif", "panel": out / "panel.png"}
    record = {
        **evaluation.record,
        "with_errors": with_errors.record,
        "files": {k: str(v) for k, v in files.items()},
        "seconds": seconds,
        "selfcheck_of_fuse": fused.record["selfcheck"],
        "validation": dict(trained.metrics),
    }
    write_sidecar(out / "demo", record)
    return Demo(evaluation, with_errors, files, record)


def _with_errors(test: SceneFiles, seed: int) -> tuple[Evaluation, Observed, dict[str, Cube]]:
    """The default method, with the network that comes along, beside simpler ones.

    Returns:
        Scores, the images with errors, and what each method made of them.
    """
    with open_cube(test.s2) as s2, open_cube(test.truth) as truth:
        sharp = s2.read()
        seen = observe(sharp, truth.read(truth.grid.locate(sharp.grid)), RATIO, seed=seed)
    cubes = {
        name: made
        for name in ("bicubic", "regression", "physics", DEFAULT)
        if (made := fuse(seen.hrmsi, seen.lrhsi, method=name).cube) is not None
    }
    simpler = {name: cube for name, cube in cubes.items() if name != DEFAULT}
    return evaluate(cubes[DEFAULT], truth=seen.truth, extra=simpler), seen, cubes


NETWORK = (
    "model.skip=prior",
    "model.mixer=dwconv",
    "model.width=32",
    "model.heads=2",
    "model.encoder=1",
    "model.decoder=1",
    "optim.batch=4",
    "optim.lr=5e-4",
)
"""A small network for a small machine."""


def _pictures(seen: Observed, fused: Cube, simple: Cube) -> list[Picture]:
    """What went in and came out with the errors of real sensors, in one stretch of colours."""
    sharp, coarse = seen.hrmsi, seen.lrhsi.select(fused.bands.names)
    truth = seen.truth.select(fused.bands.names).crop(sharp.grid.locate(fused.grid))
    stretch = rgb_stretch(truth)
    blocks = np.repeat(np.repeat(coarse.data, RATIO, 1), RATIO, 2)
    grid = coarse.grid.zoom_in(RATIO)
    up = Cube(blocks, np.ones(grid.shape, bool), coarse.bands, grid)

    def error(made: Cube) -> np.ndarray:
        off = made.select(fused.bands.names).masked() - truth.masked()
        return np.asarray(np.sqrt(np.nanmean(off**2, axis=0)))

    vegetation = ndvi(fused).cube
    assert vegetation is not None
    scale: dict[str, Any] = {"limits": (1e-3, 1e-1), "unit": "reflectance", "log": True}
    return [
        Picture("Sentinel-2 view, true colour", rgb(sharp, stretch)),
        Picture("Sentinel-3 view, true colour", rgb(up, stretch)),
        Picture("fused, true colour", rgb(fused, stretch)),
        Picture("RMS error of the regression", error(simple), "magma", **scale),
        Picture("RMS error of the fused cube", error(fused), "magma", **scale),
        Picture("NDVI of the fused cube", vegetation.masked()[0], "RdYlGn", (-0.2, 1.0), "NDVI"),
    ]


class _Clock:
    """Seconds since the last call, by name."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds, self._last = seconds, time.perf_counter()

    def __call__(self, name: str) -> None:
        now = time.perf_counter()
        self._seconds[name], self._last = now - self._last, now


def _remove_earlier(out: Path) -> None:
    """What an earlier demo made; nothing else in the folder is touched."""
    for name in ("test", "store", "run", *(f"scene{i}" for i in range(TRAINING_SCENES))):
        shutil.rmtree(out / name, ignore_errors=True)
    for name in (
        "fused.tif",
        "fused.tif.json",
        "fused.png",
        "ndvi.tif",
        "ndvi.tif.json",
        "panel.png",
        "demo.json",
    ):
        (out / name).unlink(missing_ok=True)
