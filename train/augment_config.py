"""How training samples are varied, as a section of a configuration."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from trifuse.core.settings import require
from trifuse.train.augment import Augmentation, Dihedral, Noise, Ratio, Transform
from trifuse.train.sensors import Calibration, Clouds, Displacement, NativeSharpness

if TYPE_CHECKING:
    from trifuse.simulate import ObservationErrors


@dataclass(frozen=True, slots=True)
class AugmentConfig:
    """How training samples are varied; validation samples are not, unless that is asked for.

    Attributes:
        flips: turn and mirror (8 ways).
        ratios: ratios to draw from, one per batch; none: the store's.
        blur: share of the samples whose Sentinel-2 bands have their native sharpness of 10, 20
            and 60 m.
        mtf: (least, most) modulation transfer of the blurred bands at their Nyquist frequency.
        gain: standard deviation of each S2 band's gain about 1.
        offset: standard deviation of each S2 band's offset, reflectance.
        shift: S3 cells by which S3 is displaced at most, in rows and in columns.
        width: share by which the PSF of S3 is wider or narrower at most.
        noise_s2: standard deviation of the noise on S2, reflectance.
        noise_s3: standard deviation of the noise on S3, reflectance.
        noise_spread: 1 varies both from a half to the double, from sample to sample.
        noise_native: share of the samples whose S2 noise is added at each band's native sampling
            instead of at its pixels.
        clouds_s2: share of S2's pixels that clouds hide at most.
        clouds_s3: share of S3's cells that clouds hide at most.
    """

    flips: bool = True
    ratios: tuple[int, ...] = ()
    blur: float = 0.0
    mtf: tuple[float, float] = (0.3, 0.3)
    gain: float = 0.0
    offset: float = 0.0
    shift: float = 0.0
    width: float = 0.0
    noise_s2: float = 0.0
    noise_s3: float = 0.0
    noise_spread: float = 0.0
    noise_native: float = 0.0
    clouds_s2: float = 0.0
    clouds_s3: float = 0.0

    def __post_init__(self) -> None:
        limits = {
            "blur": 1.0,
            "gain": 1.0,
            "offset": 1.0,
            "shift": 5.0,
            "width": 0.9,
            "noise_s2": 1.0,
            "noise_s3": 1.0,
            "noise_spread": 9.0,
            "noise_native": 1.0,
            "clouds_s2": 0.9,
            "clouds_s3": 0.9,
        }
        for name, most in limits.items():
            value = getattr(self, name)
            require(0 <= value <= most, f"augment.{name}", f"is {value:g}", f"give 0 to {most:g}")
        require(
            0.01 <= self.mtf[0] <= self.mtf[1] <= 1,
            "augment.mtf",
            f"is {self.mtf}",
            "give [least, most] of 0.01 to 1",
        )

    @classmethod
    def like(cls, errors: ObservationErrors, **changes: Any) -> AugmentConfig:
        """The augmentation that draws the errors of a protocol.

        >>> from trifuse.simulate import PROTOCOLS
        >>> AugmentConfig.like(PROTOCOLS["real-world"], flips=False).noise_s2
        0.003

        Args:
            errors: of :data:`trifuse.simulate.PROTOCOLS`, or others.
            changes: fields to set besides.
        """
        sharp, coarse = errors.sharp, errors.coarse
        made = cls(
            blur=float(sharp.blur),
            mtf=(sharp.mtf, sharp.mtf),
            gain=sharp.gain,
            offset=sharp.offset,
            shift=coarse.shift,
            width=coarse.width,
            noise_s2=sharp.noise,
            noise_s3=coarse.noise,
            noise_native=float(sharp.noise_at == "native"),
            clouds_s2=sharp.clouds,
            clouds_s3=coarse.clouds,
        )
        return replace(made, **changes)

    def build(self) -> Augmentation:
        """The transforms in their order: geometry, resolution, radiometry, holes."""
        row: list[Transform] = []
        if self.flips:
            row.append(Dihedral())
        if self.ratios:
            row.append(Ratio(self.ratios))
        return Augmentation((*row, *self.errors().transforms))

    def errors(self) -> Augmentation:
        """The errors of the sensors alone, for validation under them."""
        row: list[Transform] = []
        if self.shift or self.width:
            row.append(Displacement(self.shift, self.width))
        if self.blur:
            row.append(NativeSharpness(self.blur, self.mtf))
        if self.gain or self.offset:
            row.append(Calibration(self.gain, self.offset))
        if self.noise_s2 or self.noise_s3:
            spread = {"spread": self.noise_spread, "native": self.noise_native}
            row.append(Noise(self.noise_s2, self.noise_s3, **spread))
        if self.clouds_s2 or self.clouds_s3:
            row.append(Clouds(self.clouds_s2, self.clouds_s3))
        return Augmentation(tuple(row))
