"""The networks that fuse Sentinel-2 and Sentinel-3, and their weights."""

from trifuse.fusformer.card import Card, check_bands
from trifuse.fusformer.config import FusformerConfig
from trifuse.fusformer.mixers import MIXERS
from trifuse.fusformer.model import Fusformer, build_model
from trifuse.fusformer.original import load_original_state, rename_original
from trifuse.fusformer.refiner import Refiner
from trifuse.fusformer.refiner_weights import load_refiner
from trifuse.fusformer.weights import load_weights, read_card, save_weights
from trifuse.moved import keep_moved_names

__all__ = [
    "Card",
    "check_bands",
    "FusformerConfig",
    "MIXERS",
    "Fusformer",
    "build_model",
    "load_original_state",
    "rename_original",
    "Refiner",
    "load_refiner",
    "load_weights",
    "read_card",
    "save_weights",
]

keep_moved_names(__name__)
