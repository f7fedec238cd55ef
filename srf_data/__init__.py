"""Published spectral response functions, and spectra integrated over them."""

from trifuse.srf_data.check import Difference, TableCheck, check_table, check_tables
from trifuse.srf_data.curves import Curve, area, centroid, fwhm, gaussian
from trifuse.srf_data.integrate import (
    Overlap,
    SpectralOperator,
    infer_detectors,
    integrate,
    weighted_sums,
)
from trifuse.srf_data.tables import S2_L2A, S3_SYN, S3_SYN_19, SensorSRF, load, names
from trifuse.srf_data.user_tables import read_table, read_tables

__all__ = [
    "S2_L2A",
    "S3_SYN",
    "S3_SYN_19",
    "names",
    "load",
    "SensorSRF",
    "Curve",
    "area",
    "centroid",
    "fwhm",
    "gaussian",
    "integrate",
    "SpectralOperator",
    "weighted_sums",
    "Overlap",
    "infer_detectors",
    "check_table",
    "check_tables",
    "TableCheck",
    "read_table",
    "read_tables",
    "Difference",
]
