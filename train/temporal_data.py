"""Series of several sensors as training samples: crops, dates, and which of them are hidden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from trifuse.core import BandSet, DataError, GridError, Series, StoreError, Window
from trifuse.temporal.config import Sensor
from trifuse.temporal.strategies import Selection, draw_tasks, draw_training, hide_gaps, hide_random
from trifuse.train.batches import Draw

if TYPE_CHECKING:
    from trifuse.simulate import SyntheticSeries

SPAN = 365.0
"""Days that one sample covers at most; the time encoding repeats beyond."""

KELVIN = 1000.0
"""Kelvin per unit of temperature in the network."""

THERMAL = ("LST",)

LOOK = 512
"""Pixels along each side of a series that tell whether clouds were kept."""


class Scene(Protocol):
    """Series of several sensors over one ground.

    Attributes:
        name: for messages and the card.
        days: sensor → (T,) days since the first of January of the first year, ascending.
        shapes: sensor → (height, width) of its images.
        bands: sensor → its bands.
        clouded: whether values under clouds are there; otherwise they are NaN.
    """

    name: str
    days: Mapping[str, np.ndarray]
    shapes: Mapping[str, tuple[int, int]]
    bands: Mapping[str, BandSet]
    clouded: bool

    def read(
        self, sensor: str, dates: Sequence[int], window: Window
    ) -> tuple[np.ndarray, np.ndarray]:
        """Some dates of a sensor.

        Args:
            sensor: its name.
            dates: positions among its dates.
            window: in its pixels.

        Returns:
            (T, band, y, x) float32 in the network's unit, and (T, y, x) bool, True where clear.
        """
        ...


class MemoryScene:
    """A synthetic series, or anything else that fits into memory.

    Args:
        name: of the scene.
        images: sensor → (bands, days, data in reflectance and kelvin, valid), as in
            :class:`trifuse.simulate.SensorImages`.
        clouded: see :class:`Scene`.
    """

    def __init__(
        self,
        name: str,
        images: Mapping[str, tuple[BandSet, np.ndarray, np.ndarray, np.ndarray]],
        clouded: bool = True,
    ) -> None:
        self.name, self.clouded = name, clouded
        self.bands = {s: i[0] for s, i in images.items()}
        self.days = {s: np.asarray(i[1], float) for s, i in images.items()}
        self.shapes = {s: (i[2].shape[2], i[2].shape[3]) for s, i in images.items()}
        self._data = {s: to_network(i[2], i[0]) for s, i in images.items()}
        self._valid = {s: i[3] for s, i in images.items()}

    @classmethod
    def of(cls, made: SyntheticSeries) -> MemoryScene:
        """A synthetic series."""
        images = {s: (i.bands, i.days, i.data, i.valid) for s, i in made.images.items()}
        return cls(f"procedural {made.seed} {made.year}", images)

    def read(
        self, sensor: str, dates: Sequence[int], window: Window
    ) -> tuple[np.ndarray, np.ndarray]:
        """See :meth:`Scene.read`."""
        rows, cols = window.slices
        at = np.asarray(dates, dtype=int)
        return self._data[sensor][at][:, :, rows, cols], self._valid[sensor][at][:, rows, cols]


class SeriesScene:
    """Series on disk, read window by window.

    Args:
        name: of the scene.
        series: sensor → its series; all cover the same ground.
        origin: the day that is 0; default: the first of January of the first image's year.
        clouded: whether pixels that are not valid have values.
    """

    def __init__(
        self,
        name: str,
        series: Mapping[str, Series],
        origin: date | None = None,
        clouded: bool = False,
    ) -> None:
        self.name, self.clouded, self._series = name, clouded, dict(series)
        start = origin or date(min(s.dates[0] for s in series.values()).year, 1, 1)
        self.days: Mapping[str, np.ndarray] = {
            k: np.array([float((d - start).days) for d in s.dates]) for k, s in series.items()
        }
        self.shapes: Mapping[str, tuple[int, int]] = {k: s.grid.shape for k, s in series.items()}
        self.bands: Mapping[str, BandSet] = {k: s.bands for k, s in series.items()}

    @classmethod
    def open(cls, folder: Path | str) -> SeriesScene:
        """A folder with one folder of dated GeoTIFFs per sensor, or an area of LS2S2.

        Whether clouds were kept is told by the first pixels that are not clear.

        Raises:
            ProductError: if there is none, or one of them cannot be read.
            DataError: if the values of the first, middle or last cannot be reflectance.
        """
        from trifuse.products.plausible import require_plausible
        from trifuse.products.series.find import open_sensors

        found = open_sensors(folder)
        for series in found.values():
            for i in sorted({0, len(series) // 2, len(series) - 1}):
                require_plausible(series.sources[i])
        return cls(Path(folder).name, found, clouded=any(map(_keeps_clouds, found.values())))

    def read(
        self, sensor: str, dates: Sequence[int], window: Window
    ) -> tuple[np.ndarray, np.ndarray]:
        """See :meth:`Scene.read`."""
        series = self._series[sensor]
        cubes = [series.sources[i].read(window) for i in dates]
        data = np.stack([c.data for c in cubes])
        valid = np.stack([c.valid & np.isfinite(c.data).all(axis=0) for c in cubes])
        return to_network(data, series.bands), valid


def _keeps_clouds(series: Series) -> bool:
    """Whether pixels that are not clear have values."""
    window = Window(0, 0, *(min(n, LOOK) for n in series.grid.shape))
    for _, source in series:
        cube = source.read(window)
        if not cube.valid.all():
            return bool(np.isfinite(cube.data[:, ~cube.valid]).any())
    return False


def to_network(data: np.ndarray, bands: BandSet) -> np.ndarray:
    """(T, band, y, x) with temperatures in kelvin → the network's unit (kelvin / 1000)."""
    hot = [i for i, b in enumerate(bands.names) if b in THERMAL]
    if not hot:
        return np.asarray(data, np.float32)
    out = np.array(data, np.float32)
    out[:, hot] /= KELVIN
    return out


@dataclass(frozen=True, slots=True)
class SampleConfig:
    """How samples are cut.

    Attributes:
        crop: edge in pixels of the coarsest sensor.
        dates: images of all sensors together at most, shared in proportion.
        per_scene: samples of each scene an epoch.
        flips: turn and mirror (8 ways).
        blank: share of the samples in which what is not clear is withheld from the network, so
            that it can work with products whose clouds are nodata; in the others it sees clouds.
    """

    crop: int
    dates: int
    per_scene: int
    flips: bool
    blank: float
    hide: str = "published"


class SeriesDataset(Dataset[dict[str, Tensor]]):
    """Training samples; what is drawn depends on the seed, the step and the sample only.

    An item is a dict of tensors, for each sensor s padded at the end to ``counts[s]`` dates:
    ``s/data`` (T, band, h, w) in the network's unit and NaN where missing, ``s/valid``
    (T, h, w) bool, ``s/days`` (T,), ``s/seen`` (T,) bool, ``s/count`` how many are no padding; and
    ``blank`` and ``clouded``, bool.

    Args:
        scenes: to cut from.
        sensors: of the network.
        config: see :class:`SampleConfig`.
        seed: of all draws.

    Raises:
        StoreError: if a scene lacks a sensor or its bands, or there is no scene.
        GridError: if sensors of a scene do not cover the same ground, or less than a crop.
    """

    def __init__(
        self, scenes: Sequence[Scene], sensors: Sequence[Sensor], config: SampleConfig, seed: int
    ) -> None:
        if not scenes:
            raise StoreError("no scenes to train on", fix="give at least one")
        self.scenes, self.sensors, self.config, self.seed = scenes, sensors, config, seed
        self.ratio = max(s.ratio for s in sensors)
        self.cells = [check_scene(scene, sensors, config.crop) for scene in scenes]
        self.counts = {
            s.name: min(max(len(scene.days[s.name]) for scene in scenes), config.dates)
            for s in sensors
        }

    def __len__(self) -> int:
        return len(self.scenes) * self.config.per_scene

    def __getitem__(self, key: int | Draw) -> dict[str, Tensor]:
        """One sample; a plain number stands for the first epoch."""
        draw = key if isinstance(key, Draw) else Draw(int(key), 0, int(key))
        if not 0 <= draw.index < len(self):
            raise IndexError(draw.index)
        rng = np.random.default_rng([self.seed, 11, draw.batch, draw.epoch, draw.index])
        at = draw.index // self.config.per_scene
        scene, (rows, cols) = self.scenes[at], self.cells[at]
        crop = self.config.crop
        place = Window(
            int(rng.integers(rows - crop + 1)), int(rng.integers(cols - crop + 1)), crop, crop
        )
        chosen = self._dates(scene, rng)
        days = {s: tuple(scene.days[s][i].tolist()) for s, i in chosen.items()}
        selection = _seeing(days, rng, self.config.hide, self.sensors)
        turn = int(rng.integers(8)) if self.config.flips else 0
        out: dict[str, Tensor] = {
            "blank": torch.tensor(bool(rng.random() < self.config.blank)),
            "clouded": torch.tensor(bool(scene.clouded)),
        }
        for sensor in self.sensors:
            window = scaled(place, self.ratio // sensor.ratio)
            data, valid = scene.read(sensor.name, chosen[sensor.name].tolist(), window)
            out |= self._padded(sensor, data, valid, days[sensor.name], selection, turn)
        return out

    def _dates(self, scene: Scene, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Positions of the dates of a sample: within one span, at most so many."""
        start = min(float(scene.days[s.name][0]) for s in self.sensors if len(scene.days[s.name]))
        last = max(float(scene.days[s.name][-1]) for s in self.sensors if len(scene.days[s.name]))
        start += float(rng.random()) * max(last - start - SPAN, 0.0)
        inside = {
            s.name: np.flatnonzero(
                (scene.days[s.name] >= start) & (scene.days[s.name] <= start + SPAN)
            )
            for s in self.sensors
        }
        total = sum(map(len, inside.values()))
        if total <= self.config.dates:
            return inside
        chosen = {}
        for name, every in inside.items():
            count = min(int(self.config.dates * len(every) / total), len(every))
            chosen[name] = np.sort(rng.choice(every, count, replace=False))
        return chosen

    def _padded(
        self,
        sensor: Sensor,
        data: np.ndarray,
        valid: np.ndarray,
        days: Sequence[float],
        selection: Selection,
        turn: int,
    ) -> dict[str, Tensor]:
        count, most = len(days), self.counts[sensor.name]
        seen = set(selection.visible.get(sensor.name, ()))

        def fill(values: np.ndarray, dtype: Any, value: float = 0) -> Tensor:
            room = np.full((most, *values.shape[1:]), value, dtype)
            room[:count] = values
            return torch.from_numpy(room)

        return {
            f"{sensor.name}/data": fill(turned(data, turn), np.float32, np.nan),
            f"{sensor.name}/valid": fill(turned(valid, turn), bool),
            f"{sensor.name}/days": fill(np.asarray(days, np.float32), np.float32),
            f"{sensor.name}/seen": fill(np.array([d in seen for d in days], bool), bool),
            f"{sensor.name}/count": torch.tensor(count),
        }


def check_scene(scene: Scene, sensors: Sequence[Sensor], crop: int) -> tuple[int, int]:
    """Size of a scene in pixels of the coarsest sensor; refuse what cannot serve.

    Raises:
        StoreError: if a sensor or its bands are missing.
        GridError: if the sensors do not cover the same ground, or less than a crop.
        DataError: if there is no image at all.
    """
    if missing := [s.name for s in sensors if s.name not in scene.shapes]:
        raise StoreError(
            f"lacks {', '.join(missing)}", where=scene.name, fix="give a series of each sensor"
        )
    for s in sensors:
        if scene.bands[s.name].names != s.bands:
            raise StoreError(
                f"{s.name} has bands {', '.join(scene.bands[s.name].names)} instead of "
                f"{', '.join(s.bands)}",
                where=scene.name,
            )
    ratio = max(s.ratio for s in sensors)
    cells = {tuple(n * s.ratio / ratio for n in scene.shapes[s.name]) for s in sensors}
    first = next(iter(cells))
    if len(cells) > 1 or any(n != int(n) for n in first):
        raise GridError(
            "sensors do not cover the same ground",
            where=scene.name,
            fix="crop them to whole pixels of the coarsest",
        )
    if min(first) < crop:
        raise GridError(
            f"is smaller than a crop of {crop} coarse pixels",
            where=scene.name,
            fix="make crops smaller",
        )
    if not any(len(scene.days[s.name]) for s in sensors):
        raise DataError("has no image", where=scene.name)
    return int(first[0]), int(first[1])


def scaled(window: Window, factor: int) -> Window:
    """The same ground in pixels ``factor`` times smaller."""
    return Window(*(v * factor for v in (window.row, window.col, window.height, window.width)))


def turned(images: np.ndarray, turn: int) -> np.ndarray:
    """One of the eight turns and mirror images of (…, y, x)."""
    images = np.rot90(images, turn % 4, axes=(-2, -1))
    return np.ascontiguousarray(images[..., ::-1] if turn >= 4 else images)


def band_statistics(
    scenes: Sequence[Scene], sensor: str, images: int = 200
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the clear pixels of a sensor's bands, to four digits.

    Args:
        scenes: training scenes.
        sensor: its name.
        images: taken at most, evenly spaced over all.

    Raises:
        DataError: if no pixel is clear.
    """
    every = [(scene, i) for scene in scenes for i in range(len(scene.days[sensor]))]
    step = max(1, len(every) // images)
    count, total, squares = 0, np.zeros(1), np.zeros(1)
    for scene, i in every[::step]:
        height, width = scene.shapes[sensor]
        data, valid = scene.read(sensor, [i], Window(0, 0, height, width))
        values = data[0][:, valid[0]].astype(np.float64)
        count += values.shape[1]
        total, squares = total + values.sum(axis=1), squares + (values**2).sum(axis=1)
    if not count:
        raise DataError("no clear pixel to take statistics from", where=sensor)
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 1e-8))
    return tuple(float(f"{m:.4g}") for m in mean), tuple(float(f"{s:.4g}") for s in std)


def _seeing(
    days: Mapping[str, tuple[float, ...]],
    rng: np.random.Generator,
    hide: str,
    sensors: Sequence[Sensor],
) -> Selection:
    """A drawn strategy that leaves the network something to see."""
    for _ in range(16):
        if hide == "published":
            selection = draw_training(days, rng)
        elif hide == "tasks":
            coarse = max(sensors, key=lambda s: s.ratio)
            fine = min(sensors, key=lambda s: s.ratio)
            selection = draw_tasks(days, rng, coarse.name, fine.name)
        elif rng.random() < 2 / 3:
            selection = hide_random(days, float(rng.uniform(0.2, 0.7)), rng)
        else:
            selection = hide_gaps(days, float(rng.integers(30, 91)))
        if any(selection.visible.values()):
            return selection
    return Selection(dict(days), dict(days))
