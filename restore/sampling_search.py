"""How each band came onto the pixels of an image, found in the pixels alone.

A band that was interpolated from coarser samples lies in the range of that interpolation, but for
noise that was added later. So of all samplings (ratio, where the lattice starts, kernel) the true
one leaves least outside its range, nothing but noise, while the same samples laid one pixel further
leave more: an image that was never interpolated has no such preferred place. Rows and columns are
looked at apart, each as vectors that lie in the range of one axis or do not.

What is left outside tells the two ways in which this can go wrong from each other. A sharp band
leaves detail, which the other bands' detail explains (a tenth to all of it), whereas noise is not
explained. And where noise covers all, no place of the lattice is better than another: then nothing
is found, and any place is as good.

Sources: Gallagher 2005, doi:10.1109/CRV.2005.33, and Mahdian and Saic 2008,
doi:10.1109/TIFS.2004.924603 (interpolation shows as periodic variance); the range test is ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from trifuse.core.kernels import KERNELS, kernel_matrix
from trifuse.restore.relative_blur import BLUR_GAIN, BLUR_SIGMA, FLOOR, relative_blur

RATIOS = (2, 3, 6)
"""Pixels per sample that are looked for beside those that names or metadata tell."""

EDGE = 120
"""Pixels of an axis that are looked at, at most; the other side of a block may be longer."""

EXPLAINED = 0.05
"""Share of what is outside the range that other bands may explain; more, and it is detail."""

DRIFT = 0.02
"""Share of what is outside that is detail, above which no one lattice holds all over the image: of
images warped by a degree and noisy 0.05 or more; where noise hides a lattice 0.004 at most."""

ROUNDED = 1e-4
"""Standard deviation outside below which what is explained is of rounding and of borders."""

CLOSE = 0.03
"""Samplings whose logarithms of variance outside differ by less leave the same."""

APART = 0.2
"""By so much more the logarithm of a band's variance outside the range is what its group's sampling
leaves, where it was not sampled as its group."""

ALONE = 0.5
"""So low must be the contrast of a band that alone of its group came from coarser samples: of sharp
bands of little detail that others do not share it was 0.8 at least."""

RULED_OUT = 25.0
"""A kernel is ruled out if the logarithm of its likelihood is so far below the best one's."""

BEYOND_DOUBT = 100.0
"""By so much a kernel must be less likely to contradict what metadata or other bands say: where
noise covers what two kernels differ in, chance favours one of them by up to 25."""

SIGMAS = 5.0
"""Standard errors by which the best place of the lattice must be better than the others."""


@dataclass(frozen=True, slots=True)
class Given:
    """What is known of some bands before the pixels are asked.

    Attributes:
        ratio: pixels per sample.
        origin: (row, column) of a pixel where a sample starts.
        kernel: that brought the samples onto the pixels.
        fixed: whether this is so, else it decides only what the pixels leave open.
    """

    ratio: int | None = None
    origin: tuple[int, int] | None = None
    kernel: str | None = None
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class FoundSampling:
    """What the pixels tell of some bands that were sampled alike.

    Attributes:
        bands: numbers of the bands.
        ratio: pixels per sample; 1 is sharp.
        origin: (row, column) of a pixel of the image where a sample starts.
        kernel: that brought the samples onto the pixels.
        contrast: variance outside the range over that of the same samples laid elsewhere (0–1).
        explained: share of what is outside that other bands explain (0–1).
        outside: standard deviation outside the range (reflectance).
        sure: whether the lattice is better than others beyond doubt.
        warped: whether the bands are blurred, but no lattice of whole pixels holds all over the
            image, as of one that was warped to another grid.
        blur: what :func:`relative_blur` found, if it was asked: (gain, pixels).
        expected: pixels per sample that names or metadata tell; None if they do not.
        evidence: by kernel, the logarithm of its likelihood less that of the best, for the same
            samples.
    """

    bands: tuple[int, ...]
    ratio: int
    origin: tuple[int, int]
    kernel: str
    contrast: float
    explained: float
    outside: float
    sure: bool
    warped: bool = False
    blur: tuple[float, float] | None = None
    expected: int | None = None
    evidence: tuple[tuple[str, float], ...] = ()

    @property
    def alike(self) -> tuple[str, ...]:
        """Other kernels that the pixels do not rule out."""
        return tuple(k for k, e in self.evidence if k != self.kernel and e > -RULED_OUT)

    def allows(self, kernel: str) -> bool:
        """Whether the pixels leave it possible that a kernel laid the samples."""
        return kernel == self.kernel or dict(self.evidence).get(kernel, -math.inf) > -BEYOND_DOUBT


@dataclass(frozen=True, slots=True, eq=False)
class _Looks:
    """Sums over blocks of what is outside the range of one sampling along one axis.

    Attributes:
        products: (l, l) of the bands' parts outside the range.
        dof: numbers behind them, of each band.
    """

    products: np.ndarray
    dof: int

    def __add__(self, other: _Looks) -> _Looks:
        return _Looks(self.products + other.products, self.dof + other.dof)

    @property
    def level(self) -> np.ndarray:
        """(l,) logarithm of the variance outside, not below that of rounding."""
        variance = self.products.diagonal() / max(self.dof, 1)
        return np.asarray(np.log(np.maximum(variance, FLOOR**2)))

    def explained(self, band: int) -> float:
        """Share of a band's part that the other bands' explain, chance taken off."""
        others = [i for i in range(len(self.products)) if i != band]
        own = self.products[band, band]
        if not others or own <= 0:
            return 0.0
        among, cross = self.products[np.ix_(others, others)], self.products[others, band]
        size = max(float(np.trace(among)) / len(others), 1e-30)
        solved = np.linalg.solve(among + 1e-9 * size * np.eye(len(others)), cross)
        chance = len(others) / max(self.dof, 1)
        return float(np.clip((cross @ solved / own - chance) / max(1 - chance, 1e-9), 0, 1))


_Key = tuple[int, str, int, int]
"""Ratio, kernel, axis (0 for rows), and where a sample starts along it."""


@lru_cache(maxsize=512)
def _outside(n: int, ratio: int, kernel: str, origin: int) -> np.ndarray:
    """An orthonormal basis of what the range of an axis leaves out: (n - samples, n)."""
    left, values, _ = np.linalg.svd(kernel_matrix(n, ratio, kernel, origin), full_matrices=True)
    rank = int((values > 1e-6 * values[0]).sum())
    return np.ascontiguousarray(left[:, rank:].T)


def _pieces(block: np.ndarray) -> Iterator[tuple[int, np.ndarray, int]]:
    """(axis, (l, n, m) lines along it without a gap, where the first one's first pixel lies)."""
    whole = np.isfinite(block).all(axis=0)
    for axis in (0, 1):
        data, there = (block, whole) if axis == 0 else (block.swapaxes(1, 2), whole.T)
        for start in range(0, max(len(there) - EDGE // 2, 1), EDGE):
            part = slice(start, start + EDGE)
            lines = np.flatnonzero(there[part].all(axis=0))
            if len(lines) and len(there[part]) >= 12:
                yield axis, data[:, part][:, :, lines].astype(np.float64), start


def _look(
    blocks: Iterable[tuple[np.ndarray, tuple[int, int]]], ratios: Sequence[int]
) -> dict[_Key, _Looks]:
    """All samplings, over all blocks; origins are those of the image."""
    found: dict[_Key, _Looks] = {}
    for block, corner in blocks:
        for axis, lines, start in _pieces(block):
            count, n, _ = lines.shape
            lines = lines - lines.mean(axis=(1, 2), keepdims=True)
            for ratio in (r for r in ratios if n >= 3 * r):
                for kernel in KERNELS:
                    for place in range(ratio):
                        basis = _outside(n, ratio, kernel, (place - corner[axis] - start) % ratio)
                        if len(basis) < 4:
                            continue
                        parts = (basis @ lines).reshape(count, -1)
                        key = ratio, kernel, axis, place
                        looks = _Looks(parts @ parts.T, parts.shape[1])
                        found[key] = found[key] + looks if key in found else looks
    return found


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A sampling of a group at the best place of its lattice."""

    level: float
    ratio: int
    kernel: str
    origin: tuple[int, int]
    contrast: float
    explained: float
    error: float

    @property
    def sure(self) -> bool:
        return math.log(max(self.contrast, 1e-12)) < -SIGMAS * self.error

    @property
    def detail(self) -> bool:
        return self.explained > EXPLAINED


def _candidate(
    looks: Mapping[_Key, _Looks], bands: Sequence[int], ratio: int, kernel: str, nested: _Nested
) -> _Candidate | None:
    at = list(bands)
    origin, levels, gains, explained, dof = [], [], [], [], 0
    for axis in (0, 1):
        places = [p for p in range(ratio) if (ratio, kernel, axis, p) in looks]
        if len(places) < ratio:
            return None
        level = {p: float(looks[ratio, kernel, axis, p].level[at].mean()) for p in places}
        fit = [p for p in places if nested.allows(axis, p)]
        best = min(fit or places, key=level.__getitem__)
        rest = [v for p, v in level.items() if p != best]
        origin.append(best)
        levels.append(level[best])
        gains.append(level[best] - float(np.median(rest)))
        here = looks[ratio, kernel, axis, best]
        explained.append(float(np.mean([here.explained(b) for b in at])))
        dof += here.dof * len(at)
    return _Candidate(
        float(np.mean(levels)),
        ratio,
        kernel,
        (origin[0], origin[1]),
        float(np.exp(np.mean(gains))),
        float(np.mean(explained)),
        math.sqrt(2 / max(dof, 1)),
    )


@dataclass(frozen=True, slots=True)
class _Nested:
    """Where finer samples start; those of coarser bands start where some of them do."""

    ratio: int = 1
    origin: tuple[int, int] = (0, 0)

    def allows(self, axis: int, place: int) -> bool:
        return (place - self.origin[axis]) % self.ratio == 0


def find_sampling(
    blocks: Sequence[tuple[np.ndarray, tuple[int, int]]],
    groups: Sequence[tuple[Sequence[int], Given]],
) -> list[FoundSampling]:
    """How groups of bands were sampled before they came onto the pixels.

    Args:
        blocks: each (l, y, x) reflectance, NaN where missing, and (row, column) of its first
            pixel in the image.
        groups: numbers of bands that were sampled alike, and what is known of them. From the
            finest sampling on.

    Returns:
        One for each group, in their order; where bands of a group were not sampled alike, more.
    """
    told = {g.ratio for _, g in groups if g.ratio is not None and g.ratio > 1}
    fixed = any(g.fixed for _, g in groups)
    looks = _look(blocks, sorted(told if fixed else {*RATIOS, *told}))
    found: list[FoundSampling] = []
    finest = tuple(groups[0][0]) if groups else ()
    for bands, given in groups:
        own = tuple(bands)
        if given.fixed:
            one = _as_told(looks, own, given, found) or _sharp(own)
            if one.warped and not _blurred(blocks, own, finest, one.ratio)[0]:
                one = replace(one, warped=False)
            found.append(one)
            continue
        parts = [_asked(looks, one, blocks, given, found, finest) for one in _apart(looks, own)]
        if len(parts) > 1 and any(one.warped for one in parts):
            # Where no lattice holds for all the image it may seem to for one band.
            parts = [_asked(looks, _by_lattice(looks, own), blocks, given, found, finest)]
        found += parts
    return found


def _asked(
    looks: Mapping[_Key, _Looks],
    one: FoundSampling,
    blocks: Sequence[tuple[np.ndarray, tuple[int, int]]],
    given: Given,
    finer: Sequence[FoundSampling],
    finest: tuple[int, ...],
) -> FoundSampling:
    """What is found of some bands, whose blur is asked where no lattice shows that is expected."""
    expected = given.ratio
    drifts = one.ratio == expected and one.explained > DRIFT and one.outside > ROUNDED
    doubtful = expected is not None and (one.ratio < expected or drifts)
    if expected is not None and doubtful and set(one.bands).isdisjoint(finest):
        # Bands smoother than their samples pass for samples of a finer lattice.
        blurred, blur = _blurred(blocks, one.bands, finest, expected)
        if blurred:
            one = _as_told(looks, one.bands, given, finer) or one
        one = replace(one, blur=blur)
    return replace(one, expected=expected)


def _blurred(
    blocks: Sequence[tuple[np.ndarray, tuple[int, int]]],
    bands: tuple[int, ...],
    sharp: tuple[int, ...],
    ratio: int,
) -> tuple[bool, tuple[float, float]]:
    """Whether bands are blurred beside others beyond doubt, and what :func:`relative_blur` says."""
    gain, sigma = relative_blur([b for b, _ in blocks], bands, sharp, ratio)
    return gain > BLUR_GAIN and sigma >= BLUR_SIGMA * ratio, (gain, sigma)


def _apart(looks: Mapping[_Key, _Looks], bands: tuple[int, ...]) -> list[FoundSampling]:
    """Samplings of a group of bands: one, unless some band is beyond doubt sampled otherwise."""
    whole = _by_lattice(looks, bands)
    if len(bands) == 1:
        return [whole]
    alone = {band: _by_lattice(looks, (band,)) for band in bands}
    if whole.ratio == 1:
        odd = [b for b, one in alone.items() if one.ratio > 1 and one.sure and one.contrast < ALONE]
    else:
        odd = [b for b, one in alone.items() if one.sure and _contradicts(looks, whole, one)]
    if not odd:
        return [whole]
    rest = tuple(b for b in bands if b not in odd)
    kinds: dict[tuple[int, tuple[int, int]], list[int]] = {}
    for band in odd:
        kinds.setdefault((alone[band].ratio, alone[band].origin), []).append(band)
    parts = [*([rest] if rest else []), *(tuple(part) for part in kinds.values())]
    return [_by_lattice(looks, part) for part in parts]


def _contradicts(looks: Mapping[_Key, _Looks], whole: FoundSampling, one: FoundSampling) -> bool:
    """Whether what holds for a group leaves detail of a band that another sampling does not."""
    band = one.bands[0]
    own = looks[whole.ratio, whole.kernel, 0, whole.origin[0]]
    other = looks[whole.ratio, whole.kernel, 1, whole.origin[1]]
    left = float(np.mean([own.level[band], other.level[band]]))
    explained = float(np.mean([own.explained(band), other.explained(band)]))
    return explained > EXPLAINED and left > 2 * math.log(max(one.outside, FLOOR)) + APART


def _sharp(bands: tuple[int, ...]) -> FoundSampling:
    return FoundSampling(bands, 1, (0, 0), "nearest", 1.0, 0.0, 0.0, False)


def _candidates(
    looks: Mapping[_Key, _Looks], bands: Sequence[int], ratios: Iterable[int], nested: _Nested
) -> list[_Candidate]:
    made = (_candidate(looks, bands, r, kernel, nested) for r in ratios for kernel in KERNELS)
    return [c for c in made if c is not None]


def _by_lattice(looks: Mapping[_Key, _Looks], bands: tuple[int, ...]) -> FoundSampling:
    """The sampling whose lattice shows; ratio 1 if none does."""
    free = _candidates(looks, bands, sorted({key[0] for key in looks}), _Nested())
    if not free:
        return _sharp(bands)
    least = min(free, key=lambda c: c.level)
    close = [c for c in free if c.level <= least.level + max(CLOSE, 3 * c.error)]
    lattice = [c for c in close if c.sure and not c.detail]
    if not lattice:
        return replace(_found(bands, least, least.detail, []), ratio=1, origin=(0, 0))
    # Samples of 6 pixels by the nearest are samples of 2 and of 3, too: the coarsest that leaves
    # nothing is meant.
    ratio = max(c.ratio for c in lattice)
    surest = min((c for c in lattice if c.ratio == ratio), key=lambda c: c.contrast)
    same = [c for c in free if c.ratio == ratio and c.origin == surest.origin]
    return _found(bands, min(same, key=lambda c: c.level), True, same)


def _as_told(
    looks: Mapping[_Key, _Looks],
    bands: tuple[int, ...],
    given: Given,
    finer: Sequence[FoundSampling],
) -> FoundSampling | None:
    """Samples of the ratio given; what else is not given is what leaves least.

    Where it does not show where they start, they are laid as finer ones are.
    """
    ratio = given.ratio
    if ratio is None or ratio == 1:
        return None
    sure = [f for f in finer if 1 < f.ratio and ratio % f.ratio == 0]
    nested = _Nested(sure[-1].ratio, sure[-1].origin) if sure else _Nested()
    if given.origin is not None:
        nested = _Nested(ratio, given.origin)
    fits = _candidates(looks, bands, [ratio], nested)
    if given.kernel is not None:
        fits = [c for c in fits if c.kernel == given.kernel]
    if not fits:
        return None
    least = min(fits, key=lambda c: c.level)
    shows = least.sure and not least.detail
    drifts = least.explained > DRIFT and given.kernel is None and given.origin is None
    return replace(_found(bands, least, shows and not drifts, fits), warped=drifts)


def _found(
    bands: tuple[int, ...], best: _Candidate, sure: bool, others: Sequence[_Candidate]
) -> FoundSampling:
    evidence = {
        c.kernel: (best.level - c.level) / best.error**2
        for c in others
        if c.ratio == best.ratio and c.origin == best.origin
    }
    return FoundSampling(
        bands,
        best.ratio,
        best.origin,
        best.kernel,
        best.contrast,
        best.explained,
        math.exp(best.level / 2),
        sure,
        evidence=tuple(sorted(evidence.items(), key=lambda item: -item[1])),
    )
