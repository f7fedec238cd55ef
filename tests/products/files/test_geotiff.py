"""Reading GeoTIFFs: calibration, names, orientation, mosaics."""

import logging
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.enums import ColorInterp

from trifuse.core import BandError, ConfigError, DataError, GridError, MetadataError, Window
from trifuse.products import open_geotiff
from trifuse.products.files.raster import Raster

UP = rasterio.Affine(30, 0, 600000, 0, -30, 5800000)


def save(path: Path, data: np.ndarray, *, tags=None, masks=None, **profile) -> Path:
    """A GeoTIFF by plain rasterio, independent of the writer under test."""
    after = {
        k: profile.pop(k)
        for k in ("scales", "offsets", "descriptions", "colorinterp")
        if k in profile
    }
    profile = {"crs": "EPSG:32633", "transform": UP, **profile}
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=data.shape[0],
        height=data.shape[1],
        width=data.shape[2],
        dtype=data.dtype,
        **profile,
    ) as d:
        d.write(data)
        for key, value in after.items():
            setattr(d, key, value)
        for number, pairs in (tags or {}).items():
            d.update_tags(number, **pairs)
        if masks is not None:
            d.write_mask(masks)
    return path


@pytest.fixture
def counts() -> np.ndarray:
    return np.random.default_rng(1).integers(-500, 9000, (3, 20, 30)).astype(np.int16)


def tiles_of(data_dir: Path) -> list[Path]:
    return sorted((data_dir / "1_enmap/potsdam_L2A_real/tiles").glob("*.tif"))


def test_real_tiles_make_one_block(data_dir):
    source = open_geotiff(tiles_of(data_dir))
    assert source.grid.shape == (64, 128)
    assert source.grid.transform == (30.0, 0.0, 365055.0, 0.0, -30.0, 5807085.0)
    assert source.grid.crs == "EPSG:32633"
    assert source.bands.names[::223] == ("E001", "E224")
    assert source.bands[0].centre == 418.24 and source.bands[0].fwhm == 6.99561
    assert [i + 1 for i, ok in enumerate(source.meta["usable"]) if not ok] == [*range(130, 136)]
    assert source.meta["detectors"] == ["VNIR"] * 91 + ["SWIR"] * 133
    assert source.meta["calibration"]["scale"] == 1e-4
    cube = source.read()
    assert cube.valid.all() and np.isnan(cube.data[129:135]).all()
    assert np.isfinite(np.delete(cube.data, range(129, 135), axis=0)).all()
    for path in tiles_of(data_dir):
        with rasterio.open(path) as d:
            place = source.grid.locate(open_geotiff(path).grid)
            raw = d.read(50)
        rows, cols = place.slices
        np.testing.assert_allclose(cube.data[49, rows, cols], raw * 1e-4, rtol=1e-6)


def test_order_of_tiles_does_not_matter(data_dir):
    paths = tiles_of(data_dir)
    a, b = open_geotiff(paths), open_geotiff(paths[::-1])
    assert a.grid == b.grid
    np.testing.assert_array_equal(a.read(None, ["E010"]).data, b.read(None, ["E010"]).data)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 64), st.integers(1, 64))
def test_any_window_of_a_mosaic_is_a_part_of_the_whole(mosaic, row, col, height, width):
    window = Window(row, col, height, width).clip(*mosaic.grid.shape)
    if 0 in window.shape:
        return
    whole, part = mosaic.read().crop(window), mosaic.read(window)
    np.testing.assert_array_equal(part.data, whole.data)
    np.testing.assert_array_equal(part.valid, whole.valid)
    assert part.grid == whole.grid


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory):
    """Three tiles that abut, overlap by four columns, and leave a gap."""
    folder = tmp_path_factory.mktemp("tiles")
    rng = np.random.default_rng(3)
    paths = []
    for i, (row, col) in enumerate([(0, 0), (32, 0), (32, 28)]):
        at = UP @ rasterio.Affine.translation(col, row)
        data = rng.integers(1, 10000, (2, 32, 32)).astype(np.int16)
        data[:, 3, 5] = -32768
        paths.append(
            save(folder / f"t{i}.tif", data, transform=at, nodata=-32768, scales=(1e-4, 1e-4))
        )
    return open_geotiff(paths)


def test_gaps_are_invalid_and_the_first_tile_wins(mosaic):
    cube = mosaic.read()
    assert cube.grid.shape == (64, 60)
    assert not cube.valid[:32, 32:].any() and np.isnan(cube.data[:, :32, 32:]).all()
    first = open_geotiff([Path(mosaic._sources[1].raster.path)]).read()
    np.testing.assert_array_equal(
        cube.data[:, 32:, :32][:, first.valid], first.data[:, first.valid]
    )
    # the third tile shows through where the second, which overlaps it, has nothing
    assert cube.valid[35, 28:32].all() and not cube.valid[35, 5]


def test_calibration_by_tags_and_by_option(tmp_path, counts):
    path = save(tmp_path / "a.tif", counts, scales=(1e-4, 2e-4, 1.0), offsets=(0.0, 0.5, -1.0))
    data = open_geotiff(path).read().data
    expected = counts * np.array([1e-4, 2e-4, 1])[:, None, None]
    np.testing.assert_allclose(
        data, expected + np.array([0, 0.5, -1])[:, None, None], rtol=1e-5, atol=1e-6
    )
    forced = open_geotiff(path, scale=1e-3, offset=[0, 0, 0])
    np.testing.assert_allclose(forced.read().data, counts * 1e-3, rtol=1e-6)
    assert "as given" in forced.meta["calibration"]["from"]
    with pytest.raises(ConfigError, match="2 scales for 3 bands"):
        open_geotiff(path, scale=[1.0, 2.0])
    with pytest.raises(ConfigError, match="scale of 0"):
        open_geotiff(path, scale=0)


def test_integers_without_a_scale_are_taken_as_they_are_and_said_so(tmp_path, counts, caplog):
    with caplog.at_level(logging.INFO, "trifuse"):
        source = open_geotiff(save(tmp_path / "a.tif", counts))
    np.testing.assert_array_equal(source.read().data, counts)
    assert "no scale" in source.meta["calibration"]["from"] and "no scale" in caplog.text


@pytest.mark.parametrize(
    ("dtype", "nodata", "fill"),
    [
        ("int16", -32768, -32768),
        ("uint16", 0, 0),
        ("float32", np.nan, np.nan),
        ("float32", -3.4e38, np.float32(-3.4e38)),
        ("float64", -9999.0, -9999.0),
    ],
)
def test_fill_becomes_nan_and_only_empty_pixels_are_invalid(tmp_path, dtype, nodata, fill):
    data = np.full((2, 8, 9), 7, dtype)
    data[:, 0, 0] = fill
    data[0, 1, 1] = fill
    cube = open_geotiff(save(tmp_path / "a.tif", data, nodata=nodata)).read()
    assert not cube.valid[0, 0] and cube.valid[1, 1] and cube.valid.sum() == 71
    assert np.isnan(cube.data[:, 0, 0]).all() and np.isnan(cube.data[0, 1, 1])
    assert np.isfinite(cube.data).sum() == 2 * 72 - 3


def test_infinite_values_count_as_missing(tmp_path):
    data = np.ones((1, 4, 4), np.float32)
    data[0, 2, 2] = np.inf
    cube = open_geotiff(save(tmp_path / "a.tif", data)).read()
    assert np.isnan(cube.data[0, 2, 2]) and not cube.valid[2, 2]


def test_own_mask_and_alpha_band_decide_validity(tmp_path):
    data = np.full((2, 6, 6), 50, np.uint8)
    mask = np.ones((6, 6), bool)
    mask[2] = False
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        path = save(tmp_path / "m.tif", data, masks=mask)
    np.testing.assert_array_equal(open_geotiff(path).read().valid, mask)
    rgba = np.full((4, 6, 6), 50, np.uint8)
    rgba[3] = mask * 255
    kinds = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
    source = open_geotiff(save(tmp_path / "a.tif", rgba, colorinterp=kinds))
    assert len(source.bands) == 3
    np.testing.assert_array_equal(source.read().valid, mask)


def test_names_by_option_tag_description_and_number(tmp_path, counts):
    plain = save(tmp_path / "a.tif", counts)
    assert open_geotiff(plain).bands.names == ("band1", "band2", "band3")
    assert open_geotiff(plain, bands=["B4", "B8A", "B11"]).bands.index("b08a") == 1
    described = save(tmp_path / "b.tif", counts, descriptions=("B2", "B3", "B4"))
    assert open_geotiff(described).bands.names == ("B2", "B3", "B4")
    twice = save(tmp_path / "c.tif", counts, descriptions=("x", "x", "y"))
    assert open_geotiff(twice).bands.names == ("band1", "band2", "band3")
    with pytest.raises(BandError, match="2 names for 3 bands"):
        open_geotiff(plain, bands=["a", "b"])


def test_wavelengths_in_any_unit(tmp_path, counts):
    tags = {
        1: {"wavelength": "0.665", "wavelength_units": "Micrometers", "fwhm": "0.031"},
        2: {"WAVELENGTH": "865.5", "FWHM": "21", "WAVELENGTH_UNITS": "nm"},
        3: {"wavelength": "1.61"},
    }
    path = save(tmp_path / "a.tif", counts, tags=tags)
    bands = open_geotiff(path).bands
    np.testing.assert_allclose(bands.centres, [665, 865.5, 1610])
    np.testing.assert_allclose(bands.fwhms[:2], [31, 21])
    assert np.isnan(bands.fwhms[2])
    with rasterio.open(path, "r+") as d:
        d.update_tags(3, wavelength="")
        d.update_tags(3, ns="IMAGERY", CENTRAL_WAVELENGTH_UM="2.19", FWHM_UM="0.18")
    assert open_geotiff(path).bands[2].centre == 2190 and open_geotiff(path).bands[2].fwhm == 180


def test_a_dead_band_is_found_though_nothing_marks_it(tmp_path):
    data = np.ones((120, 70, 70), np.int16)
    data[:, :64] = -32768  # all values lie in the last rows
    data[100] = -32768
    tags = {i: {"wavelength": str(400 + i)} for i in range(1, 121)}
    source = open_geotiff(
        save(
            tmp_path / "a.tif",
            data,
            nodata=-32768,
            tags=tags,
            tiled=True,
            blockxsize=64,
            blockysize=64,
        ),
        scale=1e-4,
    )
    assert [i for i, ok in enumerate(source.meta["usable"]) if not ok] == [100]
    assert source.bands[100].name == "E101" and "detectors" not in source.meta
    assert source.read(Window(66, 0, 2, 2), ["E101", "E001"]).meta["usable"] == [False, True]


def test_south_up_is_flipped(tmp_path, counts):
    up = open_geotiff(save(tmp_path / "up.tif", counts, nodata=-1)).read()
    mask = np.ones((20, 30), bool)
    mask[4, 7] = False
    down = rasterio.Affine(30, 0, 600000, 0, 30, 5800000 - 20 * 30)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        path = save(tmp_path / "down.tif", counts[:, ::-1], transform=down, masks=mask[::-1])
    source = open_geotiff(path)
    assert source.grid == up.grid
    np.testing.assert_array_equal(source.read().data, up.data)
    window = Window(3, 5, 6, 8)
    np.testing.assert_array_equal(source.read(window).data, up.crop(window).data)
    assert not source.read(window).valid[1, 2] and source.read(window).valid.sum() == 47


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_what_lies_on_no_grid(tmp_path, counts):
    turned = save(tmp_path / "r.tif", counts, transform=UP @ rasterio.Affine.rotation(10))
    with pytest.raises(GridError, match=r"r\.tif: rotated"):
        open_geotiff(turned)
    loose = open_geotiff(save(tmp_path / "l.tif", counts, crs=None, transform=None))
    assert loose.grid.crs == "" and loose.grid.transform == (1, 0, 0, 0, -1, 0)
    np.testing.assert_array_equal(loose.read().data, counts)
    points = [
        rasterio.control.GroundControlPoint(r, c, 10 + c, 50 - r)
        for r, c in ((0, 0), (0, 30), (20, 0))
    ]
    swath = save(tmp_path / "s.tif", counts, transform=None, gcps=points)
    with pytest.raises(MetadataError, match="control points"):
        open_geotiff(swath)


def test_tiles_that_do_not_belong_together(tmp_path, counts):
    first = save(tmp_path / "a.tif", counts)
    same = save(tmp_path / "b.tif", counts)
    shifted = save(tmp_path / "c.tif", counts, transform=UP @ rasterio.Affine.translation(30.4, 0))
    other = save(tmp_path / "d.tif", counts[:2], transform=UP @ rasterio.Affine.translation(30, 0))
    abroad = save(tmp_path / "e.tif", counts, crs="EPSG:32632")
    for path, kind, text in (
        (same, GridError, "same ground"),
        (shifted, GridError, "no whole number"),
        (other, BandError, "3 bands"),
        (abroad, GridError, "coordinate systems differ"),
    ):
        with pytest.raises(kind, match=text):
            open_geotiff([first, path])
    with pytest.raises(BandError):
        open_geotiff([])
    with pytest.raises(DataError, match="leaves an image"):
        open_geotiff(first).read(Window(0, 0, 21, 3))


def test_threads_and_processes_read_alike(tmp_path, counts):
    source = open_geotiff(save(tmp_path / "a.tif", counts, scales=(1e-4,) * 3))
    expected = source.read().data
    found: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: found.append(source.read().data)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    copy = pickle.loads(pickle.dumps(source))
    source.close()
    for data in (*found, copy.read().data, source.read().data):
        np.testing.assert_array_equal(data, expected)
    assert len(found) == 4


@pytest.mark.parametrize("south_up", [False, True])
def test_reading_into_an_array_converts_and_flips(tmp_path, south_up):
    stored = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    place = (
        rasterio.Affine(30, 0, 0, 0, 30, 0) if south_up else rasterio.Affine(30, 0, 0, 0, -30, 0)
    )
    path = tmp_path / "a.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=2, height=3, width=4, dtype="int16", transform=place
    ) as d:
        d.write(stored)
    raster, window = Raster(path), Window(0, 1, 2, 3)
    out = np.full((1, 2, 3), np.nan, np.float32)
    assert raster.read([2], window, out=out) is out
    north_up = stored[:, ::-1] if south_up else stored
    np.testing.assert_array_equal(out, north_up[1:, :2, 1:])
    np.testing.assert_array_equal(raster.read([2], window), out)
