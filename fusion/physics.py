"""Fusion by physics, without a network: restore, register, map, add back what is no noise.

1. Sentinel-2's 20 m and 60 m bands are brought to the sharpness of its 10 m bands
   (:mod:`trifuse.restore.restoration`), unless they are sharp already.
2. The shift of Sentinel-3 and the width of its PSF are found on the restored image
   (:func:`trifuse.align.register`; ``trifuse.fuse`` does that).
3. The scene's spectral map is that of the mean scene, moved by this scene's coarse cells as far as
   their number and noise warrant, in the ways in which maps of scenes do differ
   (:mod:`trifuse.fusion.spectral.empirical_bayes`).
4. What the map leaves of Sentinel-3 is added back as far as it is not noise
   (:mod:`trifuse.fusion.spectral.residual`).

All four are closed forms; nothing is trained on scenes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trifuse.align import Registration
from trifuse.core import PSF, BandSet, ConfigError, CubeSource, Window
from trifuse.core.resample import NO_SHIFT
from trifuse.core.runtime import Runtime
from trifuse.fusion.method import Method, Run, Uncertain
from trifuse.fusion.scene import Scene
from trifuse.fusion.spectral.chain import ChainRun, chain_prior
from trifuse.restore.scene_sampling import parse_sampling
from trifuse.restore.view import RestoredView, restored_view

SHIFT_FROM, WIDTH_FROM = 0.01, 0.02
"""Shifts in cells, and relative changes of the PSF's width, below which what is told is better than
what is found: on data without errors both come out at a third of this at most."""


@dataclass(frozen=True, slots=True)
class Physics(Method):
    """The chain.

    Attributes:
        sharpness: ``auto`` goes by what the image's reader tells, checked against the pixels,
            and looks for it in the pixels where nothing is told; ``sharp`` restores nothing;
            ``1:2:6`` are pixels per native pixel of Sentinel-2's 10 m, 20 m and 60 m bands,
            ``1:2:6@3,0:nearest`` also where native pixels start (row, column) and the kernel
            that laid them; ``blur:1.2`` that 20 m and 60 m bands are blurred by so many of
            their native pixels (full width at half maximum), and were never sampled.
        s2_mtf: modulation transfer of blurred bands at their native Nyquist frequency; default:
            what is found in the pixels, or where nothing is found the metadata's, or 0.3.
        s2_noise: standard deviation of Sentinel-2's noise, reflectance, believed as far as the
            pixels can have so much; default: what is found in them, or where nothing is found the
            metadata's, or 0.003.
        s3_noise: of Sentinel-3's; default: told by what the map leaves.
        residual: whether what the map leaves of Sentinel-3 is added back, as far as no noise.
    """

    sharpness: str = "auto"
    s2_mtf: float | None = None
    s2_noise: float | None = None
    s3_noise: float | None = None
    residual: bool = True
    name: str = field(default="physics", init=False)
    halo: int | None = field(default=0, init=False)
    alignment: int = field(default=1, init=False)

    def __post_init__(self) -> None:
        parse_sampling(self.sharpness)
        for key in ("s2_noise", "s3_noise"):
            value = getattr(self, key)
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(f"{key} of {value}", fix="give reflectance, 0 to 1")

    def bands(self, hr: BandSet, lr: BandSet) -> tuple[list[str], list[str]]:
        """All bands."""
        return list(hr.names), list(lr.names)

    def view(self, s2: CubeSource, runtime: Runtime) -> RestoredView:
        """The restored image.

        Raises:
            ConfigError: if bands that are no Sentinel-2 bands are given ratios.
        """
        return restored_view(
            s2, how=self.sharpness, mtf=self.s2_mtf, noise=self.s2_noise, device=runtime.device
        )

    def place(self, estimate: Registration, nominal: PSF) -> tuple[tuple[float, float], PSF]:
        """See :func:`placed`."""
        return placed(estimate, nominal)

    def prepare(self, scene: Scene, runtime: Runtime) -> PhysicsRun:
        """Fit the scene's map and weigh its residual."""
        return PhysicsRun(chain_prior(scene, residual=self.residual, s3_noise=self.s3_noise))


@dataclass(frozen=True, slots=True, eq=False)
class PhysicsRun(Run):
    """The chain, fitted to a scene.

    Attributes:
        chain: the prediction.
    """

    chain: ChainRun

    def __call__(self, window: Window, hrmsi: np.ndarray) -> np.ndarray:
        """The prediction, NaN where S3 has no value."""
        missing = self.chain.scene.missing(window)
        values = self.chain(window, hrmsi)
        return np.where(missing, np.float32(np.nan), values) if missing.any() else values

    @property
    def uncertain(self) -> Uncertain:
        """The chain knows."""
        return self.chain

    @property
    def record(self) -> dict[str, Any]:
        """What was found of the scene."""
        return self.chain.record


def placed(estimate: Registration, nominal: PSF) -> tuple[tuple[float, float], PSF]:
    """Where S3's cells lie and how wide they see, for a method that depends on it as this one.

    Args:
        estimate: of both, on the restored image.
        nominal: the PSF as it is told.

    Returns:
        (rows, columns) in fine pixels, and the PSF; the nominal one where no estimate is better.
    """
    if not estimate.reliable:
        return NO_SHIFT, nominal
    least = max(SHIFT_FROM, estimate.error / estimate.ratio)
    shift = estimate.shift if estimate.length >= least else NO_SHIFT
    off = abs(math.log(max(estimate.psf.sigma, 1e-3) / max(nominal.sigma, 1e-3)))
    return shift, estimate.psf if off >= WIDTH_FROM else nominal
