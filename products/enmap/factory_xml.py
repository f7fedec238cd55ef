"""The METADATA.XML of a made EnMAP delivery: the same paths as a real one, for what is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import rasterio.warp

from trifuse.core import BandSet, Grid, GridError
from trifuse.products.files.factory import xml_bytes

_FRAMES = ("upper_left", "upper_right", "lower_right", "lower_left")
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass(frozen=True, slots=True)
class SceneFacts:
    """What METADATA.XML states of a scene.

    Attributes:
        name: product name.
        level: ``L2A`` or ``L1C``.
        image_format: ``GeoTIFF``, ``BSQ``, ``BIL``, ``BIP`` or ``JPEG2000``.
        start: start of the acquisition, UTC.
        bands: centre and FWHM in nm.
        detectors: ``VNIR`` or ``SWIR`` per band.
        calibration: (gain, offset) per band.
        statistics: (mean, standard deviation) per band; (−1000000, 0) for a dead one.
        grid: of the image.
        sun: (elevation, azimuth) in degrees.
        cover: per cent of the imaged ground by name of the quality flag.
        files: (name, bytes) of all files but METADATA.XML.
    """

    name: str
    level: str
    image_format: str
    start: datetime
    bands: BandSet
    detectors: Sequence[str]
    calibration: Sequence[tuple[float, float]]
    statistics: Sequence[tuple[float, float]]
    grid: Grid
    sun: tuple[float, float]
    cover: Mapping[str, int]
    files: Sequence[tuple[str, int]]


def metadata_xml(facts: SceneFacts) -> bytes:
    """The file's content; equal facts give equal bytes."""
    return xml_bytes("level_X", _content(facts))


def projection_name(crs: str) -> str:
    """EnMAP's name of a coordinate system.

    Raises:
        GridError: if EnMAP is not delivered in it.
    """
    code = int(crs[5:]) if crs.startswith("EPSG:") and crs[5:].isdigit() else 0
    if code // 100 in (326, 327) and 1 <= code % 100 <= 60:
        return f"UTM_Zone{code % 100:02d}_{'North' if code // 100 == 326 else 'South'}"
    if code in (3035, 4326):
        return {3035: "LAEA-ETRS89", 4326: "Geographic"}[code]
    raise GridError(
        f"EnMAP is not delivered in {crs or 'no CRS'}",
        fix="give a grid in UTM, EPSG:3035 or EPSG:4326",
    )


def _content(facts: SceneFacts) -> dict[str, Any]:
    start = facts.start.strftime(_TIME)
    channels = {
        d: [n for n, of in enumerate(facts.detectors, start=1) if of == d] for d in ("VNIR", "SWIR")
    }
    elevation, azimuth = facts.sun
    numbered = list(enumerate(facts.bands, start=1))
    return {
        "metadata": {
            "schema": {"versionSchema": "00.02.00", "processingLevel": facts.level},
            "name": f"{facts.name}-METADATA.XML",
            "comment": "Synthetic scene in the form of an EnMAP product, made by TriFuse",
            "copyright": "none: not an EnMAP observation",
        },
        "processing": {
            "terrainCorrection": "No",
            "productFormat": f"{facts.image_format}+Metadata",
            "mapProjection": "UTM_Zone_of_Scene_Center",
            "imageResampling": "Bilinear_Interpolation",
            "correctionType": "Land_Mode",
            "waterType": "Clear",
        },
        "base": {
            "spatialCoverage": _polygon(facts.grid),
            "temporalCoverage": {"startTime": start, "stopTime": start},
            "revision": "00.02.04",
            "format": f"ENMAP_{facts.level}",
            "level": facts.level,
        },
        "specific": {
            "qualityFlag": {
                "overallQuality": 0,
                "qualityAtmosphere": 0,
                **facts.cover,
                "sceneWV": -999,
                "sceneAOT": -999,
            },
            **{
                f"{d.lower()}ProductQuality": {
                    "numChannelsExpected": len(numbers),
                    "expectedChannelsList": ",".join(map(str, numbers)),
                    "numChannelsMissing": 0,
                    "missingChannelsList": "",
                }
                for d, numbers in channels.items()
            },
            "mission": "EnMAP",
            "satelliteID": "01",
            "sensor": "HSI",
            "numberOfSWIRBands": len(channels["SWIR"]),
            "numberOfVNIRBands": len(channels["VNIR"]),
            "backgroundValue": 0,
            "sunElevationAngle": _everywhere(elevation),
            "sunAzimuthAngle": _everywhere(azimuth),
            "acrossOffNadirAngle": _everywhere(0.0),
            "alongOffNadirAngle": _everywhere(0.0),
            "sceneAzimuthAngle": _everywhere(0.0),
            "pixelSize": f"{facts.grid.gsd[1]:.12g}",
            "bandCharacterisation": {
                "bandID": [
                    (
                        {"number": n},
                        {
                            "wavelengthCenterOfBand": band.centre,
                            "FWHMOfBand": band.fwhm,
                            "GainOfBand": gain,
                            "OffsetOfBand": offset,
                        },
                    )
                    for (n, band), (gain, offset) in zip(numbered, facts.calibration, strict=True)
                ]
            },
            "pixelSizeOfOrthoScene": f"{facts.grid.gsd[1]:.12g}",
            "widthOfOrthoScene": facts.grid.width,
            "heightOfOrthoScene": facts.grid.height,
        },
        "product": {
            "image": {
                "merge": {
                    "channels": len(facts.bands),
                    "dimension": {"columns": facts.grid.width, "rows": facts.grid.height},
                }
            },
            "ortho": {
                "projection": projection_name(facts.grid.crs),
                "resolution": f"{facts.grid.gsd[1]:.12g}",
                "resampling": "bilinear",
            },
            "productFileInformation": {
                "file": [
                    ({"number": n}, {"name": name, "size": ({"unit": "Kbyte"}, -(-size // 1000))})
                    for n, (name, size) in enumerate(facts.files, start=1)
                ]
            },
            "bandStatistics": {
                "bandID": [
                    (
                        {"number": n},
                        {"waveLength": band.centre, "mean": mean, "stdDeviation": deviation},
                    )
                    for (n, band), (mean, deviation) in zip(numbered, facts.statistics, strict=True)
                ]
            },
        },
    }


def _everywhere(degrees: float) -> dict[str, Any]:
    return {frame: ({"unit": "DEG"}, float(degrees)) for frame in (*_FRAMES, "center")}


def _polygon(grid: Grid) -> dict[str, Any]:
    west, south, east, north = grid.bounds
    xs = [west, east, east, west, (west + east) / 2]
    ys = [north, north, south, south, (south + north) / 2]
    longitudes, latitudes = rasterio.warp.transform(grid.crs, "EPSG:4326", xs, ys)
    return {
        "boundingPolygon": {
            "point": [
                {
                    "frame": frame,
                    "latitude": ({"unit": "DEG"}, round(float(latitude), 7)),
                    "longitude": ({"unit": "DEG"}, round(float(longitude), 7)),
                }
                for frame, latitude, longitude in zip(
                    (*_FRAMES, "center"), latitudes, longitudes, strict=True
                )
            ]
        }
    }
