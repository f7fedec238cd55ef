"""Masks by name: terms of a sensor, and presets of several terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trifuse.core import ConfigError


def expand_mask(
    mask: str | Sequence[str], terms: Mapping[str, object], presets: Mapping[str, Sequence[str]]
) -> tuple[str, ...]:
    """Expand presets: ``"default,snow"`` or ``["default", "snow"]`` → the terms, each once.

    Args:
        mask: names as a list or separated by commas, in any case.
        terms: by name.
        presets: lists of terms by name.

    Raises:
        ConfigError: if a name is neither a term nor a preset.
    """
    names = mask.split(",") if isinstance(mask, str) else list(mask)
    names = [n.strip().lower() for n in names if n.strip()]
    if unknown := [n for n in names if n not in terms and n not in presets]:
        raise ConfigError(
            f"mask {', '.join(unknown)} is unknown",
            fix=f"choose from {', '.join([*presets, *terms])}",
        )
    return tuple(dict.fromkeys(t for n in names for t in presets.get(n, (n,))))
