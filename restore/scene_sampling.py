"""How the bands of an image were sampled: told, found in its pixels, or left open.

Where whoever opened the image laid its bands onto the pixels, that is told and only checked
(:mod:`trifuse.restore.sharpness_check`). Elsewhere, as in a stack that somebody exported, it is
looked for (:mod:`trifuse.restore.sampling_search`); what names and metadata say is a prior.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trifuse.core import PSF, ConfigError, CubeSource, Window
from trifuse.core.kernels import KERNELS, kernel_of
from trifuse.restore.sample_noise import KERNEL_BLUR
from trifuse.restore.sampling_search import FoundSampling, Given, find_sampling
from trifuse.restore.sharpness import MTF, Sharpness
from trifuse.restore.sharpness_check import known_facts, native_class, sharpness_of

BLOCK, BLOCKS = 240, 4
"""Pixels of a block that is looked at, and how many, spread evenly over the image."""

METRES = (10.0, 20.0, 60.0)
"""Native sampling of the three kinds of Sentinel-2's bands."""

_DEGREE = 111_320.0


@dataclass(frozen=True, slots=True)
class GivenSampling:
    """What a user gives of the sampling, as ``1:2:6@3,0:nearest`` or ``blur:1.2``.

    Attributes:
        ratios: pixels per native pixel of Sentinel-2's 10 m, 20 m and 60 m bands; None is as
            their names tell.
        origin: (row, column) of a pixel where a native pixel of the coarsest bands starts; None
            is looked for.
        kernel: that brought native pixels onto the image's; None is looked for.
        blur: of bands that were never sampled but blurred: full width at half maximum in native
            pixels of each; 0 is looked for.

    >>> parse_sampling("1:2:6@3,0:nearest")
    GivenSampling(ratios=(1, 2, 6), origin=(3, 0), kernel='nearest', blur=None)
    """

    ratios: tuple[int, int, int] | None
    origin: tuple[int, int] | None = None
    kernel: str | None = None
    blur: float | None = None


def parse_sampling(text: str) -> GivenSampling | None:
    """What ``--sharpness`` says; None for ``auto`` and ``sharp``.

    Raises:
        ConfigError: if it is nothing like ``1:2:6``, ``1:2:6@row,col``, ``1:2:6@row,col:kernel``,
            ``blur:1.2`` or ``blur:auto``.
    """
    if text in ("auto", "sharp"):
        return None
    if text.startswith("blur:"):
        return GivenSampling(None, blur=_width(text.removeprefix("blur:")))
    form = re.fullmatch(r"(\d+):(\d+):(\d+)(?:@(-?\d+),(-?\d+))?(?::([a-z]+))?", text)
    if form is None:
        raise ConfigError(
            f"sharpness {text!r}",
            fix="give auto, sharp, or such as 1:2:6, 1:2:6@3,0:nearest or blur:1.2",
        )
    first, second, third = (int(form[i]) for i in (1, 2, 3))
    if not 1 <= first <= second <= third <= 60:
        raise ConfigError(f"sharpness {text!r}", fix="give rising numbers from 1 to 60")
    kernel = None if form[6] is None else kernel_of(form[6]).name
    origin = None if form[4] is None else (int(form[4]), int(form[5]))
    return GivenSampling((first, second, third), origin, kernel)


BLURS = 0.3, 2.2
"""Full widths at half maximum, in native pixels, that can be given."""


def _width(text: str) -> float:
    if text == "auto":
        return 0.0
    try:
        width = float(text)
    except ValueError:
        width = math.nan
    if not BLURS[0] <= width <= BLURS[1]:
        raise ConfigError(
            f"a blur of {text!r}",
            fix="give auto, or its full width at half maximum in native pixels, "
            f"{BLURS[0]} to {BLURS[1]}",
        )
    return width


def by_names(source: CubeSource) -> str:
    """What :func:`parse_sampling` takes, as Sentinel-2's bands of these names are sampled."""
    first, second, third = _named_ratios(source)
    return f"{first}:{second}:{third}"


def _named_ratios(source: CubeSource) -> tuple[int, int, int]:
    first, second, third = (max(round(m / _metres(source)), 1) for m in METRES)
    return first, second, third


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
        given: whether a user gave it, so that it is kept whatever the pixels say.
        blur_given: whether the blur was given, too.
    """

    sharpness: Sharpness | None
    found: tuple[FoundSampling, ...] = ()
    checked: bool = False
    lines: tuple[str, ...] = ()
    given: bool = False
    blur_given: bool = False

    @property
    def blurred(self) -> tuple[FoundSampling, ...]:
        """What was found of bands that came from coarser samples."""
        return tuple(f for f in self.found if f.ratio > 1)

    def learning(self, mtf: float | None, noise: float | None) -> dict[str, bool]:
        """How ``learn`` goes on from here; a modulation transfer or noise of None is looked for."""
        return {
            "checked": self.checked,
            "given": self.given,
            "find_mtf": mtf is None and not self.blur_given,
            "find_noise": noise is None,
        }

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
                    "warped": f.warped,
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
    blocks: int = BLOCKS,
) -> SceneSampling:
    """How an image's bands were sampled.

    Args:
        source: the image, in reflectance.
        how: ``auto``, ``sharp``, or what is given of it (:func:`parse_sampling`).
        mtf: of all bands that are not sharp, in place of the source's or of 0.3.
        noise: standard deviation in all bands, in place of the source's or of 0.003.
        look: ask the pixels even where the sampling is told.
        blocks: of the image that are looked at, at most.

    Raises:
        MetadataError: if what metadata tell makes no sense.
        GridError: if a native pixel that is told is no whole number of pixels.
        ConfigError: if an option is out of range, or bands that are no Sentinel-2 bands are given
            ratios.
    """
    given = parse_sampling(how)
    if how == "sharp":
        return SceneSampling(None)
    if given is not None and given.blur is not None:
        return _but_blurred(source, given.blur, noise)
    if given is None and not look and any(v is not None for v in source.sampling.values("gsd")):
        return SceneSampling(sharpness_of(source, mtf=mtf, noise=noise))
    groups = _groups(source, given)
    if groups is None:
        return SceneSampling(None)
    found = find_sampling(_blocks(source, blocks), groups)
    return _decided(source, found, given, mtf, noise)


def _but_blurred(source: CubeSource, width: float, noise: float | None) -> SceneSampling:
    """Bands that were never sampled coarser, blurred by so many of their native pixels, or some."""
    ratios = _named_ratios(source)
    classes = _classes(source)
    ratio = tuple(ratios[c] for c in classes)
    if max(ratio) == 1 or min(ratio) > 1:
        raise ConfigError(
            f"a blur given for bands of {', '.join(map(str, sorted(set(ratio))))} pixels",
            where=source.name,
            fix="give an image of sharp bands and of blurred ones, named as Sentinel-2's",
        )
    mtf = (PSF.from_fwhm(width).mtf if width else MTF,) * len(ratio)
    sharpness = Sharpness(ratio, mtf, known_facts(source, "noise", noise), laid="blurred")
    listed = ", ".join(n for n, r in zip(source.bands.names, ratio, strict=True) if r > 1)
    how = f"blurred by {width:g} native pixels" if width else "blurred"
    line = f"{listed}: {how} and never sampled, as given"
    return SceneSampling(sharpness, (), True, (line,), True, bool(width))


def _classes(source: CubeSource) -> list[int]:
    """Which of Sentinel-2's native samplings each band has, by its name."""
    classes = [native_class(n) for n in source.bands.names]
    if unknown := [n for n, c in zip(source.bands.names, classes, strict=True) if c is None]:
        raise ConfigError(
            f"sharpness given for bands {', '.join(unknown)}",
            fix="name bands as Sentinel-2's, or tell native_gsd in the metadata",
        )
    return [c for c in classes if c is not None]


def _groups(
    source: CubeSource, given: GivenSampling | None
) -> list[tuple[tuple[int, ...], Given]] | None:
    """Bands that were sampled alike, the finest first, and what is given or expected of them."""
    names = source.bands.names
    classes = [native_class(n) for n in names]
    if given is not None and given.ratios is not None:
        classes = [*_classes(source)]
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


def _blocks(source: CubeSource, most: int) -> list[tuple[np.ndarray, tuple[int, int]]]:
    """Blocks spread evenly over the image, and their corners; those without a value left out."""
    height, width = (min(n, BLOCK) for n in source.grid.shape)
    rows, cols = (
        sorted({0, (n - size) // 2, n - size})
        for n, size in zip(source.grid.shape, (height, width), strict=True)
    )
    corners = list(itertools.product(rows, cols))
    middle = [len(corners) // 2] if most == 1 else np.linspace(0, len(corners) - 1, most).round()
    chosen = [corners[int(i)] for i in middle]
    out = []
    # Where the chosen ones hold nothing, others have to do.
    for row, col in dict.fromkeys([*chosen, *corners]):
        data = source.read(Window(row, col, height, width)).masked()
        if np.isfinite(data).all(axis=0).any():
            out.append((data, (row, col)))
        if len(out) == min(most, len(corners)):
            break
    return out


def _decided(
    source: CubeSource,
    found: Sequence[FoundSampling],
    given: GivenSampling | None,
    mtf: float | None,
    noise: float | None,
) -> SceneSampling:
    names = source.bands.names
    lines: list[str] = []
    blurred = [f for f in found if f.ratio > 1]
    if not blurred:
        if given is None and any((f.expected or 1) > 1 for f in found):
            lines.append(_left_alone(names, found))
        return SceneSampling(None, tuple(found), True, tuple(lines), given is not None)
    if all(f.ratio > 1 for f in found):
        least = min(f.ratio for f in found)
        lines.append(
            f"all bands came from samples of {least} pixels or more: nothing on these pixels "
            "is sharper than others; give the image at its own sampling"
        )
        return SceneSampling(None, tuple(found), True, tuple(lines), given is not None)
    blurred, dropped = _nesting(blurred)
    lines += [
        f"{_listed(names, f)}: samples of {f.ratio} pixels do not nest with the others'; left as "
        "they are"
        for f in dropped
    ]
    if unlike := _unlike(names, blurred):
        lines.append(unlike)
    ratio = [1] * len(names)
    for one in blurred:
        for band in one.bands:
            ratio[band] = one.ratio
    mtfs, sigmas = known_facts(source, "mtf", mtf), known_facts(source, "noise", noise)
    if unlike or any(f.warped for f in blurred):
        mtfs = tuple(_with_kernel(m) for m in mtfs)
        sharpness = Sharpness(tuple(ratio), mtfs, sigmas, "cubic", (0, 0), "warped")
        lines += [] if unlike else [_warped_line(names, f) for f in blurred]
    else:
        coarsest = max(blurred, key=lambda f: f.ratio)
        kernels = _kernels(blurred)
        kernel = kernels[coarsest.ratio]
        others = tuple((r, k) for r, k in kernels.items() if k != kernel)
        sharpness = Sharpness(
            tuple(ratio), mtfs, sigmas, kernel, coarsest.origin, "lattice", others
        )
        lines += [_line(names, f, kernels[f.ratio], given) for f in blurred]
    return SceneSampling(sharpness, tuple(found), given is None, tuple(lines), given is not None)


def _with_kernel(mtf: float) -> float:
    """Modulation transfer of a blur and a kernel of interpolation together."""
    return max(PSF(math.hypot(PSF.from_mtf(mtf).sigma, KERNEL_BLUR)).mtf, 0.01)


def _nesting(blurred: Sequence[FoundSampling]) -> tuple[list[FoundSampling], list[FoundSampling]]:
    """Groups whose ratios divide each other, the largest groups first; and the others."""
    kept: list[FoundSampling] = []
    dropped: list[FoundSampling] = []
    for one in sorted(blurred, key=lambda f: (-len(f.bands), f.ratio)):
        fits = all(max(one.ratio, k.ratio) % min(one.ratio, k.ratio) == 0 for k in kept)
        (kept if fits else dropped).append(one)
    return sorted(kept, key=lambda f: f.ratio), dropped


def _unlike(names: Sequence[str], blurred: Sequence[FoundSampling]) -> str:
    """Why no one lattice and kernel of each ratio holds for all groups; empty if one does."""
    for one, other in itertools.combinations([f for f in blurred if f.sure], 2):
        fine = min(one.ratio, other.ratio)
        offset = any((a - b) % fine for a, b in zip(one.origin, other.origin, strict=True))
        kernels = one.ratio == other.ratio and not any(
            one.allows(k) and other.allows(k) for k in KERNELS
        )
        if offset or kernels:
            first, second = (
                f"{_listed(names, f)} (from row {f.origin[0]}, column {f.origin[1]}, by {f.kernel})"
                for f in (one, other)
            )
            return f"{first} and {second} were laid unlike: all treated by their blur alone"
    return ""


def _kernels(blurred: Sequence[FoundSampling]) -> dict[int, str]:
    """By ratio: the kernel likeliest for all groups together, since mostly one tool has laid all.

    Where the pixels rule that out, each group's own.
    """
    known = [dict(f.evidence) for f in blurred if f.evidence]
    shared = [k for k in KERNELS if all(k in e for e in known)]
    if not known or not shared:
        common = max(blurred, key=lambda f: len(f.bands)).kernel
        return {f.ratio: common for f in blurred}
    # What leaves less than rounding says nothing more. Kernels of the same range (at 2 pixels
    # bilinear and cubic) say the same: cubic in place of bilinear costs 2 % of the error of
    # restored bands, bilinear in place of cubic 8 %.
    likely = {k: round(sum(max(e[k], -1e6) for e in known), 2) for k in shared}
    common = max(shared, key=lambda k: (likely[k], k == "cubic"))
    if all(f.allows(common) for f in blurred if f.sure):
        return {f.ratio: common for f in blurred}
    # The largest group of each ratio counts.
    return {f.ratio: f.kernel for f in sorted(blurred, key=lambda f: len(f.bands))}


def _listed(names: Sequence[str], found: FoundSampling) -> str:
    return ", ".join(names[b] for b in found.bands)


def _line(
    names: Sequence[str], found: FoundSampling, kernel: str, given: GivenSampling | None
) -> str:
    row, col = found.origin
    text = f"{_listed(names, found)}: samples of {found.ratio}×{found.ratio} pixels"
    if given is not None and given.origin is not None:
        laid = "" if given.kernel is None else f", laid by {kernel}"
        return f"{text} that start at row {row}, column {col}{laid}, as given"
    if found.sure:
        times = min(1 / max(found.contrast, 1e-6), 999)
        return (
            f"{text} that start at row {row}, column {col}, laid by {kernel} (other places leave "
            f"{times:.3g} times as much unexplained)"
        )
    return (
        f"{text}, blurred beyond doubt; where they start does not show under the noise, and they "
        f"are taken to start at row {row}, column {col}"
    )


def _warped_line(names: Sequence[str], found: FoundSampling) -> str:
    return (
        f"{_listed(names, found)}: blurred as samples of {found.ratio}×{found.ratio} pixels, which "
        "start at no whole pixels all over the image (it was warped to another grid, or they were "
        "never sampled: then give --blur auto); treated by their blur alone"
    )


def _left_alone(names: Sequence[str], found: Sequence[FoundSampling]) -> str:
    coarse = [f for f in found if (f.expected or 1) > 1]
    listed = ", ".join(_listed(names, f) for f in coarse)
    if all(f.sure for f in coarse):
        return (
            f"{listed}: as sharp as the pixels, left as they are (looked for were samples of more "
            "than a pixel, and a blur beside the other bands)"
        )
    return (
        f"{listed}: the pixels do not tell whether they are blurred, left as they are; "
        "--sharpness 1:2:6 would restore them"
    )
