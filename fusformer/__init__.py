"""The networks that fuse Sentinel-2 and Sentinel-3, and their weights."""

from trifuse.core.weights import save_weights
from trifuse.fusformer.base import FusionConfig, FusionNetwork
from trifuse.fusformer.card import FusionCard, check_bands
from trifuse.fusformer.config import FusformerConfig, PaperConfig
from trifuse.fusformer.mixers import MIXERS
from trifuse.fusformer.model import Fusformer, build_model
from trifuse.fusformer.networks import FUSION, REFINERS, load_refiner, load_weights, read_card
from trifuse.fusformer.original import load_original_state, rename_original
from trifuse.fusformer.refiner import Refiner, RefinerCard, RefinerConfig
from trifuse.moved import keep_moved_names

Card = FusionCard  # its name before there was one for all networks

__all__ = [
    "FUSION",
    "REFINERS",
    "FusionConfig",
    "FusionNetwork",
    "FusionCard",
    "Card",
    "check_bands",
    "FusformerConfig",
    "PaperConfig",
    "MIXERS",
    "Fusformer",
    "build_model",
    "load_original_state",
    "rename_original",
    "Refiner",
    "RefinerCard",
    "RefinerConfig",
    "load_refiner",
    "load_weights",
    "read_card",
    "save_weights",
]

keep_moved_names(__name__)
