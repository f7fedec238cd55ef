"""Which pixels of a Sentinel-2 L1C product are usable: masks of clouds and of quality.

Clouds, cirrus and snow are flags of MSK_CLASSI_B00.jp2 (60 m), before baseline 04.00 polygons of
MSK_CLOUDS_B00.gml. The quality of each band is in eight flags of MSK_QUALIT_Bxx.jp2: where one that
is asked for is set, that band alone has no value.

Source: Sentinel-2 Products Specification Document (S2-PDGS-TAS-DI-PSD), issue 14 and later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from trifuse.core import Grid, ProductError, Window
from trifuse.products.files.archive import FileRef
from trifuse.products.files.layers import ClassMask, Layer
from trifuse.products.files.mask import expand_mask
from trifuse.products.files.raster import Raster, parse_crs
from trifuse.products.files.xmltree import MAX_XML_BYTES, finite_number, parse_xml

CLASSES = {"cloud": 1, "cirrus": 2, "snow": 3}
"""Band of MSK_CLASSI by the name of the mask term."""
QUALITY = {
    "ancillary-lost": 1,
    "ancillary-degraded": 2,
    "lost": 3,
    "degraded": 4,
    "defective": 5,
    "nodata": 6,
    "crosstalk": 7,
    "saturated": 8,
}
"""Band of MSK_QUALIT likewise."""
_DEFAULT = ("cloud", "cirrus", "ancillary-lost", "lost", "defective", "nodata", "saturated")
PRESETS: dict[str, tuple[str, ...]] = {
    "default": _DEFAULT,
    "strict": (*CLASSES, *QUALITY),
    "none": (),
}
"""Named masks; whatever the mask, a pixel without a value in a band asked for is not valid."""
_POLYGONS = {"OPAQUE": "cloud", "CIRRUS": "cirrus"}
_CELL = 60
_MAX_POINTS = 5_000_000


def mask_terms(mask: str | Sequence[str]) -> tuple[str, ...]:
    """The flags to take out: ``"default,snow"`` or ``["cloud", "lost"]`` → names, each once.

    Raises:
        ConfigError: if a name is neither a flag nor a preset.
    """
    return expand_mask(mask, {**CLASSES, **QUALITY}, PRESETS)


def class_mask(
    quality: Mapping[str, FileRef], terms: Sequence[str], pixels: Grid, where: str
) -> tuple[ClassMask | None, list[str]]:
    """What takes clouds out, and what a user should know of it.

    Args:
        quality: masks of the delivery, see :class:`trifuse.products.sentinel2.delivery.Delivery`.
        terms: as of :func:`mask_terms`.
        pixels: of the source.
        where: the product, for messages.

    Raises:
        ProductError: if there is no mask of clouds, or it is damaged.
    """
    wanted = [t for t in terms if t in CLASSES]
    if not wanted:
        return None, []
    metres = round(pixels.gsd[1])
    if file := quality.get("CLASSI"):
        raster = _flags(file, len(CLASSES))
        layer = Layer.of(raster, round(raster.grid.gsd[1]), metres)
        return ClassMask(layer, tuple(CLASSES[t] for t in wanted), _table(len(wanted))), []
    if file := quality.get("CLOUDS"):
        cells = pixels if metres == _CELL else pixels.zoom_out(_CELL // metres)
        image = _Polygons(file, cells)
        notes = [] if "snow" not in wanted else ["MSK_CLOUDS_B00.gml tells nothing of snow"]
        wanted = [t for t in wanted if t != "snow"]
        layer = Layer.of(image, _CELL, metres)
        return ClassMask(layer, tuple(CLASSES[t] for t in wanted), _table(len(wanted))), notes
    raise ProductError(
        "lacks MSK_CLASSI_B00.jp2 or MSK_CLOUDS_B00.gml in its QI_DATA",
        where=where,
        fix="fetch the product again, or choose mask none",
    )


def quality_masks(
    quality: Mapping[str, FileRef], terms: Sequence[str], rasters: Mapping[str, Raster]
) -> tuple[dict[int, ClassMask], list[str]]:
    """Flags of quality by position of the band, and what a user should know of them.

    Args:
        quality: masks of the delivery.
        terms: as of :func:`mask_terms`.
        rasters: the images, by band, in order.
    """
    wanted = tuple(QUALITY[t] for t in terms if t in QUALITY)
    found: dict[int, ClassMask] = {}
    if not wanted:
        return found, []
    without, elsewhere = [], []
    for position, (band, raster) in enumerate(rasters.items()):
        if band not in quality:
            without.append(band)
            continue
        flags = _flags(quality[band], len(QUALITY))
        if flags.grid != raster.grid:
            elsewhere.append(band)
            continue
        found[position] = ClassMask(Layer(flags), wanted, _table(len(wanted)))
    notes = []
    if without and len(without) < len(rasters):
        notes.append(f"there is no MSK_QUALIT of {', '.join(without)}")
    elif without:
        notes.append("there is no MSK_QUALIT: the quality of single pixels is not known")
    if elsewhere:
        notes.append(f"MSK_QUALIT of {', '.join(elsewhere)} lies otherwise than its band: not used")
    return found, notes


def _table(count: int) -> np.ndarray:
    """Only 0 is usable."""
    table = np.zeros((count, 256), bool)
    table[:, 0] = True
    return table


def _flags(file: FileRef, count: int) -> Raster:
    raster = Raster(file.path, member=file.member)
    if raster.header.count < count or raster.header.dtype != "uint8":
        raise ProductError(
            f"holds {raster.header.count} bands of {raster.header.dtype}, not {count} of uint8",
            where=file.where,
            fix="fetch the product again",
        )
    return raster


class _Polygons:
    """Polygons of a GML file as flags of cells, read like a raster file.

    A cell is flagged where its centre lies in a polygon. Bands are as of :data:`CLASSES`.

    Raises:
        ProductError: if it is no XML, or not to be trusted.
    """

    def __init__(self, file: FileRef, grid: Grid) -> None:
        from rasterio import Affine
        from rasterio.features import rasterize

        self.name, self.grid = file.where, grid
        shapes = _shapes(file, grid)
        self._planes = np.zeros((len(CLASSES), *grid.shape), np.uint8)
        for term, polygons in shapes.items():
            if polygons:
                self._planes[CLASSES[term] - 1] = rasterize(
                    polygons,
                    out_shape=grid.shape,
                    transform=Affine(*grid.transform),
                    dtype=np.uint8,
                )

    def read(
        self,
        numbers: Sequence[int],
        window: Window | None = None,
        size: tuple[int, int] | None = None,
    ) -> np.ndarray:
        """Flags, (band, y, x) uint8; see :meth:`Raster.read`."""
        window = self.grid.whole if window is None else window
        planes: np.ndarray = self._planes[[n - 1 for n in numbers]]
        return planes[(slice(None), *window.slices)]

    def close(self) -> None:
        """Nothing is open."""


def _shapes(file: FileRef, grid: Grid) -> dict[str, list[dict[str, object]]]:
    """Polygons by term, as GeoJSON geometries."""
    root = parse_xml(file.read(MAX_XML_BYTES), file.where)
    for envelope in root.iterfind(".//{*}Envelope"):
        stated = str(envelope.get("srsName") or "").rsplit(":", 1)[-1]
        if stated.isdigit() and parse_crs(f"EPSG:{stated}") != parse_crs(grid.crs):
            raise ProductError(
                f"lies in EPSG:{stated}, the images in {grid.crs}",
                where=file.where,
                fix="fetch the product again, or choose mask none",
            )
    shapes: dict[str, list[dict[str, object]]] = {t: [] for t in _POLYGONS.values()}
    points = 0
    for feature in root.iterfind(".//{*}MaskFeature"):
        term = _POLYGONS.get((feature.findtext("{*}maskType") or "").strip().upper())
        for polygon in feature.iterfind(".//{*}Polygon") if term else ():
            rings = []
            for side in ("{*}exterior", "{*}interior"):
                for ring in polygon.iterfind(f"{side}/{{*}}LinearRing/{{*}}posList"):
                    size = 3 if ring.get("srsDimension") == "3" else 2
                    numbers = [finite_number(t) for t in (ring.text or "").split()]
                    known = [n for n in numbers if n is not None]
                    if len(known) != len(numbers) or len(known) % size or len(known) < 4 * size:
                        raise ProductError(
                            "holds a polygon that is none",
                            where=file.where,
                            fix="fetch the product again, or choose mask none",
                        )
                    rings.append(list(zip(known[::size], known[1::size], strict=True)))
                    points += len(rings[-1])
            if points > _MAX_POINTS:
                raise ProductError(f"holds more than {_MAX_POINTS} points", where=file.where)
            if rings and term:
                shapes[term].append({"type": "Polygon", "coordinates": rings})
    return shapes
