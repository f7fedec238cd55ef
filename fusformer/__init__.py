"""Sentinel-2 and Sentinel-3 fusion."""

from trifuse.fusformer.card import Card, check_bands
from trifuse.fusformer.config import FusformerConfig
from trifuse.fusformer.mixers import MIXERS
from trifuse.fusformer.model import Fusformer, build_model
from trifuse.fusformer.original import load_original_state, rename_original
from trifuse.fusformer.weights import load_weights, read_card, save_weights

__all__ = [
    "FusformerConfig", "Fusformer", "build_model", "MIXERS",
    "load_original_state", "rename_original",
    "Card", "check_bands", "save_weights", "load_weights", "read_card",
]  # fmt: skip
