"""Cubes and sources with labels, and back; what they say of themselves in a line."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trifuse.core import (
    BandError,
    BandSet,
    Cube,
    DataError,
    Grid,
    MemorySource,
    MetadataError,
    Window,
)

xr = pytest.importorskip("xarray")
UTM = "EPSG:32733"


def cube(crs=UTM, meta=None, height=12, width=14):
    rng = np.random.default_rng(0)
    data = rng.random((3, height, width), np.float32)
    data[0, 0, 0] = np.nan
    valid = np.ones((height, width), bool)
    valid[3, 3] = False
    gsd, west, north = (1e-4, 15.1, -33.2) if crs == "EPSG:4326" else (10.0, 600000.3, 5800000.7)
    told = {
        "sensor": "S2A_MSI",
        "start_time": "2022-07-24T10:00:00+00:00",
        "native_gsd": {"B3": 10.0, "B4": 10.0, "B8A": 20.0},
        "orbit": 22,
        "cloudy": False,
        "unknown": None,
        "calibration": {"scale": [1e-4, 2.5]},
        "_FillValue": -3,
        "odd name": "x",
    }
    bands = BandSet.of(["B3", "B4", "B8A"], [560, 665, 865], [35, 31, float("nan")])
    grid = Grid.from_origin(crs, west, north, gsd, height, width)
    return Cube(data, valid, bands, grid, told if meta is None else meta)


def same(a, b):
    np.testing.assert_array_equal(a.data, b.data)
    np.testing.assert_array_equal(a.valid, b.valid)
    assert str(a.bands.bands) == str(b.bands.bands)  # NaN is not equal to itself
    assert (a.grid, dict(a.meta), a.sampling) == (b.grid, dict(b.meta), b.sampling)


@pytest.mark.parametrize("crs", [UTM, "EPSG:4326", "EPSG:3035", ""])
def test_comes_back_as_it_went(crs, tmp_path):
    c = cube(crs)
    array = c.to_xarray()
    same(Cube.from_xarray(array), c)
    same(Cube.from_xarray(array.sortby("y").transpose("x", "y", "band")), c)
    array.to_netcdf(tmp_path / "c.nc")
    with xr.open_dataarray(tmp_path / "c.nc", decode_coords="all") as again:
        same(Cube.from_xarray(again), c)
        assert again.encoding["grid_mapping"] == "spatial_ref"
    with xr.open_dataset(tmp_path / "c.nc") as dataset:
        same(Cube.from_xarray(dataset), c)
        lost = Cube.from_xarray(dataset["reflectance"])  # the mapping is left behind: crs is not
        assert lost.grid.crs == crs
        np.testing.assert_allclose(lost.grid.transform, c.grid.transform, rtol=1e-9)


def test_a_system_without_a_code_keeps_its_words(tmp_path):
    from rasterio.crs import CRS

    words = CRS.from_proj4(
        "+proj=tmerc +lat_0=1 +lon_0=12 +k=0.9 +x_0=5 +y_0=7 +ellps=GRS80"
    ).to_wkt()
    c = cube(words)
    array = c.to_xarray()
    same(Cube.from_xarray(array), c)
    about = array.spatial_ref.attrs
    assert about["grid_mapping_name"] == "transverse_mercator"
    assert (about["longitude_of_central_meridian"], about["false_northing"]) == (12, 7)


def test_follows_the_conventions():
    array = cube().to_xarray()
    assert array.attrs["units"] == "1"
    assert array.attrs["standard_name"] == "surface_bidirectional_reflectance"
    assert (
        array.x.attrs["standard_name"] == "projection_x_coordinate" and array.y.attrs["axis"] == "Y"
    )
    assert array.wavelength.attrs["units"] == "nm"
    assert array.time.values == np.datetime64("2022-07-24T10:00")
    assert all(isinstance(v, str | int | float) for v in array.attrs.values())
    degrees = cube("EPSG:4326").to_xarray()
    assert degrees.y.attrs["units"] == "degrees_north"
    assert degrees.spatial_ref.attrs["grid_mapping_name"] == "latitude_longitude"


@pytest.mark.parametrize("crs", [UTM, "EPSG:32633", "EPSG:4326", "EPSG:3035"])
def test_the_mapping_is_what_pyproj_reads(crs):
    pyproj = pytest.importorskip("pyproj")
    about = cube(crs).to_xarray().spatial_ref.attrs
    assert pyproj.CRS.from_cf(about) == pyproj.CRS(crs)
    by_parameters = {k: v for k, v in about.items() if k not in ("crs_wkt", "spatial_ref")}
    expected = pyproj.CRS(crs).to_cf()
    for key, value in by_parameters.items():
        if key != "GeoTransform":
            assert value == expected[key], key


def test_temperatures_have_their_unit():
    c = cube(meta={"band_units": {"B8A": "K"}})
    array = c.to_xarray()
    assert array.units.values.tolist() == ["1", "1", "K"] and "units" not in array.attrs


@given(st.integers(0, 8), st.integers(0, 9), st.integers(2, 4), st.integers(2, 5), st.booleans())
def test_a_part_is_the_part(row, col, height, width, turned):
    c, window = cube(), Window(row, col, height, width)
    part = c.to_xarray()[:, row : row + height, col : col + width]
    back = Cube.from_xarray(part.sortby("y") if turned else part)
    expected = c[window]
    np.testing.assert_array_equal(back.data, expected.data)
    np.testing.assert_allclose(back.grid.transform, expected.grid.transform, rtol=1e-12)
    assert back.sampling == expected.sampling


class Noted(MemorySource):
    """A source that notes what is read of it."""

    def read(self, window=None, bands=None):
        self.__dict__.setdefault("windows", []).append(window)
        return super().read(window, bands)


def test_a_source_is_read_block_by_block():
    pytest.importorskip("dask")
    source = Noted(cube())
    array = source.to_xarray(chunk=5)
    assert not hasattr(source, "windows") and array.chunks == ((3,), (5, 5, 2), (5, 5, 4))
    part = array[:, 6:8, 11:13].compute(scheduler="sync")
    assert source.windows and set(source.windows) == {Window(5, 10, 5, 4)}
    np.testing.assert_array_equal(part, cube().data[:, 6:8, 11:13])
    same(Cube.from_xarray(array), cube())


def test_without_dask_a_source_is_read(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "dask", None)
    same(Cube.from_xarray(MemorySource(cube()).to_xarray()), cube())


def test_what_is_no_cube_is_refused():
    array = cube().to_xarray()
    with pytest.raises(DataError, match=r"holds int64, not values; use open_cube"):
        Cube.from_xarray(array.fillna(0).astype(int))
    with pytest.raises(DataError, match="is still to be scaled; use open_cube"):
        Cube.from_xarray(array.assign_attrs(scale_factor=1e-4))
    with pytest.raises(DataError, match="give band, y, x"):
        Cube.from_xarray(array.expand_dims(step=2))
    with pytest.raises(MetadataError, match="holds a, b; choose one"):
        Cube.from_xarray(xr.Dataset({"a": array, "b": array}))


class TestShown:
    def test_a_band_by_its_name(self):
        plane = cube()["B08A"]
        assert plane.shape == (12, 14) and np.isnan(plane[3, 3])
        assert plane[0, 1] == cube().data[2, 0, 1]
        with pytest.raises(BandError, match="no band 'Oa01'"):
            cube()["Oa01"]

    def test_in_a_line(self):
        whole = "3 × 12 × 14, B3 … B8A, EPSG:32733, 10 m"
        assert repr(cube()) == f"Cube({whole}, 99 % valid)"
        source = MemorySource(cube(), "scene")
        assert repr(source) == f"MemorySource('scene', {whole})"
        part = source.select(["B4"])[Window(0, 0, 2, 3)]
        assert repr(part) == "Part('scene', 1 × 2 × 3, B4, EPSG:32733, 10 m)"
        assert "15.1" not in repr(cube("EPSG:4326")) and "0.0001 °" in repr(cube("EPSG:4326"))
        assert "no coordinate system" in repr(cube(""))

    def test_as_a_picture(self):
        matplotlib = pytest.importorskip("matplotlib")
        matplotlib.use("Agg")
        from matplotlib import pyplot

        c = cube()
        axes = c.plot()
        shown = axes.images[0]
        west, south, east, north = c.grid.bounds
        assert shown.get_extent() == [west, east, south, north]
        assert np.asarray(shown.get_array())[3, 3, 3] == 0  # clear where it is not valid
        own = pyplot.subplots()[1]
        assert c.plot(["B8A"], ax=own) is own and own.images[0].get_array().shape == (12, 14)
        with pytest.raises(BandError, match="2 bands for a picture"):
            c.plot(["B4", "B3"])
        pyplot.close("all")


def test_what_is_listed_by_band_is_of_the_bands_there():
    c = cube(meta={"usable": [True, False, True], "sensor": "x"})
    array = c.to_xarray()
    assert Cube.from_xarray(array).meta["usable"] == [True, False, True]
    assert dict(Cube.from_xarray(array.sel(band=["B3", "B8A"])).meta) == {"sensor": "x"}
