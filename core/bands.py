"""Spectral bands: a name, a centre and a width, in nanometres."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, overload

from trifuse.core.band_names import canonical_name, centre_of, known_name, listed
from trifuse.core.errors import BandError

__all__ = ["Band", "BandSet", "canonical_name"]


@dataclass(frozen=True, slots=True)
class Band:
    """One spectral band.

    Attributes:
        name: the field's name, e.g. ``B8A``, ``Oa17``, ``S3``.
        centre: centre wavelength in nm; NaN where unknown.
        fwhm: full width at half maximum in nm; NaN where unknown.
    """

    name: str
    centre: float = math.nan
    fwhm: float = math.nan


@dataclass(frozen=True, slots=True)
class BandSet:
    """An ordered, immutable set of bands with unique names.

    >>> BandSet.of(["B4", "B8A"], centres=[665, 865]).index("B8A")
    1
    """

    bands: tuple[Band, ...]

    def __post_init__(self) -> None:
        counts = Counter(b.name for b in self.bands)
        if twice := sorted(name for name, count in counts.items() if count > 1):
            raise BandError(f"band names occur twice: {', '.join(twice)}", fix="rename them")

    @classmethod
    def of(
        cls,
        names: Iterable[str],
        centres: Iterable[float] | None = None,
        fwhms: Iterable[float] | None = None,
    ) -> BandSet:
        """Make a set from parallel lists; what is not given is unknown (NaN)."""
        names = list(names)
        nothing = [math.nan] * len(names)
        centres = nothing if centres is None else list(centres)
        fwhms = nothing if fwhms is None else list(fwhms)
        if not len(names) == len(centres) == len(fwhms):
            raise BandError(f"{len(names)} names, {len(centres)} centres and {len(fwhms)} widths")
        rows = zip(names, centres, fwhms, strict=True)
        return cls(tuple(Band(n, float(c), float(f)) for n, c, f in rows))

    @property
    def names(self) -> tuple[str, ...]:
        """Band names in order."""
        return tuple(b.name for b in self.bands)

    @property
    def centres(self) -> tuple[float, ...]:
        """Centre wavelengths in nm, in order."""
        return tuple(b.centre for b in self.bands)

    @property
    def fwhms(self) -> tuple[float, ...]:
        """Full widths at half maximum in nm, in order."""
        return tuple(b.fwhm for b in self.bands)

    def __len__(self) -> int:
        return len(self.bands)

    def __iter__(self) -> Iterator[Band]:
        return iter(self.bands)

    @overload
    def __getitem__(self, key: int) -> Band: ...
    @overload
    def __getitem__(self, key: slice) -> BandSet: ...
    def __getitem__(self, key: int | slice) -> Band | BandSet:
        return BandSet(self.bands[key]) if isinstance(key, slice) else self.bands[key]

    def index(self, name: str) -> int:
        """Position of a band by name; ``B8A``, ``b8a`` and ``B08A`` are the same band.

        Where no band is called so, a word such as ``red`` stands for Sentinel-2's band of it.

        Raises:
            BandError: if there is no such band; the message lists those that are there.
        """
        if (i := self._find(name)) is None:
            raise BandError(
                f"no band {name!r} among {listed(self.names) or 'no bands'}",
                fix="ask for one of these",
            )
        return i

    def indices(self, names: Iterable[str]) -> list[int]:
        """Positions of several bands; all that are missing are named at once."""
        names = list(names)
        known = {canonical_name(b.name): i for i, b in enumerate(self.bands)}
        found = [self._find(n, known) for n in names]
        if missing := [n for n, i in zip(names, found, strict=True) if i is None]:
            raise BandError(
                f"bands {listed(missing)} are missing among {listed(self.names)}",
                fix="ask for bands that are there, or give the product that has them",
            )
        return [i for i in found if i is not None]

    def _find(self, name: str, known: dict[str, int] | None = None) -> int | None:
        if known is None:
            known = {canonical_name(b.name): i for i, b in enumerate(self.bands)}
        i = known.get(canonical_name(name))
        return known.get(known_name(name)) if i is None else i

    def select(self, which: Iterable[str | int]) -> BandSet:
        """The named (or numbered) bands, in the order asked for."""
        numbers = [w if isinstance(w, int) else self.index(w) for w in which]
        return BandSet(tuple(self.bands[i] for i in numbers))

    def nearest(self, nm: float, tolerance: float = math.inf) -> int:
        """Position of the band whose centre is nearest to ``nm``.

        Of Sentinel-2's bands by name the centre is known, to some nm, where none is given.

        Raises:
            BandError: if no centre lies within ``tolerance`` nm, or ``nm`` is no number.
        """
        centres = [centre_of(b.name) if math.isnan(b.centre) else b.centre for b in self.bands]
        gaps = [abs(c - nm) if math.isfinite(c) else math.inf for c in centres]
        best = min(range(len(gaps)), key=gaps.__getitem__, default=-1)
        if best < 0 or math.isinf(gaps[best]) or not gaps[best] <= tolerance:  # NaN is beyond
            raise BandError(
                f"no band within {tolerance:g} nm of {nm:g} nm among "
                + listed([f"{b.name} ({b.centre:g})" for b in self.bands])
            )
        return best

    def differences(self, other: BandSet, tolerance: float = 5.0) -> list[str]:
        """Why two sets are not the same bands in the same order; empty if they are.

        Names must agree (``B01`` is ``B1``) and centres must lie within ``tolerance`` nm where
        both are known.
        """
        if len(self) != len(other):
            return [
                f"{len(self)} bands ({listed(self.names)}) against "
                f"{len(other)} ({listed(other.names)})"
            ]
        why = []
        for i, (a, b) in enumerate(zip(self, other, strict=True), start=1):
            if canonical_name(a.name) != canonical_name(b.name):
                why.append(f"band {i} is {a.name} against {b.name}")
            elif abs(a.centre - b.centre) > tolerance:
                why.append(f"{a.name} is centred at {a.centre:.1f} against {b.centre:.1f} nm")
        return why

    def to_json(self) -> list[dict[str, Any]]:
        """Plain values for sidecars and cards; unknown numbers become null."""
        return [
            {"name": b.name, "centre_nm": _finite(b.centre), "fwhm_nm": _finite(b.fwhm)}
            for b in self.bands
        ]

    @classmethod
    def from_json(cls, rows: Iterable[dict[str, Any]]) -> BandSet:
        """Inverse of :meth:`to_json`.

        Raises:
            BandError: if a row has no name or a number that is none.
        """
        try:
            return cls(
                tuple(
                    Band(str(r["name"]), _number(r.get("centre_nm")), _number(r.get("fwhm_nm")))
                    for r in rows
                )
            )
        except (KeyError, TypeError, ValueError, AttributeError) as e:
            raise BandError(f"not a list of bands with name, centre_nm and fwhm_nm ({e})") from None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
