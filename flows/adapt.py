"""What is done to adapt the network of a fusion to its scene, and what is said of it."""

from __future__ import annotations

import hashlib
import logging
import math
from dataclasses import dataclass, replace
from typing import Any

from trifuse.core import ConfigError, CubeSource
from trifuse.flows.coregister import Place
from trifuse.fusformer.refiner import Refiner
from trifuse.fusion import Method
from trifuse.restore import RestoredView

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Adaptation:
    """What came of adapting a network to its scene.

    Attributes:
        kept: whether the adapted network is used.
        why: in words.
        updates: that were done; 0 if there was nothing to adapt.
        seconds: that they were given.
        gain_db: one scale down, against the network as it was.
        cells_rmse: on Sentinel-3's cells held back, before and after; None where too few are.
        weights_sha256: of the network, if it is kept: what determines the pixels, since the time
            that updates take differs from run to run.
    """

    kept: bool
    why: str
    updates: int
    seconds: float = 0.0
    gain_db: float = 0.0
    cells_rmse: tuple[float, float] | None = None
    weights_sha256: str | None = None

    @property
    def text(self) -> str:
        """One line for a terminal."""
        if not self.updates:
            return f"network not adapted to the scene: {self.why}"
        cells = self.cells_rmse
        held = "too few" if cells is None else f"RMSE {cells[0]:.5f} before, {cells[1]:.5f} after"
        return (
            f"network adapted to the scene, {self.updates} updates: {self.gain_db:+.2f} dB "
            f"one scale down, Sentinel-3's cells held back: {held}; "
            f"{'kept' if self.kept else 'not kept'}, {self.why}"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        if not self.seconds:
            return {"kept": self.kept, "why": self.why, "updates": self.updates}
        return {
            "kept": self.kept,
            "why": self.why,
            "seconds": self.seconds,
            "updates": self.updates,
            "gain_db": self.gain_db,
            "cells_rmse": None if self.cells_rmse is None else list(self.cells_rmse),
            **({} if self.weights_sha256 is None else {"weights_sha256": self.weights_sha256}),
        }


def require_adaptable(how: Method, seconds: float | None) -> None:
    """Refuse to adapt what has no network that could be.

    Raises:
        ConfigError: if the method is not ``refined``, or the time is no positive number.
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
) -> tuple[RestoredView, Adaptation]:
    """Train the network that refines a view on the scene itself; see :mod:`trifuse.train.adapt`.

    Args:
        how: the method, ``refined``.
        view: what it made of the sharp image. Without weights a network that changes nothing yet
            is where the training starts.
        s2: the sharp image.
        s3: the coarse image.
        place: where its cells lie and how wide they see.
        seconds: for the updates.
        device: see :func:`trifuse.flows.fuse.fuse`.

    Returns:
        The view to go on with, the better of the two; and what is to be said of it.

    Raises:
        DataError: if the scene has no part to learn from.
    """
    from trifuse.train.adapt import adapt  # the rooms of training are slow to import

    refined = how.learner(view, s2, device=device)
    if refined is None:
        why = "no band was restored"
        _log.warning("%s: not adapted: %s", s2.name, why)
        return view, Adaptation(kept=False, why=why, updates=0)
    done = adapt(refined, s3, psf=place.psf, shift=place.shift, seconds=seconds)
    before, after = (float(f"{c:.4g}") for c in done.cells)
    adaptation = Adaptation(
        kept=done.kept,
        why=done.why,
        updates=done.steps,
        seconds=seconds,
        gain_db=round(done.gain, 4),
        cells_rmse=None if math.isnan(before) else (before, after),
        weights_sha256=digest(done.view.network) if done.kept else None,
    )
    if not done.kept:
        return view, adaptation
    # Errors stay calibrated as they were: no network like this one was among those fitted on.
    return replace(view, source=done.view, refinement=done.view), adaptation


def digest(network: Refiner) -> str:
    """SHA-256 of a network's parameters."""
    found = hashlib.sha256()
    for parameter in network.state_dict().values():
        found.update(parameter.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()
