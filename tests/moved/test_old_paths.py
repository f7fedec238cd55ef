"""Every import path of the version before still works, says where things are, and costs nothing."""

import pickle
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec

import pytest

import trifuse as tf
from trifuse.moved.table import DIVIDED, MODULES, NAMES

OLD = {
    "": "adapting align checking cli core coregistering demo evaluating experiments fusformer "
    "fusing fusing_record fusing_units inputs interpolating interpolating_units landcover mapping "
    "matching metrics panels places products report_figures reporting series_evaluating "
    "sharpening simulate srf_data stf temporal train",
    "align": "kriging pairing registration registration_fit regression spectral_map swath "
    "variogram",
    "cli": "__main__ demo evaluate experiment fidelity fuse inspect interpolate main methods ndvi "
    "options report scene series sharpen simulate srf train",
    "core": "accumulate atomic bands cluster cube errors grid log native resample resample_torch "
    "rooms series streaming tiling units weights workers",
    "fusformer": "card classical config consistency inference methods mixers model network_run "
    "one_scale_down original parallel physics prior ranks refined refiner refiner_weights runtime "
    "scene selfcheck tiles trust weights",
    "fusformer.classical": "atprk cells cnmf gsa hysure local_maps local_regression mtf_glp sfim "
    "sure_cells unmixing variation",
    "fusformer.mixers": "base channel conv dwconv global_attention registry spectral window",
    "fusformer.prior": "band_covariance base block_sums blockwise calibration chain "
    "empirical_bayes injection kinds local map_errors mtf_search pixel_evidence places planar "
    "regression residual restoration restored_errors restored_source scene_blocks "
    "scene_statistics sharpness sharpness_check spectral_prior spectrum spool universal",
    "metrics": "agreement distributions errors frequency inception inputs scores spectra structure",
    "products": "animation archive cave cave_mat companions enmap enmap_delivery enmap_images "
    "enmap_mask enmap_metadata envi factory_enmap factory_enmap_xml factory_files factory_landsat "
    "factory_olci factory_sentinel2 factory_sentinel2_xml factory_sentinel2_zarr "
    "factory_sentinel3 factory_sentinel3_files factory_sentinel3_xml geotiff inspect landsat "
    "landsat_mask landsat_metadata ls2s2 mask ndvi ndvi_bands olci open quicklook raster regrid "
    "sentinel2 sentinel2_delivery sentinel2_item sentinel2_mask sentinel2_metadata sentinel2_zarr "
    "sentinel3 sentinel3_area sentinel3_common sentinel3_delivery sentinel3_flags "
    "sentinel3_geometry sentinel3_grid sentinel3_hdf5 sentinel3_manifest series series_build "
    "series_find source stac writer xmltree",
    "simulate": "deliver fidelity generate observation observation_effects procedural scene_cover "
    "scene_drainage scene_fields scene_landuse scene_light scene_network scene_parcels "
    "scene_spectra scene_surface scene_terrain scene_world series series_land series_season "
    "series_sensors series_sky shards spectral store triplets views",
    "srf_data": "build check curves integrate tables",
    "stf": "atprk upscaling",
    "temporal": "area baselines blocks calendar card config encoding forecast inference kernels "
    "kriging losses metrics model observation outputs perceptual prior published scoring "
    "sharpening spatial strategies views weights",
    "train": "adapt augment augment_config batches checkpoint config data distributed engine "
    "fusion losses prior record refining refining_data refining_scenes schedule sensors settings "
    "signals task temporal temporal_config temporal_data",
}
"""Every module that could be imported before rooms were moved: package → modules."""

PATHS = [
    ".".join(part for part in ("trifuse", package, module) if part)
    for package, modules in OLD.items()
    for module in modules.split()
]


def test_the_list_is_whole():
    assert len(PATHS) == len(set(PATHS)) == 299
    assert {*MODULES, *DIVIDED} <= set(PATHS)


@pytest.mark.filterwarnings("ignore:trifuse:DeprecationWarning")
def test_every_module_is_found_by_its_old_path():
    for path in PATHS:
        if path == "trifuse.cli.__main__":  # importing it runs the command
            assert find_spec(path) is not None
        else:
            assert import_module(path) is import_module(MODULES.get(path, path))


@pytest.mark.parametrize("old", [*MODULES, *DIVIDED])
def test_an_old_path_says_where_the_module_is(monkeypatch, old):
    parent = old.rpartition(".")[0]
    if parent in DIVIDED:
        with pytest.warns(DeprecationWarning):
            monkeypatch.delitem(sys.modules, parent, raising=False)
            import_module(parent)
    monkeypatch.delitem(sys.modules, old, raising=False)
    new = MODULES.get(old) or DIVIDED[old]
    with pytest.warns(DeprecationWarning) as told:
        import_module(old)
    assert str(told[0].message).startswith(f"{old} has moved to {new};")
    with pytest.MonkeyPatch.context() as once_more:  # what is loaded is not warned of again
        once_more.setattr("warnings.warn", None)
        import_module(old)


def test_the_warning_names_the_line_that_imports(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os\n\nimport trifuse.products.stac\nfrom trifuse.products.cave import WIDTH\n"
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=120, check=True
    )
    assert f"{script}:3: DeprecationWarning: trifuse.products.stac has moved" in done.stderr
    assert f"{script}:4: DeprecationWarning: trifuse.products.cave.WIDTH has moved" in done.stderr


@pytest.mark.filterwarnings("ignore:trifuse.* has moved:DeprecationWarning")
@pytest.mark.parametrize(
    ("old", "name", "home", "new"),
    [(old, name, *there) for old, names in NAMES.items() for name, there in names.items()],
)
def test_packages_still_hand_on_names_that_moved(old, name, home, new):
    module = import_module(old)
    with pytest.warns(DeprecationWarning, match=rf"{name} has moved to {home}\.{new};"):
        found = getattr(module, name)
    assert found is getattr(import_module(home), new)


@pytest.mark.parametrize("old", NAMES)
def test_other_names_are_missing_as_ever(old):
    with pytest.raises(AttributeError, match=rf"module '{old}' has no attribute 'no_such'"):
        _ = sys.modules[old].no_such


@pytest.mark.filterwarnings("ignore:trifuse.* has moved:DeprecationWarning")
def test_pickles_of_the_version_before_open():
    from trifuse.core import PSF
    from trifuse.fusion import Scene
    from trifuse.fusion.refined import Refined

    new = pickle.dumps((Scene, Refined(network="none"), PSF(0.5)), protocol=0)
    old = new.replace(b"ctrifuse.fusion.scene\n", b"ctrifuse.fusformer.scene\n")
    old = old.replace(b"ctrifuse.fusion.refined\n", b"ctrifuse.fusformer.refined\n")
    assert old != new
    assert pickle.loads(old) == (Scene, Refined(network="none"), PSF(0.5))


def test_importing_trifuse_loads_nothing_but_the_table():
    code = "import sys, trifuse; print(*sorted(m for m in sys.modules if m.startswith('trifuse')))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = set(done.stdout.split()) - {"trifuse"}
    assert loaded and all(name.startswith("trifuse.moved") for name in loaded)


@pytest.mark.filterwarnings("ignore:trifuse.* has moved:DeprecationWarning")
def test_folders_left_behind_do_not_stand_in_the_way(monkeypatch, tmp_path):
    """Git keeps the ``__pycache__`` of a folder that moved; Python takes it for a package."""
    import trifuse.fusformer

    (tmp_path / "prior/__pycache__").mkdir(parents=True)
    monkeypatch.setattr(trifuse.fusformer, "__path__", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "trifuse.fusformer.prior", raising=False)
    from trifuse.fusformer.prior import chain_prior
    from trifuse.fusformer.prior.chain import chain_prior as same

    assert chain_prior is same


def test_rooms_can_still_be_called(tmp_path):
    with pytest.warns(DeprecationWarning, match=r"simulate\(...\) is now trifuse.simulate_store"):
        with pytest.raises(tf.TrifuseError):
            tf.simulate([tmp_path / "no_such"], tmp_path / "store")
    from trifuse.train import TrainConfig

    with pytest.warns(DeprecationWarning, match=r"train\(...\) is now trifuse.train_fusion"):
        with pytest.raises(tf.TrifuseError):
            tf.train(TrainConfig(), tmp_path / "no_such", tmp_path / "run")
