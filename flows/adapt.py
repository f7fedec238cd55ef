"""What is done to adapt the network of a fusion to its scene, and what is said of it."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from trifuse.core import ConfigError, CubeSource
from trifuse.flows.coregister import Place
from trifuse.fusformer.refiner import Refiner
from trifuse.fusion import Method
from trifuse.restore import RestoredView

_log = logging.getLogger(__name__)


def require_adaptable(how: Method, seconds: float | None) -> None:
    """Refuse to adapt what has no network that could be.

    Raises:
        ConfigError: if the method has no such network, or the time is no positive number.
    """
    if seconds is None:
        return
    if not how.adaptable:
        raise ConfigError(
            f"method {how.name} cannot be adapted to a scene", fix="take refined, or leave it out"
        )
    if not (math.isfinite(seconds) and seconds > 0):
        raise ConfigError(f"an adaptation of {seconds:g} s", fix="give a positive number")


def adapt_view(
    how: Method,
    view: RestoredView,
    s2: CubeSource,
    s3: CubeSource,
    place: Place,
    seconds: float,
    *,
    device: str = "auto",
) -> tuple[RestoredView, dict[str, Any]]:
    """Train the network that refines a view on the scene itself; see :mod:`trifuse.train.adapt`.

    Args:
        how: the method.
        view: what it made of the sharp image; see :meth:`trifuse.fusion.Method.learner` for what
            of it is trained.
        s2: the sharp image.
        s3: the coarse image.
        place: where its cells lie and how wide they see.
        seconds: for the updates.
        device: see :func:`trifuse.flows.fuse.fuse`.

    Returns:
        The view to go on with, the better of the two; and a record in plain JSON values.

    Raises:
        DataError: if the scene has no part to learn from.
    """
    from trifuse.train.adapt import adapt  # the rooms of training are slow to import

    refined = how.learner(view, s2, device=device)
    if refined is None:
        why = "no band was restored"
        _log.warning("%s: not adapted: %s", s2.name, why)
        return view, {"kept": False, "why": why, "updates": 0}
    done = adapt(refined, s3, psf=place.psf, shift=place.shift, seconds=seconds)
    cells = [float(f"{c:.4g}") for c in done.cells]
    record: dict[str, Any] = {
        "kept": done.kept,
        "why": done.why,
        "seconds": seconds,
        "updates": done.steps,
        "gain_db": round(done.gain, 4),
        "cells_rmse": None if math.isnan(cells[0]) else cells,
    }
    if not done.kept:
        return view, record
    # What determines the pixels: the time that updates take differs from run to run.
    record["weights_sha256"] = digest(done.view.network)
    # Errors stay calibrated as they were: no network like this one was among those fitted on.
    return replace(view, source=done.view, refinement=done.view), record


def digest(network: Refiner) -> str:
    """SHA-256 of a network's parameters."""
    found = hashlib.sha256()
    for parameter in network.state_dict().values():
        found.update(parameter.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def adaptation_text(record: Mapping[str, Any] | None) -> list[str]:
    """What was adapted, in one line; nothing if nothing was asked for."""
    if record is None:
        return []
    if not record["updates"]:
        return [f"network not adapted to the scene: {record['why']}"]
    cells = record["cells_rmse"]
    held = "too few" if cells is None else f"RMSE {cells[0]:.5f} before, {cells[1]:.5f} after"
    return [
        f"network adapted to the scene, {record['updates']} updates: {record['gain_db']:+.2f} dB "
        f"one scale down, Sentinel-3's cells held back: {held}; "
        f"{'kept' if record['kept'] else 'not kept'}, {record['why']}"
    ]
