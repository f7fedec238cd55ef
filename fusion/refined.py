"""Fusion by physics with bands restored place by place, and refined by a small network.

The chain of :mod:`trifuse.fusion.physics` with two steps more between the restoration and the
spectral map: the restoration is solved again with the statistics of each place
(:mod:`trifuse.restore.local`), and a network that has learnt what such fields look like
corrects what is left (:mod:`trifuse.fusformer.refiner`), as far as its corrections prove right in
this scene one scale down (:mod:`trifuse.restore.one_scale_down`). Where the restoration is off,
because the bands are sharp, so are all three.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

import trifuse.fusformer
from trifuse.align import Registration
from trifuse.core import PSF, BandSet, CubeSource
from trifuse.core.runtime import Runtime
from trifuse.core.weights import described, read_card
from trifuse.fusformer import REFINERS
from trifuse.fusformer.networks import load_refiner
from trifuse.fusformer.refiner import Refiner, RefinerConfig
from trifuse.fusion.method import Method
from trifuse.fusion.physics import Physics, PhysicsRun, placed
from trifuse.fusion.scene import Scene
from trifuse.restore.one_scale_down import trusted_share
from trifuse.restore.refined_source import RefinedSource
from trifuse.restore.view import LocallyRestoredSource, RestoredSource, RestoredView, restored_view

SHIPPED = Path(trifuse.fusformer.__file__).with_name("shipped") / "refiner.safetensors"
"""Weights that come along; their card beside them says what they are good for."""


def weights_of(network: str) -> Path:
    """File of the weights that :class:`Refined` is given as ``network``."""
    return SHIPPED if network == "shipped" else Path(network)


@dataclass(frozen=True, slots=True)
class Refined(Method):
    """The chain with refined bands.

    Attributes:
        sharpness: see :class:`trifuse.fusion.physics.Physics`.
        s2_mtf: likewise.
        s2_noise: likewise.
        s3_noise: likewise.
        residual: likewise.
        network: path of a refiner's weights; ``shipped`` (the default) for those that come along;
            ``none`` for the local restoration alone.
        flips: see :class:`RefinedSource`.
    """

    sharpness: str = "auto"
    s2_mtf: float | None = None
    s2_noise: float | None = None
    s3_noise: float | None = None
    residual: bool = True
    network: str = "shipped"
    flips: bool = False
    name: str = field(default="refined", init=False)
    halo: int | None = field(default=0, init=False)
    alignment: int = field(default=1, init=False)

    def __post_init__(self) -> None:
        _ = self.physics

    @property
    def physics(self) -> Physics:
        """The chain that this one extends."""
        return Physics(self.sharpness, self.s2_mtf, self.s2_noise, self.s3_noise, self.residual)

    def bands(self, hr: BandSet, lr: BandSet) -> tuple[list[str], list[str]]:
        """All bands."""
        return self.physics.bands(hr, lr)

    def view(self, s2: CubeSource, runtime: Runtime) -> RestoredView:
        """The refined image.

        Raises:
            WeightsError: if the weights cannot be used.
            ConfigError: if bands that are no Sentinel-2 bands are given ratios.
        """
        view = restored_view(
            s2,
            LocallyRestoredSource,
            how=self.sharpness,
            mtf=self.s2_mtf,
            noise=self.s2_noise,
            device=runtime.device,
        )
        if (restored := view.restoration) is None:
            return view
        view = replace(view, record={**view.record, "by_place": True})
        if self.network == "none":
            return view
        network, _ = load_refiner(weights_of(self.network))
        made = self._refined(restored, s2, network, runtime.device)
        made.share = trusted_share(restored, made.correct)
        trusted = {n: round(float(v), 3) for n, v in zip(made.bands.names, made.share, strict=True)}
        return replace(
            view,
            source=made,
            refinement=made,
            calibrated_as="refined",
            record={**view.record, "trusted": trusted},
        )

    def place(self, estimate: Registration, nominal: PSF) -> tuple[tuple[float, float], PSF]:
        """See :func:`trifuse.fusion.physics.placed`."""
        return placed(estimate, nominal)

    def model_record(
        self, weights: Path | str | None, view: RestoredView | None = None
    ) -> dict[str, Any] | None:
        """See :meth:`trifuse.fusion.method.Method.model_record`.

        A network that refines has no part in an image that was not restored.
        """
        if self.network == "none" or (view is not None and view.refinement is None):
            return None
        path = weights_of(self.network)
        return described(path, read_card(path, REFINERS))

    @property
    def adaptable(self) -> bool:
        """The network that refines is."""
        return True

    def learner(
        self, view: RestoredView, s2: CubeSource, *, device: str = "auto"
    ) -> RefinedSource | None:
        """The refined bands; without weights, restored bands that are left as they are yet."""
        if isinstance(view.refinement, RefinedSource):
            return view.refinement
        if view.restoration is None:
            return None
        return self._refined(view.restoration, s2, untrained(), device)

    def prepare(self, scene: Scene, runtime: Runtime) -> PhysicsRun:
        """Fit the scene's map and weigh its residual."""
        return self.physics.prepare(scene, runtime)

    def _refined(
        self, restored: RestoredSource, s2: CubeSource, network: Refiner, device: str
    ) -> RefinedSource:
        return RefinedSource(restored, s2, network, device=device, flips=self.flips)


def untrained() -> Refiner:
    """The usual network, which returns what it is given, always with the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Refiner(RefinerConfig())
