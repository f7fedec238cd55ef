"""Images that odc-stac, stackstac, rioxarray and xarray's own engines open, against rasterio."""

import json
import pickle
import subprocess
import sys
from datetime import UTC, datetime

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from trifuse.core import (
    BandError,
    BandSet,
    Cube,
    DataError,
    Grid,
    GridError,
    MetadataError,
    ProductError,
    Window,
)
from trifuse.products import inspect_product, open_cube, open_xarray

xr = pytest.importorskip("xarray")

HEIGHT, WIDTH = 24, 30
GRID = Grid.from_origin("EPSG:32633", 600000, 5800000, 10, HEIGHT, WIDTH)
SCALE, OFFSET = 1e-4, -0.1


def raster(path, names, *, seed=0, dtype="uint16", nodata=0, scaled=False):
    """A GeoTIFF of counts with a hole of nodata, and the counts."""
    counts = np.random.default_rng(seed).integers(1100, 5000, (len(names), HEIGHT, WIDTH))
    counts[:, :3, :3] = nodata
    profile = {"driver": "GTiff", "height": HEIGHT, "width": WIDTH, "count": len(names)}
    place = {"crs": GRID.crs, "transform": from_origin(600000, 5800000, 10, 10)}
    with rasterio.open(path, "w", dtype=dtype, nodata=nodata, **profile, **place) as d:
        d.write(counts.astype(dtype))
        d.descriptions = names
        if scaled:
            d.scales, d.offsets = (SCALE,) * len(names), (OFFSET,) * len(names)
    return counts


def values(counts, nodata=0, scale=SCALE, offset=OFFSET):
    """What rasterio's numbers stand for."""
    return np.where(counts == nodata, np.nan, counts * scale + offset)


def agrees(source, expected, names, grid=GRID):
    """Whether a source gives these values on this grid, whole and by windows."""
    cube = source.read()
    assert source.bands.names == tuple(names) and source.grid == grid == cube.grid
    np.testing.assert_allclose(cube.data, expected, atol=1e-6)
    np.testing.assert_array_equal(cube.valid, np.isfinite(expected).any(axis=0))
    part = Window(2, 1, 7, 11)
    rows, cols = part.slices
    few = source.read(part, [names[-1]])
    np.testing.assert_array_equal(few.data, cube.data[-1:, rows, cols])
    assert few.grid == grid.window(part)
    return True


@pytest.fixture
def item(tmp_path):
    """A STAC Item of three images on this disk, and their counts by asset."""
    pystac = pytest.importorskip("pystac")
    box = [16.4, 52.3, 16.5, 52.4]
    corners = [[16.4, 52.3], [16.5, 52.3], [16.5, 52.4], [16.4, 52.4], [16.4, 52.3]]
    base = "https://stac-extensions.github.io"
    made = pystac.Item(
        "S2A_33UXT_20220724",
        {"type": "Polygon", "coordinates": [corners]},
        box,
        datetime(2022, 7, 24, 10, 5, tzinfo=UTC),
        {"proj:epsg": 32633, "proj:code": "EPSG:32633", "platform": "sentinel-2a"},
        stac_extensions=[
            f"{base}/{name}/v1.1.0/schema.json" for name in ("projection", "raster", "eo")
        ],
    )
    counts = {}
    for seed, (name, nm) in enumerate((("B04", 0.665), ("B8A", 0.865), ("B03", 0.56))):
        counts[name] = raster(tmp_path / f"{name}.tif", (name,), seed=seed)[0]
        extra = {
            "eo:bands": [{"name": name, "center_wavelength": nm, "full_width_half_max": 0.03}],
            "proj:shape": [HEIGHT, WIDTH],
            "proj:transform": [10, 0, 600000, 0, -10, 5800000],
            "raster:bands": [{"nodata": 0, "data_type": "uint16", "scale": 1e-4, "offset": -0.1}],
        }
        kind = pystac.MediaType.COG
        href = str(tmp_path / f"{name}.tif")
        made.add_asset(
            name, pystac.Asset(href, media_type=kind, roles=["data"], extra_fields=extra)
        )
    return made, counts


class TestOdcStac:
    """One variable a band, with ``nodata``; counts as the files have them."""

    @pytest.fixture
    def load(self, item):
        odc = pytest.importorskip("odc.stac")
        return lambda **how: odc.load([item[0]], bands=["B04", "B8A"], **how)

    @pytest.mark.parametrize("how", [{}, {"chunks": {"x": 8, "y": 16}}])
    def test_is_what_rasterio_reads(self, load, item, how):
        counts = np.stack([item[1][n] for n in ("B04", "B8A")])
        dataset = load(**how)
        source = open_cube(dataset, scale=SCALE, offset=OFFSET)
        assert agrees(source, values(counts), ("B4", "B8A"))
        assert source.meta["start_time"] == "2022-07-24T10:05:00+00:00"
        assert agrees(open_xarray(dataset), values(counts, 0, 1, 0), ("B4", "B8A"))

    def test_either_order_of_rows_and_axes_in_degrees(self, load, item):
        counts = np.stack([item[1][n] for n in ("B04", "B8A")])
        upside = load(chunks={"x": 7, "y": 7}).sortby("y")
        assert upside.y.values[0] < upside.y.values[-1]
        assert agrees(
            open_xarray(upside, scale=SCALE, offset=OFFSET), values(counts), ("B4", "B8A")
        )
        degrees = load(crs="EPSG:4326", resolution=1e-4)
        source = open_xarray(degrees)
        assert degrees.B04.dims == ("time", "latitude", "longitude")
        assert source.grid.crs == "EPSG:4326" and source.grid.gsd == pytest.approx((1e-4, 1e-4))
        np.testing.assert_allclose(source.grid.bounds[0], degrees.longitude[0] - 5e-5)
        stored = degrees.B04[0].values
        np.testing.assert_array_equal(np.nan_to_num(source.read().data[0]), stored)

    def test_several_times_are_refused(self, load):
        both = load()
        both = xr.concat(
            [both, both.assign_coords(time=both.time + np.timedelta64(5, "D"))], "time"
        )
        with pytest.raises(DataError, match=r"holds 2 times; choose one, such as \.isel\(time=0\)"):
            open_cube(both)
        assert open_cube(both.isel(time=1)).meta["start_time"] == "2022-07-29T10:05:00+00:00"

    def test_classes_beside_the_bands_are_the_mask(self, load):
        dataset = load()
        scl = xr.full_like(dataset.B04, 4).astype("uint8")
        scl[0, 5, 5:8] = [3, 9, 11]
        source = open_cube(dataset.assign(SCL=scl), scale=SCALE, offset=OFFSET)
        assert source.bands.names == ("B4", "B8A")
        assert source.read().valid[5, 4:9].tolist() == [True, False, False, True, True]
        all_seen = open_xarray(dataset.assign(SCL=scl), mask="none")
        assert all_seen.read().valid[5].all()


class TestStackstac:
    """Scaled floats, a dimension of bands, corners in place of centres."""

    @pytest.fixture
    def stack(self, item):
        module = pytest.importorskip("stackstac")
        return lambda **how: module.stack([item[0]], assets=["B04", "B8A"], chunksize=16, **how)

    @pytest.mark.parametrize("corner", ["topleft", "center"])
    def test_is_what_rasterio_reads(self, stack, item, corner):
        counts = np.stack([item[1][n] for n in ("B04", "B8A")])
        array = stack(xy_coords=corner)
        assert array.x.values[0] == (600000 if corner == "topleft" else 600005)
        for given in (array, array.sortby("y")):
            source = open_cube(given)
            assert agrees(source, values(counts), ("B4", "B8A"))
        assert source.bands.centres == (665, 865) and source.bands.fwhms == (30, 30)
        assert source.name == "S2A_33UXT_20220724" and source.meta["sensor"] == "S2A_MSI"
        part = open_cube(array[..., 4:9, 3:20])
        assert part.grid == GRID.window(Window(4, 3, 5, 17))

    def test_counts_that_were_not_scaled_are_counts(self, stack, item):
        array = stack(rescale=False)
        np.testing.assert_array_equal(
            open_cube(array).read(bands=["B4"]).data[0],
            values(item[1]["B04"], 0, 1, 0).astype(np.float32),
        )

    def test_without_its_transform_that_is_said(self, stack, caplog):
        array = stack().drop_attrs()
        assert open_cube(array).grid.bounds[0] == 599995
        assert "centres" in caplog.text


class TestRioxarray:
    """Counts, masked counts and values; an array or one variable a band."""

    @pytest.fixture
    def load(self, tmp_path):
        module = pytest.importorskip("rioxarray")
        self.counts = raster(tmp_path / "S2.tif", ("B04", "B8A"), dtype="int16", scaled=True)
        return lambda **how: module.open_rasterio(tmp_path / "S2.tif", **how)

    @pytest.mark.parametrize("variable", [False, True])
    @pytest.mark.parametrize(
        "how",
        [{}, {"masked": True}, {"mask_and_scale": True}, {"chunks": {"x": 16, "y": 8}}],
        ids=["counts", "masked", "values", "dask"],
    )
    def test_is_what_rasterio_reads(self, load, how, variable):
        given = load(band_as_variable=variable, **how)
        assert agrees(open_cube(given), values(self.counts), ("B4", "B8A"))

    def test_bands_of_unlike_scales(self, load, tmp_path):
        with rasterio.open(tmp_path / "S2.tif", "r+") as d:
            d.scales = (1e-4, 2e-4)
        expected = np.stack(
            [values(c, 0, s) for c, s in zip(self.counts, (1e-4, 2e-4), strict=True)]
        )
        with pytest.warns(UserWarning, match="differ across bands"):
            array = load()
        assert agrees(open_cube(array), expected, ("B4", "B8A"))

    def test_one_band_and_options(self, load):
        one = load().isel(band=[1]).drop_attrs(deep=False)
        source = open_cube(one, bands=["B8A"], scale=SCALE, offset=OFFSET, nodata=0)
        assert agrees(source, values(self.counts[1:]), ("B8A",))
        with pytest.raises(BandError, match="2 names for 1 bands"):
            open_cube(one, bands=["a", "b"])

    def test_values_that_kept_the_attribute_are_not_scaled_twice(self, load):
        array = load(masked=True)
        with xr.set_options(keep_attrs=True):
            scaled = array * SCALE + OFFSET
        assert scaled.attrs["scale_factor"] == SCALE
        with pytest.raises(MetadataError, match="seem to be scaled already; drop the attributes"):
            open_cube(scaled)
        assert agrees(open_cube(scaled, scale=1, offset=0), values(self.counts), ("B4", "B8A"))

    def test_integers_whose_encoding_has_a_scale_are_refused(self, load):
        array = load().drop_attrs()
        array.encoding["scale_factor"] = SCALE
        with pytest.raises(MetadataError, match=r"scale_factor 0\.0001, which says how values"):
            open_cube(array)

    def test_what_comes_back_is_placed(self, load):
        back = open_cube(load()).to_xarray()
        assert back.rio.crs.to_epsg() == 32633
        assert back.rio.transform() == from_origin(600000, 5800000, 10, 10)
        assert back.rio.bounds() == (600000, 5799760, 600300, 5800000)


class TestXarrayEngines:
    """Files that xarray opens itself, and what other programs make."""

    def test_a_zarr_group_of_the_agency(self, tmp_path):
        pytest.importorskip("zarr")
        from trifuse.products.sentinel2.factory_zarr import write_sentinel2_zarr

        names = ("B2", "B3", "B4", "B8", "B5", "B6", "B7", "B8A", "B11", "B12", "B1", "B9")
        data = np.random.default_rng(0).uniform(0.05, 0.5, (12, 60, 60)).astype(np.float32)
        grid = Grid.from_origin("EPSG:32633", 600000, 5800020, 10, 60, 60)
        cube = Cube(data, np.ones((60, 60), bool), BandSet.of(names), grid)
        store = write_sentinel2_zarr(tmp_path, cube)
        group = "measurements/reflectance/r10m"
        with xr.open_dataset(store, engine="zarr", group=group, consolidated=False) as dataset:
            assert dataset.b04.encoding["scale_factor"] == 1e-4  # applied when it is read
            source = open_cube(dataset.rio.write_crs(32633) if hasattr(dataset, "rio") else dataset)
            found = source.read(bands=["B4"]).data[0]
            np.testing.assert_array_equal(found, dataset.b04.values.astype(np.float32))
        np.testing.assert_allclose(found, data[2], atol=5.1e-5)

    def test_the_dataset_of_xarray_eopf(self):
        """As its analysis mode gives it: classes among bands, facts in nested attributes."""
        rng = np.random.default_rng(1)
        plane = rng.uniform(0.05, 0.5, (HEIGHT, WIDTH))
        plane[0, 0] = np.nan
        scl = np.full((HEIGHT, WIDTH), 4, np.uint8)
        scl[1, 1] = 9
        about = {"id": "S2B_MSIL2A_20240621T102031", "properties": {"platform": "sentinel-2b"}}
        about["properties"]["datetime"] = "2024-06-21T10:20:31+00:00"
        wkt = rasterio.crs.CRS.from_epsg(32633).to_wkt()
        dataset = xr.Dataset(
            {
                name: (("y", "x"), plane if name != "scl" else scl, {"grid_mapping": "spatial_ref"})
                for name in ("b02", "b8a", "scl")
            },
            {
                "x": 600005 + 10.0 * np.arange(WIDTH),
                "y": 5799995 - 10.0 * np.arange(HEIGHT),
                "spatial_ref": ((), 0, {"crs_wkt": wkt}),
            },
            {"stac_discovery": about, "other_metadata": {}},
        )
        source = open_cube(dataset)
        cube = source.read(bands=["B8A"])
        np.testing.assert_array_equal(cube.data[0], plane.astype(np.float32))
        assert (source.grid, source.meta["sensor"]) == (GRID, "S2B_MSI")
        assert source.name == about["id"] and "2024-06-21" in source.meta["start_time"]
        assert (
            not cube.valid[0, 0]
            and not cube.valid[1, 1]
            and cube.valid.sum() == cube.valid.size - 2
        )

    def test_time_bands_and_axes_of_openeo(self):
        data = np.arange(2 * HEIGHT * WIDTH, dtype=np.int16).reshape(1, 2, HEIGHT, WIDTH)
        array = xr.DataArray(
            data,
            dims=("t", "bands", "y", "x"),
            coords={
                "t": [np.datetime64("2022-07-24T10:00", "ns")],
                "bands": ["B04", "B8A"],
                "x": 600005 + 10.0 * np.arange(WIDTH),
                "y": 5799995 - 10.0 * np.arange(HEIGHT),
            },
            attrs={"crs": 32633, "nodata": 3},
        )
        assert agrees(open_xarray(array), values(data[0], 3, 1, 0), ("B4", "B8A"))

    def test_no_more_is_computed_than_a_window_needs(self):
        da = pytest.importorskip("dask.array")
        seen = []

        def note(block, block_info=None):
            seen.append(block_info[0]["chunk-location"])
            return block

        data = da.random.random((2, 64, 64), chunks=(1, 16, 16)).map_blocks(note, dtype=float)
        coords = {"x": np.arange(64) * 10.0, "y": -np.arange(64) * 10.0, "band": ["B4", "B8A"]}
        array = xr.DataArray(data, dims=("band", "y", "x"), coords=coords)
        source = open_cube(array)
        source.read(Window(20, 20, 8, 8), ["B8A"])
        assert set(seen) == {(1, 1, 1)}
        seen.clear()
        open_cube(array.to_dataset("band")).read(Window(0, 40, 16, 16))
        assert set(seen) == {(b, 0, c) for b in (0, 1) for c in (2, 3)}

    def test_what_fails_inside_is_one_line(self):
        da = pytest.importorskip("dask.array")

        def fail(block):
            raise OSError("the server is gone")

        data = da.zeros((4, 4), chunks=2).map_blocks(fail, dtype=float)
        source = open_cube(xr.DataArray(data, dims=("y", "x"), name="B4"))
        with pytest.raises(ProductError, match=r"rows 0–3, columns 0–3 cannot .*server is gone"):
            source.read()

    def test_inspection_and_other_processes(self):
        cube = Cube(
            np.full((1, 8, 8), 0.25, np.float32),
            np.ones((8, 8), bool),
            BandSet.of(["B4"], [665]),
            Grid.from_origin("EPSG:32633", 0, 80, 10, 8, 8),
        )
        facts = inspect_product(cube.to_xarray())
        assert facts["kind"] == "xarray" and facts["percentiles_2_50_98"] == {"B4": [0.25] * 3}
        again = pickle.loads(pickle.dumps(open_cube(cube.to_xarray())))
        np.testing.assert_array_equal(again.read().data, cube.data)


class TestRefused:
    @pytest.fixture
    def array(self):
        coords = {"x": np.arange(5) * 10.0, "y": -np.arange(4) * 10.0}
        return xr.DataArray(np.ones((4, 5)), dims=("y", "x"), coords=coords, name="B4")

    def test_axes(self, array):
        with pytest.raises(MetadataError, match="has dimensions row, column; call two y and x"):
            open_cube(array.rename(y="row", x="column"))
        uneven = array.assign_coords(x=[0, 10, 20, 40, 50])
        with pytest.raises(GridError, match="x is no regular axis"):
            open_cube(uneven)
        with pytest.raises(GridError, match="x runs from east to west"):
            open_cube(array[:, ::-1])
        with pytest.raises(MetadataError, match="one pixel along y and does not tell its size"):
            open_cube(array[:1])
        with pytest.raises(DataError, match="angle, detector, y, x"):
            open_cube(array.expand_dims(angle=2, detector=3))

    def test_bands_and_systems(self, array):
        with pytest.raises(BandError, match="holds no band"):
            open_cube(xr.Dataset({"label": (("y", "x"), np.full((4, 5), "a"))}))
        with pytest.raises(MetadataError, match="names no coordinate system"):
            open_cube(array.assign_attrs(crs="/etc/passwd"))

    def test_nothing_of_xarray_is_imported_for_files(self):
        code = "import sys, trifuse.products; sys.exit('xarray' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_lattice_of_native_samples_goes_along_with_a_crop():
    grid = Grid.from_origin("EPSG:32633", 0, 200, 10, 20, 20)
    meta = {"native_gsd": {"B4": 10.0, "B11": 20.0}}
    data = np.random.default_rng(0).random((2, 20, 20), np.float32)
    cube = Cube(data, np.ones((20, 20), bool), BandSet.of(["B4", "B11"]), grid, meta)
    part = cube.to_xarray()[:, 3:15, 4:18]
    expected = cube[Window(3, 4, 12, 14)]
    source = open_cube(part)
    assert source.sampling == expected.sampling == Cube.from_xarray(part).sampling
    assert source.grid == expected.grid and json.loads(json.dumps(dict(source.meta)))
