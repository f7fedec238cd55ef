"""Configurations as plain values and back: nested frozen dataclasses, checked key by key.

One converter serves what people write (YAML, ``--set``) and what programs wrote (cards, stores).
An unknown key is refused, with the nearest valid one where a person may have mistyped it; a value
of the wrong type is refused with the type that is wanted. Ranges are the dataclasses' own business,
in ``__post_init__``.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from os import PathLike
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from trifuse.core.bands import BandSet
from trifuse.core.errors import BandError, ConfigError

C = TypeVar("C")
Where = str | PathLike[str] | None


def from_mapping(
    kind: type[C],
    values: Mapping[str, Any],
    *,
    base: C | None = None,
    where: Where = None,
    prefix: str = "",
) -> C:
    """A configuration from what a person wrote as nested plain values.

    Args:
        kind: the dataclass to make.
        values: by key; missing keys have their defaults.
        base: says in place of the defaults what missing keys are, in its sections too, and of
            which class each section is.
        where: the file, for messages.
        prefix: path of the section, with a dot at its end, for messages.

    Raises:
        ConfigError: if a key is unknown, or a value does not fit its type or is out of range.
    """
    names = setting_names(kind)
    for key in values:
        if key not in names:
            near = get_close_matches(str(key), names, n=1, cutoff=0.5)
            hint = f"did you mean {prefix}{near[0]}?" if near else f"keys: {', '.join(names)}"
            raise ConfigError(f"unknown key {prefix}{key}", where=where, fix=hint)
    hints = _hints(kind)
    made = {
        k: convert(v, hints[k], f"{prefix}{k}", where=where, base=getattr(base, k, None))
        for k, v in values.items()
    }
    if base is None and (missing := [k for k in _required(kind) if k not in made]):
        raise ConfigError(f"{prefix}{missing[0]} is missing", where=where)
    try:
        return kind(**made) if base is None else dataclasses.replace(base, **made)  # type: ignore[type-var]
    except ConfigError as e:
        if e.where is not None:
            raise
        raise ConfigError(e.what, where=prefix.rstrip(".") or where, fix=e.fix) from None


def from_plain(kind: type[C], values: Mapping[str, Any], *, where: Where = None) -> C:
    """A configuration from what :func:`to_mapping` made, as a file holds it.

    Unlike :func:`from_mapping` it guesses at no mistyped key: all unknown ones are named, for they
    are another version's.

    Raises:
        ConfigError: if keys are unknown or a value does not fit its type.
    """
    require_known(kind, values, where=where)
    return from_mapping(kind, values, where=where)


def to_mapping(config: Any) -> dict[str, Any]:
    """Nested plain values of a configuration: what :func:`from_mapping` takes."""
    return {name: plain(getattr(config, name)) for name in setting_names(config)}


def plain(value: Any) -> Any:
    """A setting as a JSON value: dataclasses as mappings, tuples as lists."""
    if isinstance(value, BandSet):
        return value.to_json()
    if dataclasses.is_dataclass(value):
        return to_mapping(value)
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, list | tuple) else value


def setting_names(kind: Any) -> list[str]:
    """Keys of a configuration, or of its class, in order."""
    return [f.name for f in dataclasses.fields(kind) if f.init]


def require_known(kind: Any, keys: Iterable[str], *, where: Where = None) -> None:
    """Refuse keys that a configuration does not have.

    Raises:
        ConfigError: naming all of them.
    """
    names = setting_names(kind)
    if unknown := sorted({str(k) for k in keys} - set(names)):
        raise ConfigError(
            f"unknown keys {', '.join(unknown)}",
            where=where,
            fix=f"the keys are {', '.join(names)}",
        )


def require(condition: bool, key: str, what: str, fix: str) -> None:
    """Raise a ConfigError that names ``key`` unless the condition holds."""
    if not condition:
        raise ConfigError(what, where=key, fix=fix)


def require_least(config: Any, least: float, *names: str, section: str = "") -> None:
    """Refuse settings below a least value.

    Args:
        config: the configuration.
        least: of each.
        names: of its settings.
        section: where it stands, for messages.

    Raises:
        ConfigError: naming the first that is below.
    """
    for name in names:
        value = getattr(config, name)
        shown = f"{value:g}" if isinstance(value, float) else value
        key = f"{section}.{name}" if section else name
        require(value >= least, key, f"is {shown}", f"give {least:g} or more")


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one level, with dots between the keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def convert(value: Any, hint: Any, key: str, *, where: Where = None, base: Any = None) -> Any:
    """A plain value as an annotated type.

    Args:
        value: as JSON or YAML gives it.
        hint: the type: a number, text, a truth value, ``Literal``, ``Optional``, a tuple, a
            mapping, ``BandSet`` or a dataclass; any nesting of these.
        key: path of the value, for messages.
        where: the file, for messages.
        base: of a section; see :func:`from_mapping`.

    Raises:
        ConfigError: if it is not of that type.
    """
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        (there,) = [a for a in args if a is not type(None)]
        return convert(value, there, key, where=where, base=base)
    if hint is Any:
        return value
    if hint is BandSet:
        try:
            return BandSet.from_json(value)
        except (BandError, TypeError) as e:
            raise ConfigError(f"{key}: {getattr(e, 'what', e)}", where=where) from None
    section = type(base) if dataclasses.is_dataclass(base) else hint
    if dataclasses.is_dataclass(section):
        value = {} if value is None else value
        if isinstance(value, Mapping):
            return from_mapping(section, value, base=base, where=where, prefix=f"{key}.")  # type: ignore[arg-type]
    elif origin is Literal:
        if any(value == a and type(value) is type(a) for a in args):
            return value
    elif origin is tuple:
        if isinstance(value, list | tuple):
            kinds = args if args[-1] is not Ellipsis else args[:1] * len(value)
            if len(kinds) == len(value):
                pairs = enumerate(zip(value, kinds, strict=True))
                return tuple(convert(v, k, f"{key}[{i}]", where=where) for i, (v, k) in pairs)
    elif origin is Mapping:
        if isinstance(value, Mapping):
            return {
                str(k): convert(v, args[1], f"{key}.{k}", where=where) for k, v in value.items()
            }
    elif hint is float:
        if (number := _float(value)) is not None:
            return number
    elif hint is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    elif isinstance(value, hint):
        return value
    raise ConfigError(f"{key} is {value!r}", where=where, fix=f"give {_describe(hint)}")


def _hints(kind: Any) -> dict[str, Any]:
    """Key → its type; of a section the class that its default is made of."""
    made = {f.name: f.default_factory for f in dataclasses.fields(kind)}
    sections = {n: k for n, k in made.items() if dataclasses.is_dataclass(k)}
    return get_type_hints(kind) | sections


def _required(kind: Any) -> list[str]:
    """Keys without a default."""
    nothing = dataclasses.MISSING
    found = [f for f in dataclasses.fields(kind) if f.init]
    return [f.name for f in found if f.default is nothing and f.default_factory is nothing]


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
    if dataclasses.is_dataclass(hint) or origin is Mapping:
        return "a section of keys"
    return {float: "a finite number", int: "a whole number", bool: "true or false", str: "text"}[
        hint
    ]
