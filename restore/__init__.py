"""Sentinel-2's 20 m and 60 m bands at its 10 m pixels: how they were sampled, and restored."""

from trifuse.restore.injection import InjectedSource
from trifuse.restore.local import LocallyRestoredSource
from trifuse.restore.refined_source import RefinedSource
from trifuse.restore.restoration import restore
from trifuse.restore.restored_source import RestoredSource, restored
from trifuse.restore.scene_statistics import Statistics, scene_statistics
from trifuse.restore.sharpness import Sharpness, sharpness_of
from trifuse.restore.sharpness_check import SharpnessCheck, check_sharpness, learn

__all__ = [
    "InjectedSource",
    "LocallyRestoredSource",
    "RefinedSource",
    "restore",
    "RestoredSource",
    "restored",
    "Statistics",
    "scene_statistics",
    "Sharpness",
    "sharpness_of",
    "SharpnessCheck",
    "check_sharpness",
    "learn",
]
