"""Two sensors onto one ground."""

from trifuse.align.kriging import Kriging, back_project, kriging_weights
from trifuse.align.pairing import Pair, pair
from trifuse.align.registration import Registration, register, register_arrays
from trifuse.align.regression import cells_inside, coarse_view, fit_cells, missing_pixels
from trifuse.align.spectral_map import SpectralMap, fit_map
from trifuse.align.swath import SwathIndex, SwathWeights
from trifuse.align.variogram import Exponential, point_model

__all__ = [
    "Pair",
    "pair",
    "Registration",
    "register",
    "register_arrays",
    "SpectralMap",
    "fit_map",
    "fit_cells",
    "coarse_view",
    "cells_inside",
    "missing_pixels",
    "Kriging",
    "kriging_weights",
    "back_project",
    "Exponential",
    "point_model",
    "SwathIndex",
    "SwathWeights",
]
