"""How the bands of an image were sampled: told, found in its pixels, or left open.

Where whoever opened the image laid its bands onto the pixels, that is told and only checked
(:mod:`trifuse.restore.sharpness_check`). Elsewhere, as in a stack that somebody exported, it is
looked for (:mod:`trifuse.restore.sampling_search`); what names and metadata say is a prior.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trifuse.core import ConfigError, CubeSource, Window
from trifuse.core.kernels import KERNELS, kernel_of
from trifuse.restore.sampling_search import FoundSampling, Given, find_sampling
from trifuse.restore.sharpness import Sharpness
from trifuse.restore.sharpness_check import known_facts, native_class, sharpness_of

BLOCK, BLOCKS = 240, 4
"""Pixels of a block that is looked at, and how many, spread evenly over the image."""

METRES = (10.0, 20.0, 60.0)
"""Native sampling of the three kinds of Sentinel-2's bands."""

_DEGREE = 111_320.0


@dataclass(frozen=True, slots=True)
class GivenSampling:
    """What a user gives of the sampling, as ``1:2:6@3,0:nearest``.

    Attributes:
        ratios: pixels per native pixel of Sentinel-2's 10 m, 20 m and 60 m bands.
        origin: (row, column) of a pixel where a native pixel of the coarsest bands starts; None
            is looked for.
        kernel: that brought native pixels onto the image's; None is looked for.

    >>> parse_sampling("1:2:6@3,0:nearest")
    GivenSampling(ratios=(1, 2, 6), origin=(3, 0), kernel='nearest')
    """

    ratios: tuple[int, int, int]
    origin: tuple[int, int] | None = None
    kernel: str | None = None


def parse_sampling(text: str) -> GivenSampling | None:
    """What ``--sharpness`` says; None for ``auto`` and ``sharp``.

    Raises:
        ConfigError: if it is nothing like ``1:2:6``, ``1:2:6@row,col`` or ``1:2:6@row,col:kernel``.
    """
    if text in ("auto", "sharp"):
        return None
    form = re.fullmatch(r"(\d+):(\d+):(\d+)(?:@(-?\d+),(-?\d+))?(?::([a-z]+))?", text)
    if form is None:
        raise ConfigError(
            f"sharpness {text!r}", fix="give auto, sharp, or such as 1:2:6 or 1:2:6@3,0:nearest"
        )
    first, second, third = (int(form[i]) for i in (1, 2, 3))
    if not 1 <= first <= second <= third <= 60:
        raise ConfigError(f"sharpness {text!r}", fix="give rising numbers from 1 to 60")
    if form[6] is not None:
        kernel_of(form[6])
    origin = None if form[4] is None else (int(form[4]), int(form[5]))
    return GivenSampling((first, second, third), origin, form[6])


def by_names(source: CubeSource) -> str:
    """What :func:`parse_sampling` takes, as Sentinel-2's bands of these names are sampled."""
    first, second, third = (max(round(m / _metres(source)), 1) for m in METRES)
    return f"{first}:{second}:{third}"


def _metres(source: CubeSource) -> float:
    """Side of a pixel."""
    gsd = source.grid.gsd[1]
    return gsd * (_DEGREE if gsd < 0.1 else 1.0)


@dataclass(frozen=True, slots=True)
class SceneSampling:
    """How an image was sampled, as far as it is known.

    Attributes:
        sharpness: what is to be undone; None if nothing is, or nothing is known.
        found: what the pixels tell, group by group; empty if they were not asked.
        checked: whether the sampling follows from the pixels, so that no check against them can
            contradict it.
        lines: what a user should know, in words.
    """

    sharpness: Sharpness | None
    found: tuple[FoundSampling, ...] = ()
    checked: bool = False
    lines: tuple[str, ...] = ()

    def to_json(self, names: Sequence[str]) -> dict[str, Any]:
        """Plain values for a record."""
        return {
            "found": [
                {
                    "bands": [names[b] for b in f.bands],
                    "ratio": f.ratio,
                    "origin": list(f.origin),
                    "kernel": f.kernel,
                    "as_well": list(f.alike),
                    "sure": f.sure,
                    "contrast": round(f.contrast, 4),
                    "explained": round(f.explained, 4),
                }
                for f in self.found
            ],
            "lines": list(self.lines),
        }


def scene_sampling(
    source: CubeSource,
    how: str = "auto",
    *,
    mtf: float | None = None,
    noise: float | None = None,
    look: bool = False,
) -> SceneSampling:
    """How an image's bands were sampled.

    Args:
        source: the image, in reflectance.
        how: ``auto``, ``sharp``, or what is given of it (:func:`parse_sampling`).
        mtf: of all bands that are not sharp, in place of the source's or of 0.3.
        noise: standard deviation in all bands, in place of the source's or of 0.003.
        look: ask the pixels even where the sampling is told.

    Raises:
        MetadataError: if what metadata tell makes no sense.
        GridError: if a native pixel that is told is no whole number of pixels.
        ConfigError: if an option is out of range, or bands that are no Sentinel-2 bands are given
            ratios.
    """
    given = parse_sampling(how)
    if how == "sharp":
        return SceneSampling(None)
    if given is None and not look and any(v is not None for v in source.sampling.values("gsd")):
        return SceneSampling(sharpness_of(source, mtf=mtf, noise=noise))
    groups = _groups(source, given)
    if groups is None:
        return SceneSampling(None)
    found = find_sampling(_blocks(source), groups)
    return _decided(source, found, groups, given, mtf, noise)


def _groups(
    source: CubeSource, given: GivenSampling | None
) -> list[tuple[tuple[int, ...], Given]] | None:
    """Bands that were sampled alike, the finest first, and what is given or expected of them."""
    names = source.bands.names
    classes = [native_class(n) for n in names]
    if given is not None:
        if unknown := [n for n, c in zip(names, classes, strict=True) if c is None]:
            raise ConfigError(
                f"sharpness given for bands {', '.join(unknown)}",
                fix="name bands as Sentinel-2's, or tell native_gsd in the metadata",
            )
        ratios = dict(enumerate(given.ratios))
        fixed = Given(ratio=None, origin=given.origin, kernel=given.kernel, fixed=True)
        return [
            (
                tuple(i for i, c in enumerate(classes) if c == kind),
                replace(fixed, ratio=ratios[kind]),
            )
            for kind in sorted({c for c in classes if c is not None})
        ]
    if all(c is None for c in classes):
        # Without names nothing says which bands go together: each is looked at by itself, as far
        # as that makes sense at all.
        return [((i,), Given()) for i in range(len(names))] if 1 < len(names) <= 20 else None
    pixel = _metres(source)
    out = []
    for kind in sorted({c for c in classes if c is not None}):
        share = METRES[kind] / pixel
        ratio = max(round(share), 1)
        whole = abs(share - ratio) <= 0.05 * ratio or share < 1
        bands = tuple(i for i, c in enumerate(classes) if c == kind)
        out.append((bands, Given(ratio=ratio if whole else None)))
    if unknown_bands := tuple(i for i, c in enumerate(classes) if c is None):
        out.append((unknown_bands, Given()))
    return out


def _blocks(source: CubeSource) -> list[tuple[np.ndarray, tuple[int, int]]]:
    """Blocks spread evenly over the image, and their corners; those without a value left out."""
    height, width = (min(n, BLOCK) for n in source.grid.shape)
    rows, cols = (
        sorted({0, (n - size) // 2, n - size})
        for n, size in zip(source.grid.shape, (height, width), strict=True)
    )
    corners = list(itertools.product(rows, cols))
    chosen = np.unique(np.linspace(0, len(corners) - 1, BLOCKS).round().astype(int))
    out = []
    for row, col in (corners[i] for i in chosen):
        data = source.read(Window(row, col, height, width)).masked()
        if np.isfinite(data).all(axis=0).any():
            out.append((data, (row, col)))
    return out


def _decided(
    source: CubeSource,
    found: Sequence[FoundSampling],
    groups: Sequence[tuple[tuple[int, ...], Given]],
    given: GivenSampling | None,
    mtf: float | None,
    noise: float | None,
) -> SceneSampling:
    names = source.bands.names
    lines: list[str] = []
    ratio = [1] * len(names)
    for one in found:
        for band in one.bands:
            ratio[band] = one.ratio
    blurred = [f for f in found if f.ratio > 1]
    if not blurred:
        if given is None and any(g.ratio is not None and g.ratio > 1 for _, g in groups):
            lines.append(_left_alone(names, found, groups))
        return SceneSampling(None, tuple(found), True, tuple(lines))
    if min(ratio) > 1:
        lines.append(
            f"all bands came from samples of {min(ratio)} pixels or more: nothing on these pixels "
            "is sharper than others; give the image at its own sampling"
        )
        return SceneSampling(None, tuple(found), True, tuple(lines))
    blurred, dropped = _nesting(blurred)
    for one in dropped:
        for band in one.bands:
            ratio[band] = 1
        lines.append(
            f"{_listed(names, one)}: samples of {one.ratio} pixels do not nest with the others'; "
            "left as they are"
        )
    coarsest = max(blurred, key=lambda f: f.ratio)
    kernel = _common_kernel(blurred)
    mtfs, sigmas = known_facts(source, "mtf", mtf), known_facts(source, "noise", noise)
    lines += [_line(names, f, kernel) for f in blurred]
    sharpness = Sharpness(tuple(ratio), mtfs, sigmas, kernel, coarsest.origin)
    return SceneSampling(sharpness, tuple(found), given is None, tuple(lines))


def _nesting(blurred: Sequence[FoundSampling]) -> tuple[list[FoundSampling], list[FoundSampling]]:
    """Groups whose ratios divide each other, the largest groups first; and the others."""
    kept: list[FoundSampling] = []
    dropped: list[FoundSampling] = []
    for one in sorted(blurred, key=lambda f: (-len(f.bands), f.ratio)):
        fits = all(max(one.ratio, k.ratio) % min(one.ratio, k.ratio) == 0 for k in kept)
        (kept if fits else dropped).append(one)
    return sorted(kept, key=lambda f: f.ratio), dropped


def _common_kernel(blurred: Sequence[FoundSampling]) -> str:
    """The one that is likeliest for all groups together: one tool has laid them all."""
    known = [dict(f.evidence) for f in blurred if f.evidence]
    shared = [k for k in KERNELS if all(k in e for e in known)]
    if not known or not shared:
        return max(blurred, key=lambda f: len(f.bands)).kernel
    # What leaves less than rounding says nothing more.
    return max(shared, key=lambda k: sum(max(e[k], -1e6) for e in known))


def _listed(names: Sequence[str], found: FoundSampling) -> str:
    return ", ".join(names[b] for b in found.bands)


def _line(names: Sequence[str], found: FoundSampling, kernel: str) -> str:
    row, col = found.origin
    text = f"{_listed(names, found)}: samples of {found.ratio}×{found.ratio} pixels"
    if found.sure:
        return f"{text} that start at row {row}, column {col}, laid by {kernel}"
    return (
        f"{text}, blurred beyond doubt; where they start does not show (noise, or an image warped "
        f"to another grid), and they are taken to start at row {row}, column {col}"
    )


def _left_alone(
    names: Sequence[str],
    found: Sequence[FoundSampling],
    groups: Sequence[tuple[tuple[int, ...], Given]],
) -> str:
    coarse = [
        f for f, (_, g) in zip(found, groups, strict=True) if g.ratio is not None and g.ratio > 1
    ]
    listed = ", ".join(_listed(names, f) for f in coarse)
    if all(f.sure for f in coarse):
        return f"{listed}: as sharp as the pixels, left as they are"
    return (
        f"{listed}: the pixels do not tell whether they are blurred, left as they are; "
        "--sharpness 1:2:6 would restore them"
    )
