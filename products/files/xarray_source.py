"""Datasets and arrays of xarray as sources, read window by window.

As odc-stac, stackstac, rioxarray and xarray-eopf make them: one variable a band or one dimension of
bands, in memory, of Dask or of a file. Names and calibration are told by what xarray knows of a
GeoTIFF's header, so they are understood as those of a GeoTIFF. An attribute ``scale_factor`` is
still to be applied, one in ``encoding`` was when the values were read: so xarray and rioxarray
mean it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from trifuse.core import BandError, DataError, MetadataError, ProductError, Window
from trifuse.core.xarray_read import axes_of, corner_of, grid_of, meta_of
from trifuse.products.files.geotiff import own_bands, spectral_meta
from trifuse.products.files.naming import gsd_of, standard_bands
from trifuse.products.files.raster import MAX_READ, Raster
from trifuse.products.files.source import RasterSource, calibration
from trifuse.products.files.xarray_header import CENTRES, header_of, label_of
from trifuse.products.sentinel2.mask import mask_terms, usable_numbers

if TYPE_CHECKING:
    import xarray

    from trifuse.core.xarray_read import XArray

OPTIONS = ("bands", "scale", "offset", "nodata", "wavelengths", "mask")
"""What opening takes of which attributes may know nothing."""

_TIMES = ("time", "t", "date")
_VALID, _CLASSES = "valid", "scl"
_LOOK = 64


def open_xarray(
    array: XArray,
    *,
    bands: Sequence[str] | None = None,
    scale: float | Sequence[float] | None = None,
    offset: float | Sequence[float] | None = None,
    nodata: float | None = None,
    wavelengths: Sequence[float] | None = None,
    mask: str | Sequence[str] = "default",
) -> RasterSource:
    """A Dataset or DataArray as a source; nothing is computed but what a window needs.

    Dimensions of length one are dropped. Rows may run either way. A band ``scl`` is no band but
    the scene classification of Sentinel-2, of which the mask is made; so is a variable or
    coordinate ``valid`` of booleans.

    Args:
        array: with dimensions y and x, and one of bands or one variable a band.
        bands: names for all bands, in their order; default: those of the variables, of the
            coordinate of bands or of the attribute ``long_name``.
        scale: value = stored · scale + offset; default: the attributes'.
        offset: likewise.
        nodata: fill value; default: the attributes' ``_FillValue`` or ``nodata``.
        wavelengths: centre of each band in nm; default: what coordinates or attributes tell.
        mask: classes of ``scl`` to take out, as of :func:`trifuse.products.open_sentinel2`.

    Raises:
        DataError: if it holds several times, or dimensions that no image has.
        MetadataError: if an axis or a calibration is not told, or is contradicted by the values.
        GridError: if the axes are not regular.
        BandError: if names do not fit, or there are none.
        ConfigError: if a scale or a mask makes no sense.
    """
    name = _name(array)
    image = _Image(array, name, mask_terms(mask))
    numbers = list(range(1, image.header.count + 1))
    own = own_bands(image.header, numbers, bands, wavelengths, name)
    named, told = standard_bands(own, gsd_of(image), name)
    how = calibration(image, numbers, scale, offset, nodata)
    if scale is None:
        image.require_scale_told()
    about = {**_facts(array, len(numbers)), **told, "kind": "xarray"}
    source = RasterSource(image, named, how, numbers, about, name)
    tags = image.header.band_tags
    source.meta = {**source.meta, **spectral_meta(source, tags)}
    corner = corner_of(array, source.grid)
    if any(corner) and source.sampling.known:
        moved = Window(*corner, *source.grid.shape)
        source.place_sampling(source.sampling.cropped(moved))
    return source


class _Image(Raster):
    """Planes of xarray, read like the bands of a raster file.

    Args:
        array: as it was given.
        name: for messages.
        terms: classes of ``scl`` that are not usable.
    """

    def __init__(self, array: XArray, name: str, terms: Sequence[str]) -> None:
        self.name, self._terms = name, tuple(terms)
        self._y, self._x = axes_of(array, name)
        array = _one_time(array, (self._y, self._x), name)
        planes, self._valid = _planes(array, (self._y, self._x), name)
        classes = [n for n, plane in planes if label_of(n).lower() == _CLASSES]
        self._classes = dict(planes)[classes[0]] if classes else None
        planes = [(n, plane) for n, plane in planes if n not in classes]
        if not planes:
            raise BandError("holds no band", where=name)
        self._planes = [plane for _, plane in planes]
        self._grid, self._flipped = grid_of(array, name)
        self._whole = _Whole(array, self._y, self._x, len(planes), skipped=bool(classes))
        self.header = header_of(planes, self._grid)

    @property
    def grid(self) -> Any:
        """The north-up grid."""
        return self._grid

    def require_scale_told(self) -> None:
        """Stop where attributes and values contradict each other, or nothing tells what holds.

        Raises:
            MetadataError: with what is told of the scale.
        """
        h = self.header
        for plane, scale, offset in zip(self._planes, h.scales, h.offsets, strict=True):
            integers = plane.dtype.kind in "iu"
            applied = plane.encoding.get("scale_factor")
            if integers and scale == 1 and applied not in (None, 1, 1.0):
                raise MetadataError(
                    f"holds integers, and its encoding has scale_factor {applied:g}, which says "
                    "how values are written, not what these are",
                    where=self.name,
                    fix="give scale and offset",
                )
            if not integers and (scale, offset) != (1, 0):
                self._require_counts(plane, scale)
                break  # one that is as told speaks for all

    def read(
        self,
        numbers: Sequence[int],
        window: Window | None = None,
        size: tuple[int, int] | None = None,
        out: np.ndarray | None = None,
    ) -> np.ndarray:
        """See :meth:`Raster.read`; ``size`` picks the nearest pixels."""
        window = self._checked(window)
        need = len(numbers) * math.prod(size or window.shape) * np.dtype(self.header.dtype).itemsize
        if need > MAX_READ:
            raise DataError(
                f"a read of {need / 2**30:.0f} GiB is above the limit of {MAX_READ >> 30} GiB",
                where=self.name,
                fix="read it by windows",
            )
        at = self._indexers(window, size)
        with self._told(window):
            if (stack := self._whole.stack) is not None:
                chosen = stack.isel({self._whole.dimension: [n - 1 for n in numbers], **at})
                order = (self._whole.dimension, self._y, self._x)
                values = np.asarray(chosen.transpose(*order).values)
            else:
                values = np.stack(self._computed([self._planes[n - 1].isel(at) for n in numbers]))
        values = values.astype(self.header.dtype, copy=False)
        if out is None:
            return values
        out[:] = values
        return out

    def read_mask(
        self, window: Window | None = None, size: tuple[int, int] | None = None
    ) -> np.ndarray | None:
        """Where ``valid`` and the scene classification say that a pixel may be used."""
        if self._valid is None and self._classes is None:
            return None
        window = self._checked(window)
        at = self._indexers(window, size)
        with self._told(window):
            planes = [p.isel(at) for p in (self._valid, self._classes) if p is not None]
            values = self._computed(planes)
        seen = np.ones(values[0].shape, bool)
        if self._valid is not None:
            seen &= values[0].astype(bool)
        if self._classes is not None:
            classes = np.nan_to_num(values[-1], nan=0)
            seen &= usable_numbers(self._terms)[np.clip(classes, 0, 255).astype(np.uint8)]
        return seen

    def close(self) -> None:
        """Nothing to close: the arrays are those of who made them."""

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__

    def _require_counts(self, plane: xarray.DataArray, scale: float) -> None:
        """Floats that are still to be scaled are counts; fractions below 2 are values already."""
        height, width = self._grid.shape
        part = Window(height // 2, width // 2, _LOOK, _LOOK).clip(height, width)
        with self._told(part):
            (seen,) = self._computed([plane.isel(self._indexers(part, None))])
        seen = np.abs(seen[np.isfinite(seen)])
        if seen.size and (seen % 1 != 0).any() and np.percentile(seen, 98) <= 2:
            raise MetadataError(
                f"has the attribute scale_factor {scale:g}, but its values, such as "
                f"{np.median(seen):.4g}, seem to be scaled already",
                where=self.name,
                fix="drop the attributes scale_factor and add_offset, or give a scale",
            )

    def _checked(self, window: Window | None) -> Window:
        h = self.header
        window = self._grid.whole if window is None else window
        if window.clip(h.height, h.width) != window or 0 in window.shape:
            raise DataError(f"{window} leaves an image of {h.height}×{h.width}", where=self.name)
        return window

    def _indexers(self, window: Window, size: tuple[int, int] | None) -> dict[str, Any]:
        rows, cols = (np.arange(*s.indices(s.stop)) for s in window.slices)
        if size is not None:
            rows, cols = (
                axis[((np.arange(n) + 0.5) / n * len(axis)).astype(int)]
                for axis, n in zip((rows, cols), size, strict=True)
            )
        if self._flipped:
            rows = self.header.height - 1 - rows
        if size is not None or not len(rows) or not len(cols):
            return {self._y: rows, self._x: cols}
        step = -1 if self._flipped else 1
        stop = int(rows[-1]) + step
        # Slices, because a list of numbers makes Dask and files pick pixel by pixel.
        down = slice(int(rows[0]), None if stop < 0 else stop, step)
        return {self._y: down, self._x: slice(int(cols[0]), int(cols[-1]) + 1)}

    def _computed(self, planes: Sequence[xarray.DataArray]) -> list[np.ndarray]:
        """Values of planes, (y, x), together: what they share is computed once."""
        turned = [p.transpose(self._y, self._x) for p in planes]
        if any(p.chunks is not None for p in turned):
            import dask

            return [np.asarray(v) for v in dask.compute(*(p.data for p in turned))]
        return [np.asarray(p.values) for p in turned]

    @contextlib.contextmanager
    def _told(self, window: Window) -> Iterator[None]:
        """What fails while values are computed, in one line."""
        try:
            yield
        except Exception as e:  # whatever made the array fails in its own way
            reason = " ".join(str(e).split())[:160] or type(e).__name__
            raise ProductError(
                f"rows {window.row}–{window.row + window.height - 1}, columns {window.col}–"
                f"{window.col + window.width - 1} cannot be computed ({reason})",
                where=self.name,
                fix="check what the array is made of",
            ) from None


class _Whole:
    """The bands of a DataArray as they were given, with their dimension; no stack of a Dataset."""

    def __init__(self, array: XArray, y: str, x: str, count: int, *, skipped: bool) -> None:
        self.stack: xarray.DataArray | None = None
        self.dimension = ""
        others = [str(d) for d in array.dims if d not in (y, x)]
        if not hasattr(array, "data_vars") and len(others) == 1 and not skipped:
            self.stack, self.dimension = cast("xarray.DataArray", array), others[0]
            assert self.stack.sizes[self.dimension] == count


def _one_time(array: XArray, axes: tuple[str, str], name: str) -> XArray:
    """The array without dimensions of length one.

    Raises:
        DataError: if it holds several times.
    """
    for dim in _TIMES:
        if (count := array.sizes.get(dim, 1)) > 1:
            raise DataError(
                f"holds {count} times", where=name, fix=f"choose one, such as .isel({dim}=0)"
            )
    keep = (*axes, *(("band",) if hasattr(array, "data_vars") else _bands(array, axes)))
    for single in [d for d, n in array.sizes.items() if n == 1 and d not in keep]:
        array = array.isel({single: 0})
    return array


def _bands(array: XArray, axes: tuple[str, str]) -> list[str]:
    """The dimension of bands, also of one band."""
    others = [str(d) for d in array.dims if d not in (*axes, *_TIMES)]
    long = [d for d in others if array.sizes[d] > 1]
    return long or others[:1]


def _planes(
    array: XArray, axes: tuple[str, str], name: str
) -> tuple[list[tuple[Any, xarray.DataArray]], xarray.DataArray | None]:
    """(label, (y, x)) of each band, and the mask, if there is one.

    Raises:
        DataError: if there are more dimensions than an image of bands has.
    """
    valid = array.coords.get(_VALID)
    whole = cast("dict[Any, xarray.DataArray]", getattr(array, "data_vars", {"": array}))
    planes: list[tuple[Any, xarray.DataArray]] = []
    for label, variable in whole.items():
        if not set(axes) <= set(variable.dims):
            continue  # where the pixels lie, angles of the sun, and other things that are no image
        others = [d for d in variable.dims if d not in axes]
        if len(others) > 1:
            raise DataError(
                f"has dimensions {', '.join(map(str, variable.dims))}",
                where=f"{name} {label}".strip(),
                fix="give one image: y, x and bands",
            )
        if not others and variable.dtype.kind == "b" and str(label) == _VALID:
            valid = variable
        elif not others:
            planes.append((label, variable))
        else:
            planes += _along(variable, str(others[0]))
    planes = [(n, p) for n, p in planes if p.dtype.kind in "iufb"]
    if len(planes) > 1:  # where several bands have one centre, it is that of none
        common = [k for k in CENTRES if k in array.coords and not array[k].ndim]
        planes = [(n, p.drop_vars(common)) for n, p in planes]
    if valid is not None and (valid.dtype.kind != "b" or set(valid.dims) != set(axes)):
        valid = None
    return planes, valid


def _along(variable: xarray.DataArray, dim: str) -> list[tuple[Any, xarray.DataArray]]:
    """The planes of a dimension of bands, by its labels, or by numbers where it has none."""
    count = variable.sizes[dim]
    labels = variable[dim].values.tolist() if dim in variable.coords else range(1, count + 1)
    return [(label, variable.isel({dim: i})) for i, label in enumerate(labels)]


def _name(array: XArray) -> str:
    """Of the product, of the file or of the array."""
    if "id" in array.coords and array["id"].size == 1:
        return str(array["id"].values.item())
    for key in ("product_id", "id"):
        if isinstance(array.attrs.get(key), str):
            return str(array.attrs[key])
    about = array.attrs.get("stac_discovery")
    if isinstance(about, Mapping) and about.get("id"):
        return str(about["id"])
    if source := array.encoding.get("source"):
        return Path(str(source)).stem
    return str(getattr(array, "name", None) or "xarray")


def _facts(array: XArray, count: int) -> dict[str, Any]:
    """Metadata: the array's own, its time, its platform."""
    meta = meta_of(array.attrs, count)
    about = array.attrs.get("stac_discovery")
    properties = about.get("properties", {}) if isinstance(about, Mapping) else {}
    if "start_time" not in meta:
        for name in _TIMES:
            if name in array.coords and array[name].size == 1 and array[name].dtype.kind == "M":
                instant = array[name].values.astype("datetime64[s]").item()
                meta["start_time"] = f"{instant.isoformat()}+00:00"
                break
        else:
            if told := properties.get("datetime"):
                meta["start_time"] = str(told)
    platform = properties.get("platform")
    if platform is None and "platform" in array.coords and array["platform"].size == 1:
        platform = array["platform"].values.item()
    if "sensor" not in meta and str(platform).lower().startswith("sentinel-2"):
        meta["sensor"] = f"S2{str(platform)[-1].upper()}_MSI"
    return meta
