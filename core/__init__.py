"""What every room shares: grids, cubes, bands, errors, resampling, tiles and units."""

from trifuse.core.accumulate import DegradeAccumulator
from trifuse.core.atomic import (
    FULL,
    atomic_file,
    atomic_path,
    disk_errors,
    fingerprint,
    not_as_meant,
    read_json,
    refuse_existing,
    sha256,
    write_bytes,
    write_json,
)
from trifuse.core.bands import Band, BandSet, canonical_name
from trifuse.core.box import Box, checked_box
from trifuse.core.cube import Cube, CubeSource, MemorySource
from trifuse.core.errors import (
    EXIT_CODES,
    BandError,
    BusyError,
    ConfigError,
    DataError,
    GridError,
    IntegrityError,
    MetadataError,
    MissingExtraError,
    OutputExistsError,
    OverlapError,
    PartialError,
    ProductError,
    ResourceError,
    StoreError,
    TrifuseError,
    WeightsError,
)
from trifuse.core.grid import Grid, Window
from trifuse.core.locks import locked
from trifuse.core.log import progress, progress_bar, say, set_verbosity
from trifuse.core.outputs import one_file, sole_writer, spare, writes
from trifuse.core.reading import Reading
from trifuse.core.resample import PSF, blur, cell_index, degrade, fill_nearest, upsample
from trifuse.core.sampling import BandSampling, Sampling
from trifuse.core.series import Series
from trifuse.core.streaming import ahead
from trifuse.core.tiling import Mosaic, Tile, TilePlan
from trifuse.core.units import Manifest, run_units
from trifuse.core.work import Unit

__all__ = [
    "Grid",
    "Window",
    "Box",
    "checked_box",
    "Band",
    "BandSet",
    "canonical_name",
    "Cube",
    "CubeSource",
    "MemorySource",
    "BandSampling",
    "Sampling",
    "Reading",
    "Series",
    "PSF",
    "blur",
    "degrade",
    "DegradeAccumulator",
    "upsample",
    "fill_nearest",
    "cell_index",
    "Tile",
    "TilePlan",
    "Mosaic",
    "ahead",
    "Unit",
    "Manifest",
    "run_units",
    "FULL",
    "atomic_path",
    "atomic_file",
    "not_as_meant",
    "disk_errors",
    "locked",
    "one_file",
    "sole_writer",
    "spare",
    "writes",
    "refuse_existing",
    "write_bytes",
    "write_json",
    "read_json",
    "sha256",
    "fingerprint",
    "progress",
    "progress_bar",
    "say",
    "set_verbosity",
    "EXIT_CODES",
    "TrifuseError",
    "ProductError",
    "PartialError",
    "OutputExistsError",
    "WeightsError",
    "MetadataError",
    "GridError",
    "OverlapError",
    "BandError",
    "StoreError",
    "ConfigError",
    "DataError",
    "MissingExtraError",
    "BusyError",
    "ResourceError",
    "IntegrityError",
]
