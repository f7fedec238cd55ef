"""What every method is that predicts images of any day from a series.

A method says what its images are (as each sensor samples them, or sharp on the target grid) and
how far around a pixel it looks. It is asked in two ways: for what sensors saw or would see, from
images in memory (:meth:`SeriesMethod.predict`, by which all are scored), and block by block for
images on the target grid (:meth:`SeriesMethod.prepare`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

import numpy as np

from trifuse.core import Window, fingerprint
from trifuse.temporal.area import KELVIN, Area
from trifuse.temporal.block_images import EVERYTHING, HALO, BlockImages, Reading, read_block
from trifuse.temporal.config import Sensor, TamrfConfig
from trifuse.temporal.stack import Days, Stack, upsampled

Forecast = Callable[[Mapping[str, Stack], Sequence[float]], dict[str, np.ndarray]]
"""(sensor → visible images, (Q,) days) → sensor → (Q, band, H, W) on the target grid, in the
network's unit; empty if no image is visible."""


class Predict(Protocol):
    """Images of a block that was read."""

    def __call__(
        self,
        query: Sequence[float],
        channels: Sequence[int],
        *,
        mass: bool = False,
        label: str = "",
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Predict.

        Args:
            query: (Q,) days since the origin.
            channels: positions in ``config.outputs`` of the method.
            mass: also return the attention paid to clear dates, if the method pays any.
            label: for the progress bar; empty: none.

        Returns:
            (Q, channels, height, width) float32 on the target grid, reflectance and kelvin, NaN
            where nothing is known; and (Q, height, width) 0–1, or None.
        """
        ...


@dataclass(frozen=True, slots=True)
class BlockRun:
    """A block of an area, ready to be asked for any day.

    Attributes:
        images: what the images of the block show.
        predict: see :class:`Predict`.
    """

    images: BlockImages
    predict: Predict


class SeriesMethod(ABC):
    """A way to predict images of any day from a series.

    Attributes:
        name: in :data:`trifuse.temporal.methods.SERIES_METHODS`.
        sampling: what its images are: ``own``: each sensor's, on its grid, as it would see them;
            ``target``: sharp, on the target grid.
        halo: cells of the coarsest sensor around a block that have a say in it; None: all there
            are, so that blocks, of which each sees :data:`HALO` cells around it, differ.
        origin: the day that is 0 unless told otherwise: ``first`` (image of the sensor on the
            target grid) or ``january`` (the first of that month in the year of the first image).
        withhold: whether pixels that are not clear are withheld from it.
        tells_attention: whether it says how much of its attention it paid to clear images.
        fills_absent: whether it predicts bands of sensors that have no series.
    """

    name: str
    sampling: Literal["own", "target"] = "own"
    halo: int | None = HALO
    origin: Literal["first", "january"] = "first"
    withhold: bool = True
    tells_attention: bool = False
    fills_absent: bool = False

    @abstractmethod
    def predict(self, seen: Mapping[str, Stack], asked: Days) -> dict[str, np.ndarray]:
        """Images of some days.

        Args:
            seen: the visible images of each sensor over one ground, in the network's unit.
            asked: sensor → (Q,) days.

        Returns:
            Sensor → (Q, band, y, x) float32 in the network's unit, NaN where nothing is known; on
            the sensor's own grid or the target grid, see ``sampling``. Empty if nothing is seen
            that it could start from.
        """

    @property
    @abstractmethod
    def config(self) -> TamrfConfig:
        """The sensors whose bands it predicts, in the order of the outputs."""

    @property
    def tells_deviation(self) -> bool:
        """Whether :func:`trifuse.temporal.deviation.block_deviations` knows its errors."""
        return False

    @property
    def record(self) -> Mapping[str, Any]:
        """What is known of it; plain JSON values."""
        return {"name": self.name, "sha256": ""}

    @property
    def identity(self) -> str:
        """By which a folder of predicted dates knows that they are of one method."""
        return f"{self.name} {fingerprint([repr(self)])[:16]}"

    def move_to(self, device: Any) -> None:  # noqa: B027 - most are at home on the CPU
        """Run on a ``torch.device``."""

    def over(self, area: Area, block: Window) -> SeriesMethod:
        """The method for scoring on a block; one that reads beyond the block's edges does so."""
        return self

    def on_target(
        self, seen: Mapping[str, Stack], query: Sequence[float], channels: Sequence[int]
    ) -> np.ndarray:
        """Images of some bands on the target grid: (Q, channels, H, W), the network's unit.

        Larger pixels are interpolated by cubic convolution.
        """
        outputs = self.config.outputs
        asked = {name: query for name, _ in (outputs[c] for c in channels)}
        made = self.predict(seen, asked)
        planes = []
        for name, band in (outputs[c] for c in channels):
            sensor = self.config.sensor(name)
            plane = made[name][:, [sensor.bands.index(band)]]
            own = self.sampling == "own" and sensor.ratio > 1
            planes.append(upsampled(plane, sensor.ratio) if own else plane)
        return np.concatenate(planes, axis=1)

    def prepare(self, area: Area, block: Window, reading: Reading = EVERYTHING) -> BlockRun:
        """Read a block, for any day to be asked for.

        Args:
            area: as of :func:`trifuse.temporal.area.open_area`, for ``config``.
            block: as of :func:`trifuse.temporal.area.blocks`.
            reading: what is read, and how.

        Raises:
            DataError: if no date may be seen.
        """
        images = read_block(
            area,
            block,
            visible=reading.visible,
            halo=HALO if self.halo is None else self.halo,
            label=reading.label,
        )
        return BlockRun(images, partial(predict_stacks, self, images))


@dataclass(frozen=True, eq=False)
class StackMethod(SeriesMethod):
    """A method that has all images of a block in memory; all but networks are.

    Attributes:
        sensors: of the series, whose bands it predicts; one lies on the target grid.
    """

    sensors: tuple[Sensor, ...]

    @property
    def config(self) -> TamrfConfig:
        """The sensors; and that their images are held, for whoever plans with memory."""
        return TamrfConfig(self.sensors, skip="prior")


def predict_stacks(
    method: SeriesMethod,
    images: BlockImages,
    query: Sequence[float],
    channels: Sequence[int],
    **options: Any,
) -> tuple[np.ndarray, None]:
    """Days of a block whose images are in memory; see :class:`Predict`, whose options do not count.

    A band is NaN also where its own sensor is never clear.
    """
    made = method.on_target(images.stacks, query, channels)
    out = np.array(made[:, :, *images.inner.slices], np.float32)
    config = method.config
    for i, channel in enumerate(channels):
        name, band = config.outputs[channel]
        if band in config.sensor(name).thermal:
            out[:, i] *= KELVIN
        out[:, i, ~images.ever_clear(name)] = np.nan
    out[:, :, ~images.seen] = np.nan
    return out, None


@dataclass(frozen=True, eq=False)
class ForecastMethod(StackMethod):
    """A function of visible images and days as a method, for scoring.

    Attributes:
        forecast: the function.
    """

    forecast: Forecast
    name = "network"
    sampling = "target"

    def predict(self, seen: Mapping[str, Stack], asked: Days) -> dict[str, np.ndarray]:
        """All days at once, then each sensor's."""
        return pick(self.forecast, seen, asked)


def pick(forecast: Forecast, seen: Mapping[str, Stack], asked: Days) -> dict[str, np.ndarray]:
    """What a forecast says of each sensor's own days; all days are asked for at once."""
    query = sorted({day for days in asked.values() for day in days})
    made = forecast(seen, query) if query else {}
    return {
        name: made[name][[query.index(day) for day in days]]
        for name, days in asked.items()
        if name in made
    }


def forecast_of(method: SeriesMethod, area: Area, block: Window) -> Forecast:
    """A method as a function of what may be seen, which reads the area again.

    Of the visible images the days alone matter. What lies around the block has its say.

    Args:
        method: any.
        area: of the series.
        block: the part of it that is predicted.
    """

    def forecast(seen: Mapping[str, Stack], query: Sequence[float]) -> dict[str, np.ndarray]:
        visible = {name: [float(d) for d in stack.days] for name, stack in seen.items()}
        if not any(visible.values()):
            return {}
        run = method.prepare(area, block, Reading(visible, label="dates seen"))
        channels = list(range(len(method.config.outputs)))
        values, _ = run.predict(query, channels, label="rows")
        out, start = {}, 0
        for s in method.config.sensors:
            part = values[:, start : start + len(s.bands)]
            part[:, [i for i, b in enumerate(s.bands) if b in s.thermal]] /= KELVIN
            out[s.name], start = part, start + len(s.bands)
        return out

    return forecast
