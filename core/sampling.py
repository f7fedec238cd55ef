"""How the bands of an image were sampled before they came onto its pixels, as far as is known.

A band that was measured at 20 m and lies on pixels of 10 m is blurred, came onto them by some rule,
and carries noise of its own. Each of these facts is *told* (by metadata, or by who opened the
image), *found* (in the pixels), or *unknown*. What is told and makes no sense is kept in words:
whoever needs the fact raises them, and whoever does not is not kept from reading the image.

Metadata that are written as words of JSON are understood here, in :meth:`Sampling.told`, and
nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from trifuse.core.errors import MetadataError
from trifuse.core.grid import Window

Fact = Literal["gsd", "origin", "kernel", "mtf", "noise"]
Sense = Literal["told", "found", "unknown"]

WORDS: Mapping[str, Fact] = {
    "native_gsd": "gsd",
    "native_origin": "origin",
    "upsampling": "kernel",
    "native_mtf": "mtf",
    "noise": "noise",
}
"""What metadata call each fact."""

_NUMBERS = ("native_gsd", "native_mtf", "noise")


@dataclass(frozen=True, slots=True)
class BandSampling:
    """How one band was sampled; None is unknown.

    Attributes:
        gsd: side of a native pixel in map units (metres).
        origin: (row, column) in pixels of the image where some native pixel starts; whole unless
            the image was warped.
        kernel: what brought native pixels onto the image's: ``nearest``, ``bicubic``,
            ``average`` …
        mtf: modulation transfer at the native Nyquist frequency, 0–1.
        noise: standard deviation of the noise at the native sampling, reflectance.
        found: facts that were found in the pixels; the others that are known are told.
        unclear: (fact, what is told of it) where that makes no sense.

    >>> b = BandSampling(gsd=20.0, noise=0.003).with_found(mtf=0.28)
    >>> b.mtf, b.sense("mtf"), b.sense("gsd"), b.sense("kernel")
    (0.28, 'found', 'told', 'unknown')
    """

    gsd: float | None = None
    origin: tuple[float, float] | None = None
    kernel: str | None = None
    mtf: float | None = None
    noise: float | None = None
    found: frozenset[Fact] = frozenset()
    unclear: tuple[tuple[Fact, str], ...] = ()

    def sense(self, fact: Fact) -> Sense:
        """Whether a fact is told, found or unknown."""
        if getattr(self, fact) is None:
            return "unknown"
        return "found" if fact in self.found else "told"

    def with_found(self, **facts: Any) -> BandSampling:
        """The same with facts that the pixels tell."""
        names: frozenset[Any] = frozenset(facts)
        return replace(self, **facts, found=self.found | names)

    def cropped(self, window: Window) -> BandSampling:
        """That of the same band in a window of the image."""
        if self.origin is None:
            return self
        row, col = self.origin
        return replace(self, origin=(row - window.row, col - window.col))


_UNKNOWN = BandSampling()


@dataclass(frozen=True, slots=True)
class Sampling:
    """How all bands of an image were sampled.

    Attributes:
        bands: one per band of the image, in its order.

    >>> s = Sampling.told({"native_gsd": {"B2": 10, "B11": 20}, "noise": 0.003}, ("B2", "B11"))
    >>> s.values("gsd"), s.values("noise"), s.values("mtf")
    ((10.0, 20.0), (0.003, 0.003), (None, None))
    >>> s.cropped(Window(3, 4, 10, 10)).select([1]).values("origin")
    ((-3, -4),)
    """

    bands: tuple[BandSampling, ...]

    @classmethod
    def unknown(cls, count: int) -> Sampling:
        """Nothing is known of so many bands."""
        return cls((_UNKNOWN,) * count)

    @classmethod
    def sharp(cls, count: int, gsd: float) -> Sampling:
        """So many bands whose native pixels are the image's."""
        return cls((BandSampling(gsd=gsd, origin=(0, 0)),) * count)

    @classmethod
    def told(cls, meta: Mapping[str, Any], names: Sequence[str]) -> Sampling:
        """What metadata tell.

        ``native_gsd`` (map units), ``native_mtf`` and ``noise`` (reflectance) are one number for
        all bands, one per band in a list, or a mapping by name; ``upsampling`` is the kernel;
        ``native_origin`` is (row, column), by default the image's own corner.

        Args:
            meta: of an image.
            names: of its bands.
        """
        if not WORDS.keys() & meta.keys():
            return cls.unknown(len(names))
        by_word = {w: _by_band(meta.get(w), names, w) for w in _NUMBERS}
        kernel = meta.get("upsampling")
        origin, off = _origin(meta.get("native_origin"))
        made = []
        for i in range(len(names)):
            facts: dict[str, Any] = {}
            unclear: list[tuple[Fact, str]] = [("origin", off)] if off else []
            for word, told in by_word.items():
                value = told[i]
                if isinstance(value, str):
                    unclear.append((WORDS[word], value))
                else:
                    facts[WORDS[word]] = value
            if origin is None and not off and facts.get("gsd") is not None:
                facts["origin"] = (0, 0)
            elif origin is not None:
                facts["origin"] = origin
            if kernel is not None:
                facts["kernel"] = str(kernel)
            made.append(BandSampling(**facts, unclear=tuple(unclear)))
        return cls(tuple(made))

    def __len__(self) -> int:
        return len(self.bands)

    @property
    def known(self) -> bool:
        """Whether anything is told or found of any band."""
        return any(b is not _UNKNOWN and b != _UNKNOWN for b in self.bands)

    def values(self, fact: Fact) -> tuple[Any, ...]:
        """One fact of all bands, None where it is unknown."""
        return tuple(getattr(b, fact) for b in self.bands)

    def require_clear(self, fact: Fact, where: str) -> None:
        """Stop where what is told of a fact makes no sense.

        Raises:
            MetadataError: with what is told of it.
        """
        for band in self.bands:
            for name, what in band.unclear:
                if name == fact:
                    raise MetadataError(what, where=where)

    def select(self, numbers: Iterable[int]) -> Sampling:
        """Some bands, in the order asked for."""
        return Sampling(tuple(self.bands[i] for i in numbers))

    def cropped(self, window: Window) -> Sampling:
        """That of a window of the image."""
        return Sampling(tuple(b.cropped(window) for b in self.bands))

    def retold(self, meta: Mapping[str, Any], names: Sequence[str]) -> Sampling:
        """The same where metadata that came later tell nothing; what they tell counts."""
        words = {w: v for w, v in meta.items() if w in WORDS}
        if not words:
            return self
        later = Sampling.told(words, names)
        return Sampling(
            tuple(_over(a, b, words) for a, b in zip(self.bands, later.bands, strict=True))
        )

    def described(self, meta: Mapping[str, Any], names: Sequence[str]) -> Mapping[str, Any]:
        """Metadata that tell this sampling: for files, which keep words alone.

        Changed is what they do not tell: where native pixels start, if a crop has moved that, and
        numbers that are known better.

        Args:
            meta: of the image.
            names: of its bands.
        """
        told = Sampling.told(meta, names)
        more: dict[str, Any] = {}
        if self.values("origin") != told.values("origin") and self.bands[0].origin is not None:
            more["native_origin"] = list(self.bands[0].origin)
        for word in _NUMBERS:
            values = self.values(WORDS[word])
            if values != told.values(WORDS[word]) and any(v is not None for v in values):
                more[word] = dict(zip(names, values, strict=True))
        return {**meta, **more} if more else meta


def _over(first: BandSampling, later: BandSampling, words: Mapping[str, Any]) -> BandSampling:
    """The facts of the first but for those that were told later, in such words."""
    told: set[Fact] = {WORDS[w] for w in words}
    if "gsd" in told and first.origin is None:
        told.add("origin")
    facts = {f: getattr(later if f in told else first, f) for f in WORDS.values()}
    kept = tuple(u for u in first.unclear if u[0] not in told)
    return BandSampling(**facts, found=first.found - told, unclear=kept + later.unclear)


def _by_band(value: Any, names: Sequence[str], word: str) -> Sequence[float | str | None]:
    """One number per band, or in its place what makes no sense, in words."""
    if value is None:
        return (None,) * len(names)
    wrong = f"{word} is {value!r}"
    try:
        if isinstance(value, Mapping):
            there = {n: None if value[n] is None else float(value[n]) for n in names if n in value}
            return [there[n] if n in there else f"{word} lacks band {n}" for n in names]
        if isinstance(value, int | float):
            return (float(value),) * len(names)
        values = [float(v) for v in value]
    except (TypeError, ValueError):
        return (wrong,) * len(names)
    if len(values) != len(names):
        return (f"{word} has {len(values)} values for {len(names)} bands",) * len(names)
    return values


def _origin(value: Any) -> tuple[tuple[float, float] | None, str]:
    """(row, column), or None and what makes no sense."""
    if value is None:
        return None, ""
    try:
        row, col = (int(v) for v in value)
    except (TypeError, ValueError):
        return None, f"native_origin is {value!r}"
    return (row, col), ""
