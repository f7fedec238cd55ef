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

import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trifuse.align import Registration
from trifuse.core import (
    PSF,
    BandSet,
    ConfigError,
    Cube,
    CubeSource,
    DataError,
    Window,
    canonical_name,
)
from trifuse.core.resample import NO_SHIFT
from trifuse.core.runtime import Runtime
from trifuse.fusion.scene import Scene
from trifuse.fusion.spectral.chain import ChainRun, chain_prior
from trifuse.restore.restored_source import RestoredSource
from trifuse.restore.sharpness import Sharpness, sharpness_of
from trifuse.restore.sharpness_check import learn

SHIFT_FROM, WIDTH_FROM = 0.01, 0.02
"""Shifts in cells, and relative changes of the PSF's width, below which what is told is better than
what is found: on data without errors both come out at a third of this at most."""

_NATIVE = {
    **dict.fromkeys(("B2", "B3", "B4", "B8"), 0),
    **dict.fromkeys(("B5", "B6", "B7", "B8A", "B11", "B12"), 1),
    **dict.fromkeys(("B1", "B9", "B10"), 2),
}
"""Sentinel-2's bands by native sampling: 10 m, 20 m, 60 m."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Physics:
    """The chain.

    Attributes:
        sharpness: ``auto`` goes by the metadata, checked against the pixels; ``sharp`` restores
            nothing; ``1:2:6`` are pixels per native pixel of Sentinel-2's 10 m, 20 m and 60 m
            bands, likewise checked.
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
        if self.sharpness not in ("auto", "sharp"):
            _ratios(self.sharpness)
        for key in ("s2_noise", "s3_noise"):
            value = getattr(self, key)
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(f"{key} of {value}", fix="give reflectance, 0 to 1")

    def bands(self, hr: BandSet, lr: BandSet) -> tuple[list[str], list[str]]:
        """All bands."""
        return list(hr.names), list(lr.names)

    def view(self, s2: CubeSource, runtime: Runtime) -> CubeSource:
        """The restored image; see :class:`trifuse.fusion.methods.Sharpening`.

        Raises:
            ConfigError: if bands that are no Sentinel-2 bands are given ratios.
        """
        return self.restored(s2, runtime, RestoredSource)

    def restored(
        self, s2: CubeSource, runtime: Runtime, restoration: type[RestoredSource]
    ) -> CubeSource:
        """:meth:`view` by a restoration of this or another kind.

        Returns:
            The restored image, or ``s2`` itself, with more said of it, where nothing is to be done.
        """
        if "restoration" in s2.meta:
            return s2
        told = self._told(s2)
        if told is None:
            noise = self.s2_noise if self.s2_noise is not None else s2.meta.get("noise")
            return _Told(s2, {"restored": False, "deviation": _deviations(s2, noise)})
        try:
            sharpness, statistics, check = learn(
                s2, told, find_mtf=self.s2_mtf is None, find_noise=self.s2_noise is None
            )
        except DataError as e:
            _log.warning("%s: not restored: %s", s2.name, e.what)
            return _Told(
                s2, {"restored": False, "why": e.what, "deviation": _deviations(s2, told.noise)}
            )
        names = s2.bands.names
        about: dict[str, Any] = {
            "noise": {n: float(f"{v:.3g}") for n, v in zip(names, sharpness.noise, strict=True)}
        }
        about |= {"check": check.to_json(), "warnings": check.warnings()}
        if not sharpness.blurred:
            return _Told(
                s2, {"restored": False, **about, "deviation": _deviations(s2, sharpness.noise)}
            )
        view = restoration(s2, sharpness, statistics, device=runtime.device)
        about["deviation"] = _deviations(s2, view.deviation)
        done = view.meta["restored"]["bands"]
        view.meta = {**view.meta, "restoration": {"restored": True, "bands": done, **about}}
        return view

    def prepare(self, scene: Scene, runtime: Runtime) -> PhysicsRun:
        """Fit the scene's map and weigh its residual."""
        return PhysicsRun(chain_prior(scene, residual=self.residual, s3_noise=self.s3_noise))

    def _told(self, s2: CubeSource) -> Sharpness | None:
        if self.sharpness == "sharp":
            return None
        if self.sharpness == "auto":
            return sharpness_of(s2, mtf=self.s2_mtf, noise=self.s2_noise)
        ratios = _ratios(self.sharpness)
        names = {n: canonical_name(n) for n in s2.bands.names}
        if unknown := [n for n, known in names.items() if known not in _NATIVE]:
            raise ConfigError(
                f"sharpness {self.sharpness} for bands {', '.join(unknown)}",
                fix="name bands as Sentinel-2's, or give native_gsd in the metadata",
            )
        gsd = s2.grid.gsd[1]
        native = {n: gsd * ratios[_NATIVE[known]] for n, known in names.items()}
        return sharpness_of(_Told(s2, {}, native_gsd=native), mtf=self.s2_mtf, noise=self.s2_noise)


@dataclass(frozen=True, slots=True, eq=False)
class PhysicsRun:
    """The chain, fitted to a scene; a :data:`TileRun`.

    Attributes:
        chain: the prediction.
    """

    chain: ChainRun

    def __call__(self, window: Window, hrmsi: np.ndarray) -> np.ndarray:
        """The prediction, NaN where S3 has no value."""
        missing = self.chain.scene.missing(window)
        values = self.chain(window, hrmsi)
        return np.where(missing, np.float32(np.nan), values) if missing.any() else values

    def deviation(self, window: Window, hrmsi: np.ndarray) -> np.ndarray:
        """See :class:`trifuse.fusion.tiles.UncertainRun`."""
        return self.chain.deviation(window, hrmsi)

    @property
    def record(self) -> dict[str, Any]:
        """What was found of the scene."""
        return self.chain.record


def placed(found: Registration, told: PSF) -> tuple[tuple[float, float], PSF]:
    """Where S3's cells lie and how wide they see, for a method that depends on it as this one.

    Args:
        found: on the restored image.
        told: the PSF as it is known.

    Returns:
        (rows, columns) in fine pixels, and the PSF; what is told where nothing better is found.
    """
    if not found.reliable:
        return NO_SHIFT, told
    least = max(SHIFT_FROM, found.error / found.ratio)
    shift = found.shift if found.length >= least else NO_SHIFT
    off = abs(math.log(max(found.psf.sigma, 1e-3) / max(told.sigma, 1e-3)))
    return shift, found.psf if off >= WIDTH_FROM else told


def _ratios(text: str) -> tuple[int, int, int]:
    """``1:2:6`` as numbers."""
    try:
        first, second, third = (int(part) for part in text.split(":"))
    except ValueError:
        raise ConfigError(f"sharpness {text!r}", fix="give auto, sharp, or such as 1:2:6") from None
    if not 1 <= first <= second <= third <= 60:
        raise ConfigError(f"sharpness {text!r}", fix="give rising numbers from 1 to 60")
    return first, second, third


def _deviations(s2: CubeSource, values: Any) -> dict[str, float]:
    """By band; what is not known is 0."""
    names = s2.bands.names
    if values is None:
        return dict.fromkeys(names, 0.0)
    if isinstance(values, dict):
        return {n: float(values.get(n, 0.0)) for n in names}
    every = np.broadcast_to(np.asarray(values, np.float64), len(names))
    return {n: float(v) for n, v in zip(names, every, strict=True)}


class _Told(CubeSource):
    """A source as it is, with more said of it."""

    def __init__(self, source: CubeSource, restoration: dict[str, Any], **more: Any) -> None:
        self._source = source
        self.name, self.grid, self.bands = source.name, source.grid, source.bands
        self.meta = {**source.meta, **more, **({"restoration": restoration} if restoration else {})}

    def read(self, window: Window | None = None, bands: Iterable[str] | None = None) -> Cube:
        """See :meth:`CubeSource.read`."""
        return self._source.read(window, bands)

    def close(self) -> None:
        """See :meth:`CubeSource.close`."""
        self._source.close()
