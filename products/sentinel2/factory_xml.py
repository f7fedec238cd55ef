"""The metadata of a made Sentinel-2 product: the same paths as a real one, for what is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from trifuse.core import Grid
from trifuse.products.files.factory import xml_bytes
from trifuse.products.sentinel2.levels import L2A, Level
from trifuse.srf_data import load

_TIME = "%Y-%m-%dT%H:%M:%S.%f"
BAND_ORDER = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12")
"""Bands by their number in real products, from 0."""


@dataclass(frozen=True, slots=True)
class ProductFacts:
    """What the metadata state of a product.

    Attributes:
        name: of the product, without ``.SAFE``.
        granule: name of the granule's folder.
        platform: ``S2A``, ``S2B`` or ``S2C``.
        baseline: ``05.10``.
        tile: MGRS tile, ``33UUU``.
        start: sensing time, UTC.
        offsets: what is added to counts, by band; empty for none, as before baseline 04.00.
        order: bands by their number.
        images: addresses of the images in the product, without suffix.
        grids: grid by sampling in metres.
        sun: (elevation, azimuth) in degrees.
        cloud: cover in per cent.
        level: of the product.
    """

    name: str
    granule: str
    platform: str
    baseline: str
    tile: str
    start: datetime
    offsets: Mapping[str, int]
    order: Sequence[str]
    images: Sequence[str]
    grids: Mapping[int, Grid]
    sun: tuple[float, float]
    cloud: float
    level: Level = L2A


def product_xml(facts: ProductFacts) -> bytes:
    """MTD_MSIL2A.xml or MTD_MSIL1C.xml; equal facts give equal bytes."""
    start, number = _stamp(facts.start), facts.level.name[1:]
    numbered = list(enumerate(facts.order))
    nominal = load(f"{facts.platform}_MSI").bands
    characteristics: dict[str, Any] = {
        "Special_Values": [
            {"SPECIAL_VALUE_TEXT": "NODATA", "SPECIAL_VALUE_INDEX": 0},
            {"SPECIAL_VALUE_TEXT": "SATURATED", "SPECIAL_VALUE_INDEX": 65535},
        ]
    }
    surface = facts.level is L2A
    if surface:
        characteristics["QUANTIFICATION_VALUES_LIST"] = {
            "BOA_QUANTIFICATION_VALUE": ({"unit": "none"}, 10000),
            "AOT_QUANTIFICATION_VALUE": ({"unit": "none"}, 1000.0),
            "WVP_QUANTIFICATION_VALUE": ({"unit": "cm"}, 1000.0),
        }
    else:
        characteristics["QUANTIFICATION_VALUE"] = ({"unit": "none"}, 10000)
    if facts.offsets:
        listed = "BOA_ADD_OFFSET_VALUES_LIST" if surface else "Radiometric_Offset_List"
        characteristics[listed] = {
            facts.level.added: [
                ({"band_id": n}, facts.offsets.get(band, -1000)) for n, band in numbered
            ]
        }
    characteristics["Spectral_Information_List"] = {
        "Spectral_Information": [
            (
                {"bandId": n, "physicalBand": band},
                {
                    "Wavelength": {
                        "CENTRAL": ({"unit": "nm"}, round(nominal[nominal.index(band)].centre, 1))
                    }
                },
            )
            for n, band in numbered
        ]
    }
    content = {
        "n1:General_Info": {
            "Product_Info": {
                "PRODUCT_START_TIME": start,
                "PRODUCT_STOP_TIME": start,
                "PRODUCT_URI": f"{facts.name}.SAFE",
                "PROCESSING_LEVEL": f"Level-{number}",
                "PRODUCT_TYPE": f"S2MSI{number}",
                "PROCESSING_BASELINE": facts.baseline,
                "GENERATION_TIME": start,
                "Datatake": {
                    "SPACECRAFT_NAME": f"Sentinel-2{facts.platform[2]}",
                    "DATATAKE_TYPE": "INS-NOBS",
                    "DATATAKE_SENSING_START": start,
                    "SENSING_ORBIT_NUMBER": 122,
                    "SENSING_ORBIT_DIRECTION": "DESCENDING",
                },
                "Product_Organisation": {
                    "Granule_List": {
                        "Granule": (
                            {"granuleIdentifier": facts.granule, "imageFormat": "JPEG2000"},
                            {"IMAGE_FILE": list(facts.images)},
                        )
                    }
                },
            },
            "Product_Image_Characteristics": characteristics,
        },
        "n1:Quality_Indicators_Info": {"Cloud_Coverage_Assessment": round(facts.cloud, 3)},
    }
    schema = f"https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-{number}.xsd"
    return xml_bytes(f"n1:Level-{number}_User_Product", content, {"xmlns:n1": schema})


def tile_xml(facts: ProductFacts) -> bytes:
    """MTD_TL.xml; equal facts give equal bytes."""
    first = facts.grids[10]
    orbit, number = facts.granule.split("_")[2], facts.level.name[1:]
    identity = (
        f"{facts.platform}_OPER_MSI_{facts.level.name}_TL_2APS_{facts.start:%Y%m%dT%H%M%S}_{orbit}_T{facts.tile}"
        f"_N{facts.baseline}"
    )
    content = {
        "n1:General_Info": {"TILE_ID": identity, "SENSING_TIME": _stamp(facts.start)},
        "n1:Geometric_Info": {
            "Tile_Geocoding": {
                "HORIZONTAL_CS_CODE": first.crs,
                "Size": [
                    ({"resolution": gsd}, {"NROWS": grid.height, "NCOLS": grid.width})
                    for gsd, grid in facts.grids.items()
                ],
                "Geoposition": [
                    (
                        {"resolution": gsd},
                        {"ULX": grid.bounds[0], "ULY": grid.bounds[3], "XDIM": gsd, "YDIM": -gsd},
                    )
                    for gsd, grid in facts.grids.items()
                ],
            },
            "Tile_Angles": {
                "Mean_Sun_Angle": {
                    "ZENITH_ANGLE": ({"unit": "deg"}, 90.0 - facts.sun[0]),
                    "AZIMUTH_ANGLE": ({"unit": "deg"}, float(facts.sun[1])),
                }
            },
        },
    }
    schema = f"https://psd-14.sentinel2.eo.esa.int/PSD/S2_PDI_Level-{number}_Tile_Metadata.xsd"
    return xml_bytes(f"n1:Level-{number}_Tile_ID", content, {"xmlns:n1": schema})


def manifest_xml(files: Sequence[str]) -> bytes:
    """manifest.safe: the list of files."""
    objects = [
        ({"ID": f"file{n}"}, {"byteStream": {"fileLocation": ({"href": f"./{name}"}, "")}})
        for n, name in enumerate(files, start=1)
    ]
    content = {"metadataSection": "", "dataObjectSection": {"dataObject": objects}}
    schema = "urn:ccsds:schema:xfdu:1"
    return xml_bytes("xfdu:XFDU", content, {"xmlns:xfdu": schema})


def _stamp(time: datetime) -> str:
    return time.strftime(_TIME)[:-3] + "Z"
