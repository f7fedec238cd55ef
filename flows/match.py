"""A Sentinel-2 and a Sentinel-3 image brought together: one area, nested cells, one overpass?"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

import numpy as np

from trifuse.align import Pair, pair
from trifuse.core import PSF, BandError, BandSet, Box, ConfigError, CubeSource, Window
from trifuse.flows.area import area_of, learnt_around
from trifuse.flows.cells import cell_psf, cells_over, is_swath, open_on_cells
from trifuse.flows.inputs import Image, as_source

MAX_MINUTES = 5.0
"""Time between the two overpasses above which a pair is warned of."""

MAX_HIDDEN = 0.05
"""Share of the ground without a value in an image above which a pair is warned of."""

SAME_BAND_NM = 0.3
"""Centres or widths further apart than this are those of another instrument."""

_SAMPLES, _SAMPLE = 7, 128
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Match:
    """Two images over one ground; a context that closes them.

    Attributes:
        s2: sharp image; where an area was asked for: of the ground that is learnt from.
        s3: coarse image, its cells nested in S2's pixels.
        pair: the ground they share.
        area: pixels asked for, of the shared ground, which they may leave; None: all of it.
        minutes: between the two acquisitions; None where one is unknown.
        hidden: share (0–1) of the shared ground where S2 and where S3 has no value (clouds and
            their shadows, as the products' masks have them, or beyond the swath), from samples.
        warnings: in words, what speaks against the pair; empty if nothing does.
    """

    s2: CubeSource
    s3: CubeSource
    pair: Pair
    area: Window | None
    minutes: float | None
    hidden: tuple[float, float]
    warnings: tuple[str, ...] = field(default=())

    def psf(self, mtf: float = 0.3) -> PSF:
        """PSF of S3's cells: the sensor's own, and what bringing a swath onto a grid adds.

        Args:
            mtf: the sensor's own modulation transfer at its Nyquist frequency.
        """
        return cell_psf(self.s3, mtf)

    def to_json(self) -> dict[str, Any]:
        """Plain values for the record of a run."""
        return {
            "overlap": self.overlap,
            "learnt_cells": list(self.pair.s3_window.shape),
            "ratio": self.pair.ratio,
            "minutes_apart": self.minutes,
            "hidden_share": {"s2": self.hidden[0], "s3": self.hidden[1]},
            "warnings": list(self.warnings),
        }

    @property
    def overlap(self) -> float:
        """Share of S2, or of the area asked for, that both images show: 0–1."""
        if self.area is None:
            return self.pair.overlap
        shown = self.area.clip(*self.pair.grid.shape)
        return shown.height * shown.width / (self.area.height * self.area.width)

    @property
    def text(self) -> str:
        """One line for a terminal or two, and one for each warning."""
        apart = "an unknown time" if self.minutes is None else f"{self.minutes:.1f} minutes"
        first, second = (100 * h for h in self.hidden)
        what = "Sentinel-2" if self.area is None else "the area"
        lines = [
            f"{100 * self.overlap:.1f} % of {what} is shared, {apart} apart; without "
            f"a value: {first:.1f} % in Sentinel-2, {second:.1f} % in Sentinel-3"
        ]
        if self.area is not None:
            rows, cols = self.pair.s3_window.shape
            lines.append(
                f"area of {self.area.height}×{self.area.width} pixels, learnt from {rows}×{cols} "
                "cells of Sentinel-3 over and around it"
            )
        return "\n".join([*lines, *(f"warning: {w}" for w in self.warnings)])

    def close(self) -> None:
        """Close both images."""
        self.s2.close()
        self.s3.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def match(s2: Image, s3: Image, *, bbox: Box | None = None, like: Image | None = None) -> Match:
    """Bring a Sentinel-2 and a Sentinel-3 image together.

    A Sentinel-3 swath is brought onto cells of 300 m that start at S2's upper left corner, a whole
    number of S2's pixels each. An image that lies on a grid already must lie on such a one.

    A pair should be at most five minutes apart and at most 5 % cloudy; what is not is warned of.

    Args:
        s2: sharp image: path, source or cube.
        s3: coarse image: path (also of a .SEN3 product), source or cube.
        bbox: area asked for, (west, south, east, north) in degrees of longitude and latitude:
            the pixels it touches. West may exceed east across the antimeridian. S2 is cropped to
            what is learnt from, see :func:`trifuse.flows.area.learnt_around`.
        like: an image whose ground is the area, in place of ``bbox``.

    Raises:
        GridError: if S3 lies on a grid whose cells are not nested in S2's pixels.
        OverlapError: if they share no ground, or none of the area asked for.
        ConfigError: if an area makes no sense, or two are given.
        ProductError: if a file cannot be read.

    Source: Cristille et al. 2024, doi:10.3390/rs16163107 (the rule for pairs).
    """
    if bbox is not None and like is not None:
        raise ConfigError("both a bbox and an image to crop like are given", fix="give one")
    area = None
    with ExitStack() as opened:
        fine = opened.enter_context(as_source(s2))
        coarse = None if is_swath(s3) else opened.enter_context(as_source(s3))
        if bbox is not None or like is not None:
            area = _bounded(area_of(fine, bbox, like), fine)
            learnt = learnt_around(area, *_shared(fine, coarse))
            fine, area = fine[learnt], area.shift(-learnt.row, -learnt.col)
        if coarse is None:
            coarse = opened.enter_context(open_on_cells(s3, fine))
        shared = pair(fine, coarse)
        if area is not None:
            area = area.shift(-shared.s2_window.row, -shared.s2_window.col)
        minutes = minutes_apart(fine, coarse)
        hidden = (_hidden(fine, shared.s2_window), _hidden(coarse, shared.s3_window))
        warnings = tuple(_doubts(minutes, hidden))
        opened.pop_all()
    for text in warnings:
        _log.warning("%s and %s: %s", fine.name, coarse.name, text)
    return Match(fine, coarse, shared, area, minutes, hidden, warnings)


def _bounded(area: Window, fine: CubeSource) -> Window:
    """An area that leaves the image is kept, with missing pixels, unless it is larger than it."""
    if area.height * area.width <= fine.grid.height * fine.grid.width:
        return area
    _log.warning("the area is larger than %s and was cut to it", fine.name)
    return area.clip(*fine.grid.shape)


def _shared(fine: CubeSource, coarse: CubeSource | None) -> tuple[Window, int]:
    """(pixels that both show, in whole cells; pixels per cell); without S3, as far as S2 tells."""
    if coarse is None:
        cells = cells_over(fine)
        ratio = fine.grid.nested_ratio(cells)
        return Window(0, 0, cells.height * ratio, cells.width * ratio), ratio
    whole = pair(fine, coarse)
    return whole.s2_window, whole.ratio


def other_instrument(bands: BandSet, expected: BandSet, what: str) -> str:
    """A warning where bands of the same names have other responses, as of Sentinel-3A and 3B.

    Args:
        bands: of an image.
        expected: those that a network or table was made for; what is unknown (NaN) is no
            difference.
        what: that it was made for, in words.

    Returns:
        The warning, which names the bands; empty if there is nothing to warn of.
    """
    differ = []
    for band in expected:
        try:
            own = bands[bands.index(band.name)]
        except BandError:
            continue
        if abs(own.centre - band.centre) > SAME_BAND_NM or abs(own.fwhm - band.fwhm) > SAME_BAND_NM:
            differ.append(
                f"{own.name} ({own.centre:.2f} nm, {own.fwhm:.2f} wide, against "
                f"{band.centre:.2f}, {band.fwhm:.2f})"
            )
    if not differ:
        return ""
    return f"{what} other response functions: {', '.join(differ)}"


def minutes_apart(fine: CubeSource, coarse: CubeSource) -> float | None:
    """Between the acquisitions, as far as the products tell."""
    times = [_time(source.meta.get("start_time")) for source in (fine, coarse)]
    first, second = times
    if first is None or second is None:
        return None
    return abs((first - second).total_seconds()) / 60


def _time(text: Any) -> datetime | None:
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _hidden(source: CubeSource, ground: Window) -> float:
    """Share of the ground without a value, from 7 × 7 samples spread over it."""
    total = seen = 0
    for top, height in _spread(ground.height):
        for left, width in _spread(ground.width):
            part = Window(ground.row + top, ground.col + left, height, width)
            valid = source.read(part, source.bands.names[:1]).valid
            total, seen = total + valid.size, seen + int(np.count_nonzero(valid))
    return 1 - seen / total


def _spread(n: int) -> list[tuple[int, int]]:
    """(start, length) of samples along an axis; all of it if it is short."""
    if n <= _SAMPLES * _SAMPLE:
        return [(0, n)]
    starts = np.linspace(0, n - _SAMPLE, _SAMPLES).round().astype(int)
    return [(int(s), _SAMPLE) for s in starts]


def _doubts(minutes: float | None, hidden: tuple[float, float]) -> Iterable[str]:
    if minutes is not None and minutes > MAX_MINUTES:
        apart = f"{minutes:.0f} minutes" if minutes < 180 else f"{minutes / 60:.0f} hours"
        yield f"the images were taken {apart} apart; no more than 5 minutes is advised"
    for share, name in zip(hidden, ("Sentinel-2", "Sentinel-3"), strict=True):
        if share > MAX_HIDDEN:
            yield (
                f"{100 * share:.0f} % of the ground has no value in {name} (clouds, shadows, "
                "edge of the swath); no more than 5 % is advised"
            )
