"""Bands asked for by name, where several sensors have bands of one name."""

from __future__ import annotations

from collections.abc import Sequence

from trifuse.core import BandError, canonical_name
from trifuse.temporal.config import TamrfConfig

NDVI = "NDVI"
"""Made from predicted bands; no output of a network."""


def find_channel(config: TamrfConfig, name: str) -> int:
    """Output channel of a band.

    ``landsat:B4`` is that sensor's; a bare name is the band of the sensor on the target grid, or
    of the first other sensor that has one.

    Raises:
        BandError: if no sensor has it; the message lists those that are there.
    """
    sensor, _, band = name.rpartition(":")
    found = _candidates(config, sensor, band)
    if not found:
        raise BandError(
            f"no band {name!r} among {', '.join(every_name(config))}",
            fix=f"ask for one of these, all, or {NDVI}",
        )
    return found[0]


def _candidates(config: TamrfConfig, sensor: str, band: str) -> list[int]:
    """Channels of a band, of the sensor with the finest pixels first."""
    wanted = canonical_name(band)
    found = [
        i
        for i, (s, b) in enumerate(config.outputs)
        if canonical_name(b) == wanted and sensor.lower() in ("", s.lower())
    ]
    return sorted(found, key=lambda i: (config.sensor(config.outputs[i][0]).ratio, i))


def output_name(config: TamrfConfig, channel: int) -> str:
    """The shortest name that :func:`find_channel` takes for a channel."""
    sensor, band = config.outputs[channel]
    return band if _candidates(config, "", band)[0] == channel else f"{sensor}:{band}"


def every_name(config: TamrfConfig) -> tuple[str, ...]:
    """Names of all output channels, in order."""
    return tuple(output_name(config, i) for i in range(len(config.outputs)))


def choose_bands(config: TamrfConfig, bands: str | Sequence[str]) -> tuple[str, ...]:
    """Names of the bands asked for, each once, in the order asked for.

    Args:
        config: of the network.
        bands: ``all``, or names as a list or separated by commas; ``NDVI`` is one of them.

    Raises:
        BandError: if a name is unknown or none is given.
    """
    asked = bands.split(",") if isinstance(bands, str) else list(bands)
    asked = [b.strip() for b in asked if b.strip()]
    names: list[str] = []
    for name in asked:
        if name.lower() == "all":
            names += every_name(config)
        elif name.upper() == NDVI:
            names.append(NDVI)
        else:
            names.append(output_name(config, find_channel(config, name)))
    if not names:
        raise BandError("no bands were asked for", fix="give all, or names")
    return tuple(dict.fromkeys(names))
