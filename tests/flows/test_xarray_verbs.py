"""Verbs given what xarray has opened: the numbers of the same cube, and xarray back."""

import json

import numpy as np
import pytest

import trifuse as tf
from trifuse.core import BandSet, Cube, DataError, Grid, MemorySource
from trifuse.simulate import SimulateConfig, procedural_scene, scene_views

xr = pytest.importorskip("xarray")


@pytest.fixture(scope="module")
def views():
    s2, s3, _ = scene_views(MemorySource(procedural_scene(60, seed=1)), ratio=10)
    return s2, s3


def dataset(cube):
    """One variable a band, in chunks, as odc-stac gives it."""
    pytest.importorskip("dask")
    array = cube.to_xarray().drop_vars(["valid", "fwhm", "wavelength"]).chunk(x=24, y=24)
    named = array.to_dataset("band").expand_dims("time")
    for name in named.data_vars:
        named[name].attrs = {"nodata": np.nan}
    return named.drop_attrs(deep=False)


def test_fuse_gives_back_what_it_gives_of_cubes(views, tmp_path):
    s2, s3 = views
    how = {"method": "physics", "sharpness": "sharp", "coregister": "off", "uncertainty": True}
    expected = tf.fuse(s2, s3, **how)
    array = tf.fuse(dataset(s2), s3.to_xarray(), **how)
    assert isinstance(array, xr.DataArray) and array.dims == ("band", "y", "x")
    np.testing.assert_allclose(array.values, expected.cube.data, atol=2e-6)
    errors = expected.deviation
    np.testing.assert_allclose(array.deviation.values, errors.data[:-1], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(array.strange.values, errors["strange"], rtol=1e-3)
    record = json.loads(array.attrs["trifuse_record"])
    assert record["selfcheck"]["rmse"] == pytest.approx(expected.selfcheck.rmse, rel=1e-3)
    assert record["inputs"]["s2"]["kind"] == "xarray"
    array.to_netcdf(tmp_path / "fused.nc")
    with xr.open_dataarray(tmp_path / "fused.nc", decode_coords="all") as again:
        assert Cube.from_xarray(again).grid == expected.cube.grid
        assert again.spatial_ref.attrs["crs_wkt"]


def test_fuse_into_a_file_gives_that_file(views, tmp_path):
    s2, s3 = views
    how = {"method": "bicubic", "quicklook": False, "dtype": "float32"}
    plan = tf.fuse(dataset(s2), s3, tmp_path / "f.tif", dry_run=True, **how)
    assert plan.facts.method == "bicubic"
    with pytest.raises(DataError, match="a dry run has made no image"):
        plan.to_xarray()
    array = tf.fuse(dataset(s2), s3, tmp_path / "f.tif", **how)
    with tf.open_cube(tmp_path / "f.tif") as source:
        np.testing.assert_array_equal(array.values, source.read().data)
    assert array.chunks is not None


def test_ndvi_and_sharpen(views):
    rioxarray = pytest.importorskip("rioxarray")
    assert rioxarray
    s2 = views[0]
    array = tf.ndvi(dataset(s2))
    expected = tf.ndvi(s2).cube
    assert array.dims == ("y", "x") and array.rio.crs.to_string() == s2.grid.crs
    np.testing.assert_allclose(array.values, expected.data[0], atol=1e-5)
    assert (array.name, array.attrs["units"]) == ("ndvi", "1")
    assert array.attrs["standard_name"] == "normalized_difference_vegetation_index"
    coarse = s2.to_xarray()
    blurred = coarse.copy()
    for band in ("B5", "B6", "B7", "B8A", "B11", "B12"):
        mean = coarse.sel(band=band).coarsen(x=2, y=2).mean().values
        blurred.loc[{"band": band}] = np.kron(mean, np.ones((2, 2)))
    sharp = tf.sharpen(blurred, method="bicubic", sharpness="1:2:2@0,0:nearest")
    assert sharp.dims == ("band", "y", "x") and sharp.rio.crs.to_string() == s2.grid.crs
    cube = tf.sharpen(
        Cube.from_xarray(blurred), method="bicubic", sharpness="1:2:2@0,0:nearest"
    ).cube
    np.testing.assert_allclose(sharp.values, cube.data, atol=1e-6)


def test_a_store_of_spectra_that_xarray_holds(tmp_path):
    scene = procedural_scene(60, seed=2)
    config = SimulateConfig(patch=60)
    stores = [
        tf.simulate_store(given, tmp_path / name, config)
        for name, given in (("a", MemorySource(scene)), ("b", scene.to_xarray()))
    ]
    a, b = (store.read(0) for store in stores)
    np.testing.assert_array_equal(a.hrmsi.data, b.hrmsi.data)
    assert repr(stores[1]).startswith(f"TripletStore('{tmp_path}/b', 1 triplets (")


def test_what_verbs_give_shows_in_a_line(views):
    s2, s3 = views
    fused = tf.fuse(s2, s3, method="bicubic")
    for value in (fused, tf.ndvi(s2), tf.load_srf("S2A_MSI"), tf.fuse(s2, s3, dry_run=True)):
        assert len(repr(value)) < 160 and "array" not in repr(value) and "0x" not in repr(value)
    assert repr(fused).startswith("Fused(Cube(19 × 60 × 60, Oa03 … S6")
    assert "bicubic, self-check RMSE 0.0" in repr(fused)
    assert repr(tf.load_srf("S2A_MSI")).startswith("SensorSRF(S2A_MSI, 13 bands B1 … B12, 443–")


def test_counts_follow_the_rule_of_files(caplog):
    """As of a GeoTIFF without a scale: taken for what they can only be, said, or refused."""
    grid = Grid.from_origin("EPSG:32633", 0, 600, 10, 60, 60)
    rng = np.random.default_rng(0)
    counts = rng.integers(300, 4000, (12, 60, 60)).astype(np.float32)
    names = [f"B{n}" for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12)]
    cube = Cube(counts, np.ones((60, 60), bool), BandSet.of(["B8A", *names]), grid)
    stack = cube.to_xarray().astype("int16")
    with pytest.raises(DataError, match="do not tell whether"):
        tf.sharpen(stack)  # noise is no image, but its counts are told
    assert "counts of 1e-4" in caplog.text
    with pytest.raises(DataError, match="never applied"):
        tf.ndvi(stack + 1000)
