"""Small scenes like CAVE's made from any cube of its 31 bands: folders of PNGs, and MAT files.

File names, the count of images and their 16 bits are those of the data; equal arguments give equal
bytes.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Literal

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from trifuse.core import ConfigError, Cube, DataError, atomic_path
from trifuse.core.atomic import flush_to_disk
from trifuse.products.cave.reader import CENTRES
from trifuse.products.files.factory import new_folder

WHITE = 65535
_HEADER = b"MATLAB 5.0 MAT-file, made by TriFuse".ljust(116)
"""In place of scipy's, which notes the time."""


def write_cave(
    folder: str | Path,
    cube: Cube,
    *,
    name: str = "balloons_ms",
    form: Literal["png", "mat"] = "png",
    overwrite: bool = False,
) -> Path:
    """Write a cube as a scene of CAVE's form.

    Counts are reflectance × 65535, rounded and clipped to 0 … 65535.

    Args:
        folder: the scene is made in here.
        cube: (31, y, x) reflectance from 400 to 700 nm, a value in every pixel.
        name: of the scene.
        form: a folder of PNGs, or a MATLAB file.
        overwrite: replace a scene of the same name.

    Returns:
        The folder or file made.

    Raises:
        OutputExistsError: if it exists and ``overwrite`` is False.
        DataError: if the cube has another number of bands, or a pixel has no value.
        ConfigError: if the form is unknown.
    """
    if form not in ("png", "mat"):
        raise ConfigError(f"form {form!r} is unknown", fix="give png or mat")
    if len(cube.bands) != len(CENTRES) or not np.isfinite(cube.data).all():
        raise DataError(
            f"a cube of {len(cube.bands)} bands, {np.isnan(cube.data).sum()} values missing",
            fix=f"give {len(CENTRES)} bands with a value everywhere",
        )
    counts = np.rint(np.clip(cube.data.astype(np.float64), 0, 1) * WHITE).astype(np.uint16)
    folder = Path(folder)
    if form == "mat":
        target = folder / f"{name}.mat"
        _write_mat(target, counts, overwrite)
        return target
    target = folder / name
    with new_folder(target, overwrite) as work:
        for number, plane in enumerate(counts, start=1):
            _write_png(work / f"{name}_{number:02d}.png", plane)
    return target


def _write_png(path: Path, plane: np.ndarray) -> None:
    height, width = plane.shape
    with warnings.catch_warnings(), rasterio.Env(GDAL_PAM_ENABLED="NO"):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path, "w", driver="PNG", count=1, height=height, width=width, dtype="uint16"
        ) as image:
            image.write(plane, 1)
    flush_to_disk(path)


def _write_mat(target: Path, counts: np.ndarray, overwrite: bool) -> None:
    from scipy.io import savemat

    with atomic_path(target, overwrite=overwrite) as partial:
        with partial.open("wb") as file:
            savemat(file, {"msi": counts.transpose(1, 2, 0)})
        with partial.open("r+b") as file:
            file.write(_HEADER)
