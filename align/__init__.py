"""Two sensors onto one ground."""

from trifuse.align.pairing import Pair, pair
from trifuse.align.regression import RegressionFit, coarse_view, fit_cells, regression_fit
from trifuse.align.spectral_map import SpectralMap, fit_map

__all__ = [
    "Pair", "pair",
    "SpectralMap", "fit_map",
    "RegressionFit", "regression_fit", "fit_cells", "coarse_view",
]  # fmt: skip
