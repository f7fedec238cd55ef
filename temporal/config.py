"""What a TAMRF network is made of. Sensors are data: any set of them makes a model.

Source: Michel and Inglada 2025, doi:10.1016/j.rse.2025.115159.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trifuse.core import ConfigError
from trifuse.core.card import NetworkConfig

LARGEST = 4096
"""Sizes beyond are no network but a damaged card."""


@dataclass(frozen=True, slots=True)
class Sensor:
    """One sensor of a model.

    Attributes:
        name: key of its series, e.g. ``landsat``.
        bands: band names in order.
        resolution: true resolution of each band in metres; the PSF of the observation model.
        mtf: modulation transfer at Nyquist of each band; 1 stands for no blur.
        ratio: pixels of the target grid per pixel of this sensor (1 is the target itself).
        mean: per band, in the network's unit (reflectance; LST in kelvin / 1000).
        std: per band, likewise.
        thermal: bands that are temperatures, in kelvin outside the network.

    Raises:
        ConfigError: if the lists disagree.
    """

    name: str
    bands: tuple[str, ...]
    resolution: tuple[float, ...]
    mtf: tuple[float, ...]
    ratio: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    thermal: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        lengths = {
            len(self.bands),
            len(self.resolution),
            len(self.mtf),
            len(self.mean),
            len(self.std),
        }
        if lengths != {len(self.bands)} or not self.bands:
            raise ConfigError(
                f"{len(self.bands)} bands, {len(self.resolution)} resolutions, {len(self.mtf)} "
                f"MTFs, {len(self.mean)} means, {len(self.std)} deviations",
                where=f"sensor {self.name}",
                fix="give one of each per band",
            )
        if self.ratio < 1 or min(self.std) <= 0 or not all(0 < m <= 1 for m in self.mtf):
            raise ConfigError(
                "ratio < 1, deviation ≤ 0 or MTF outside (0, 1]", where=f"sensor {self.name}"
            )


@dataclass(frozen=True, slots=True)
class TamrfConfig(NetworkConfig):
    """The published network for any sensors.

    Attributes:
        sensors: in the order of the output channels.
        features: channels of the spatial features and of the time encoding.
        sensor_token: length of the learned sensor tokens; 0 leaves them out.
        blocks: RRDBs of a spatial encoder (the variants s1, s2, s3).
        growth: growth of the dense blocks.
        layers: layers of the temporal encoder (the variants t1, t2, t3).
        heads: attention heads.
        hidden: width of the feed-forwards.
        dropout: probability in the temporal layers, 0–1.
        skip: ``none``: the network gives the images, as published; ``prior``: it gives what is to
            be added to :func:`trifuse.temporal.prior.prior_images`, which must then be added by
            whoever calls it, and is also shown what the prior was made of.

    Raises:
        ConfigError: if a value is out of range or a sensor occurs twice.
    """

    KIND: ClassVar[str] = "tamrf"

    sensors: tuple[Sensor, ...]
    features: int = 64
    sensor_token: int = 8
    blocks: int = 1
    growth: int = 32
    layers: int = 3
    heads: int = 4
    hidden: int = 256
    dropout: float = 0.1
    skip: str = "none"

    def __post_init__(self) -> None:
        if self.skip not in ("none", "prior"):
            raise ConfigError(f"skip {self.skip!r}", fix="give none or prior")
        names = [s.name for s in self.sensors]
        if not names or len(set(names)) != len(names):
            raise ConfigError(f"sensors {names}", fix="give at least one, each once")
        if min(s.ratio for s in self.sensors) != 1:
            raise ConfigError("no sensor lies on the target grid", fix="give one with ratio 1")
        positive = (self.features, self.blocks, self.growth, self.layers, self.heads, self.hidden)
        if min(positive) < 1 or self.features % 2 or self.sensor_token < 0:
            raise ConfigError("sizes must be positive, and features even")
        if max(*positive, self.sensor_token) > LARGEST:
            raise ConfigError("a size beyond reason", fix=f"give at most {LARGEST}")
        if self.width % self.heads:
            raise ConfigError(f"{self.heads} heads do not divide tokens of {self.width}")

    @property
    def width(self) -> int:
        """Length of a token: features, time encoding, sensor token."""
        return 2 * self.features + self.sensor_token

    @property
    def context(self) -> int:
        """Channels of what a network with a skip is shown beside the images of its tokens.

        For each output the prior, and how far from it the last and the next clear image and the
        mean of all are; for each sensor the days to these two; and the season in four numbers.
        """
        if self.skip != "prior":
            return 0
        return 4 * len(self.outputs) + 2 * len(self.sensors) + 4

    @property
    def outputs(self) -> tuple[tuple[str, str], ...]:
        """(sensor, band) of each output channel."""
        return tuple((s.name, b) for s in self.sensors for b in s.bands)

    def sensor(self, name: str) -> Sensor:
        """A sensor by name.

        Raises:
            ConfigError: if there is none.
        """
        for sensor in self.sensors:
            if sensor.name == name:
                return sensor
        raise ConfigError(f"no sensor {name!r}", fix=f"one of {[s.name for s in self.sensors]}")


LANDSAT = Sensor(
    "landsat",
    ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "LST"),
    (*(30.0,) * 7, 90.0),
    (*(0.3,) * 7, 0.2),
    3,
    (0.1298, 0.1409, 0.1681, 0.1868, 0.3156, 0.2398, 0.1757, 0.2999),
    (0.1808, 0.1803, 0.1663, 0.1678, 0.1391, 0.0670, 0.0556, 0.0124),
    ("LST",),
)
"""Landsat-8/9 with surface temperature; statistics of the ``all`` set."""

SENTINEL2 = Sensor(
    "sentinel2",
    ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12"),
    (10.0, 10.0, 10.0, 20.0, 20.0, 20.0, 10.0, 20.0, 20.0, 20.0),
    (1.0, 1.0, 1.0, 0.3, 0.3, 0.3, 1.0, 0.3, 0.3, 0.3),
    1,
    (0.1353, 0.1591, 0.1793, 0.2150, 0.2714, 0.2915, 0.3019, 0.3066, 0.2431, 0.1839),
    (0.1461, 0.1410, 0.1455, 0.1419, 0.1313, 0.1271, 0.1304, 0.1206, 0.0700, 0.0596),
)
"""Sentinel-2 at 10 m; statistics of the ``all`` set."""

SENTINEL3 = Sensor(
    "sentinel3",
    ("Oa03", "Oa04", "Oa05", "S1", "Oa06", "Oa07", "S2", "Oa08", "Oa09", "Oa10", "Oa11", "Oa12",
     "Oa16", "Oa17", "S3", "Oa18", "Oa21", "S5", "S6"),
    (300.0,) * 19,
    (0.3,) * 19,
    30,
    (0.11, 0.12, 0.13, 0.14, 0.14, 0.15, 0.16, 0.16, 0.16, 0.17, 0.20, 0.27, 0.28, 0.29, 0.29, 0.29,
     0.29, 0.24, 0.18),
    (0.12, 0.12, 0.12, 0.12, 0.12, 0.12, 0.12, 0.12, 0.12, 0.12, 0.12, 0.12, 0.12, 0.12, 0.12, 0.12,
     0.12, 0.07, 0.06),
)  # fmt: skip
"""Sentinel-3 SYN in cells of 300 m; no network is published for it, so its statistics are rough."""

PUBLISHED = TamrfConfig((LANDSAT, SENTINEL2))
"""The published pair: 2,329,250 trainable parameters."""
