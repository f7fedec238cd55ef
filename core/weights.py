"""Weights on disk: safetensors with the card in the header, and the card beside for people.

The one place that reads and writes them, for every network and for tables that were learnt. It
imports torch only where a network is at hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trifuse.core.atomic import read_json, refuse_existing, sha256, write_bytes, write_json
from trifuse.core.card import Card, K, M, NetworkKind, kind_of, one_line, parse_card
from trifuse.core.errors import ConfigError, WeightsError

if TYPE_CHECKING:
    from torch import Tensor, nn

KEY = "trifuse_card"
"""Key of the card in the header of the file."""


def save_weights(
    path: Path | str, model: nn.Module, card: Card[Any], *, overwrite: bool = False
) -> None:
    """Write ``path`` and the card as JSON beside it, each atomically.

    Args:
        path: ends in ``.safetensors``.
        model: the trained network, on any device; its ``config`` is what it was built from.
        card: must describe this network.
        overwrite: replace what is there.

    Raises:
        WeightsError: if the card describes another network, the name has another ending, or a
            parameter is not finite.
        OutputExistsError: if a file is in the way.
    """
    from safetensors.torch import save

    path = Path(path)
    if card.config != getattr(model, "config", None):
        raise WeightsError("the card describes another network", where=path)
    _require_free(path, overwrite=overwrite)
    state = {k: _stored(v).cpu().contiguous() for k, v in model.state_dict().items()}
    _require_finite(state, path)
    write_bytes(path, save(state, metadata={KEY: card.dumps()}), overwrite=overwrite)
    write_json(path.with_suffix(".json"), card.to_json(), overwrite=overwrite)


def read_card(path: Path | str, kinds: Sequence[NetworkKind[Any, Any, K]]) -> K:
    """The card of weights, without the weights.

    Args:
        path: of the file.
        kinds: of the networks that will do.

    Raises:
        WeightsError: if the file is missing, damaged or has no card, or its card is of another
            network or version.
    """
    text, _ = _read(Path(path), tensors=False)
    with _naming(path):
        return parse_card(text, kinds)


def load_weights(path: Path | str, kinds: Sequence[NetworkKind[Any, M, K]]) -> tuple[M, K]:
    """Read weights onto the CPU, into the network that their card names.

    Everything is checked before it is used, and no memory is taken before the shapes fit.

    Args:
        path: of the file.
        kinds: of the networks that will do.

    Returns:
        The network in evaluation mode, and its card.

    Raises:
        WeightsError: as :func:`read_card`; or if the tensors are not those of the network that
            the card describes.
    """
    import torch

    path = Path(path)
    text, state = _read(path, tensors=True)
    with _naming(path):
        card = parse_card(text, kinds)
        build = partial(kind_of(card.config, kinds).build, card.config)
        try:
            with torch.device("meta"):
                model = build()
        except (ConfigError, RuntimeError, TypeError) as e:
            what = e.what if isinstance(e, ConfigError) else e
            raise WeightsError(f"the card is damaged ({what})") from None
    wanted = model.state_dict()
    _require_fit(wanted, state, path)
    if {name for name, _ in model.named_buffers()} - wanted.keys():
        model = build()  # it holds constants that are not stored
    model.load_state_dict({k: v.to(wanted[k].dtype) for k, v in state.items()}, assign=True)
    model.eval()
    return model, card


def check_weights(path: Path) -> None:
    """Read weights to their end, whatever their network.

    Raises:
        WeightsError: if they are missing, damaged or not finite, or have no card or another one
            than the card beside them.
    """
    text, state = _read(path, tensors=True)
    _require_finite(state, path)
    beside = path.with_suffix(".json")
    if beside.is_file() and read_json(beside) != json.loads(text):
        raise WeightsError(f"has another card than {beside.name}", where=path)


def described(path: Path | str, card: Card[Any]) -> dict[str, Any]:
    """What a record says of weights: their card, and the digest of their file."""
    return {**card.to_json(), "sha256": sha256(path)}


def write_arrays(
    path: Path,
    arrays: Mapping[str, np.ndarray],
    card: Mapping[str, Any],
    *,
    overwrite: bool = False,
) -> None:
    """Write a table that was learnt, as float32, with its card in the header and beside.

    Args:
        path: ends in ``.safetensors``.
        arrays: by name.
        card: plain JSON values.
        overwrite: replace what is there.

    Raises:
        OutputExistsError: if a file is in the way.
    """
    from safetensors.numpy import save

    _require_free(path, overwrite=overwrite)
    made = {name: np.ascontiguousarray(a, np.float32) for name, a in arrays.items()}
    write_bytes(path, save(made, metadata={KEY: one_line(card)}), overwrite=overwrite)
    write_json(path.with_suffix(".json"), card, overwrite=overwrite)


def read_arrays(
    path: Path, names: Sequence[str], *, of: tuple[str, int] | None = None
) -> tuple[dict[str, Any], list[np.ndarray]]:
    """The card and arrays of a file that comes with the package.

    Args:
        path: of the file.
        names: of the arrays.
        of: network and format that its card must name; without them the card is not read.

    Raises:
        WeightsError: if the file is missing, truncated or no safetensors, has another card, or
            lacks one of the arrays.
    """
    with _opened(path, "numpy", "cannot be read", "install TriFuse again") as file:
        card = json.loads((file.metadata() or {}).get(KEY, "{}")) if of else {}
        if of and (card.get("network"), card.get("format")) != of:
            what = of[0].replace("_", " ")
            raise WeightsError(f"is no {what} that this version can read", where=path)
        return card, [file.get_tensor(n) for n in names]


def _read(path: Path, *, tensors: bool) -> tuple[str, dict[str, Tensor]]:
    """The card's text, and the tensors on request."""
    if not path.is_file():
        raise WeightsError("no such file", where=path, fix="give a *.safetensors file")
    with _opened(path, "pt", "truncated or no safetensors file", "fetch it again") as file:
        text = (file.metadata() or {}).get(KEY)
        state = {k: file.get_tensor(k) for k in file.keys()} if tensors else {}
    if text is None:
        raise WeightsError("holds no card", where=path, fix="give weights written by TriFuse")
    return text, state


@contextmanager
def _opened(path: Path, framework: str, wrong: str, fix: str) -> Iterator[Any]:
    """A safetensors file; what is wrong with it as one line."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework=framework) as file:
            yield file
    except WeightsError:
        raise
    except (SafetensorError, OSError, ValueError) as e:
        reason = str(e).splitlines()[0]
        raise WeightsError(f"{wrong} ({reason})", where=path, fix=fix) from None


def _require_fit(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor], path: Path) -> None:
    """Refuse tensors that are not those of a network, or not finite."""
    expected = {k: tuple(v.shape) for k, v in wanted.items()}
    found = {k: tuple(v.shape) for k, v in state.items()}
    if found != expected:
        differ = sorted(k for k in {*found, *expected} if found.get(k) != expected.get(k))
        first = differ[0]
        raise WeightsError(
            f"{len(differ)} tensors do not fit the network of the card, first {first}: "
            f"{found.get(first, 'missing')} instead of {expected.get(first, 'none')}",
            where=path,
            fix="give the file as it was written",
        )
    _require_finite(state, path)


def _stored(value: Tensor) -> Tensor:
    """Without gradient, and in float32 if it is a real number; counts stay counts."""
    value = value.detach()
    return value.float() if value.is_floating_point() else value


def _require_free(path: Path, *, overwrite: bool) -> None:
    """Refuse another ending, and files in the way."""
    if path.suffix != ".safetensors":
        raise WeightsError("has another ending", where=path, fix="name it *.safetensors")
    refuse_existing(path, path.with_suffix(".json"), overwrite=overwrite)


def _require_finite(state: Mapping[str, Tensor], path: Path) -> None:
    """Refuse tensors that hold NaN or infinity."""
    if bad := [k for k, v in state.items() if not v.isfinite().all()]:
        raise WeightsError(f"{', '.join(bad[:3])} hold values that are not finite", where=path)


@contextmanager
def _naming(path: Path | str) -> Iterator[None]:
    """Name the file in what is said of its card."""
    try:
        yield
    except WeightsError as e:
        raise WeightsError(e.what, where=path, fix=e.fix) from None
