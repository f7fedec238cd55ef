"""Spatio-temporal fusion: a coarse image of one sensor at the pixels of another."""

from trifuse.stf.atprk import AtprkFit, atprk, fit_atprk
from trifuse.stf.upscaling import upscale, upscale_matrix

__all__ = ["atprk", "fit_atprk", "AtprkFit", "upscale", "upscale_matrix"]
