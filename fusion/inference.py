"""A whole scene, tile by tile: read, fused, blended, checked and written as a stream.

With a method of finite reach the tiles carry its halo, and the mosaic equals the whole image to
float rounding. What has unlimited reach is blended linearly over the overlap. Threads read ahead
and one writes behind; memory is a few tiles and the coarse images, whatever the scene.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from trifuse.core import (
    PSF,
    BandSet,
    ConfigError,
    Cube,
    CubeSource,
    DegradeAccumulator,
    Grid,
    Mosaic,
    Tile,
    TilePlan,
    Window,
    progress,
)
from trifuse.core.resample import NO_SHIFT
from trifuse.core.runtime import Precision, Runtime
from trifuse.fusion.consistency import Consistency, agreement, cell_residuals, projection
from trifuse.fusion.method import Method
from trifuse.fusion.methods import get_method
from trifuse.fusion.scene import Scene
from trifuse.fusion.selfcheck import MIN_SHARE, SelfCheck, compare
from trifuse.fusion.tiles import TileWork
from trifuse.restore.view import RestoredView, as_view

Sink = Callable[[Window, np.ndarray, np.ndarray], None]
"""Takes (window of the result, (L, y, x) float32 with NaN, (y, x) bool valid)."""

Compute = Callable[[TileWork], Iterator[tuple[Tile, np.ndarray]]]
"""Hands on (tile, (L, *tile.write.shape) float32) for each tile of the work, in order."""

FINITE_TILE, BLENDED_TILE, BLENDED_OVERLAP = 256, 150, 20

ConsistencyMode = Literal["noise", "exact"]
"""How far the result has to degrade to the coarse image."""


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """How a scene is gone through, whatever the method; what makes no sense is refused at once.

    Attributes:
        tile: edge of a tile in pixels, overlap included (default: 256, or 150 where blended).
        overlap: blend linearly over so many pixels; default: exact tiles with the method's halo,
            or 20 where its reach is unlimited.
        preset: ``paper`` is tiles of 150 with a linear blend over 20.
        device: ``auto``, ``cpu``, ``cuda``.
        precision: ``32``, ``bf16`` or ``16``.
        compile: send networks through ``torch.compile``.
        consistency: ``noise`` leaves it to the method how far to believe the coarse image;
            ``exact`` makes the result degrade to it, in a second pass; see
            :mod:`trifuse.fusion.consistency`.

    Raises:
        ConfigError: if tile and preset, or device and precision, do not go together, or a word is
            none of these.
    """

    tile: int | None = None
    overlap: int | None = None
    preset: Literal["paper"] | None = None
    device: str = "auto"
    precision: Precision = "32"
    compile: bool = False
    consistency: ConsistencyMode = "noise"

    def __post_init__(self) -> None:
        _ = self.runtime
        if self.consistency not in ("noise", "exact"):
            raise ConfigError(f"consistency {self.consistency!r}", fix="give noise or exact")
        alone = self.tile is None and self.overlap is None
        if self.preset is not None and not (self.preset == "paper" and alone):
            raise ConfigError(
                f"preset {self.preset!r}", fix="give 'paper', without tile and overlap"
            )

    @property
    def runtime(self) -> Runtime:
        """Where networks run."""
        return Runtime(self.device, self.precision, self.compile)

    def plan(self, grid: Grid, method: Method) -> TilePlan:
        """The tiles of a result; see :func:`plan_tiles`."""
        tile, overlap = self.tile, self.overlap
        if self.preset == "paper":
            tile, overlap = BLENDED_TILE, BLENDED_OVERLAP
        return plan_tiles(*grid.shape, method, tile=tile, overlap=overlap)


@dataclass(frozen=True, slots=True)
class FuseResult:
    """What became of a fusion.

    Attributes:
        grid: sharp pixels over the shared ground, or over the area asked for.
        bands: those of the coarse image that the method makes.
        ratio: sharp pixels per coarse cell.
        method: name of the method.
        plan: the tiles.
        selfcheck: agreement with the coarse image.
        timings: seconds of ``prepare``, ``tiles`` and ``total``.
        consistency: agreement before and after the projection, if there was one.
        about: what the method found of the scene, in plain JSON values.
    """

    grid: Grid
    bands: BandSet
    ratio: int
    method: str
    plan: TilePlan
    selfcheck: SelfCheck
    timings: Mapping[str, float]
    consistency: Consistency
    about: Mapping[str, Any] = field(default_factory=dict)


def fuse_target(
    s2: CubeSource, s3: CubeSource, *, method: Method | str = "regression"
) -> tuple[Grid, BandSet, int]:
    """Grid, bands and ratio of the result, before any pixel is read: to open the output with.

    Raises:
        GridError: if the grids do not fit or do not overlap.
        WeightsError: if the network's bands are not there.
    """
    method = get_method(method) if isinstance(method, str) else method
    fine, _, ratio = s2.grid.common(s3.grid)
    _, lr_names = method.bands(s2.bands, s3.bands)
    return s2.grid.window(fine), s3.bands.select(s3.bands.indices(lr_names)), ratio


def fuse(
    s2: CubeSource | RestoredView,
    s3: CubeSource,
    sink: Sink,
    *,
    method: Method | str = "regression",
    tile: int | None = None,
    overlap: int | None = None,
    preset: Literal["paper"] | None = None,
    device: str = "auto",
    precision: Precision = "32",
    psf: PSF | None = None,
    shift: tuple[float, float] = NO_SHIFT,
    compile: bool = False,
    consistency: ConsistencyMode = "noise",
    uncertainty: Sink | None = None,
    compute: Compute = TileWork.tiles,
) -> FuseResult:
    """Give a Sentinel-3 image the pixels of a Sentinel-2 image.

    Args:
        s2: sharp bands, or the view of them that the method made.
        s3: coarse bands on a grid nested to S2's, at any integer ratio.
        sink: see :func:`stream`.
        method: ``bicubic``, ``regression`` or a :class:`Method` such as :class:`Network`.
        tile: this and ``overlap``, ``preset``, ``device``, ``precision``, ``compile`` and
            ``consistency``: see :class:`StreamOptions`.
        overlap: likewise.
        preset: likewise.
        device: likewise.
        precision: likewise.
        psf: of the coarse sensor; default: MTF 0.3 at Nyquist.
        shift: see :func:`stream`.
        compile: see :class:`StreamOptions`.
        consistency: likewise.
        uncertainty: see :func:`stream`.
        compute: likewise.

    Returns:
        What was made, with the self-check.

    Raises:
        GridError: if the grids do not fit or do not overlap.
        WeightsError: if the network's bands are not there.
        DataError: if nothing valid is shared.
        ConfigError: if tile and overlap, or device and precision, do not go together.
    """
    return stream(
        s2,
        s3,
        sink,
        StreamOptions(
            tile=tile,
            overlap=overlap,
            preset=preset,
            device=device,
            precision=precision,
            compile=compile,
            consistency=consistency,
        ),
        method=get_method(method) if isinstance(method, str) else method,
        psf=PSF.from_mtf() if psf is None else psf,
        shift=shift,
        uncertainty=uncertainty,
        compute=compute,
    )


def stream(
    s2: CubeSource | RestoredView,
    s3: CubeSource,
    sink: Sink,
    options: StreamOptions,
    *,
    method: Method,
    psf: PSF,
    shift: tuple[float, float] = NO_SHIFT,
    uncertainty: Sink | None = None,
    compute: Compute = TileWork.tiles,
    area: Window | None = None,
) -> FuseResult:
    """:func:`fuse` with its options as one value.

    Args:
        s2: sharp bands, or the view of them that the method made.
        s3: coarse bands on a grid nested to S2's, at any integer ratio.
        sink: called with disjoint windows that cover the result, as far as the images show it,
            in order, from one thread. Pixels without valid S2 or S3 are NaN and not valid.
        options: how the scene is gone through.
        method: how the two are fused.
        psf: of the coarse sensor.
        shift: (rows, columns) in sharp pixels by which the coarse cells lie beside where their
            grid says; see :func:`trifuse.align.register`. No image is resampled.
        uncertainty: takes the standard deviations of the L bands and, as one more plane, how
            strange the pixels are, window by window as ``sink`` does; see
            :class:`trifuse.fusion.method.Uncertain`.
        compute: hands on each tile of the work, in order; default: computed here, one after the
            other. See :func:`trifuse.fusion.parallel.in_parts`.
        area: the result, in pixels of the shared ground, which it may leave; default: all of
            it. All that the images share is learnt from, whatever the area, and no pixel depends
            on it. Windows handed to the sinks are counted from its corner.

    Raises:
        TrifuseError: as :func:`fuse`.
    """
    start = time.perf_counter()
    runtime = options.runtime
    view = as_view(s2, lambda image: method.view(image, runtime))
    scene = Scene(view, s3, *method.bands(view.source.bands, s3.bands), psf, shift)
    tiles = options.plan(scene.grid, method)
    # Two cells more: so cells at the area's edge are seen whole, and can be checked.
    near = None if area is None else area.pad(2 * scene.ratio)
    work = TileWork(scene, method, runtime, tiles, uncertainty is not None, near)
    if work.uncertain and work.run.uncertain is None:
        raise ConfigError(f"method {method.name} tells no uncertainty", fix="take method physics")
    run = work.run  # prepared here, once
    prepared = time.perf_counter()

    before = correction = None
    if options.consistency == "exact":
        before = cell_residuals(scene, _pass(compute, work))
        correction = projection(scene, before)
    sinks = [None if s is None else _within(s, area) for s in (sink, uncertainty)]
    seen = _pass(compute, work, *sinks, correction=correction)
    rows, cols = _cells(scene, area).slices
    selfcheck = compare(scene.lrhsi[:, rows, cols], seen.result(MIN_SHARE)[:, rows, cols])
    after = cell_residuals(scene, seen)
    end = time.perf_counter()
    return FuseResult(
        scene.grid if area is None else scene.grid.window(area),
        scene.bands,
        scene.ratio,
        method.name,
        tiles,
        selfcheck,
        {"prepare": prepared - start, "tiles": end - prepared, "total": end - start},
        agreement(options.consistency, after if before is None else before, after),
        ({"restoration": dict(view.record)} if view.record else {}) | dict(run.record),
    )


def _pass(
    compute: Compute,
    work: TileWork,
    sink: Sink | None = None,
    uncertainty: Sink | None = None,
    *,
    correction: np.ndarray | None = None,
) -> DegradeAccumulator:
    """Go through all tiles once and hand them on; without a sink, only to see them.

    Args:
        compute: hands on the tiles.
        work: what they are of.
        sink: see :func:`stream`.
        uncertainty: likewise.
        correction: (L, h, w) on the coarse cells, added to the result.

    Returns:
        What the coarse sensor sees of the result.
    """
    scene, count = work.scene, len(work.scene.bands)
    seen = DegradeAccumulator(
        count, *scene.grid.shape, scene.ratio, scene.psf, shift=scene.pair.shift
    )

    def emit(window: Window, data: np.ndarray) -> None:
        values = data[:count]
        if correction is not None:
            values = values + scene.moved(correction, window)
        seen.add(window, values)
        if sink is None:
            return
        there = np.isfinite(values).any(axis=0)
        sink(window, values, there)
        if uncertainty is not None:
            uncertainty(window, data[count:], there)

    _stream(compute, work, emit)
    return seen


def _stream(compute: Compute, work: TileWork, emit: Callable[[Window, np.ndarray], None]) -> None:
    """Compute all tiles and hand on what they add up to, in order, from one thread."""
    with ThreadPoolExecutor(1, "fuse-write") as writer:
        pending: list[Future[None]] = []

        def later(window: Window, data: np.ndarray) -> None:
            while len(pending) > 1:  # at most two finished pieces wait to be written
                pending.pop(0).result()
            pending.append(writer.submit(emit, window, data))

        mosaic, done = Mosaic(work.plan, later), 0
        for tile, values in progress(compute(work), "fuse", sum(map(len, work.parts()))):
            for number in range(done, tile.number):
                mosaic.skip(work.plan[number], work.planes)
            mosaic.put(tile, values)
            done = tile.number + 1
        for number in range(done, len(work.plan)):
            mosaic.skip(work.plan[number], work.planes)
        for future in pending:
            future.result()


def _cells(scene: Scene, area: Window | None) -> Window:
    """The coarse cells that an area touches."""
    if area is None:
        return scene.pair.coarse_grid.whole
    top, left = area.row // scene.ratio, area.col // scene.ratio
    bottom = -(-(area.row + area.height) // scene.ratio)
    right = -(-(area.col + area.width) // scene.ratio)
    touched = Window(top, left, bottom - top, right - left)
    return touched.clip(*scene.pair.coarse_grid.shape)


def _within(sink: Sink, area: Window | None) -> Sink:
    """Hands on what lies in an area, with windows counted from its corner."""
    if area is None:
        return sink

    def hand_on(window: Window, values: np.ndarray, valid: np.ndarray) -> None:
        inside = window.shift(-area.row, -area.col).clip(*area.shape)
        if 0 in inside.shape:
            return
        rows, cols = inside.shift(area.row - window.row, area.col - window.col).slices
        sink(inside, values[:, rows, cols], valid[rows, cols])

    return hand_on


class CubeBuffer:
    """A cube in memory that is filled window by window; what is never written is missing.

    Attributes:
        cube: what there is so far.
    """

    def __init__(self, grid: Grid, bands: BandSet, meta: Mapping[str, Any]) -> None:
        data = np.full((len(bands), *grid.shape), np.nan, np.float32)
        self.cube = Cube(data, np.zeros(grid.shape, np.bool_), bands, grid, meta)

    def write(self, window: Window, values: np.ndarray, valid: np.ndarray) -> None:
        """Keep a window; a :data:`Sink`."""
        rows, cols = window.slices
        self.cube.data[:, rows, cols], self.cube.valid[rows, cols] = values, valid


def fuse_cube(
    s2: CubeSource | RestoredView,
    s3: CubeSource,
    *,
    method: Method | str = "regression",
    **options: object,
) -> tuple[Cube, FuseResult]:
    """:func:`fuse` into memory, for scenes that fit; same options."""
    method = get_method(method) if isinstance(method, str) else method
    grid, bands, _ = fuse_target(as_view(s2).source, s3, method=method)
    kept = CubeBuffer(grid, bands, {"method": method.name})
    result = fuse(s2, s3, kept.write, method=method, **options)  # type: ignore[arg-type]
    return kept.cube, result


def plan_tiles(
    height: int, width: int, method: Method, *, tile: int | None = None, overlap: int | None = None
) -> TilePlan:
    """Tiles for a method: exact where its reach allows and no overlap is asked for.

    Exact tiles grow to hold the halo if they are given smaller.

    Raises:
        ConfigError: if the overlap is not smaller than the tile, or the tile is empty.
    """
    if tile is not None and tile < 1:
        raise ConfigError(f"tiles of {tile} pixels", fix="give a positive number")
    if method.halo is None or overlap is not None:
        overlap = BLENDED_OVERLAP if overlap is None else overlap
        return TilePlan(height, width, tile or BLENDED_TILE, overlap, blend="linear")
    # Tiles start at multiples of the step, which so keeps the method's alignment.
    margin, unit = 2 * method.halo, method.alignment
    step = max(((tile or FINITE_TILE) - margin) // unit * unit, unit)
    return TilePlan(height, width, step + margin, margin)
