"""Augmentation by the errors of real sensors: sharpness, calibration, displacement, clouds.

The effects are those of :mod:`trifuse.simulate.observation_effects`, drawn anew for every sample.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from trifuse.core import degrade
from trifuse.core.native import native_view
from trifuse.simulate.observation_effects import calibrate, displace, draw_calibration, hide
from trifuse.train.augment import Chance, Sample


class _AnySize:
    """An effect that serves samples of any size."""

    __slots__ = ()

    def check(self, height: int, width: int) -> None:
        """Any size serves."""


@dataclass(frozen=True, slots=True)
class NativeSharpness(_AnySize):
    """Sentinel-2's bands of 20 m and 60 m as their own sampling leaves them.

    Attributes:
        share: of the samples that are blurred; the others keep all bands sharp.
        mtf: (least, most) modulation transfer at the native Nyquist frequency.
    """

    share: float = 1.0
    mtf: tuple[float, float] = (0.3, 0.3)

    def __call__(self, sample: Sample, chance: Chance) -> Sample:
        """The sample blurred, or as it is.

        Raises:
            ConfigError: if the sample does not name its bands.
        """
        hit, mtf = chance.sample.random(), float(chance.sample.uniform(*self.mtf))
        if hit >= self.share:
            return sample
        ratios = sample.native_ratios("sharpness by band for", "blur")
        return replace(sample, hrmsi=native_view(sample.hrmsi, ratios, mtf), mtf=mtf)


@dataclass(frozen=True, slots=True)
class Calibration(_AnySize):
    """A gain and an offset for every sharp band.

    Attributes:
        gain: standard deviation about 1.
        offset: standard deviation, reflectance.
    """

    gain: float = 0.02
    offset: float = 0.003

    def __call__(self, sample: Sample, chance: Chance) -> Sample:
        """The sample with other radiometry in its sharp image."""
        drawn = draw_calibration(len(sample.hrmsi), self.gain, self.offset, chance.sample)
        return replace(sample, hrmsi=calibrate(sample.hrmsi, *drawn))


@dataclass(frozen=True, slots=True)
class Displacement(_AnySize):
    """Coarse cells beside where they should be, seen by a PSF of another width.

    The coarse image is made anew from the truth of the sample, whose borders are mirrored.

    Attributes:
        shift: cells at most, in rows and in columns.
        width: share by which the PSF is wider or narrower at most.
    """

    shift: float = 0.5
    width: float = 0.2

    def __call__(self, sample: Sample, chance: Chance) -> Sample:
        """The sample with another coarse image; the PSF that is told stays."""
        psf, shift, _ = displace(sample.psf, self.shift, self.width, sample.ratio, chance.sample)
        return replace(sample, lrhsi=degrade(sample.hrhsi, sample.ratio, psf, shift=shift))


@dataclass(frozen=True, slots=True)
class Clouds(_AnySize):
    """What clouds hide is missing (NaN), in each image by itself.

    Attributes:
        pixels: share of the sharp image that is hidden at most.
        cells: share of the coarse image that is hidden at most.
    """

    pixels: float = 0.0
    cells: float = 0.05

    def __call__(self, sample: Sample, chance: Chance) -> Sample:
        """The sample with holes; the truth has none."""
        pixels, cells = (float(m * chance.sample.random()) for m in (self.pixels, self.cells))
        return replace(
            sample,
            hrmsi=hide(sample.hrmsi, pixels, float(sample.ratio), chance.sample),
            lrhsi=hide(sample.lrhsi, cells, 1.0, chance.sample),
        )
