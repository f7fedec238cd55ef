"""Masked image quality measures, one definition each."""

from trifuse.metrics.agreement import (
    LEGENDS,
    NDVI_CLASSES,
    NDVI_LIMITS,
    Agreement,
    IndexAgreement,
    class_agreement,
    classify,
    fit_limits,
    index_agreement,
)
from trifuse.metrics.distributions import jaccard, jsd, jsd_bands, jsd_spectra
from trifuse.metrics.errors import cc, cc_bands, ergas, psnr, psnr_bands, rmse, rmse_bands
from trifuse.metrics.frequency import (
    RadialPower,
    amplitude,
    differing_frequencies,
    radial_power,
    transfer,
)
from trifuse.metrics.inception import inception_score
from trifuse.metrics.scores import Scores, format_bands, format_table, score
from trifuse.metrics.spectra import cosine, euclidean, sam, sam_map
from trifuse.metrics.structure import ssim, ssim_bands, uiqi, uiqi_bands

__all__ = [
    "rmse",
    "rmse_bands",
    "psnr",
    "psnr_bands",
    "ergas",
    "cc",
    "cc_bands",
    "sam",
    "sam_map",
    "cosine",
    "euclidean",
    "ssim",
    "ssim_bands",
    "uiqi",
    "uiqi_bands",
    "jsd",
    "jsd_bands",
    "jsd_spectra",
    "jaccard",
    "amplitude",
    "radial_power",
    "transfer",
    "differing_frequencies",
    "RadialPower",
    "inception_score",
    "class_agreement",
    "Agreement",
    "index_agreement",
    "IndexAgreement",
    "classify",
    "fit_limits",
    "NDVI_CLASSES",
    "NDVI_LIMITS",
    "LEGENDS",
    "score",
    "Scores",
    "format_table",
    "format_bands",
]
