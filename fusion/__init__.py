"""Sentinel-3's spectrum at Sentinel-2's pixels: the methods, and whole scenes by mosaic."""

from trifuse.fusion.consistency import Consistency
from trifuse.fusion.inference import FuseResult, fuse, fuse_cube, fuse_target, plan_tiles
from trifuse.fusion.method import Method, Predicted, Run
from trifuse.fusion.methods import METHODS, Bicubic, Network, Regression, get_method
from trifuse.fusion.physics import Physics, placed
from trifuse.fusion.scene import Scene
from trifuse.fusion.selfcheck import SelfCheck
from trifuse.fusion.spectral import PRIORS, regression_prior

__all__ = [
    "Consistency",
    "FuseResult",
    "fuse",
    "fuse_cube",
    "fuse_target",
    "plan_tiles",
    "METHODS",
    "Bicubic",
    "Method",
    "Network",
    "Predicted",
    "Regression",
    "Run",
    "get_method",
    "Physics",
    "placed",
    "Scene",
    "SelfCheck",
    "PRIORS",
    "regression_prior",
]
