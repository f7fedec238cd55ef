"""Sentinel-2's 20 m and 60 m bands at its 10 m pixels: how they were sampled, and restored."""

from trifuse.restore.injection import InjectedSource
from trifuse.restore.refined_source import RefinedSource
from trifuse.restore.restoration import restore
from trifuse.restore.scene_statistics import Statistics, scene_statistics
from trifuse.restore.sharpeners import SHARPENERS, Sharpener, get_sharpener
from trifuse.restore.sharpness import Sharpness
from trifuse.restore.sharpness_check import SharpnessCheck, check_sharpness, learn, sharpness_of
from trifuse.restore.view import (
    LocallyRestoredSource,
    RestoredSource,
    RestoredView,
    restored,
    restored_view,
)

__all__ = [
    "InjectedSource",
    "LocallyRestoredSource",
    "RefinedSource",
    "restore",
    "RestoredSource",
    "RestoredView",
    "restored",
    "restored_view",
    "SHARPENERS",
    "Sharpener",
    "get_sharpener",
    "Statistics",
    "scene_statistics",
    "Sharpness",
    "sharpness_of",
    "SharpnessCheck",
    "check_sharpness",
    "learn",
]
