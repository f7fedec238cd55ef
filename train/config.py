"""Configurations: nested frozen dataclasses, read from YAML, checked key by key.

An unknown key is refused with the nearest valid one; a value of the wrong type is refused with
the type that is wanted. ``a.b=c`` on a command line sets one key.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from trifuse.core import ConfigError, write_bytes

C = TypeVar("C")
MAX_BYTES = 1 << 20


def load_config(kind: type[C], path: Path | str | None = None, overrides: Sequence[str] = ()) -> C:
    """A configuration from a YAML file (default: all defaults) and ``a.b=c`` overrides.

    >>> from trifuse.train import TrainConfig
    >>> load_config(TrainConfig, overrides=["optim.lr=1e-4"]).optim.lr
    0.0001

    Args:
        kind: the dataclass to make.
        path: a YAML mapping; missing keys keep their defaults.
        overrides: ``key=value`` with dots between levels, applied in order after the file; the
            value is read as YAML.

    Raises:
        ConfigError: if the file is no YAML mapping, a key is unknown or a value does not fit.
    """
    values = {} if path is None else _read_yaml(Path(path))
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not all(part.strip() for part in key.split(".")):
            raise ConfigError(f"--set {text!r}", fix="write it as section.key=value")
        _put(values, [part.strip() for part in key.split(".")], _parse(value, where=key))
    return from_mapping(kind, values, where=path)


def from_mapping(
    kind: type[C], values: Mapping[str, Any], *, where: Path | str | None = None, prefix: str = ""
) -> C:
    """A configuration from nested plain values.

    Raises:
        ConfigError: if a key is unknown or a value does not fit its type.
    """
    hints = get_type_hints(kind)
    names = [f.name for f in dataclasses.fields(kind) if f.init]  # type: ignore[arg-type]
    made = {}
    for key, value in values.items():
        if key not in names:
            near = get_close_matches(str(key), names, n=1, cutoff=0.5)
            hint = f"did you mean {prefix}{near[0]}?" if near else f"keys: {', '.join(names)}"
            raise ConfigError(f"unknown key {prefix}{key}", where=where, fix=hint)
        made[key] = _convert(value, hints[key], f"{prefix}{key}", where)
    return kind(**made)


def to_mapping(config: Any) -> dict[str, Any]:
    """Nested plain values of a configuration: what :func:`from_mapping` takes."""
    return {f.name: _plain(getattr(config, f.name)) for f in dataclasses.fields(config)}


def save_config(path: Path | str, config: Any) -> None:
    """Write a configuration as YAML, atomically; replaces what is there."""
    text = yaml.safe_dump(to_mapping(config), sort_keys=False)
    write_bytes(path, text.encode(), overwrite=True)


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one level, with dots between the keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def require(condition: bool, key: str, what: str, fix: str) -> None:
    """Raise a ConfigError that names ``key`` unless the condition holds."""
    if not condition:
        raise ConfigError(what, where=key, fix=fix)


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


def _convert(value: Any, hint: Any, key: str, where: Path | str | None) -> Any:
    """``value`` as the annotated type, or a ConfigError."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        (inner,) = [a for a in args if a is not type(None)]
        return _convert(value, inner, key, where)
    if dataclasses.is_dataclass(hint):
        value = {} if value is None else value
        if isinstance(value, Mapping):
            return from_mapping(hint, value, where=where, prefix=f"{key}.")  # type: ignore[arg-type]
    elif origin is Literal:
        if any(value == a and type(value) is type(a) for a in args):
            return value
    elif origin is tuple:
        if isinstance(value, list | tuple):
            kinds = args if args[-1] is not Ellipsis else args[:1] * len(value)
            if len(kinds) == len(value):
                pairs = enumerate(zip(value, kinds, strict=True))
                return tuple(_convert(v, k, f"{key}[{i}]", where) for i, (v, k) in pairs)
    elif hint is float:
        if (number := _float(value)) is not None:
            return number
    elif hint is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    elif isinstance(value, hint):
        return value
    raise ConfigError(f"{key} is {value!r}", where=where, fix=f"give {_describe(hint)}")


def _float(value: Any) -> float | None:
    """Finite numbers; also text like ``1e-4``, which YAML 1.1 does not take for a number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _describe(hint: Any) -> str:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(map(str, args))
    if origin is tuple:
        kinds = "any number of " + _describe(args[0]) if args[-1] is Ellipsis else f"{len(args)}"
        return f"a list [ … ] with {kinds} values"
    if dataclasses.is_dataclass(hint):
        return "a section of keys"
    return {float: "a finite number", int: "a whole number", bool: "true or false", str: "text"}[
        hint
    ]


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_mapping(value)
    return [_plain(v) for v in value] if isinstance(value, tuple) else value
