"""Spatio-temporal fusion: a coarse image of one sensor at the pixels of another."""

from trifuse.stf.atprk import AtprkFit, atprk, fit_atprk
from trifuse.stf.methods import PAIRWISE_METHODS, get_pairwise
from trifuse.stf.pairwise import Fused, Pair, Pairwise, PairwiseOptions, Target
from trifuse.stf.upscaling import upscale, upscale_matrix

__all__ = [
    "PAIRWISE_METHODS",
    "get_pairwise",
    "Pair",
    "Target",
    "Fused",
    "Pairwise",
    "PairwiseOptions",
    "atprk",
    "fit_atprk",
    "AtprkFit",
    "upscale",
    "upscale_matrix",
]
