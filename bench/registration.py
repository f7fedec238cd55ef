"""Accuracy of the co-registration: error against the number of cells, noise and cloud share.

    python bench/registration.py --size 660

Procedural scenes are seen by Sentinel-2 (its bands blurred to their native 10, 20 and 60 m, with
gain, offset and noise) and by a Sentinel-3 whose cells are displaced by up to 1.5 cells and whose
PSF is up to 20 % off. Cells are cut from the middle of the scene, so that what a displaced cell
sees beyond the edge is true ground, unknown to the estimate.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy.ndimage import gaussian_filter

from trifuse.align import register_arrays
from trifuse.core import PSF, MemorySource, blur, degrade
from trifuse.simulate import procedural_scene, scene_views

COARSE = {"B5": 2, "B6": 2, "B7": 2, "B8A": 2, "B11": 2, "B12": 2, "B1": 6, "B9": 6}


def views(size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Sharp S2 with its native blur, and the true S3 bands at the same pixels."""
    scene = procedural_scene(size=size, seed=seed)
    hrmsi, _, hrhsi = scene_views(MemorySource(scene))
    s2 = hrmsi.data.copy()
    for i, name in enumerate(hrmsi.bands.names):
        if name in COARSE:
            s2[i] = blur(s2[i], 0.494 * COARSE[name])
    return s2, hrhsi.data


def draw(
    s2: np.ndarray,
    s3: np.ndarray,
    cells: int,
    ratio: int,
    rng: np.random.Generator,
    noise: float,
    clouds: float,
    largest: float = 1.5,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """One pair with a planted shift: S2, S3, the shift in cells and the factor of the PSF."""
    shift = rng.uniform(-largest, largest, 2)
    factor = rng.uniform(0.8, 1.2)
    psf = PSF(PSF.from_mtf().sigma * factor)
    wide = degrade(s3, ratio, psf, shift=(shift[0] * ratio, shift[1] * ratio))
    margin = 3
    most = min(wide.shape[1:]) - 2 * margin
    cells = min(cells, most)
    row, col = (int(rng.integers(margin, n - margin - cells + 1)) for n in wide.shape[1:])
    coarse = wide[:, row : row + cells, col : col + cells].copy()
    fine = s2[:, row * ratio : (row + cells) * ratio, col * ratio : (col + cells) * ratio].copy()
    gain = 1 + 0.02 * rng.standard_normal((len(fine), 1, 1))
    fine = fine * gain + 0.003 * rng.standard_normal((len(fine), 1, 1))
    fine += noise * rng.standard_normal(fine.shape)
    coarse += noise / 3 * rng.standard_normal(coarse.shape)
    if clouds:
        field = gaussian_filter(rng.standard_normal(fine.shape[1:]), 2.5 * ratio)
        fine[:, field > np.quantile(field, 1 - clouds)] = np.nan
        field = gaussian_filter(rng.standard_normal(coarse.shape[1:]), 1.5)
        coarse[:, field > np.quantile(field, 1 - clouds / 2)] = np.nan
    return fine.astype(np.float32), coarse.astype(np.float32), shift, factor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=660, help="edge of the scenes in pixels")
    parser.add_argument("--scenes", type=int, default=3)
    parser.add_argument("--draws", type=int, default=4, help="planted shifts per scene and row")
    parser.add_argument("--ratio", type=int, default=10)
    options = parser.parse_args()
    rows = [(c, 0.003, 0.3) for c in (8, 12, 20, 30, 45, 60)]
    rows += [(30, n, 0.0) for n in (0.0, 0.003, 0.01, 0.02)]
    rows += [(30, 0.003, c) for c in (0.1, 0.5, 0.7)]
    results: dict[tuple[int, float, float], list[tuple[float, ...]]] = {r: [] for r in rows}
    for seed in range(options.scenes):
        s2, s3 = views(options.size, seed)
        for row in rows:
            rng = np.random.default_rng([seed, row[0], int(1e4 * row[1]), int(100 * row[2])])
            for _ in range(options.draws):
                fine, coarse, shift, factor = draw(s2, s3, row[0], options.ratio, rng, *row[1:])
                start = time.perf_counter()
                found = register_arrays(fine, coarse)
                took = time.perf_counter() - start
                error = float(np.hypot(*(np.array(found.shift) / options.ratio - shift)))
                width = found.psf.sigma / (PSF.from_mtf().sigma * factor) - 1
                results[row].append(
                    (error, found.error / options.ratio, width, found.reliable, took)
                )
    print(
        f"{'cells':>6} {'noise':>6} {'cloud':>6} | error, cells: median     max | trusted: max "
        "of | stated  | PSF width | seconds"
    )
    for (cells, noise, cloud), values in results.items():
        error, stated, width, trusted, took = np.array(values, float).T
        sure = error[trusted > 0]
        print(
            f"{cells:4d}²  {noise:6.3f} {cloud:6.2f} | {np.median(error):20.4f} {error.max():7.4f}"
            f" | {sure.max() if sure.size else np.nan:7.4f} {len(sure):3d}/{len(error):<3d}"
            f" | {np.median(stated):7.4f} | {100 * np.median(width):+7.1f} % | {took.mean():6.2f}"
        )


if __name__ == "__main__":
    main()
