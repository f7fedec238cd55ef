"""Real pixels of Sentinel-3: a crop of SY_2_SYN of 2023-09-12 and one of OLCI of 2018-07-04."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.spatial import cKDTree

from tests.reference import resample_swath
from trifuse.core import Grid, Window
from trifuse.products import define_ndvi, ndvi, open_cube, open_sentinel3
from trifuse.products.sentinel3.area import project

SYN = "3_s3_s2/derived/S3B_SY_2_SYN_20230912T112023_T28PDC_crop.nc"
TOA = "3_s3_s2/derived/OLCI_rtoa_20180704_crop512.nc"
NAMES = ["Oa04", "Oa06", "Oa08", "Oa17"]
TILE = Grid.from_origin("EPSG:32628", 399_960, 1_800_000, 300, 366, 366)
"""The Sentinel-2 tile T28PDC in cells of 300 m."""


def found(data_dir: Path, name: str) -> Path:
    path = data_dir / name
    if not path.is_file():
        pytest.skip(f"{name} not found")
    return path


@pytest.fixture(scope="module")
def crop(data_dir):
    with h5py.File(found(data_dir, SYN)) as f:
        return {name: f[name][()] for name in ("lat", "lon", *(f"SDR_{n}" for n in NAMES))}


@pytest.fixture(scope="module")
def product(data_dir, crop, tmp_path_factory):
    """The crop put back into the files it came from; they are copied, attributes and all."""
    folder = tmp_path_factory.mktemp("real") / (
        "S3B_SY_2_SYN____20230912T112023_20230912T112323_20230913T143025_0180_084_037_2700"
        "_PS2_O_NT_002.SEN3"
    )
    folder.mkdir()
    with h5py.File(found(data_dir, SYN)) as source:
        for name in NAMES:
            with h5py.File(folder / f"Syn_{name}_reflectance.nc", "w") as f:
                source.copy(f"SDR_{name}", f)
    with h5py.File(folder / "geolocation.nc", "w") as f:
        for name in ("lat", "lon"):
            f[name] = np.rint(crop[name].astype(float) * 1e6).astype(np.int32)
            f[name].attrs.update(scale_factor=1e-6, _FillValue=np.int32(-(2**31)))
    return folder


def test_pixels_are_those_of_the_file(product, crop):
    source = open_sentinel3(product, bands=NAMES, mask="none", grid=TILE)
    assert source.meta["sensor"] == "S3B_SYN" and source.meta["timeliness"] == "NT"
    assert source.meta["start_time"] == "2023-09-12T11:20:23+00:00"
    data = source.swath.read(Window(0, 0, 565, 620))
    for plane, name in zip(data, NAMES, strict=True):
        raw = crop[f"SDR_{name}"]
        expected = np.where(raw == -10000, np.nan, raw.astype(float) / 1e4)
        np.testing.assert_allclose(plane, expected, atol=1e-7)
        assert np.isnan(plane).mean() == pytest.approx(0.78278619, abs=1e-8)
    # the brightest pixels of these bands, looked up by hand: 3391, 4206, 4010 and 6692 counts
    np.testing.assert_allclose(
        np.nanmax(data, axis=(1, 2)), [0.3391, 0.4206, 0.4010, 0.6692], atol=1e-6
    )


def test_gridded_pixels_lie_where_they_are(product, crop):
    source = open_sentinel3(product, bands=NAMES, mask="none", grid=TILE)
    cube = source.read()
    x, y = project(crop["lon"].astype(float), crop["lat"].astype(float), TILE.crs, (-15.5, 15.8))
    a, _, c, _, e, f = TILE.transform
    gx, gy = np.meshgrid(c + a * (np.arange(366) + 0.5), f + e * (np.arange(366) + 0.5))
    tree = cKDTree(np.stack([x.ravel(), y.ravel()], 1))
    gap, nearest = tree.query(np.stack([gx.ravel(), gy.ravel()], 1))
    raw = crop["SDR_Oa17"].ravel()[nearest].reshape(366, 366)
    there = (raw != -10000).reshape(366, 366)
    near = gap.reshape(366, 366) < 150
    # cells whose nearest pixel is missing and within half a pixel stay empty, mostly
    assert cube.valid[near & ~there].mean() < 0.05 and cube.valid[near & there].mean() > 0.9
    close = (gap.reshape(366, 366) < 25) & cube.valid & there
    assert close.sum() > 150
    ours, theirs = cube.data[3][close], raw[close] / 1e4
    assert np.corrcoef(ours, theirs)[0, 1] > 0.9
    assert abs(np.mean(ours - theirs)) < 0.002


def test_the_resampler_agrees_with_an_independent_library(crop):
    geometry = pytest.importorskip("pyresample.geometry")
    kd_tree = pytest.importorskip("pyresample.kd_tree")
    warp = pytest.importorskip("rasterio.warp")
    part = np.s_[150:330, 200:420]
    lon, lat = (crop[n][part].astype(float) for n in ("lon", "lat"))
    raw = crop["SDR_Oa17"][part]
    values = np.where(raw == -10000, np.nan, raw / 1e4)
    x, y = project(lon, lat, TILE.crs, (-15.5, 15.8))
    grid = TILE.window(Window(150, 150, 60, 60))
    a, _, c, _, e, f = grid.transform
    gx, gy = np.meshgrid(c + a * (np.arange(60) + 0.5), f + e * (np.arange(60) + 0.5))
    places = warp.transform(TILE.crs, "EPSG:4326", gx.ravel(), gy.ravel())
    glon, glat = (np.reshape(v, gx.shape) for v in places)
    ours, there = resample_swath(x, y, values[None], np.ones(x.shape, bool), grid)
    seen = np.isfinite(values)
    theirs = kd_tree.resample_gauss(
        geometry.SwathDefinition(lon[seen], lat[seen]),
        values[seen],
        geometry.GridDefinition(glon, glat),
        radius_of_influence=600,
        sigmas=150 * np.sqrt(2),
        neighbours=24,
        fill_value=None,
    )
    theirs = np.ma.filled(theirs.astype(float), np.nan)
    assert there.mean() > 0.15
    error = (ours[0] - theirs)[there]
    assert np.nanmedian(np.abs(error)) < 1e-4 and np.sqrt(np.nanmean(error**2)) < 2e-3


def test_ndvi_of_the_sahel_at_the_end_of_the_rains(product):
    source = open_cube(product, bands=NAMES, mask="none", grid=TILE)
    red, nir = "Oa08", "Oa17"
    define = define_ndvi(source.bands, "bands", red=red, nir=nir)
    index = ndvi(source.read(), "bands", red=red, nir=nir).data[0]
    assert define.bands == (red, nir)
    low, middle, high = np.nanpercentile(index, (2, 50, 98))
    assert -0.3 < low < middle < high < 0.95 and 0.1 < middle < 0.7


def test_toa_crop_of_the_baltic_is_gridded_without_a_shift(data_dir):
    with h5py.File(found(data_dir, TOA)) as f:
        lon, lat = (f[n][()].astype(float) for n in ("lon", "lat"))
        values = f["rtoa_8"][()]
    crs = "EPSG:32633"
    x, y = project(lon, lat, crs, (18.3, 59.5))
    middle = np.s_[150:362, 150:362]
    grid = Grid.from_origin(
        crs,
        300 * round(x[middle].min() / 300 + 60),
        300 * round(y[middle].max() / 300 - 60),
        300,
        60,
        60,
    )
    out, there = resample_swath(x, y, values[None], np.ones(x.shape, bool), grid)
    assert there.all()
    # back to the pixels: moved by nothing, the two agree best
    a, _, c, _, e, f = grid.transform
    col, row = (x - c) / a, (y - f) / e
    inside = (col > 3) & (col < 57) & (row > 3) & (row < 57)

    def misfit(rows, cols):
        i = (row[inside] + rows).astype(int)
        j = (col[inside] + cols).astype(int)
        return float(np.mean((out[0][i, j] - values[inside]) ** 2))

    here = misfit(0, 0)
    assert all(misfit(i, j) > 1.3 * here for i, j in ((0, 1), (1, 0), (0, -1), (-1, 0)))
    opposite = [(misfit(0, 0.5), misfit(0, -0.5)), (misfit(0.5, 0), misfit(-0.5, 0))]
    assert all(0.75 < plus / minus < 1.33 for plus, minus in opposite)
