"""Sentinel-2 and Sentinel-3 fusion: the networks, their weights, whole scenes by mosaic."""

from trifuse.fusformer.card import Card, check_bands
from trifuse.fusformer.config import FusformerConfig
from trifuse.fusformer.consistency import Consistency
from trifuse.fusformer.inference import FuseResult, fuse, fuse_cube, fuse_target, plan_tiles
from trifuse.fusformer.methods import (
    METHODS,
    Bicubic,
    Method,
    Network,
    Regression,
    Sharpening,
    get_method,
)
from trifuse.fusformer.mixers import MIXERS
from trifuse.fusformer.model import Fusformer, build_model
from trifuse.fusformer.original import load_original_state, rename_original
from trifuse.fusformer.physics import Physics, placed
from trifuse.fusformer.prior import PRIORS, regression_prior
from trifuse.fusformer.runtime import Runtime
from trifuse.fusformer.scene import Scene
from trifuse.fusformer.selfcheck import SelfCheck
from trifuse.fusformer.weights import load_weights, read_card, save_weights

__all__ = [
    "FusformerConfig", "Fusformer", "build_model", "MIXERS",
    "load_original_state", "rename_original",
    "Card", "check_bands", "save_weights", "load_weights", "read_card",
    "fuse", "fuse_cube", "fuse_target", "plan_tiles", "FuseResult", "SelfCheck", "Runtime",
    "Consistency", "Physics", "placed", "Sharpening",
    "Method", "METHODS", "Bicubic", "Regression", "Network", "get_method",
    "Scene", "PRIORS", "regression_prior",
]  # fmt: skip
