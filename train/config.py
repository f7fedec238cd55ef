"""Configurations of runs as YAML: files, and ``a.b=c`` on a command line that sets one key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from trifuse.core import ConfigError, write_bytes
from trifuse.core.settings import from_mapping, to_mapping

C = TypeVar("C")
MAX_BYTES = 1 << 20


def load_config(
    kind: type[C],
    path: Path | str | None = None,
    overrides: Sequence[str] = (),
    *,
    base: C | None = None,
) -> C:
    """A configuration from a YAML file (default: all defaults) and ``a.b=c`` overrides.

    >>> from trifuse.train import TrainConfig
    >>> load_config(TrainConfig, overrides=["optim.lr=1e-4"]).optim.lr
    0.0001

    Args:
        kind: the dataclass to make.
        path: a YAML mapping; missing keys keep their defaults.
        overrides: ``key=value`` with dots between levels, applied in order after the file; the
            value is read as YAML.
        base: in place of the defaults; see :func:`trifuse.core.settings.from_mapping`. A section
            that is given in part has the rest of what the section is by default there, not of
            what its class is by itself.

    Raises:
        ConfigError: if the file is no YAML mapping, a key is unknown or a value does not fit.
    """
    values = {} if path is None else _read_yaml(Path(path))
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not all(part.strip() for part in key.split(".")):
            raise ConfigError(f"--set {text!r}", fix="write it as section.key=value")
        _put(values, [part.strip() for part in key.split(".")], _parse(value, where=key))
    return from_mapping(kind, values, base=_usual(kind) if base is None else base, where=path)


def _usual(kind: type[C]) -> C | None:
    """All defaults; None where a key has none."""
    try:
        return kind()
    except TypeError:
        return None


def save_config(path: Path | str, config: Any) -> None:
    """Write a configuration as YAML, atomically; replaces what is there."""
    text = yaml.safe_dump(to_mapping(config), sort_keys=False)
    write_bytes(path, text.encode(), overwrite=True)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"larger than {MAX_BYTES >> 20} MiB", where=path)
        values = _parse(path.read_text(encoding="utf-8"), where=path)
    except OSError as e:
        raise ConfigError(f"cannot be read ({e.strerror})", where=path) from None
    except UnicodeDecodeError as e:
        raise ConfigError(f"is no UTF-8 text ({e.reason})", where=path) from None
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise ConfigError("is no mapping of keys to values", where=path)
    return values


def _parse(text: str, where: Path | str) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as e:
        raise ConfigError(f"is no YAML ({e})", where=where) from None


def _put(values: dict[str, Any], keys: list[str], value: Any) -> None:
    for depth, key in enumerate(keys[:-1], start=1):
        inner = values.get(key)
        if inner is not None and not isinstance(inner, dict):
            name = ".".join(keys[:depth])
            raise ConfigError(f"{name} is a value, not a section", fix=f"set {name}=… itself")
        values[key] = dict(inner or {})
        values = values[key]
    values[keys[-1]] = value
