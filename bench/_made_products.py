"""Products as sensors deliver them, made of a scene's clean views without a word of TriFuse.

`trifuse scene` writes views whose bands are all sharp. What is made of them here has what real
products have: bands sampled at 10, 20 and 60 m, noise, clouds, a coarse image that lies beside
where it says. Because no code of the project takes part, the same views give the same products
whatever becomes of its factories.
"""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import rasterio
import rasterio.shutil
from scipy import ndimage

NATIVE = {
    **dict.fromkeys(("B2", "B3", "B4", "B8"), 1),
    **dict.fromkeys(("B5", "B6", "B7", "B8A", "B11", "B12"), 2),
    **dict.fromkeys(("B1", "B9"), 6),
}
"""Pixels of 10 m along a sample of each band of a L2A product."""
NUMBERS = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12")
OFFSET = -1000
MTF = 0.35
NOISE = 20.0
"""Standard deviation of the noise of the sharp bands in counts of 1e-4."""
COARSE_NOISE = 10.0


def write_safe(
    folder: Path, view: Path, start: datetime, *, seed: int, cloud: tuple[slice, slice] | None
) -> Path:
    """A Sentinel-2 L2A product of a sharp view, whose pixels are taken for pixels of 10 m.

    Args:
        folder: the product is made in here.
        view: GeoTIFF of the twelve bands in counts of 1e-4, sides multiples of 6.
        start: sensing time, UTC.
        seed: of the noise.
        cloud: pixels that the scene classification calls cloud.

    Returns:
        The .SAFE folder.
    """
    stamp = f"{start:%Y%m%dT%H%M%S}"
    name = f"S2A_MSIL2A_{stamp}_N0510_R122_T33UUU_{stamp}"
    granule = folder / f"{name}.SAFE" / "GRANULE" / f"L2A_T33UUU_A035654_{stamp}"
    with rasterio.open(view) as dataset:
        bands, counts = dataset.descriptions, dataset.read().astype(np.float64)
        crs, left, top = dataset.crs, dataset.transform.c, dataset.transform.f
    rng = np.random.default_rng(seed)
    for band, plane in zip(bands, counts, strict=True):
        ratio = NATIVE[band]
        native = plane
        if ratio > 1:
            native = blocks(ndimage.gaussian_filter(plane, spread(MTF) * ratio), ratio)
        native = native + rng.normal(0, NOISE, native.shape)
        label = band if band == "B8A" else f"B{int(band[1:]):02d}"
        place = granule / "IMG_DATA" / f"R{10 * ratio}m"
        stored = np.clip(np.rint(native) - OFFSET, 1, 65534).astype(np.uint16)
        path = place / f"T33UUU_{stamp}_{label}_{10 * ratio}m.jp2"
        write_jp2(path, stored, crs, (left, top), 10 * ratio)
    height, width = counts.shape[1:]
    ground = np.full((height, width), 4, np.uint8)  # vegetation
    if cloud is not None:
        ground[cloud] = 9
    path = granule / "IMG_DATA" / "R20m" / f"T33UUU_{stamp}_SCL_20m.jp2"
    write_jp2(path, ground[::2, ::2], crs, (left, top), 20)
    time = f"{start:%Y-%m-%dT%H:%M:%S}.000Z"
    (granule / "MTD_TL.xml").write_text(tile_xml(stamp, time), encoding="utf-8")
    metadata = folder / f"{name}.SAFE" / "MTD_MSIL2A.xml"
    metadata.write_text(product_xml(name, time), encoding="utf-8")
    return folder / f"{name}.SAFE"


def write_coarse(
    path: Path, truth: Path, ratio: int, gsd: float, *, seed: int, shift: tuple[float, float]
) -> Path:
    """A Sentinel-3 image of a scene's truth: blurred, displaced, with noise.

    Args:
        path: GeoTIFF to write, with the bands, tags and corner of the truth.
        truth: GeoTIFF of the bands in fine pixels, in counts of 1e-4.
        ratio: fine pixels along a cell.
        gsd: metres of a cell.
        seed: of the noise.
        shift: (rows, columns) in fine pixels by which cells lie beside where they say.
    """
    with rasterio.open(truth) as dataset:
        counts, profile, names = dataset.read(), dataset.profile, dataset.descriptions
        tags = dataset.tags()
        band_tags = [dataset.tags(i) for i in dataset.indexes]
        scales = dataset.scales
    seen = np.empty((len(counts), *(n // ratio for n in counts.shape[1:])), np.int16)
    rng = np.random.default_rng(seed)
    for i, plane in enumerate(counts.astype(np.float64)):
        moved = ndimage.shift(plane, shift, order=1, mode="nearest")
        mean = blocks(ndimage.gaussian_filter(moved, spread(0.3) * ratio), ratio)
        seen[i] = np.rint(mean + rng.normal(0, COARSE_NOISE, mean.shape))
    corner = profile["transform"].c, profile["transform"].f
    profile = layout(seen, gsd, corner, profile["crs"]) | {"nodata": profile["nodata"]}
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", **profile) as made:
        made.write(seen)
        made.update_tags(**tags)
        made.descriptions, made.scales = names, scales
        for number, own in enumerate(band_tags, start=1):
            made.update_tags(number, **own)
    return path


def spread(mtf: float) -> float:
    """Standard deviation, in samples, of the Gaussian with this MTF at Nyquist."""
    return math.sqrt(-2 * math.log(mtf)) / math.pi


def blocks(plane: np.ndarray, ratio: int) -> np.ndarray:
    """Means over squares of pixels: (y / ratio, x / ratio)."""
    height, width = (n // ratio for n in plane.shape)
    mean: np.ndarray = plane.reshape(height, ratio, width, ratio).mean(axis=(1, 3))
    return mean


def layout(
    planes: np.ndarray, gsd: float, corner: tuple[float, float], crs: object
) -> dict[str, Any]:
    """What GDAL is told of (band, y, x) planes with their upper left corner in map units."""
    count, height, width = planes.shape
    return {
        "driver": "GTiff",
        "dtype": planes.dtype,
        "count": count,
        "height": height,
        "width": width,
        "crs": crs,
        "transform": rasterio.Affine(gsd, 0, corner[0], 0, -gsd, corner[1]),
    }


def write_jp2(
    path: Path, plane: np.ndarray, crs: object, corner: tuple[float, float], gsd: int
) -> None:
    """Lossless JPEG 2000, which GDAL only writes as a copy."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".tif")
    profile = layout(plane[None], gsd, corner, crs)
    with rasterio.Env(GDAL_PAM_ENABLED="NO"):
        with rasterio.open(beside, "w", **profile) as made:
            made.write(plane, 1)
        rasterio.shutil.copy(beside, path, driver="JP2OpenJPEG", QUALITY=100, REVERSIBLE="YES")
    beside.unlink()


def product_xml(name: str, time: str) -> str:
    """What MTD_MSIL2A.xml says of names, times and calibration."""
    numbered = list(enumerate(NUMBERS))
    offsets = "".join(
        f'<BOA_ADD_OFFSET band_id="{n}">{OFFSET}</BOA_ADD_OFFSET>' for n, _ in numbered
    )
    listed = "".join(
        f'<Spectral_Information bandId="{n}" physicalBand="{b}"/>' for n, b in numbered
    )
    specials = "".join(
        f"<Special_Values><SPECIAL_VALUE_TEXT>{text}</SPECIAL_VALUE_TEXT>"
        f"<SPECIAL_VALUE_INDEX>{value}</SPECIAL_VALUE_INDEX></Special_Values>"
        for text, value in (("NODATA", 0), ("SATURATED", 65535))
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<Level-2A_User_Product>
<General_Info><Product_Info>
<PRODUCT_START_TIME>{time}</PRODUCT_START_TIME>
<PRODUCT_URI>{escape(name)}.SAFE</PRODUCT_URI>
<PROCESSING_LEVEL>Level-2A</PROCESSING_LEVEL>
<PRODUCT_TYPE>S2MSI2A</PRODUCT_TYPE>
<PROCESSING_BASELINE>05.10</PROCESSING_BASELINE>
<Datatake><SPACECRAFT_NAME>Sentinel-2A</SPACECRAFT_NAME></Datatake>
</Product_Info>
<Product_Image_Characteristics>
{specials}
<QUANTIFICATION_VALUES_LIST>
<BOA_QUANTIFICATION_VALUE unit="none">10000</BOA_QUANTIFICATION_VALUE>
</QUANTIFICATION_VALUES_LIST>
<BOA_ADD_OFFSET_VALUES_LIST>{offsets}</BOA_ADD_OFFSET_VALUES_LIST>
<Spectral_Information_List>{listed}</Spectral_Information_List>
</Product_Image_Characteristics>
</General_Info>
</Level-2A_User_Product>
"""


def tile_xml(stamp: str, time: str) -> str:
    """What MTD_TL.xml says of the tile, its time and the sun."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<Level-2A_Tile_ID>
<General_Info>
<TILE_ID>S2A_OPER_MSI_L2A_TL_2APS_{stamp}_A035654_T33UUU_N05.10</TILE_ID>
<SENSING_TIME>{time}</SENSING_TIME>
</General_Info>
<Geometric_Info><Tile_Angles><Mean_Sun_Angle>
<ZENITH_ANGLE unit="deg">35.0</ZENITH_ANGLE><AZIMUTH_ANGLE unit="deg">150.0</AZIMUTH_ANGLE>
</Mean_Sun_Angle></Tile_Angles></Geometric_Info>
</Level-2A_Tile_ID>
"""
