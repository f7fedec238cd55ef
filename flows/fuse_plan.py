"""What a fusion would do: inputs opened and paired, method and outputs chosen, nothing computed."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from trifuse.core import (
    PSF,
    BandSet,
    CubeSource,
    Grid,
    MetadataError,
    TilePlan,
    Window,
    refuse_existing,
)
from trifuse.core.shown import told
from trifuse.core.workers import require_place
from trifuse.flows.adapt import require_adaptable
from trifuse.flows.fuse_options import FuseOptions
from trifuse.flows.fuse_record import (
    FusionRecord,
    PairRecord,
    input_record,
    instrument_warnings,
    settings_record,
)
from trifuse.flows.inputs import Image
from trifuse.flows.match import LEVELS, Match, match
from trifuse.fusion import Method, fuse_target
from trifuse.products import Doubt, require_plausible

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FusionPlan:
    """What :func:`trifuse.flows.fuse.run` would do; a context that closes the images.

    Attributes:
        options: what was asked for.
        given: S2 and S3 as they were given.
        matched: both, opened and paired.
        s3: the coarse image with the bands that are wanted.
        method: that fuses them.
        doubts: what the pixels of S2 and of S3 say against what is stated of them.
        tiles: in which all that is learnt from would be gone through; those that the area asked
            for does not touch are left out.
        record: all that can be said beforehand, of which text and JSON are made.
    """

    options: FuseOptions
    given: tuple[Image, Image]
    matched: Match
    s3: CubeSource
    method: Method
    doubts: tuple[tuple[Doubt, ...], tuple[Doubt, ...]]
    tiles: TilePlan
    record: FusionRecord

    @property
    def s2(self) -> CubeSource:
        """The sharp image."""
        return self.matched.s2

    @property
    def grid(self) -> Grid:
        """Of the result: sharp pixels over the shared ground, or over the area asked for."""
        return self.record.grid

    @property
    def bands(self) -> BandSet:
        """Of the result."""
        return self.record.bands

    @property
    def ratio(self) -> int:
        """Sharp pixels per coarse cell."""
        return self.record.ratio

    @property
    def psf(self) -> PSF:
        """Of S3's cells, as far as it is known before its width is looked for."""
        return self.record.psf

    @property
    def outputs(self) -> tuple[Path, ...]:
        """Files that would be written, and that must not be there unless they may be replaced."""
        return self.options.outputs

    @property
    def text(self) -> str:
        """What a dry run prints."""
        return self.record.text

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"FusionPlan({self.method.name}, {told(self.bands, self.grid)}, ratio {self.ratio})"

    def to_json(self) -> dict[str, Any]:
        """Plain values, for ``--dry-run --json``."""
        return self.record.to_json()

    def close(self) -> None:
        """Close both images."""
        self.matched.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def plan_fusion(s2: Image, s3: Image, options: FuseOptions | None = None) -> FusionPlan:
    """Open and check what a fusion needs, before any of its work.

    In use::

        with plan_fusion("s2.SAFE", "s3.SEN3") as plan:
            print(plan)
            fused = run(plan)

    Args:
        s2: sharp bands (HrMSI); see :func:`trifuse.flows.fuse.fuse`.
        s3: coarse bands (LrHSI).
        options: default: :class:`FuseOptions`.

    Returns:
        The plan, which owns the images: use it as a context, or close it.

    Raises:
        TrifuseError: as :func:`trifuse.flows.fuse.fuse`, for all but what shows in the pixels.
    """
    options = FuseOptions() if options is None else options
    require_place(options.jobs, options.scheduler)
    method = options.chosen_method()
    require_adaptable(method, options.adapt)
    refuse_existing(*options.outputs, overwrite=options.overwrite)
    with ExitStack() as opened:
        matched = opened.enter_context(match(s2, s3, bbox=options.bbox, like=options.like))
        doubts = _require_reflectance(matched.s2), _require_reflectance(matched.s3)
        coarse = matched.s3
        if options.bands is not None:
            coarse = coarse.select(options.bands)
        learnt, bands, ratio = fuse_target(matched.s2, coarse, method=method)
        grid = learnt if matched.area is None else learnt.window(matched.area)
        instrument = instrument_warnings(matched, method)
        record = FusionRecord(
            method=method.name,
            settings=settings_record(method),
            model=method.model_record(options.weights),
            grid=grid,
            cell_origin=_first_cell(matched.area, ratio),
            bands=bands,
            ratio=ratio,
            mtf=options.mtf,
            psf=matched.psf(options.mtf),
            pair=PairRecord(matched.to_json(), matched.text, instrument),
            uncertainty=options.uncertainty,
            s2=input_record(s2, matched.s2, doubts[0], content=False),
            s3=input_record(s3, coarse, doubts[1], content=False),
        )
        tiles = options.streaming.plan(learnt, method)
        plan = FusionPlan(options, (s2, s3), matched, coarse, method, doubts, tiles, record)
        strange = (
            f"{source.name}: {doubt.text}"
            for source, found in zip((matched.s2, matched.s3), doubts, strict=True)
            for doubt in found
        )
        for text in (*instrument, *strange):
            _log.warning("%s", text)
        opened.pop_all()
    return plan


def _first_cell(area: Window | None, ratio: int) -> tuple[int, int]:
    """Where in an area of the shared ground the first cell of Sentinel-3 starts."""
    return (0, 0) if area is None else (-area.row % ratio, -area.col % ratio)


def _require_reflectance(source: CubeSource) -> tuple[Doubt, ...]:
    """Radiance is not what the methods expect.

    Neither are values that cannot be reflectance; what speaks against them less is returned.
    """
    if (quantity := source.meta.get("quantity", "reflectance")) not in LEVELS:
        raise MetadataError(
            f"holds {quantity}",
            where=source.name,
            fix="give reflectance: L2A with SY_2_SYN, or L1C with OL_1_EFR",
        )
    return tuple(require_plausible(source))
