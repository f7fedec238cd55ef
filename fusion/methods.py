"""The ways to fuse: bicubic, the per-scene regression, a network; and all others by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from trifuse.core import BandSet, ConfigError, WeightsError
from trifuse.core.card import NetworkKind
from trifuse.core.runtime import Runtime
from trifuse.core.weights import described, read_card
from trifuse.fusformer import (
    FUSION,
    REFINERS,
    FusionCard,
    FusionNetwork,
    RefinerCard,
    check_bands,
    load_weights,
)
from trifuse.fusion.method import Method, Run, TileRun
from trifuse.fusion.network_run import Beside, Called, NetworkRun
from trifuse.fusion.scene import Scene
from trifuse.fusion.spectral import PRIORS
from trifuse.fusion.spectral.base import Masked, Upsampled
from trifuse.fusion.spectral.regression import regression_prior
from trifuse.restore.view import RestoredView


@dataclass(frozen=True, slots=True)
class Bicubic(Method):
    """The coarse image by cubic convolution: what any method must beat."""

    name: str = field(default="bicubic", init=False)
    halo: int | None = field(default=0, init=False)
    alignment: int = field(default=1, init=False)

    def bands(self, hr: BandSet, lr: BandSet) -> tuple[list[str], list[str]]:
        """All bands."""
        return list(hr.names), list(lr.names)

    def prepare(self, scene: Scene, runtime: Runtime) -> Run:
        """Nothing to prepare."""
        return Masked(scene, Upsampled(scene))


@dataclass(frozen=True, slots=True)
class Regression(Method):
    """Per-scene linear map of S2 to S3 with the upsampled residual.

    Attributes:
        ridge: see :func:`trifuse.align.fit_map`.
        residual: whether the upsampled residual is added.
    """

    ridge: float | str = "gcv"
    residual: bool = True
    name: str = field(default="regression", init=False)
    halo: int | None = field(default=0, init=False)
    alignment: int = field(default=1, init=False)

    def bands(self, hr: BandSet, lr: BandSet) -> tuple[list[str], list[str]]:
        """All bands."""
        return list(hr.names), list(lr.names)

    def prepare(self, scene: Scene, runtime: Runtime) -> Run:
        """Fit the map to the degraded S2 and the S3."""
        return Masked(scene, regression_prior(scene, ridge=self.ridge, residual=self.residual))


def _prior(scene: Scene, card: FusionCard[Any]) -> TileRun:
    """What the card says that the network was shown as ``prior``."""
    if card.prior not in PRIORS:
        raise WeightsError(
            f"the network starts from {card.prior!r}, an unknown prior",
            fix="install the version of TriFuse that wrote it",
        )
    return PRIORS[card.prior](scene)


VIEWS: dict[str, Callable[[Scene, FusionCard[Any]], TileRun]] = {
    "bicubic": lambda scene, _: Upsampled(scene),
    "prior": _prior,
}
"""What networks can be called with beside the sharp image; see
:attr:`trifuse.fusformer.FusionConfig.inputs`."""


@dataclass(frozen=True, slots=True, eq=False)
class Network(Method):
    """A trained network, of whatever kind its card says.

    Attributes:
        model: the network.
        card: what it was trained for.
    """

    model: FusionNetwork
    card: FusionCard[Any] = field()
    name: str = "network"

    @classmethod
    def load(cls, path: Path | str) -> Network:
        """From a file of weights.

        Raises:
            WeightsError: if the file is damaged or of no network that fuses.
        """
        model, card = load_weights(path)
        return cls(model, card)

    @property
    def halo(self) -> int | None:
        """The model's."""
        return self.model.halo

    @property
    def alignment(self) -> int:
        """The model's."""
        return self.model.alignment

    def bands(self, hr: BandSet, lr: BandSet) -> tuple[list[str], list[str]]:
        """The card's bands, found by name.

        Raises:
            WeightsError: if they are not there.
        """
        return check_bands(self.card, hr, lr)

    def model_record(
        self, weights: Path | str | None, view: RestoredView | None = None
    ) -> dict[str, Any] | None:
        """See :meth:`Method.model_record`."""
        return self.card.to_json() if weights is None else described(weights, self.card)

    def prepare(self, scene: Scene, runtime: Runtime) -> Run:
        """Make ready what the network is called with, such as a prior.

        Raises:
            WeightsError: if its card asks for an unknown prior.
        """
        inputs = self.card.config.inputs
        views = [VIEWS[name](scene, self.card) for name in inputs if name != "hrmsi"]
        if inputs == ("hrmsi", inputs[-1]):
            return NetworkRun(self.model, views[0], scene, runtime)
        return NetworkRun(Called(self.model, inputs), Beside(views), scene, runtime)


METHODS: dict[str, str] = {
    "bicubic": "trifuse.fusion.methods:Bicubic",
    "regression": "trifuse.fusion.methods:Regression",
    "physics": "trifuse.fusion.physics:Physics",
    "refined": "trifuse.fusion.refined:Refined",
    "local-regression": "trifuse.fusion.classical.local_regression:LocalRegression",
    "gsa": "trifuse.fusion.classical.gsa:Gsa",
    "mtf-glp-hs": "trifuse.fusion.classical.mtf_glp:MtfGlpHs",
    "sfim": "trifuse.fusion.classical.sfim:Sfim",
    "atprk": "trifuse.fusion.classical.atprk:Atprk",
    "cnmf": "trifuse.fusion.classical.cnmf:Cnmf",
    "hysure": "trifuse.fusion.classical.hysure:HySure",
}
"""Methods without weights by their name on the command line, and where each is: loaded when asked
for, so that no method costs the others its imports."""


def get_method(name: str, weights: Path | str | None = None, **options: Any) -> Method:
    """A method by its name on the command line.

    Args:
        name: one of :data:`METHODS`, or ``network``.
        weights: file of the network; of the one that refines bands, for ``refined``.
        options: fields of the method.

    Raises:
        ConfigError: if the name is unknown, or weights are missing or given to no network.
        WeightsError: if the weights cannot be used.
    """
    if name == "network":
        if weights is None:
            raise ConfigError("method network without weights", fix="give --weights")
        return Network.load(weights)
    if weights is not None and name != "refined":
        raise ConfigError(f"method {name!r} takes no weights", fix="leave out one of them")
    if weights is not None:
        options["network"] = str(weights)
    if name not in METHODS:
        known = ", ".join([*METHODS, "network"])
        raise ConfigError(f"unknown method {name!r}", fix=f"give one of {known}")
    made: Method = resolve_name(METHODS[name])(**options)
    return made


def method_for(weights: Path | str) -> str:
    """Name of the method that takes weights, by what their card says.

    Raises:
        WeightsError: if they cannot be read, or are of a network that neither fuses nor refines.
    """
    kinds: tuple[NetworkKind[Any, Any, Any], ...] = (*FUSION, *REFINERS)
    return "refined" if isinstance(read_card(weights, kinds), RefinerCard) else "network"
