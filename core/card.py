"""What must be known of weights to use them: the card that travels with them.

One card serves all networks: what is the same for all stands here, and a kind of network adds its
own fields in a subclass (bands, what was done before). On disk it is one flat mapping.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar, get_type_hints

from trifuse.core.errors import ConfigError, WeightsError
from trifuse.core.settings import convert, from_plain, setting_names, to_mapping

if TYPE_CHECKING:
    from torch import nn


class NetworkConfig:
    """Base of the configurations of networks, which are frozen dataclasses of plain values.

    Attributes:
        KIND: name of the network in cards, on the command line and in registries.
    """

    __slots__ = ()
    KIND: ClassVar[str]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return to_mapping(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_json`.

        Raises:
            ConfigError: for unknown keys, values of another type, or out of range.
        """
        return from_plain(cls, values)


C = TypeVar("C", bound=NetworkConfig)
M = TypeVar("M", bound="nn.Module")


def software() -> str:
    """The installed version of TriFuse."""
    try:
        return version("trifuse")
    except PackageNotFoundError:
        return "unknown"


@dataclass(frozen=True, slots=True)
class Card(Generic[C]):
    """Description of trained weights; the part that all networks have.

    Attributes:
        FORMAT: version of the layout, and of what the network is shown.
        APART: settings of the network that stand in a section of their own: its key → their names.
        config: the network.
        protocol: on what and how it was trained; plain JSON values.
        metrics: what was measured, by name of the data; plain JSON values.
        limits: sentences on what it must not be used for.
        software: version of TriFuse that wrote it.
    """

    FORMAT: ClassVar[int] = 1
    APART: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    config: C
    _: KW_ONLY
    protocol: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    limits: tuple[str, ...] = ()
    software: str = field(default_factory=software)

    def to_json(self) -> dict[str, Any]:
        """Plain values; numbers that are not finite become null."""
        own = to_mapping(self)
        model = own.pop("config")
        apart = {
            key: {name: model.pop(name) for name in names}
            for key, names in self._apart(self.config).items()
        }
        head = {"format": self.FORMAT, "network": self.config.KIND, "model": model}
        written: dict[str, Any] = finite({**head, **apart, **own})
        return written

    def dumps(self) -> str:
        """One line of JSON with sorted keys: equal cards are equal text."""
        return one_line(self.to_json())

    @classmethod
    def read(cls, config: type[C], raw: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_json`; kind and format have been looked at.

        Raises:
            WeightsError: if keys are missing or unknown, or values do not fit.
        """
        rest = {k: v for k, v in raw.items() if k not in ("format", "network")}
        apart, own = cls._apart(config), [n for n in setting_names(cls) if n != "config"]
        if missing := sorted({"model", *apart, *own} - set(rest)):
            raise WeightsError(f"the card is damaged (it has no {', '.join(missing)})")
        if unknown := sorted(set(rest) - {"model", *apart, *own}):
            raise WeightsError(f"the card has unknown keys {', '.join(unknown)}")
        hints = get_type_hints(cls)
        try:
            model = dict(rest["model"])
            for key, names in apart.items():
                section = dict(rest[key])
                if set(section) != set(names):
                    raise WeightsError(f"the card's {key} has keys {sorted(section)}")
                model |= section
            made = {k: convert(rest[k], hints[k], k) for k in own}
            return cls(config=from_plain(config, model), **made)
        except WeightsError:
            raise
        except ConfigError as e:
            what = e.what if e.where is None else f"{e.where}: {e.what}"
            raise WeightsError(f"the card is damaged ({what})") from None
        except (TypeError, ValueError, RecursionError) as e:
            raise WeightsError(f"the card is damaged ({e!r})") from None

    @classmethod
    def _apart(cls, config: Any) -> dict[str, tuple[str, ...]]:
        """Those of ``APART`` that a configuration has."""
        there = setting_names(config)
        found = {k: tuple(n for n in names if n in there) for k, names in cls.APART.items()}
        return {k: names for k, names in found.items() if names}


K = TypeVar("K", bound=Card[Any])
M_co = TypeVar("M_co", bound="nn.Module", covariant=True)
K_co = TypeVar("K_co", bound=Card[Any], covariant=True)


@dataclass(frozen=True, slots=True)
class NetworkKind(Generic[C, M_co, K_co]):
    """All that is needed to build a network and to read its weights: what a registry holds.

    Attributes:
        title: for messages, with its article.
        config: its configuration; of a network that fuses, all settings have defaults.
        build: a network with fresh parameters, drawn from torch's global generator.
        card: its card.
    """

    title: str
    config: type[C]
    build: Callable[[C], M_co]
    card: type[K_co]

    @property
    def name(self) -> str:
        """In cards, on the command line and in registries."""
        return self.config.KIND


def find_kind(name: Any, kinds: Sequence[NetworkKind[Any, M, K]]) -> NetworkKind[Any, M, K] | None:
    """The kind of that name; None if there is none."""
    return next((k for k in kinds if k.name == name), None)


def kind_of(
    config: NetworkConfig, kinds: Sequence[NetworkKind[Any, M, K]]
) -> NetworkKind[Any, M, K]:
    """The kind of network that a configuration builds.

    Raises:
        ConfigError: if it is none of them.
    """
    kind = find_kind(getattr(config, "KIND", None), kinds)
    if kind is None or type(config) is not kind.config:
        raise ConfigError(
            f"{type(config).__name__} is the configuration of no network here",
            fix=f"give one of {', '.join(k.config.__name__ for k in kinds)}",
        )
    return kind


def parse_card(text: str, kinds: Sequence[NetworkKind[Any, Any, K]]) -> K:
    """A card from its text.

    Args:
        text: what :meth:`Card.dumps` made.
        kinds: of the networks that will do.

    Raises:
        WeightsError: if it is the card of another network, of another version, or damaged.
    """
    titles = " or ".join(dict.fromkeys(k.title for k in kinds))
    no_card = f"is no card of {titles} that this version can read"
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise WeightsError(f"the card is damaged ({e})") from None
    if not isinstance(raw, dict):
        raise WeightsError("the card is damaged (it is no mapping)")
    kind = find_kind(name := raw.get("network"), kinds)
    if kind is None:
        raise WeightsError(
            f"{no_card}: its network is {str(name)[:40]!r}", fix=f"give weights of {titles}"
        )
    if raw.get("format") != kind.card.FORMAT:
        raise WeightsError(
            f"{no_card}: its format is {str(raw.get('format'))[:40]}, not {kind.card.FORMAT}",
            fix="install the version of TriFuse that wrote it",
        )
    card: K = kind.card.read(kind.config, raw)
    return card


def one_line(values: Mapping[str, Any]) -> str:
    """JSON with sorted keys on one line, as it stands in the header of a file of weights."""
    return json.dumps(values, sort_keys=True, ensure_ascii=False, allow_nan=False)


def finite(value: Any) -> Any:
    """JSON has no NaN: a metric that does not exist is null."""
    if isinstance(value, Mapping):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
