"""A procedural scene on disk, as the deliveries and images that a user would have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from trifuse.core import PSF, ConfigError, refuse_existing, writes
from trifuse.simulate.ground.procedural import procedural_layers
from trifuse.simulate.views import scene_views

_FIRST = datetime(2021, 6, 21, 10, 20, tzinfo=UTC)
_FIRST_SEED = 7


@dataclass(frozen=True, slots=True)
class SceneFiles:
    """The files of a written scene.

    Attributes:
        enmap: EnMAP L2A delivery, a folder.
        s2: the Sentinel-2 view, a GeoTIFF at the scene's pixel size.
        s3: the Sentinel-3 view, a GeoTIFF of ``ratio`` times larger cells.
        truth: what fusing the two should return: the bands of ``s3`` in the pixels of ``s2``.
    """

    enmap: Path
    s2: Path
    s3: Path
    truth: Path


@writes(folder=True)
def write_scene(
    out: Path | str,
    size: int | tuple[int, int] = 300,
    seed: int = 0,
    *,
    ratio: int = 10,
    psf: PSF | Mapping[str, PSF] | None = None,
    clouds: bool = False,
    s2: str = "S2A_MSI",
    s3: str = "S3A_SYN",
    dtype: Literal["int16", "float32"] = "int16",
    overwrite: bool = False,
) -> SceneFiles:
    """Make a landscape and write it as an EnMAP delivery with its Sentinel-2 and -3 views.

    The views are made from the delivery as it lies on disk, through the reader that a real one
    goes through; clouds and shadows are nodata in them. Each seed has a product name of its own.

    Args:
        out: the folder to write to.
        size: edge in pixels of 30 m, or (rows, columns); at least one cell.
        seed: another seed is another landscape, at another place: no ground is shared with it.
        ratio: fine pixels per Sentinel-3 cell.
        psf: see :func:`trifuse.simulate.scene_views`.
        clouds: whether clouds and their shadows lie over it.
        s2: response table of the sharp sensor.
        s3: response table of the sensor with many bands.
        dtype: of the GeoTIFFs; see :func:`trifuse.products.write_cube`.
        overwrite: replace what is there.

    Returns:
        The paths.

    Raises:
        OutputExistsError: if one of the files exists and ``overwrite`` is False.
        ConfigError: if the size is below one cell.
    """
    from trifuse.products import open_enmap, write_cube, write_enmap_l2a

    out = Path(out)
    edge = size if isinstance(size, int) else min(size)
    if ratio < 1 or edge < ratio:
        raise ConfigError(
            f"a scene of {size} pixels at ratio {ratio}",
            fix="give a ratio of 1 or more and at least one cell",
        )
    views = [out / name for name in ("S2_HrMSI.tif", "S3_LrHSI.tif", "truth_HrHSI.tif")]
    refuse_existing(*views, overwrite=overwrite)
    layers = procedural_layers(size, seed, clouds=clouds, **_place(seed))
    enmap = write_enmap_l2a(
        out,
        layers.cube,
        cloud=layers.cloud,
        shadow=layers.shadow,
        sun=layers.sun,
        start=_FIRST + timedelta(days=seed % 1000),
        tile=1 + seed // 1000 % 999,
        overwrite=overwrite,
    )
    del layers
    with open_enmap(enmap) as source:
        cubes = scene_views(source, ratio=ratio, psf=psf, s2=s2, s3=s3)
    for path, cube in zip(views, cubes, strict=True):
        write_cube(path, cube, dtype=dtype, overwrite=overwrite)
    return SceneFiles(enmap, *views)


def _place(seed: int) -> dict[str, Any]:
    """Where a landscape lies: 120 km south of the one before; after 40 of them a zone east.

    Counted from that of the walk-throughs, whose coordinates they name.
    """
    zones, steps = divmod(seed - _FIRST_SEED, 40)
    return {"crs": f"EPSG:326{(32 + zones) % 60 + 1:02d}", "north": 5_810_010.0 - 120_000.0 * steps}
