"""Draws the errors, runs the methods, scores what they made."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.ndimage import binary_dilation

from bench.fusion import methods, results, scenes
from bench.fusion.methods import Case
from bench.fusion.results import Record
from trifuse import metrics
from trifuse.core import TrifuseError

FEWEST_CELLS = {15: 26}
"""Ratios that need so many coarse cells on a real scene; others need none."""


@dataclass(frozen=True, slots=True)
class Job:
    """The methods still missing for one draw."""

    scene: str
    ratio: int
    protocol: str
    seed: int
    methods: tuple[str, ...]
    out: Path
    code: str


def plan(
    scene_names: Sequence[str],
    ratios: Sequence[int],
    protocols: Sequence[str],
    seeds: int,
    method_names: Sequence[str],
    done: dict[results.Key, Record],
    out: Path,
    code: str,
) -> list[Job]:
    """What is to be done, less what is done; a protocol without random errors has one draw."""
    jobs = []
    for scene in scene_names:
        for ratio in ratios:
            for protocol in protocols:
                for seed in range(1 if methods.silent(protocol) else seeds):
                    missing = tuple(
                        m for m in method_names if (scene, ratio, protocol, seed, m) not in done
                    )
                    if missing:
                        jobs.append(Job(scene, ratio, protocol, seed, missing, out, code))
    return jobs


def run(jobs: Sequence[Job], workers: int = 1) -> Iterator[list[Record]]:
    """Records job by job, as they are finished."""
    if workers == 1:
        yield from map(perform, jobs)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(perform, jobs)


def perform(job: Job) -> list[Record]:
    """All methods of a job; one that fails is told of and left out."""
    views = _views(job.scene, job.out / "scenes")
    height, width = views.s2.grid.shape
    cells = (height // job.ratio) * (width // job.ratio)
    if views.kind == "real" and cells < FEWEST_CELLS.get(job.ratio, 0):
        return []
    case = Case(views, job.ratio, job.protocol, job.seed)
    counted = _counted(case)
    records = []
    for method in job.methods:
        where = f"{job.scene} ratio {job.ratio} {job.protocol} seed {job.seed}: {method}"
        try:
            records.append(_score(case, method, counted, job))
        except TrifuseError as e:
            print(f"{where}: {e}", file=sys.stderr, flush=True)
        except Exception:
            print(f"{where} failed\n{traceback.format_exc()}", file=sys.stderr, flush=True)
    return records


@lru_cache(maxsize=2)
def _views(scene: str, cache: Path) -> scenes.Views:
    return scenes.load_views(scene, cache)


def _counted(case: Case) -> np.ndarray:
    """Pixels to score, the same for every method.

    Where cells are missing, methods differ in which pixels they leave empty, since they heed
    different shifts; half a cell around such cells does not count.
    """
    seen, ratio = case.seen, case.ratio
    missing = np.isnan(seen.lrhsi.data).any(axis=0)
    hidden = missing.repeat(ratio, axis=0).repeat(ratio, axis=1)
    if missing.any():
        hidden = binary_dilation(hidden, iterations=ratio // 2 + 1, structure=np.ones((3, 3)))
    rows, cols = hidden.shape
    there = np.isfinite(seen.hrmsi.data).all(axis=0) & np.isfinite(seen.truth.data).all(axis=0)
    counted: np.ndarray = ~hidden & there[:rows, :cols]
    return counted


def _score(case: Case, method: str, counted: np.ndarray, job: Job) -> Record:
    made = methods.run(method, case, job.out / "fusformer_paper")
    rows, cols = counted.shape
    truth, estimate = case.seen.truth.data[:, :rows, :cols], made.data[:, :rows, :cols]
    bands = metrics.psnr_bands(truth, estimate, counted)
    off = np.subtract(made.shift, case.seen.drawn.shift) / case.ratio
    return Record(
        case.views.name,
        case.ratio,
        case.protocol,
        case.seed,
        method,
        job.code,
        psnr=round(float(np.mean(bands)), 4),
        sam=round(metrics.sam(truth, estimate, counted), 4),
        bands=case.seen.truth.bands.names,
        psnr_bands=tuple(round(float(b), 3) for b in bands),
        seconds=round(made.seconds, 3),
        shift_error=round(float(np.hypot(*off)), 4),
        finite=round(float(np.isfinite(estimate[:, counted]).all(axis=0).mean()), 5),
    )
