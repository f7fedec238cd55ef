"""Fusion by physics with bands restored place by place, and refined by a small network.

The chain of :mod:`trifuse.fusion.physics` with two steps more between the restoration and the
spectral map: the restoration is solved again with the statistics of each place
(:mod:`trifuse.restore.local`), and a network that has learnt what such fields look like
corrects what is left (:mod:`trifuse.fusformer.refiner`), as far as its corrections prove right in
this scene one scale down (:mod:`trifuse.restore.trust`). Where the restoration is off, because
the bands are sharp, so are all three.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import trifuse.fusformer
from trifuse.core import BandSet, CubeSource
from trifuse.core.runtime import Runtime
from trifuse.fusformer.networks import load_refiner
from trifuse.fusion.physics import Physics, PhysicsRun
from trifuse.fusion.scene import Scene
from trifuse.restore.local import LocallyRestoredSource
from trifuse.restore.refined_source import RefinedSource
from trifuse.restore.trust import trusted_share

SHIPPED = Path(trifuse.fusformer.__file__).with_name("shipped") / "refiner.safetensors"
"""Weights that come along; their card beside them says what they are good for."""


def weights_of(network: str) -> Path:
    """File of the weights that :class:`Refined` is given as ``network``."""
    return SHIPPED if network == "shipped" else Path(network)


@dataclass(frozen=True, slots=True)
class Refined:
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

    def view(self, s2: CubeSource, runtime: Runtime) -> CubeSource:
        """The refined image; see :class:`trifuse.fusion.methods.Sharpening`.

        Raises:
            WeightsError: if the weights cannot be used.
            ConfigError: if bands that are no Sentinel-2 bands are given ratios.
        """
        if "restoration" in s2.meta:
            return s2
        view = self.physics.restored(s2, runtime, LocallyRestoredSource)
        if not isinstance(view, LocallyRestoredSource):
            return view
        about = {**view.meta["restoration"], "by_place": True}
        view.meta = {**view.meta, "restoration": about}
        if self.network == "none":
            return view
        network, _ = load_refiner(weights_of(self.network))
        refined = RefinedSource(view, s2, network, device=runtime.device, flips=self.flips)
        refined.share = trusted_share(view, refined.correct)
        told = {n: round(float(v), 3) for n, v in zip(view.bands.names, refined.share, strict=True)}
        view.meta = refined.meta = {**view.meta, "restoration": {**about, "trusted": told}}
        return refined

    def prepare(self, scene: Scene, runtime: Runtime) -> PhysicsRun:
        """Fit the scene's map and weigh its residual."""
        return self.physics.prepare(scene, runtime)
