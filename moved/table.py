"""What moved where: the one table of old paths.

It goes with the next version, and so does this room and whoever calls it.
Paths are written without their first part, ``trifuse``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_MODULES = {
    "fusformer.runtime": "core.runtime",
    "fusing": "flows.fuse",
    "fusing_record": "flows.fuse_record",
    "fusing_units": "flows.fuse_units",
    "matching": "flows.match",
    "coregistering": "flows.coregister",
    "adapting": "flows.adapt",
    "sharpening": "flows.sharpen",
    "mapping": "flows.ndvi",
    "places": "flows.ndvi_places",
    "checking": "flows.fidelity",
    "evaluating": "flows.evaluate",
    "series_evaluating": "flows.evaluate_series",
    "interpolating": "flows.interpolate",
    "interpolating_units": "flows.interpolate_units",
    "reporting": "flows.report",
    "report_figures": "flows.report_figures",
    "panels": "flows.panels",
    "landcover": "flows.landcover",
    "experiments": "flows.experiments",
    "demo": "flows.demo",
    "inputs": "flows.inputs",
    "fusformer.scene": "fusion.scene",
    "fusformer.tiles": "fusion.tiles",
    "fusformer.parallel": "fusion.parallel",
    "fusformer.ranks": "fusion.ranks",
    "fusformer.inference": "fusion.inference",
    "fusformer.methods": "fusion.methods",
    "fusformer.consistency": "fusion.consistency",
    "fusformer.selfcheck": "fusion.selfcheck",
    "fusformer.physics": "fusion.physics",
    "fusformer.network_run": "fusion.network_run",
    "fusformer.classical.atprk": "fusion.classical.atprk",
    "fusformer.classical.cells": "fusion.classical.cells",
    "fusformer.classical.cnmf": "fusion.classical.cnmf",
    "fusformer.classical.gsa": "fusion.classical.gsa",
    "fusformer.classical.hysure": "fusion.classical.hysure",
    "fusformer.classical.local_maps": "fusion.classical.local_maps",
    "fusformer.classical.local_regression": "fusion.classical.local_regression",
    "fusformer.classical.mtf_glp": "fusion.classical.mtf_glp",
    "fusformer.classical.sfim": "fusion.classical.sfim",
    "fusformer.classical.sure_cells": "fusion.classical.sure_cells",
    "fusformer.classical.unmixing": "fusion.classical.unmixing",
    "fusformer.classical.variation": "fusion.classical.variation",
    "fusformer.prior.base": "fusion.spectral.base",
    "fusformer.prior.chain": "fusion.spectral.chain",
    "fusformer.prior.empirical_bayes": "fusion.spectral.empirical_bayes",
    "fusformer.prior.spectral_prior": "fusion.spectral.spectral_prior",
    "fusformer.prior.universal": "fusion.spectral.universal",
    "fusformer.prior.map_errors": "fusion.spectral.map_errors",
    "fusformer.prior.residual": "fusion.spectral.residual",
    "fusformer.prior.calibration": "fusion.spectral.calibration",
    "fusformer.prior.regression": "fusion.spectral.regression",
    "products.cave_mat": "products.cave.mat",
    "products.enmap_delivery": "products.enmap.delivery",
    "products.enmap_images": "products.enmap.images",
    "products.enmap_mask": "products.enmap.mask",
    "products.enmap_metadata": "products.enmap.metadata",
    "products.factory_enmap": "products.enmap.factory",
    "products.factory_enmap_xml": "products.enmap.factory_xml",
    "products.archive": "products.files.archive",
    "products.raster": "products.files.raster",
    "products.geotiff": "products.files.geotiff",
    "products.envi": "products.files.envi",
    "products.xmltree": "products.files.xmltree",
    "products.source": "products.files.source",
    "products.mask": "products.files.mask",
    "products.regrid": "products.files.regrid",
    "products.sentinel3_hdf5": "products.files.hdf5",
    "products.factory_files": "products.files.factory",
    "products.landsat_mask": "products.landsat.mask",
    "products.landsat_metadata": "products.landsat.metadata",
    "products.factory_landsat": "products.landsat.factory",
    "products.sentinel2_delivery": "products.sentinel2.delivery",
    "products.sentinel2_item": "products.sentinel2.item",
    "products.sentinel2_mask": "products.sentinel2.mask",
    "products.sentinel2_metadata": "products.sentinel2.metadata",
    "products.sentinel2_zarr": "products.sentinel2.zarr",
    "products.factory_sentinel2": "products.sentinel2.factory",
    "products.factory_sentinel2_xml": "products.sentinel2.factory_xml",
    "products.factory_sentinel2_zarr": "products.sentinel2.factory_zarr",
    "products.olci": "products.sentinel3.olci",
    "products.sentinel3_area": "products.sentinel3.area",
    "products.sentinel3_common": "products.sentinel3.common",
    "products.sentinel3_delivery": "products.sentinel3.delivery",
    "products.sentinel3_flags": "products.sentinel3.flags",
    "products.sentinel3_geometry": "products.sentinel3.geometry",
    "products.sentinel3_grid": "products.sentinel3.grid",
    "products.sentinel3_manifest": "products.sentinel3.manifest",
    "products.factory_sentinel3": "products.sentinel3.factory",
    "products.factory_sentinel3_files": "products.sentinel3.factory_files",
    "products.factory_sentinel3_xml": "products.sentinel3.factory_xml",
    "products.factory_olci": "products.sentinel3.factory_olci",
    "products.series_build": "products.series.build",
    "products.series_find": "products.series.find",
    "products.ls2s2": "products.series.ls2s2",
    "products.writer": "products.write.writer",
    "products.companions": "products.write.companions",
    "products.quicklook": "products.write.quicklook",
    "products.stac": "products.write.stac",
    "products.animation": "products.write.animation",
    "fusformer.prior.sharpness": "restore.sharpness",
    "fusformer.prior.sharpness_check": "restore.sharpness_check",
    "fusformer.prior.mtf_search": "restore.mtf_search",
    "fusformer.prior.pixel_evidence": "restore.pixel_evidence",
    "fusformer.prior.scene_blocks": "restore.pixel_evidence",
    "fusformer.prior.block_sums": "restore.scene_statistics",
    "fusformer.prior.band_covariance": "restore.scene_statistics",
    "fusformer.prior.scene_statistics": "restore.scene_statistics",
    "fusformer.prior.spectrum": "restore.spectrum",
    "fusformer.prior.restoration": "restore.restoration",
    "fusformer.prior.blockwise": "restore.blockwise",
    "fusformer.prior.spool": "restore.blockwise",
    "fusformer.prior.restored_source": "restore.view",
    "fusformer.prior.restored_errors": "restore.restored_errors",
    "fusformer.prior.local": "restore.local",
    "fusformer.prior.places": "restore.places",
    "fusformer.prior.planar": "restore.places",
    "fusformer.prior.kinds": "restore.places",
    "fusformer.prior.injection": "restore.injection",
    "fusformer.trust": "restore.one_scale_down",
    "fusformer.one_scale_down": "restore.one_scale_down",
    "simulate.scene_cover": "simulate.ground.cover",
    "simulate.scene_drainage": "simulate.ground.drainage",
    "simulate.scene_fields": "simulate.ground.fields",
    "simulate.scene_landuse": "simulate.ground.landuse",
    "simulate.scene_light": "simulate.ground.light",
    "simulate.scene_network": "simulate.ground.network",
    "simulate.scene_parcels": "simulate.ground.parcels",
    "simulate.scene_spectra": "simulate.ground.spectra",
    "simulate.scene_surface": "simulate.ground.surface",
    "simulate.scene_terrain": "simulate.ground.terrain",
    "simulate.scene_world": "simulate.ground.world",
    "simulate.procedural": "simulate.ground.procedural",
    "simulate.deliver": "simulate.ground.deliver",
    "simulate.series": "simulate.seasons.series",
    "simulate.series_land": "simulate.seasons.land",
    "simulate.series_season": "simulate.seasons.season",
    "simulate.series_sensors": "simulate.seasons.sensors",
    "simulate.series_sky": "simulate.seasons.sky",
    "core.rooms": "moved.rooms",
    "temporal.weights": "temporal.networks",
}

_NAMES = (
    ("products.sentinel2.delivery", "products.sentinel2.levels", "NATIVE"),
    (
        "fusformer",
        "fusion",
        "Bicubic Consistency FuseResult METHODS Method Network PRIORS Physics Regression Scene "
        "SelfCheck Sharpening=Method fuse fuse_cube fuse_target get_method placed plan_tiles "
        "regression_prior",
    ),
    ("fusformer", "core.runtime", "Runtime"),
    (
        "fusformer.prior",
        "fusion.spectral",
        "ChainRun Masked PRIORS TileRun Upsampled chain_prior regression_prior",
    ),
    (
        "fusformer.prior",
        "restore",
        "InjectedSource RestoredSource Sharpness SharpnessCheck Statistics check_sharpness learn "
        "restore restored scene_statistics sharpness_of",
    ),
    ("fusformer.refined", "fusion.refined", "Refined SHIPPED weights_of"),
    ("fusformer.weights", "fusformer", "load_weights read_card save_weights"),
    (
        "fusformer.refiner_weights",
        "fusformer",
        "RefinerCard load_refiner save_refiner=save_weights",
    ),
    ("fusformer.refined", "restore.refined_source", "BLOCK RefinedSource laid_out refine_turned"),
    (
        "products.cave",
        "products.cave.reader",
        "CENTRES EXTENDED MAX_EDGE NOT_PHYSICAL SLOPE_BANDS WIDTH extension_matrix",
    ),
    ("products.enmap", "products.enmap.reader", "FILL QUANTITY"),
    ("products.landsat", "products.landsat.reader", "FILL NAME"),
    ("products.sentinel2", "products.sentinel2.reader", "Resolution Upsampling"),
    ("products.sentinel3", "products.sentinel3.reader", "BASELINES FILL FLAGS GEOLOCATION TIES"),
    ("products.series", "products.series.folder", "FORMAT INDEX write_index"),
    ("train", "train", "train=train_fusion"),
    ("train.fusion", "train.fusion", "train=train_fusion"),
)
"""(module that lost names, module that has them, the names; old=new where the name is another)"""


DIVIDED: Mapping[str, str] = MappingProxyType(
    {
        "trifuse.fusformer.prior": "trifuse.fusion.spectral and trifuse.restore",
        "trifuse.fusformer.classical": "trifuse.fusion.classical",
        "trifuse.fusformer.refined": "trifuse.fusion.refined and trifuse.restore.refined_source",
        "trifuse.fusformer.weights": "trifuse.fusformer and trifuse.core.weights",
        "trifuse.fusformer.refiner_weights": "trifuse.fusformer and trifuse.core.weights",
    }
)
"""Modules that are no more, and where to look for what they held."""

MODULES: Mapping[str, str] = MappingProxyType(
    {f"trifuse.{old}": f"trifuse.{new}" for old, new in _MODULES.items()}
)
"""Modules that moved whole: old → new, in full."""


def _by_module() -> Mapping[str, Mapping[str, tuple[str, str]]]:
    found: dict[str, dict[str, tuple[str, str]]] = {name: {} for name in DIVIDED}
    for old, home, names in _NAMES:
        for pair in names.split():
            name, _, new = pair.partition("=")
            found.setdefault(f"trifuse.{old}", {})[name] = (f"trifuse.{home}", new or name)
    return MappingProxyType(found)


NAMES = _by_module()
"""Old module → name → where it is: module, and its name there."""
