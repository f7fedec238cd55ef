"""Sentinel-2 and Sentinel-3 fusion."""

from trifuse.fusformer.config import FusformerConfig
from trifuse.fusformer.mixers import MIXERS
from trifuse.fusformer.model import Fusformer, build_model
from trifuse.fusformer.original import load_original_state, rename_original

__all__ = [
    "FusformerConfig", "Fusformer", "build_model", "MIXERS",
    "load_original_state", "rename_original",
]  # fmt: skip
