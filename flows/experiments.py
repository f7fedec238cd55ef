"""The experiments of the paper that founded this kind of fusion, on scenes made from a seed.

Source: Cristille et al. 2024, doi:10.3390/rs16163107.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from trifuse.core import (
    ConfigError,
    Cube,
    MemorySource,
    TilePlan,
    refuse_existing,
    write_bytes,
    writes,
)
from trifuse.flows.evaluate import evaluate
from trifuse.flows.fuse import fuse
from trifuse.flows.fuse_record import selfcheck_text
from trifuse.flows.report import report
from trifuse.flows.report_figures import spectra
from trifuse.metrics import Scores, format_table, jsd_spectra
from trifuse.products import open_cube, write_cube, write_sidecar
from trifuse.simulate import SimulateConfig, scene_views, simulate_store, write_scene
from trifuse.simulate.ground.procedural import procedural_layers

DRY = 4
"""Seeds that leave this remainder by five are dry country, as the paper's desert sites are."""

PAPER_SECONDS = {256: 161.0, 64: 37.0}
"""Seconds of the paper's network for so many tiles of 150 pixels, on its GPU."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """What an experiment found.

    Attributes:
        text: for a terminal.
        record: every figure, plain JSON values.
        files: everything that was written.
    """

    text: str
    record: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[Path, ...] = ()


@writes("weights", folder=True)
def wide_field(
    out: Path | str,
    *,
    size: int = 2100,
    seed: int = 4,
    ratio: int = 30,
    method: str | None = None,
    weights: Path | str | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> Experiment:
    """Fuse a wide field of desert in tiles of 150 pixels, and look at it as Sentinel-3 would.

    With the default size of 21 km at 10 m these are the paper's 256 tiles; drawing the scene takes
    several minutes and 8 GB, the fusion far less.

    Args:
        out: folder to write.
        size: edge in pixels of 10 m, whole Sentinel-3 cells.
        seed: of the scene; it must leave 4 by 5 (dry country).
        ratio: fine pixels per Sentinel-3 cell.
        method: as of :func:`trifuse.fuse`.
        weights: as of :func:`trifuse.fuse`.
        device: ``auto``, ``cpu`` or ``cuda``.
        overwrite: replace an earlier run.

    Raises:
        ConfigError: if size or seed do not fit.
        OutputExistsError: if the folder exists and ``overwrite`` is False.

    Source: Cristille et al. 2024, §6.2 and table A1.
    """
    if seed % 5 != DRY or size % ratio or size < 4 * ratio:
        raise ConfigError(
            f"a field of {size} pixels with seed {seed}",
            fix=f"give a multiple of {ratio} and a seed that leaves {DRY} by 5",
        )
    out = Path(out)
    refuse_existing(out, overwrite=overwrite)
    cube = procedural_layers(size, seed, gsd=10.0).cube
    s2, s3, _ = scene_views(MemorySource(cube), ratio=ratio)
    del cube
    paths = {"s2": out / "s2.tif", "s3": out / "s3.tif"}
    for path, view in ((paths["s2"], s2), (paths["s3"], s3)):
        write_cube(path, view, overwrite=overwrite)
    mean = np.nanmean(s3.masked(), axis=(1, 2))
    fused = out / "fused.tif"
    started = time.perf_counter()
    done = fuse(
        paths["s2"],
        paths["s3"],
        fused,
        method=method,
        weights=weights,
        preset="paper",
        device=device,
        overwrite=overwrite,
    )
    seconds = time.perf_counter() - started
    page = report(fused, s2=paths["s2"], s3=paths["s3"], overwrite=overwrite)
    assert done.selfcheck is not None
    tiles = len(TilePlan(size, size, 150, 20, blend="linear"))
    record = {
        "kind": "wide-field",
        "size": size,
        "seed": seed,
        "ratio": ratio,
        "tiles": tiles,
        "method": done.record["method"],
        "seconds": seconds,
        "selfcheck": done.selfcheck.to_json(),
        "mean_spectrum_s3": [round(float(v), 5) for v in mean],
        "paper_seconds": PAPER_SECONDS.get(tiles),
    }
    beside = write_sidecar(out / "wide-field", record)
    paper = (
        f" (the paper's network on a GPU: {PAPER_SECONDS[tiles]:g} s)"
        if tiles in PAPER_SECONDS
        else ""
    )
    text = "\n".join(
        [
            f"{done.record['method']}: {size}×{size} pixels in {tiles} tiles of 150, "
            f"{seconds:.1f} s with files{paper}",
            selfcheck_text(done.selfcheck),
            f"wrote {page.path}",
        ]
    )
    return Experiment(text, record, (*done.files, *page.files, beside))


@writes("cave", "enmap", folder=True)
def shells(
    out: Path | str,
    cave: Sequence[Path | str],
    *,
    enmap: Sequence[Path | str] = (),
    steps: int = 1000,
    size: int = 240,
    seed: int = 0,
    settings: Sequence[str] = (),
    overwrite: bool = False,
) -> Experiment:
    """Train the paper's network on Earth observation and on CAVE, and compare them on land.

    Both are trained alike, from scratch and on bicubic Sentinel-3, with the same bands and as many
    triplets of a scene, and then fuse one procedural scene that neither has seen. CAVE's spectra
    are extended beyond 400–700 nm by splines, so what its network learns there has no physical
    ground.

    Args:
        out: folder to write.
        cave: folders or files of CAVE scenes.
        enmap: EnMAP deliveries to train on; default: four procedural scenes.
        steps: updates of each network.
        size: edge of the procedural scenes in pixels of 30 m.
        seed: of everything.
        settings: further settings of the training, as of ``trifuse train --set``.
        overwrite: replace an earlier run.

    Raises:
        OutputExistsError: if the folder exists and ``overwrite`` is False.
        ProductError: if CAVE's images cannot be read.

    Source: Cristille et al. 2024, §4 and §5.
    """
    from trifuse.train import TrainConfig, load_config, train_fusion

    out = Path(out)
    refuse_existing(out, overwrite=overwrite)
    land = list(enmap) or [
        write_scene(out / f"scene{i}", size=size, seed=seed + i, overwrite=overwrite).enmap
        for i in range(4)
    ]
    test = write_scene(out / "test", size=size, seed=seed + 800, overwrite=overwrite)
    cut = SimulateConfig(
        patch=60, stride=30, split=(0.75, 0.25, 0.0), seed=seed, count=TRIPLETS_OF_A_SCENE
    )
    stores = {"EO": (land, replace(cut, ratio=10)), "CAVE": (list(cave), replace(cut, ratio=15))}
    cubes: dict[str, Cube] = {}
    seconds: dict[str, float] = {}
    shared: tuple[str, ...] = ()
    for name, (sources, config) in stores.items():
        made = simulate_store(
            sources,
            out / f"store-{name}",
            replace(config, bands=shared or "auto"),
            overwrite=overwrite,
        )
        # EnMAP starts at 418 nm, CAVE's splines where one likes: what the first has counts.
        shared = shared or (*made.hr_bands.names, *made.lr_bands.names)
        chosen = load_config(
            TrainConfig,
            None,
            [
                *SHELL,
                f"seed={seed}",
                f"optim.steps={steps}",
                f"optim.warmup={min(50, steps // 4)}",
                f"validation.every={max(1, steps // 3)}",
                *settings,
            ],
        )
        started = time.perf_counter()
        weights = train_fusion(chosen, out / f"store-{name}", out / f"run-{name}").weights
        seconds[name] = time.perf_counter() - started
        fused = fuse(test.s2, test.s3, weights=weights, coregister="off").cube
        assert fused is not None
        cubes[f"{name}-trained"] = fused
    scored = evaluate(truth=test.truth, s2=test.s2, s3=test.s3, extra=cubes)
    with open_cube(test.truth) as source:
        truth = source.read()
    true = truth.select(cubes["EO-trained"].bands.names)
    divergence = {
        n: float(jsd_spectra(true.data, c.data, true.valid & c.valid)) for n, c in cubes.items()
    }
    places = {"middle": (size // 2, size // 2), "upper left": (size // 8, size // 8)}
    figure = spectra(places, {"fused": cubes["EO-trained"], "truth": truth, **cubes}, 10)
    write_bytes(out / "spectra.png", figure.png, overwrite=True)
    record = {
        "kind": "shells",
        "steps": steps,
        "seconds": seconds,
        "jsd_of_mean_spectra": divergence,
        "scores": {n: s.to_json() for n, s in scored.scores.items()},
    }
    beside = write_sidecar(out / "shells", record)
    text = _table(scored.scores, divergence, seconds)
    return Experiment(f"{text}\nwrote {beside}", record, (out / "spectra.png", beside))


TRIPLETS_OF_A_SCENE = 49
"""Triplets that both kinds of scenes give, at most: what a land scene of 240 pixels has."""

SHELL = (
    "model.skip=bicubic",
    "model.mixer=window",
    "model.width=48",
    "model.heads=3",
    "optim.batch=4",
    "optim.lr=1e-3",
)
"""The paper's shell (bicubic skip, attention), its attention in windows to fit a small machine."""


def _table(
    scores: Mapping[str, Scores], divergence: Mapping[str, float], seconds: Mapping[str, float]
) -> str:
    lines = [format_table(scores), ""]
    lines += [f"{n}: divergence (JSD) of the mean spectra {v:.6f}" for n, v in divergence.items()]
    lines += [f"{n}: trained in {s:.0f} s" for n, s in seconds.items()]
    return "\n".join(lines)
