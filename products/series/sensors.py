"""Sensors that series are built of: what their products are and what is taken of them.

Another one joins by a line in :data:`SENSORS` and an argument of
:func:`trifuse.products.build_series`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trifuse.core import CubeSource, Grid, ProductError
from trifuse.products.landsat.mask import mask_terms as landsat_terms
from trifuse.products.landsat.reader import READER as LANDSAT
from trifuse.products.reader import OtherSensorError, Reader
from trifuse.products.sentinel2.mask import mask_terms as sentinel2_terms
from trifuse.products.sentinel2.reader import READER as SENTINEL2
from trifuse.products.sentinel3.delivery import sentinel3_kind
from trifuse.products.sentinel3.flags import mask_terms as sentinel3_terms
from trifuse.products.sentinel3.reader import READER as SENTINEL3
from trifuse.products.series.ls2s2 import SENSORS as LS2S2
from trifuse.srf_data import S3_SYN_19


@dataclass(frozen=True, slots=True)
class SeriesSensor:
    """One sensor whose products become a series.

    Attributes:
        product: what its products are called, in words.
        reader: of them.
        table: response table of the series.
        bands: of the series, by name.
        gsd: pixel of the series in metres.
        terms: checks a mask before anything is opened.
        detects: whether a path is such a product.
        options: what its products are opened with, besides mask and grid.
        loose: names of the file that stands for a scene whose files lie beside those of others.
    """

    product: str
    reader: Reader
    table: str
    bands: tuple[str, ...]
    gsd: float
    terms: Callable[[str | Sequence[str]], Sequence[str]]
    detects: Callable[[Path], bool]
    options: Mapping[str, Any] = field(default_factory=dict)
    loose: re.Pattern[str] | None = None

    def open(
        self,
        path: Path,
        mask: str | Sequence[str],
        grid: Grid | None,
        resolution: int | None = None,
        *,
        remote: bool = False,
    ) -> CubeSource:
        """Open a product, at least with those of the bands that it has; a swath on the grid.

        Raises:
            ProductError: if none of the bands is there, or the product is damaged.
            OtherSensorError: if it is not of the surface: dates of both levels make no series.
        """
        source = self._opened(path, mask, grid, resolution, remote)
        if source.meta.get("quantity") == "toa_reflectance":
            source.close()
            raise OtherSensorError(
                "is reflectance at the top of the atmosphere, no series is made of it",
                where=path,
                fix=f"give a {self.product}",
            )
        return source

    def _opened(
        self,
        path: Path,
        mask: str | Sequence[str],
        grid: Grid | None,
        resolution: int | None,
        remote: bool,
    ) -> CubeSource:
        more: dict[str, Any] = {"grid": grid} if self.reader.swath else {"remote": remote}
        if resolution is not None:
            more["resolution"] = resolution
        options = {**self.options, **more}
        try:
            return self.reader.open(path, mask=mask, **options)
        except ProductError:
            if "resolution" not in options:  # only products in files by band may be there in part
                raise
            whole = self.reader.open(path, mask=mask, **{**options, "bands": None})
        return whole.select([b for b in self.bands if b in whole.bands.names])


def _is_syn(path: Path) -> bool:
    """Of the types that the reader knows, only the one that it opens."""
    return sentinel3_kind(path) == "SY_2_SYN"


SENSORS: Mapping[str, SeriesSensor] = {
    "sentinel2": SeriesSensor(
        "Sentinel-2 L2A product",
        SENTINEL2,
        *LS2S2["sentinel2"],
        gsd=10.0,
        terms=sentinel2_terms,
        detects=SENTINEL2.detects,
        options={"resolution": 10, "bands": LS2S2["sentinel2"][1]},
    ),
    "landsat": SeriesSensor(
        "Landsat Collection 2 Level-2 scene",
        LANDSAT,
        *LS2S2["landsat"],
        gsd=30.0,
        terms=landsat_terms,
        detects=LANDSAT.detects,
        loose=re.compile(r".*_MTL\.(xml|json|txt)", re.IGNORECASE),
    ),
    "sentinel3": SeriesSensor(
        "Sentinel-3 SY_2_SYN product",
        SENTINEL3,
        "S3A_SYN",
        S3_SYN_19,
        gsd=300.0,
        terms=sentinel3_terms,
        detects=_is_syn,
        options={"bands": S3_SYN_19},
    ),
}
"""By the name of the folder. The first that is given decides the coordinate system and lattice of
all; swaths are gathered on the ground that the others share."""
