"""Sentinel-2 as a method sees it: the image to read, and what is known of the errors of its bands.

An image goes through here on its way to its restored blocks: what is told of its sharpness is held
against its pixels, and where bands turn out to be blurred they are restored as they are read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Protocol

import numpy as np

from trifuse.core import CubeSource, DataError, Window
from trifuse.core.runtime import Runtime
from trifuse.restore.agreed import second_look
from trifuse.restore.blockwise import BLOCK, BlockwiseSource, LatticeSource
from trifuse.restore.local import HALO_PERIODS, LocalRestorer
from trifuse.restore.places import Kinds, ground_kinds
from trifuse.restore.restoration import BlockRestorer
from trifuse.restore.restored_errors import REACH, RestoredErrors, restored_errors
from trifuse.restore.scene_sampling import SceneSampling, scene_sampling
from trifuse.restore.scene_statistics import Statistics
from trifuse.restore.sharpness import Sharpness
from trifuse.restore.sharpness_check import learn, sharpness_of

Calibrated = Literal["restoration", "local", "refined"]
"""Steps of the restoration after which errors were calibrated."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class RestoredView:
    """What a method makes of Sentinel-2, and what is known of it.

    Attributes:
        source: the image to read.
        restored: whether some band was brought to the sharpness of the pixels.
        deviation: by band, standard deviation of its errors (reflectance), averaged over the
            image; None where it is not told.
        restoration: the restored bands, which tell their errors place by place; None where there
            are none, or errors are not told.
        refinement: ``source`` where a network has refined the restored bands.
        calibrated_as: step whose calibration holds for the errors; None for none.
        record: what was done, in plain JSON values; empty where nothing was to be decided.
    """

    source: CubeSource
    restored: bool = False
    deviation: Mapping[str, float] | None = None
    restoration: RestoredSource | None = None
    refinement: LatticeSource | None = None
    calibrated_as: Calibrated | None = None
    record: Mapping[str, Any] = field(default_factory=dict)

    def covariance(self, names: Sequence[str]) -> np.ndarray:
        """Of the errors of some bands, averaged over the image: (k, k), reflectance²."""
        if self.restoration is None:
            told = self.deviation or {}
            return np.diag([told.get(n, 0.0) ** 2 for n in names])
        numbers = self.restoration.bands.indices(names)
        found: np.ndarray = self.restoration.errors.covariance[np.ix_(numbers, numbers)]
        return found

    def deviations(self, window: Window, names: Sequence[str]) -> np.ndarray:
        """Standard deviations of the errors of some bands at each pixel of a window.

        Returns:
            (k, y, x), or (k, 1, 1) where all pixels have the same.
        """
        if self.restoration is None:
            same: np.ndarray = np.sqrt(self.covariance(names).diagonal())[:, None, None]
            return same
        return self.restoration.deviations(window)[self.restoration.bands.indices(names)]


class Restorer(Protocol):
    """A solver of blocks that knows how far off it is."""

    @property
    def deviation(self) -> np.ndarray:
        """(l,) standard deviation of its bands under the model (reflectance)."""
        ...

    def __call__(self, block: np.ndarray) -> np.ndarray:
        """(l, y, x) finite pixels of a block → the restored ones."""
        ...


class RestoredSource(BlockwiseSource[Restorer]):
    """A source with all bands at the sharpness of its pixels.

    Args:
        source: the image.
        sharpness: of its bands.
        statistics: of the scene.
        device: ``cpu``, ``cuda`` or ``auto``.
        block: pixels of a solved block at most.
        halo: pixels that a block is solved beyond those it gives; default: five periods, which
            leaves seams of a tenth of the noise.

    Attributes:
        sharpness: of the bands as they were.
        statistics: of the scene.
    """

    calibrated_as: ClassVar[Calibrated] = "restoration"

    def __init__(
        self,
        source: CubeSource,
        sharpness: Sharpness,
        statistics: Statistics,
        *,
        device: str = "auto",
        block: int = BLOCK,
        halo: int | None = None,
    ) -> None:
        super().__init__(source, sharpness.period, block, halo, sharpness.origin)
        self.sharpness, self.statistics = sharpness, statistics
        self._device = Runtime(device).torch_device
        self._be_sharp()
        self._errors: RestoredErrors | None = None

    @property
    def deviation(self) -> np.ndarray:
        """(l,) standard deviation of the restored bands under the scene's statistics.

        Places of little detail stay below it where they are restored by their own.
        """
        deviation, doubt = self._prepared().deviation, self.statistics.doubt
        return deviation if doubt is None else np.hypot(deviation, doubt)

    @property
    def errors(self) -> RestoredErrors:
        """Those of the restored bands; learnt when they are first asked for."""
        if self._errors is None:
            self._errors = restored_errors(self.sharpness, self.statistics)
        return self._errors

    def deviations(self, window: Window) -> np.ndarray:
        """Standard deviations of the errors at each pixel: (l, y, x) float32, finite everywhere.

        Seen in the restored pixels around; no window changes them by more than rounding.

        Args:
            window: of the scene.
        """
        top, left = max(window.row - REACH, 0), max(window.col - REACH, 0)
        bottom = min(window.row + window.height + REACH, self.grid.height)
        right = min(window.col + window.width + REACH, self.grid.width)
        around = self.read(Window(top, left, bottom - top, right - left)).data
        deviation = self.errors.deviation(around)
        rows, cols = window.shift(-top, -left).slices
        return deviation[:, rows, cols]

    def _solver(self) -> Restorer:
        return BlockRestorer(self.block_shape, self.sharpness, self.statistics, self._device)


class LocallyRestoredSource(RestoredSource):
    """A source with all bands at the sharpness of its pixels, by the statistics of each place.

    Args and attributes as :class:`RestoredSource`.
    """

    calibrated_as: ClassVar[Calibrated] = "local"

    def __init__(
        self,
        source: CubeSource,
        sharpness: Sharpness,
        statistics: Statistics,
        *,
        device: str = "auto",
        block: int = BLOCK,
        halo: int | None = None,
    ) -> None:
        halo = HALO_PERIODS * sharpness.period if halo is None else halo
        super().__init__(source, sharpness, statistics, device=device, block=block, halo=halo)
        self._kinds: Kinds | None = None

    def _solver(self) -> Restorer:
        if self._kinds is None:
            self._kinds = ground_kinds(self._source, self.sharpness)
        return LocalRestorer(
            self.block_shape, self.sharpness, self.statistics, self._kinds, self._device
        )


def as_view(
    image: CubeSource | RestoredView, make: Callable[[CubeSource], RestoredView] = RestoredView
) -> RestoredView:
    """A view as it is; of an image, the view that is made of it (by default: the image itself)."""
    return image if isinstance(image, RestoredView) else make(image)


def restored_view(
    s2: CubeSource,
    kind: type[RestoredSource] = RestoredSource,
    *,
    how: str = "auto",
    mtf: float | None = None,
    noise: float | None = None,
    device: str = "auto",
) -> RestoredView:
    """The image with its blurred bands restored; where there is nothing to restore, as it is.

    Args:
        s2: the image.
        kind: of restoration.
        how: bands were sampled, see :func:`trifuse.restore.scene_sampling.scene_sampling`.
        mtf: of blurred bands at their native Nyquist frequency, in place of what is found.
        noise: standard deviation (reflectance), believed as far as the pixels can have so much.
        device: ``cpu``, ``cuda`` or ``auto``.

    Raises:
        MetadataError, GridError, ConfigError: see
            :func:`trifuse.restore.scene_sampling.scene_sampling`.
    """
    told = sharpness_of(s2, mtf=mtf, noise=noise) if how == "auto" else None
    if told is None:
        sampled = scene_sampling(s2, how, mtf=mtf, noise=noise)
        told = sampled.sharpness
    else:
        sampled = SceneSampling(told)
    names = s2.bands.names
    found = _sampling_record(sampled, names)
    if told is None:
        known = s2.sampling.values("noise") if noise is None else (noise,) * len(s2.bands)
        return _unrestored(s2, known, found)
    try:
        learnt = learn(s2, told, **sampled.learning(mtf, noise))
        if learnt[2].contradicts:
            sampled, learnt = second_look(s2, sampled, learnt, mtf=mtf, noise=noise)
    except DataError as e:
        _log.warning("%s: not restored: %s", s2.name, e.what)
        return _unrestored(s2, told.noise, {**found, "why": e.what})
    sharpness, statistics, check = learnt
    about: dict[str, Any] = {
        **_sampling_record(sampled, names),
        "noise": {n: float(f"{v:.3g}") for n, v in zip(names, sharpness.noise, strict=True)},
        "check": check.to_json(),
        "warnings": check.warnings(),
    }
    if not sharpness.blurred:
        return _unrestored(s2, sharpness.noise, about)
    view = by_restoration(s2, sharpness, statistics, device=device, kind=kind)
    return replace(view, record={**view.record, **about, "deviation": view.deviation})


def _sampling_record(sampled: SceneSampling, names: Sequence[str]) -> dict[str, Any]:
    """What was found, and said; nothing where metadata told all."""
    return {"sampling": sampled.to_json(names)} if sampled.found or sampled.lines else {}


def by_restoration(
    source: CubeSource,
    sharpness: Sharpness,
    statistics: Statistics,
    *,
    device: str = "auto",
    kind: type[RestoredSource] = RestoredSource,
) -> RestoredView:
    """All bands together tell what the blurred ones lost; see :class:`RestoredSource`."""
    made = kind(source, sharpness, statistics, device=device)
    names = made.bands.names
    return RestoredView(
        made,
        restored=True,
        deviation=_by_band(names, made.deviation),
        restoration=made,
        calibrated_as=made.calibrated_as,
        record={"restored": True, "bands": sharpness.to_json(names)},
    )


def by_interpolation(
    source: CubeSource, sharpness: Sharpness, statistics: Statistics, *, device: str = "auto"
) -> RestoredView:
    """The image as its reader brought it onto its pixels."""
    return RestoredView(source)


def _unrestored(
    s2: CubeSource, noise: Sequence[float | None], about: Mapping[str, Any]
) -> RestoredView:
    """The image as it is, with the noise of its bands as far as it is known."""
    deviation = _by_band(s2.bands.names, noise)
    record = {"restored": False, **about, "deviation": deviation}
    return RestoredView(s2, deviation=deviation, record=record)


def _by_band(names: Sequence[str], values: Sequence[float | None] | np.ndarray) -> dict[str, float]:
    """What is not known is 0."""
    return {n: float(v or 0.0) for n, v in zip(names, values, strict=True)}


def restored(
    source: CubeSource,
    *,
    mtf: float | None = None,
    noise: float | None = None,
    force: bool = False,
    device: str = "auto",
) -> CubeSource:
    """A source with all bands at the sharpness of its pixels, by its metadata and its own pixels.

    Args:
        source: the image.
        mtf: of blurred bands at their native Nyquist frequency, in place of what is found.
        noise: standard deviation (reflectance), in place of what is found.
        force: restore also bands that the pixels say are sharp.
        device: ``cpu``, ``cuda`` or ``auto``.

    Returns:
        The restored source; the very source given where it is sharp, or nothing is told of its
        sharpness.

    Raises:
        DataError: if the image is too small to learn from, or holds no valid pixel.
        MetadataError, GridError, ConfigError: see
            :func:`trifuse.restore.scene_sampling.scene_sampling`.
    """
    told = sharpness_of(source, mtf=mtf, noise=noise)
    if told is None:
        return source
    sharpness, statistics, _ = learn(
        source, told, force=force, find_mtf=mtf is None, find_noise=noise is None
    )
    if not sharpness.blurred:
        return source
    return RestoredSource(source, sharpness, statistics, device=device)
