"""Images that ``bench/stacks.py`` looks at, beside those of the common scenes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from bench.fusion.scenes import data_dir
from trifuse.core import Cube, Grid, degrade

RATIO = 10


def warped(
    data: np.ndarray, s3: Cube, seen: Any, kernel: str, seed: int
) -> tuple[Cube, Cube, Cube]:
    """The stack, the truth and the cells on a grid turned by 1.2° about the scene's middle."""
    from affine import Affine
    from rasterio.warp import Resampling, reproject

    height, width = s3.grid.shape
    gsd = s3.grid.gsd[0]
    north_up = Affine(gsd, 0, 0, 0, -gsd, 0)
    turned = (
        north_up
        * Affine.translation(width / 2 + 0.37, height / 2 + 0.61)
        * Affine.rotation(1.2)
        * Affine.scale(1.0007)
        * Affine.translation(-width / 2, -height / 2)
    )

    def onto(planes: np.ndarray) -> np.ndarray:
        out = np.full(planes.shape, np.nan)
        for plane, target in zip(planes, out, strict=True):
            reproject(
                plane.astype(np.float64),
                target,
                src_transform=north_up,
                dst_transform=turned,
                src_crs="EPSG:32633",
                dst_crs="EPSG:32633",
                resampling=Resampling[kernel],
                src_nodata=np.nan,
                dst_nodata=np.nan,
            )
        margin = 5
        rows, cols = (cells_of(n - 2 * margin) for n in planes.shape[1:])
        return out[:, margin : margin + rows, margin : margin + cols]

    image, truth = onto(data), onto(s3.masked())
    rng = np.random.default_rng([seed, 78])
    if seed % 2 == 0:
        image = image + 0.003 * rng.standard_normal(image.shape)
    grid = Grid.from_origin("EPSG:32633", 366000.0, 5810010.0, gsd, *image.shape[1:])

    def cube(values: np.ndarray, like: Cube, where: Grid) -> Cube:
        return Cube(
            values.astype(np.float32),
            np.isfinite(values).all(axis=0),
            like.bands,
            where,
            {"quantity": "reflectance"},
        )

    cells = degrade(truth.astype(np.float32), RATIO, seen.psf, shift=seen.drawn.shift)
    cells = cells + 0.001 * rng.standard_normal(cells.shape)
    return (
        cube(counts(image), seen.hrmsi, grid),
        cube(truth, s3, grid),
        cube(cells, s3, grid.zoom_out(RATIO)),
    )


SHARP = ("as it is", "noise", "haze", "snow", "water", "8 bits", "jpeg 2000")
"""Images with nothing to restore."""


def sharp_planes(clean: np.ndarray, s3: Cube, kind: str) -> tuple[np.ndarray, Cube]:
    """Bands with nothing to restore, and what is seen beside them."""
    noise = np.random.default_rng(5).standard_normal(clean.shape)
    smooth = gaussian_filter(clean, (0, 12, 12))
    data = {
        "as it is": clean,
        "noise": clean + 0.003 * noise,
        "haze": 0.2 + 0.3 * clean + 0.001 * noise,
        "snow": 0.7 + 0.2 * clean + 0.002 * noise,
        "water": 0.02 + 0.1 * smooth + 0.001 * noise,
        "8 bits": np.round(clean * 255) / 255,
        "jpeg 2000": through_jpeg2000(clean) if kind == "jpeg 2000" else clean,
    }[kind]
    seen = {
        "haze": 0.2 + 0.3 * s3.data,
        "snow": 0.7 + 0.2 * s3.data,
        "water": 0.02 + 0.1 * gaussian_filter(s3.masked(), (0, 12, 12)),
    }
    return data, replace(s3, data=seen[kind]) if kind in seen else s3


def through_jpeg2000(data: np.ndarray) -> np.ndarray:
    """Bands in counts of 1e-4, packed at three tenths of their size and unpacked again."""
    from affine import Affine
    from rasterio.io import MemoryFile

    out = np.empty_like(data)
    for plane, target in zip(data, out, strict=True):
        counts = np.round(plane * 1e4 + 1000).clip(0, 65535).astype(np.uint16)
        height, width = counts.shape
        shape = {"height": height, "width": width, "count": 1, "transform": Affine.scale(10, -10)}
        with MemoryFile() as memory:
            with memory.open(
                driver="JP2OpenJPEG", dtype="uint16", QUALITY="30", REVERSIBLE="NO", **shape
            ) as file:
                file.write(counts, 1)
            with memory.open() as file:
                target[:] = (file.read(1).astype(np.float64) - 1000) / 1e4
    return out


SIDE = 240
"""Pixels of the part of the real product that is looked at."""


def real_product() -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """A real product one scale down: its bands at 20 m, and which were of 10 m and of 20 m."""
    import rasterio

    folder = data_dir() / "3_s3_s2" / "s2_l2a_cog_decimated_29RKH"
    fine, coarse = ("B2", "B3", "B4", "B8"), ("B5", "B6", "B7", "B8A", "B11", "B12")
    planes = []
    for name in (*fine, *coarse):
        with rasterio.open(folder / f"B{name[1:].zfill(2)}.tif") as file:
            step = 2 if name in fine else 1
            part = file.read(1, window=((0, SIDE * step), (0, SIDE * step))).astype(np.float64)
        planes.append(part.reshape(SIDE, step, SIDE, step).mean(axis=(1, 3)) * 1e-4)
    return np.array(planes), fine, coarse


def cells_of(pixels: int) -> int:
    return pixels // RATIO * RATIO


def counts(data: np.ndarray) -> np.ndarray:
    """As files have it, in counts of 1e-4."""
    return (np.round(data * 1e4) / 1e4).astype(np.float32)
