"""Maps between the spectra of two sensors: where a network can start, and what needs none.

A prior is fitted once per scene and then maps windows of sharp pixels to windows of the result.
"""

from collections.abc import Callable

from trifuse.fusion.spectral.base import Masked, TileRun, Upsampled
from trifuse.fusion.spectral.chain import ChainRun, chain_prior
from trifuse.fusion.spectral.regression import regression_prior

PRIORS: dict[str, Callable[..., TileRun]] = {"regression": regression_prior, "physics": chain_prior}
"""Priors by the name that cards give them."""

__all__ = [
    "PRIORS",
    "Masked",
    "TileRun",
    "Upsampled",
    "ChainRun",
    "chain_prior",
    "regression_prior",
]
