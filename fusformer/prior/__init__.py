"""What a network can start from: predictions made of the scene itself, before any learning.

A prior is fitted once per scene and then maps windows of sharp pixels to windows of the result.
"""

from collections.abc import Callable

from trifuse.fusformer.prior.base import Masked, TileRun, Upsampled
from trifuse.fusformer.prior.chain import ChainRun, chain_prior
from trifuse.fusformer.prior.injection import InjectedSource
from trifuse.fusformer.prior.regression import regression_prior
from trifuse.fusformer.prior.restoration import posterior_deviation, restore
from trifuse.fusformer.prior.restored_source import RestoredSource, restored
from trifuse.fusformer.prior.scene_statistics import Statistics, scene_statistics
from trifuse.fusformer.prior.sharpness import Sharpness, sharpness_of
from trifuse.fusformer.prior.sharpness_check import SharpnessCheck, check_sharpness, learn

PRIORS: dict[str, Callable[..., TileRun]] = {
    "regression": regression_prior,
    "physics": chain_prior,
}
"""Priors by the name that cards give them."""

__all__ = [
    "PRIORS", "TileRun", "Masked", "Upsampled", "regression_prior", "chain_prior", "ChainRun",
    "Sharpness", "sharpness_of", "Statistics", "scene_statistics", "restore",
    "posterior_deviation", "RestoredSource", "restored", "InjectedSource",
    "SharpnessCheck", "check_sharpness", "learn",
]  # fmt: skip
