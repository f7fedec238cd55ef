"""Augmentation of triplets: small functions in a row, each drawing its own random numbers.

What is drawn depends on the seed, the epoch and the sample (or the batch, for what all samples of
a batch must share) and on nothing else: neither on the number of workers nor on what was drawn
before. A new effect is one more :class:`Transform`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from trifuse.core import PSF, ConfigError, degrade
from trifuse.core.native import native_field
from trifuse.simulate.observation_effects import add_noise, native_ratios
from trifuse.train.batches import Draw


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One triplet on its way to the network.

    Attributes:
        hrmsi: (l, y, x) float32 reflectance, NaN where missing.
        lrhsi: (L, y / ratio, x / ratio) float32 reflectance, NaN where missing.
        hrhsi: (L, y, x) float32 reflectance, NaN where missing: the truth.
        ratio: fine pixels per coarse cell.
        psf: of the coarse sensor, one for all bands or one per band.
        hr_bands: names of the sharp bands; effects that differ by band need them.
        mtf: of the sharp image's bands of 20 m and 60 m; None while all bands are sharp.
        hr_sigma: standard deviation of the noise that was added to the sharp image, reflectance.
        lr_sigma: of that added to the coarse image.
    """

    hrmsi: np.ndarray
    lrhsi: np.ndarray
    hrhsi: np.ndarray
    ratio: int
    psf: PSF | tuple[PSF, ...]
    hr_bands: tuple[str, ...] = ()
    mtf: float | None = None
    hr_sigma: float = 0.0
    lr_sigma: float = 0.0

    def native_ratios(self, what: str, key: str) -> tuple[int, ...]:
        """Pixels per native sample of each sharp band.

        Args:
            what: effect that needs them, for the message.
            key: setting that asks for it, likewise.

        Raises:
            ConfigError: if the bands have no names.
        """
        if len(self.hr_bands) != len(self.hrmsi):
            raise ConfigError(
                f"{what} bands without names",
                where=f"augment.{key}",
                fix="name the sharp bands of the samples",
            )
        return native_ratios(self.hr_bands)


@dataclass(frozen=True, slots=True)
class Chance:
    """Random numbers for one transform of one sample.

    Attributes:
        sample: differs from sample to sample and from epoch to epoch.
        batch: the same for all samples of a batch.
    """

    sample: np.random.Generator
    batch: np.random.Generator

    @classmethod
    def of(cls, seed: int, draw: Draw, place: int) -> Chance:
        """For the transform at a place of the row."""
        return cls(
            np.random.default_rng([seed, 1, draw.epoch, draw.index, place]),
            np.random.default_rng([seed, 2, draw.batch, 0, place]),
        )


class Transform(Protocol):
    """One effect. It must pickle, and must not change the arrays it is given."""

    def __call__(self, sample: Sample, chance: Chance) -> Sample:
        """The sample with the effect."""
        ...

    def check(self, height: int, width: int) -> None:
        """Refuse samples of a size that the effect cannot serve, before any training.

        Raises:
            ConfigError: if it cannot.
        """
        ...


@dataclass(frozen=True, slots=True)
class Dihedral:
    """One of the eight turns and mirror images of the square, the same for all three images.

    The PSF and the decimation are symmetric, so the triplet stays consistent.
    """

    def __call__(self, sample: Sample, chance: Chance) -> Sample:
        """The sample turned."""
        turn = int(chance.sample.integers(8))

        def turned(image: np.ndarray) -> np.ndarray:
            image = np.rot90(image, turn % 4, axes=(1, 2))
            return np.ascontiguousarray(image[:, :, ::-1] if turn >= 4 else image)

        return replace(
            sample,
            hrmsi=turned(sample.hrmsi),
            lrhsi=turned(sample.lrhsi),
            hrhsi=turned(sample.hrhsi),
        )

    def check(self, height: int, width: int) -> None:
        """Only squares stay in shape."""
        if height != width:
            raise ConfigError(
                f"flips of {height}×{width} pixels",
                where="augment.flips",
                fix="give square samples",
            )


@dataclass(frozen=True, slots=True)
class Ratio:
    """Another ratio for the whole batch: the coarse image is made anew from the truth.

    Only what lies in the sample blurs into the new cells (borders are reflected), while the
    stored coarse image has seen the ground beyond.

    Attributes:
        ratios: to draw from, equally likely; the store's own keeps the stored coarse image.
    """

    ratios: tuple[int, ...]

    def __call__(self, sample: Sample, chance: Chance) -> Sample:
        """The sample at a ratio drawn for its batch."""
        ratio = int(chance.batch.choice(self.ratios))
        if ratio == sample.ratio:
            return sample
        return replace(sample, ratio=ratio, lrhsi=degrade(sample.hrhsi, ratio, sample.psf))

    def check(self, height: int, width: int) -> None:
        """Each ratio must divide the sample."""
        wrong = [r for r in self.ratios if r < 1 or height % r or width % r]
        if wrong or not self.ratios:
            raise ConfigError(
                f"ratios {', '.join(map(str, wrong)) or 'missing'} for {height}×{width} pixels",
                where="augment.ratios",
                fix="give divisors of the sample's edge",
            )


@dataclass(frozen=True, slots=True)
class Noise:
    """White Gaussian noise on the inputs; the truth stays clean.

    Attributes:
        hr_sigma: standard deviation on the sharp image, reflectance.
        lr_sigma: standard deviation on the coarse image, reflectance.
        spread: both vary from sample to sample, from ``1 / (1 + spread)`` to ``1 + spread`` of
            what is given.
        native: share of the samples whose noise on the sharp image is added at the native
            sampling of each band (10, 20 or 60 m) and interpolated.
    """

    hr_sigma: float
    lr_sigma: float
    spread: float = field(default=0.0, repr=False)
    native: float = field(default=0.0, repr=False)

    def __call__(self, sample: Sample, chance: Chance) -> Sample:
        """The sample with noise.

        Raises:
            ConfigError: if noise at native sampling meets bands without names.
        """
        rng = chance.sample
        hr_sigma, lr_sigma = self.hr_sigma, self.lr_sigma
        if self.spread:
            factors = (1 + self.spread) ** rng.uniform(-1, 1, 2)
            hr_sigma, lr_sigma = float(hr_sigma * factors[0]), float(lr_sigma * factors[1])
        if self.native and rng.random() < self.native:
            ratios = sample.native_ratios("native sampling of", "noise_native")
            noise = native_field(sample.hrmsi.shape, ratios, hr_sigma, rng)
            hrmsi = sample.hrmsi + noise
        else:
            hrmsi = add_noise(sample.hrmsi, hr_sigma, rng)
        lrhsi = add_noise(sample.lrhsi, lr_sigma, rng)
        return replace(sample, hrmsi=hrmsi, lrhsi=lrhsi, hr_sigma=hr_sigma, lr_sigma=lr_sigma)

    def check(self, height: int, width: int) -> None:
        """Any size serves."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Transforms in a row.

    >>> Augmentation((Dihedral(), Ratio((5, 10, 15)), Noise(0.003, 0.001)))
    Augmentation(transforms=(Dihedral(), Ratio(ratios=(5, 10, 15)), Noise(hr_sigma=0.003, \
lr_sigma=0.001)))

    Attributes:
        transforms: applied in order; the numbers each one draws depend on its place.
    """

    transforms: tuple[Transform, ...] = (Dihedral(),)

    def __call__(self, sample: Sample, *, seed: int, draw: Draw) -> Sample:
        """The sample as this draw sees it."""
        for place, transform in enumerate(self.transforms):
            sample = transform(sample, Chance.of(seed, draw, place))
        return sample

    def check(self, height: int, width: int) -> None:
        """Refuse samples of a size that some transform cannot serve.

        Raises:
            ConfigError: by the transform.
        """
        for transform in self.transforms:
            transform.check(height, width)
