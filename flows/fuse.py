"""Fuse a Sentinel-2 and a Sentinel-3 image into a product: open, compute, check, write."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from trifuse.core import Band, BandSet, Box, Cube, CubeSource, DataError, Grid, Window, writes
from trifuse.flows.adapt import Adaptation, adapt_view
from trifuse.flows.coregister import Place
from trifuse.flows.coregister import coregister as place_s3
from trifuse.flows.fuse_options import DEFAULT, FuseOptions, choose_method
from trifuse.flows.fuse_plan import FusionPlan, plan_fusion
from trifuse.flows.fuse_record import FusionRecord, Outcome, input_record
from trifuse.flows.fuse_units import identity_of, tile_computer
from trifuse.flows.inputs import Image, empty_bands, gives_xarray, result_array
from trifuse.fusion import FuseResult, Method, SelfCheck
from trifuse.fusion.inference import CubeBuffer, Sink, stream
from trifuse.fusion.ranks import on_ranks
from trifuse.products import CubeWriter, cube_writer, open_cube
from trifuse.products.write.companions import write_companions
from trifuse.products.write.writer import DType
from trifuse.restore import RestoredView

if TYPE_CHECKING:
    import xarray

__all__ = [
    "DEFAULT",
    "STRANGE",
    "FuseOptions",
    "Fused",
    "FusionPlan",
    "choose_method",
    "fuse",
    "plan_fusion",
    "run",
]

STRANGE = "strange"
"""Band of the uncertainty file: above 1, a pixel's spectrum is unlike all that is known."""


@dataclass(frozen=True, slots=True, repr=False)
class Fused:
    """A fused image.

    Attributes:
        path: the GeoTIFF; None if it was kept in memory.
        cube: the image; None if it was written.
        facts: what is said of it: inputs, pairing, shift found, method, self-check, timings.
        files: everything that was written.
        deviation: standard deviations, if asked for and kept in memory; see :func:`fuse`.
    """

    path: Path | None
    cube: Cube | None
    facts: FusionRecord
    files: tuple[Path, ...] = ()
    deviation: Cube | None = None

    @property
    def selfcheck(self) -> SelfCheck | None:
        """Its agreement with the Sentinel-3 input; None for a dry run."""
        return None if self.facts.outcome is None else self.facts.outcome.selfcheck

    @property
    def record(self) -> dict[str, Any]:
        """The facts as the sidecar has them, in plain JSON values."""
        return self.facts.to_json()

    @property
    def pairing(self) -> str:
        """How the two images go together, in words."""
        return self.facts.pair.text

    @property
    def text(self) -> str:
        """A few lines for a terminal."""
        return "\n".join([self.facts.text, *(f"wrote {f}" for f in self.files)])

    def to_xarray(self) -> xarray.DataArray:
        """The image with labels, (band, y, x); a written one is read block by block.

        Standard deviations, where they were asked for, are the coordinates ``deviation``
        (band, y, x) and ``strange`` (y, x).
        """
        array = result_array(self.cube, self.path, self.record)
        deviation: Cube | CubeSource | None = self.deviation
        for path in self.files:
            if deviation is None and path.stem.endswith("_std"):
                deviation = open_cube(path)
        if deviation is None:
            return array
        errors = deviation.to_xarray()
        names = list(array["band"].values)
        units = {"long_name": "standard deviation", "units": "1"}
        return array.assign_coords(
            deviation=(("band", "y", "x"), errors.sel(band=names).data, units),
            strange=(("y", "x"), errors.sel(band=STRANGE).data, {"units": "1"}),
        )

    def __repr__(self) -> str:
        check = (
            "dry run" if self.selfcheck is None else f"self-check RMSE {self.selfcheck.rmse:.5f}"
        )
        shown = repr(self.cube) if self.path is None else repr(str(self.path))
        return f"Fused({shown}, {self.facts.method}, {check})"


@gives_xarray
@on_ranks
@writes("s2", "s3", "like", "weights")
def fuse(
    s2: Image,
    s3: Image,
    out: Path | str | None = None,
    *,
    method: Method | str | None = None,
    weights: Path | str | None = None,
    mtf: float = 0.3,
    sharpness: str | None = None,
    s2_noise: float | None = None,
    s3_noise: float | None = None,
    adapt: float | None = None,
    consistency: Literal["noise", "exact"] = "noise",
    uncertainty: bool = False,
    coregister: Literal["auto", "off"] | tuple[float, float] = "auto",
    bbox: Box | None = None,
    like: Image | None = None,
    bands: Sequence[str] | None = None,
    tile: int | None = None,
    overlap: int | None = None,
    preset: Literal["paper"] | None = None,
    device: str = "auto",
    precision: Literal["32", "bf16", "16"] = "32",
    dtype: Literal["int16", "float32"] = "int16",
    quicklook: bool = True,
    compile: bool = False,
    jobs: int = 1,
    scheduler: str | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
) -> Fused:
    """Give a Sentinel-3 image the pixels of a Sentinel-2 image.

    The other arguments are the fields of :class:`trifuse.flows.fuse_options.FuseOptions`, which
    tells more of each.

    Args:
        s2: sharp bands (HrMSI): path (also of a .SAFE product), source or cube; or what xarray has
            opened: then a DataArray comes back, with the record in its attributes.
        s3: coarse bands (LrHSI): a .SEN3 product, which is brought onto cells nested in S2's
            pixels, or an image on such a grid, at any integer ratio; also of xarray.
        out: GeoTIFF to write; None keeps the result in memory.
        method: a name or a method; default: what takes the weights, else ``refined``.
        weights: of a trained network, or for ``refined`` of its refiner.
        mtf: modulation transfer of the coarse sensor at its Nyquist frequency.
        sharpness: of S2's bands: ``auto``, ``sharp``, or such as ``1:2:6@3,0:nearest``.
        s2_noise: standard deviation of S2's noise (reflectance).
        s3_noise: of S3's; default: told by what S2 does not explain.
        adapt: seconds for which the network of ``refined`` is trained on the scene itself.
        consistency: ``noise`` or ``exact``: whether the result has to degrade to S3.
        uncertainty: also make the standard deviation of each band at each pixel, and a band
            ``strange`` that exceeds 1 where a spectrum is unlike all that the method knows.
        coregister: ``auto``, ``off``, or (east, north) in metres by which S3 has to be moved.
        bbox: area to fuse, (west, south, east, north) in degrees; what is learned is learned
            around it too. Default: what both show.
        like: an image whose ground is fused, in place of ``bbox``.
        bands: of S3 to make; default: all it has, or those of the network.
        tile: edge of a tile in pixels.
        overlap: blended pixels between tiles.
        preset: ``paper`` is tiles of 150 pixels blended over 20.
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: ``32``, ``bf16`` or ``16``.
        dtype: of the file: ``int16`` in counts of 1e-4, or ``float32``.
        quicklook: also write ``<out>.png``.
        compile: send networks through ``torch.compile``.
        jobs: processes that compute the tiles.
        scheduler: address of a running Dask scheduler whose workers compute them.
        overwrite: replace an output that exists.
        dry_run: open and check the inputs only.

    A written product is a cloud-optimised GeoTIFF with a quicklook, a STAC Item (if the products
    tell their time) and a sidecar.

    Wherever the tiles are computed, the product is the same. Started by ``torchrun``, every
    process computes its share of them on a GPU of its own, and the first one writes.

    Returns:
        The image or its path, with the paper's self-check: degraded to the coarse cells and
        compared with the Sentinel-3 input.

    Raises:
        OutputExistsError, GridError, OverlapError, WeightsError, DataError, ProductError:
            see :func:`trifuse.flows.match.match`, :func:`trifuse.fusion.fuse` and
            :func:`trifuse.products.cube_writer`.
        MetadataError: if an image holds something else than surface reflectance.
        BandError: if S3 lacks one of the bands asked for.
        ConfigError: if ``coregister``, an area or an option of the fusion is out of range.

    Source: Cristille et al. 2024, doi:10.3390/rs16163107.
    """
    options = FuseOptions(
        out=out,
        method=method,
        weights=weights,
        mtf=mtf,
        sharpness=sharpness,
        s2_noise=s2_noise,
        s3_noise=s3_noise,
        adapt=adapt,
        consistency=consistency,
        uncertainty=uncertainty,
        coregister=coregister,
        bbox=bbox,
        like=like,
        bands=bands,
        tile=tile,
        overlap=overlap,
        preset=preset,
        device=device,
        precision=precision,
        dtype=dtype,
        quicklook=quicklook,
        compile=compile,
        jobs=jobs,
        scheduler=scheduler,
        overwrite=overwrite,
    )
    with plan_fusion(s2, s3, options) as plan:
        return Fused(options.path, None, plan.record) if dry_run else run(plan)


@on_ranks
def run(plan: FusionPlan) -> Fused:
    """Do what a plan says.

    Args:
        plan: of :func:`plan_fusion`; its images stay open.

    Returns:
        See :func:`fuse`.

    Raises:
        TrifuseError: as :func:`fuse`.
    """
    options = plan.options
    (s2, s3), record = plan.given, plan.record
    record = replace(
        record,
        s2=input_record(s2, plan.s2, plan.doubts[0], content=True),
        s3=input_record(s3, plan.s3, plan.doubts[1], content=True),
    )
    ready = _prepared(plan)
    record = replace(
        record,
        model=ready.model,
        registration=ready.place.record,
        psf=ready.place.psf,
        adaptation=ready.adaptation,
    )
    image, deviation, result = _streamed(plan, ready, record)
    seconds = {**ready.seconds, **result.timings}
    seconds["total"] += sum(ready.seconds.values())
    outcome = Outcome(result.selfcheck, seconds, result.consistency, result.about)
    record = replace(record, outcome=outcome)
    files: tuple[Path, ...] = ()
    if (path := options.path) is not None:
        written = [p for p in (path, options.std_path) if p is not None]
        beside = write_companions(
            path, record.to_json(), quicklook=options.quicklook, also=written[1:]
        )
        files = (*written, *beside)
    return Fused(path, image, record, files, deviation)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What is found of a scene before its tiles are computed.

    Attributes:
        view: the sharp image as the method wants it.
        place: where S3's cells lie and how wide they see.
        model: see :class:`FusionRecord`.
        adaptation: likewise.
        seconds: that each step took.
    """

    view: RestoredView
    place: Place
    model: Mapping[str, Any] | None
    adaptation: Adaptation | None
    seconds: Mapping[str, float]


def _prepared(plan: FusionPlan) -> _Prepared:
    """Restore, co-register and adapt, as far as the method and the options want it."""
    options, method = plan.options, plan.method
    start = time.perf_counter()
    view = method.view(plan.s2, options.streaming.runtime)
    model = method.model_record(options.weights, view)
    place = place_s3(view.source, plan.s3, method, plan.psf, options.coregister)
    registered = time.perf_counter()
    adaptation = None
    if options.adapt is not None:
        view, adaptation = adapt_view(
            method, view, plan.s2, plan.s3, place, options.adapt, device=options.device
        )
    adapted = time.perf_counter()
    seconds = {"registration": registered - start, "adaptation": adapted - registered}
    return _Prepared(view, place, model, adaptation, seconds)


def _streamed(
    plan: FusionPlan, ready: _Prepared, record: FusionRecord
) -> tuple[Cube | None, Cube | None, FuseResult]:
    """Compute the tiles into files or memory: (image, standard deviations, what became of it)."""
    options, overwrite = plan.options, plan.options.overwrite
    meta = record.image_meta(ready.view.source, plan.s3)
    identity = identity_of(plan, record, ready.place)
    with ExitStack() as opened:
        compute = opened.enter_context(tile_computer(options, identity))
        deviation = None
        if options.uncertainty:
            about = {"quantity": "standard deviation"}
            if options.path is not None:
                about = {**meta, **about}
            planes = BandSet((*plan.bands, Band(STRANGE)))
            deviation = opened.enter_context(
                _sink(options.std_path, plan.grid, planes, "float32", about, overwrite=overwrite)
            )
        image = opened.enter_context(
            _sink(options.path, plan.grid, plan.bands, options.dtype, meta, overwrite=overwrite)
        )
        written = _AnyFinite(image.write)
        result = stream(
            ready.view,
            plan.s3,
            written,
            options.streaming,
            method=plan.method,
            psf=ready.place.psf,
            shift=ready.place.shift,
            uncertainty=None if deviation is None else deviation.write,
            compute=compute,
            area=plan.matched.area,
        )
        if not written.found:  # before the files take their places
            raise _nothing(plan)
    return _kept(image), _kept(deviation), result


def _nothing(plan: FusionPlan) -> DataError:
    """Why no pixel of a result has a value: no band, or a band that has none anywhere."""
    weights = plan.options.weights
    if isinstance(weights, str | Path) and str(weights) != "none":
        return DataError(
            "no pixel of the result has a value",
            where=weights,
            fix="give other weights, or images with valid pixels in common",
        )
    empty = empty_bands(plan.s2, plan.matched.pair.grid)
    every = len(empty) == len(plan.s2.bands)
    if not empty or every:
        what = "no pixel over the shared ground has a value in every band"
        return DataError(what, where=plan.s2.name, fix="give images that show the same ground")
    return DataError(
        f"{', '.join(empty)} has no value over the shared ground, and without it no pixel has all",
        where=plan.s2.name,
        fix="leave that band out of the image",
    )


@contextmanager
def _sink(
    path: Path | None,
    grid: Grid,
    bands: BandSet,
    dtype: DType,
    meta: Mapping[str, Any],
    *,
    overwrite: bool,
) -> Iterator[CubeWriter | CubeBuffer]:
    """What takes an image window by window: a file, or memory where there is no path."""
    if path is None:
        yield CubeBuffer(grid, bands, meta)
        return
    with cube_writer(path, grid, bands, dtype=dtype, meta=meta, overwrite=overwrite) as writer:
        yield writer


class _AnyFinite:
    """Hands windows on, and remembers whether any of them had a value."""

    def __init__(self, write: Sink) -> None:
        self._write, self.found = write, False

    def __call__(self, window: Window, values: np.ndarray, valid: np.ndarray) -> None:
        self.found = self.found or bool(np.isfinite(values).any())
        self._write(window, values, valid)


def _kept(sink: CubeWriter | CubeBuffer | None) -> Cube | None:
    return sink.cube if isinstance(sink, CubeBuffer) else None
