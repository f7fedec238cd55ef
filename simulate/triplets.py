"""What a triplet is, how a scene is cut into them, and which scenes serve for what."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from trifuse.core import PSF, BandSet, ConfigError, DataError, Grid
from trifuse.core.settings import require_known, to_mapping
from trifuse.srf_data import Overlap

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
DType = Literal["int16", "float32"]


@dataclass(frozen=True, slots=True, eq=False)
class Triplet:
    """One training sample.

    Attributes:
        id: its number in the store.
        hrmsi: (l, y, x) float32 reflectance, sharp with few bands; NaN where missing.
        lrhsi: (L, y / ratio, x / ratio) float32 reflectance, coarse with many bands.
        hrhsi: (L, y, x) float32 reflectance, sharp with many bands: the truth.
        hr_bands: the l bands of ``hrmsi``.
        lr_bands: the L bands of ``lrhsi`` and ``hrhsi``.
        ratio: fine pixels per coarse cell.
        psf: that led from ``hrhsi`` to ``lrhsi``: one for all bands, or one per band.
        grid: of the fine pixels.
        provenance: plain JSON values: ``unit``, ``product_id``, ``row``, ``col``, ``valid_share``
            and ``split``.
    """

    id: int
    hrmsi: np.ndarray
    lrhsi: np.ndarray
    hrhsi: np.ndarray
    hr_bands: BandSet
    lr_bands: BandSet
    ratio: int
    psf: PSF | tuple[PSF, ...]
    grid: Grid
    provenance: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SimulateConfig:
    """How scenes become triplets: the clean protocol, without noise or misregistration.

    Attributes:
        s2: response table of the sharp sensor.
        s3: response table of the sensor with many bands.
        ratio: fine pixels per coarse cell.
        mtf: modulation transfer of the coarse sensor at Nyquist; one value, or one by band name.
        fwhm: width of its PSF in coarse cells, in place of ``mtf``; likewise.
        patch: edge of a triplet in fine pixels, a multiple of ``ratio``.
        stride: fine pixels between neighbouring triplets, a multiple of ``ratio`` (default:
            ``patch``, without overlap).
        count: triplets kept per scene at most, drawn by the seed (default: all).
        min_valid: share of a triplet's fine pixels that must have a value in every band.
        split: shares of the scenes for training, validation and test.
        seed: of the draw of triplets and of scenes.
        dtype: ``int16`` counts of 1e-4, or ``float32``.
        overlap: which EnMAP detector counts where two overlap.
        bands: ``auto`` (what the scenes cover), ``all``, or names of either sensor.
        min_coverage: share of a response that a scene must cover.
        mask: what is not usable in the EnMAP deliveries that are opened by path; see
            :func:`trifuse.products.open_enmap`.

    Raises:
        ConfigError: if a value is out of range.
    """

    s2: str = "S2A_MSI"
    s3: str = "S3A_SYN"
    ratio: int = 10
    mtf: float | Mapping[str, float] = 0.3
    fwhm: float | Mapping[str, float] | None = None
    patch: int = 150
    stride: int | None = None
    count: int | None = None
    min_valid: float = 0.95
    split: tuple[float, float, float] = (0.8, 0.1, 0.1)
    seed: int = 0
    dtype: DType = "int16"
    overlap: Overlap = "vnir"
    bands: Literal["auto", "all"] | tuple[str, ...] = "auto"
    min_coverage: float = 0.95
    mask: str = "default"

    def __post_init__(self) -> None:
        for name in ("split", "bands"):
            if isinstance(value := getattr(self, name), list):
                object.__setattr__(self, name, tuple(value))
        _require(self.ratio >= 1, "ratio", self.ratio, "give 1 or more")
        multiple = f"give a positive multiple of the ratio {self.ratio}"
        for name, size in (("patch", self.patch), ("stride", self.step)):
            _require(size > 0 and size % self.ratio == 0, name, size, multiple)
        _require(self.count is None or self.count >= 1, "count", self.count, "give 1 or more")
        _require(0 < self.min_valid <= 1, "min_valid", self.min_valid, "give a share in (0, 1]")
        shares = len(self.split) == len(SPLITS) and min(self.split) >= 0
        _require(
            shares and math.isclose(sum(self.split), 1, abs_tol=1e-6),
            "split",
            self.split,
            "give three shares (train, val, test) that sum to 1",
        )
        _require(self.dtype in get_args(DType), "dtype", self.dtype, "give int16 or float32")
        _require(
            self.overlap in get_args(Overlap), "overlap", self.overlap, "give vnir, swir or all"
        )
        _require(
            not isinstance(self.bands, str) or self.bands in ("auto", "all"),
            "bands",
            self.bands,
            "give auto, all or a list of names",
        )
        _ = self.psf
        for name in ("mtf", "fwhm"):
            if isinstance(value := getattr(self, name), Mapping):
                object.__setattr__(self, name, {str(k): float(v) for k, v in value.items()})

    @property
    def step(self) -> int:
        """Fine pixels between neighbouring triplets."""
        return self.patch if self.stride is None else self.stride

    @property
    def psf(self) -> PSF | dict[str, PSF]:
        """The PSF: one for all bands, or by band name."""
        make, given = (PSF.from_mtf, self.mtf) if self.fwhm is None else (PSF.from_fwhm, self.fwhm)
        if isinstance(given, Mapping):
            return {str(band): make(float(value)) for band, value in given.items()}
        return make(given)

    @property
    def views(self) -> dict[str, Any]:
        """Arguments of :func:`trifuse.simulate.scene_views` that say which bands are made."""
        names = ("s2", "s3", "bands", "overlap", "min_coverage")
        return {name: getattr(self, name) for name in names}

    def to_json(self) -> dict[str, Any]:
        """Plain values; inverse of :meth:`from_json`."""
        return to_mapping(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> SimulateConfig:
        """Read what :meth:`to_json` made, or a user's file.

        Raises:
            ConfigError: if a key is unknown or a value of the wrong kind.
        """
        require_known(cls, values, where="simulate")
        try:
            return cls(**values)
        except (TypeError, ValueError) as e:
            if isinstance(e, ConfigError):
                raise
            raise ConfigError(f"a value is of the wrong kind ({e})", where="simulate") from None


def choose_patches(valid: np.ndarray, config: SimulateConfig, key: str) -> list[tuple[int, int]]:
    """Upper left corners of a scene's triplets, by rows.

    Candidates lie on a lattice of ``config.step`` pixels from the scene's corner, so they are
    aligned to the coarse cells. Of those with enough valid pixels, ``config.count`` are kept:
    the first in the order of a hash of seed, scene and corner, so that a larger count keeps all
    that a smaller one does.

    Args:
        valid: (y, x) bool; whether a pixel has a value in every band.
        config: patch, step, count, min_valid and seed count here.
        key: the scene's id.

    Returns:
        (row, column) of each, in fine pixels.

    Raises:
        DataError: if a patch does not fit the scene.
    """
    height, width = valid.shape
    if config.patch > min(height, width):
        raise DataError(
            f"a patch of {config.patch} pixels does not fit {height}×{width}",
            fix=f"give a patch of at most {min(height, width) // config.ratio * config.ratio}",
        )
    share = patch_shares(valid, config)
    corners = [
        (i * config.step, j * config.step)
        for i, j in np.argwhere(share >= config.min_valid - 1e-12).tolist()
    ]
    if config.count is not None:
        corners.sort(key=lambda corner: _rank(config.seed, key, *corner))
    return sorted(corners[: config.count])


def patch_shares(valid: np.ndarray, config: SimulateConfig) -> np.ndarray:
    """Share of valid pixels of every candidate: (rows, columns) of the lattice, float64."""
    sums = np.zeros((valid.shape[0] + 1, valid.shape[1] + 1), np.int64)
    sums[1:, 1:] = valid.cumsum(axis=0, dtype=np.int64).cumsum(axis=1)
    size, step = config.patch, config.step
    corner = sums[:-size:step, :-size:step]
    right, below = sums[:-size:step, size::step], sums[size::step, :-size:step]
    inside: np.ndarray = sums[size::step, size::step] - right - below + corner
    return inside / size**2


def assign_splits(
    ids: Sequence[str],
    shares: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    groups: Sequence[Sequence[str]] = (),
) -> dict[str, Split]:
    """Which scenes train, validate and test: whole scenes, so that no ground is on two sides.

    Scenes are put in the order of a hash of seed and id, and dealt out in runs: every split with
    a share gets one while scenes last (training first, then validation, then test), the rest go
    to the split that is furthest below its share. Groups of scenes of the same ground are dealt
    out before them, the largest first, each to the split that is furthest below its share.

    >>> sorted(assign_splits(["a", "b", "c"]).values())
    ['test', 'train', 'val']
    >>> len(set(assign_splits(["a", "b", "c"], groups=[("a", "b")]).values()))
    2

    Args:
        ids: of the scenes; their order does not matter.
        shares: for training, validation and test; they sum to 1.
        seed: another seed deals otherwise.
        groups: scenes of the same ground, each in one group at most.
    """
    there = set(ids)
    bound = [tuple(sorted(there & set(group))) for group in groups]
    bound = sorted((g for g in bound if len(g) > 1), key=lambda g: (-len(g), _rank(seed, *g)))
    together = {scene for group in bound for scene in group}
    order = sorted(there - together, key=lambda scene: _rank(seed, scene))
    wanted = [i for i, share in enumerate(shares) if share > 0]
    total, counts = len(there), [0] * len(SPLITS)
    splits: dict[str, Split] = {}

    def furthest() -> int:
        return max(wanted, key=lambda k: (shares[k] * total - counts[k], -k))

    for number, group in enumerate(bound):
        empty = [i for i in wanted if not counts[i]]
        left = len(bound) - number + len(order)
        i = empty[0] if empty and left <= len(empty) else furthest()
        counts[i] += len(group)
        splits |= dict.fromkeys(group, SPLITS[i])
    placed = list(counts)
    for i in [i for i in wanted if not counts[i]][: len(order)]:
        counts[i] = 1
    while sum(counts) < total:
        counts[furthest()] += 1
    single = [c - p for c, p in zip(counts, placed, strict=True)]
    names = [name for name, count in zip(SPLITS, single, strict=True) for _ in range(count)]
    return splits | dict(zip(order, names, strict=True))


def beyond_share(
    splits: Mapping[str, Split], groups: Sequence[Sequence[str]], shares: Sequence[float]
) -> list[tuple[Sequence[str], Split, int]]:
    """Groups that are larger than what their split should have: group, split and that number."""
    found = []
    for group in groups:
        split = splits[group[0]]
        due = max(1, math.ceil(shares[SPLITS.index(split)] * len(splits)))
        if len(group) > due:
            found.append((group, split, due))
    return found


def _rank(seed: int, *key: object) -> bytes:
    """A place in an order that depends on nothing but seed and key, on any machine."""
    return hashlib.sha256(repr((seed, *key)).encode()).digest()


def _require(holds: bool, name: str, value: object, fix: str) -> None:
    if not holds:
        raise ConfigError(f"is {value}", where=name, fix=fix)
