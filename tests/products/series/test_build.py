"""Series of one area from deliveries of two sensors: grids, dates, masks, warping, resuming."""

from datetime import UTC, date, datetime

import numpy as np
import pytest
import rasterio.warp

from trifuse.core import (
    BandSet,
    ConfigError,
    Cube,
    DataError,
    Grid,
    MemorySource,
    OverlapError,
    ProductError,
    StoreError,
    Window,
)
from trifuse.products import write_landsat, write_sentinel2_safe
from trifuse.products.files.regrid import read_on
from trifuse.products.sentinel3.factory import write_syn
from trifuse.products.series.build import build_series
from trifuse.products.series.find import open_sensors
from trifuse.products.series.folder import open_series
from trifuse.srf_data import S2_L2A, S3_SYN_19

S2_GRID = Grid.from_origin("EPSG:32633", 399960, 5800020, 10, 60, 72)
# Landsat's pixels start 15 m beside multiples of 30, as those of the archive do.
LANDSAT_GRID = Grid.from_origin("EPSG:32633", 399945 + 30, 5800035, 30, 24, 30)
OLI = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "LST")


def plane(grid, slope_x=1e-4, slope_y=2e-4, base=0.2):
    """A ramp in map coordinates: interpolation must give it back."""
    a, _, c, _, e, f = grid.transform
    x = c + a * (np.arange(grid.width) + 0.5) - 400000
    y = f + e * (np.arange(grid.height) + 0.5) - 5799700
    return base + slope_x * x[None] + slope_y * y[:, None]


def s2_cube(add=0.0, grid=S2_GRID):
    data = np.stack([plane(grid) + 0.01 * i + add for i in range(12)]).astype(np.float32)
    return Cube(data, np.ones(grid.shape, bool), BandSet.of(S2_L2A), grid)


def landsat_cube(add=0.0, grid=LANDSAT_GRID, bands=OLI):
    data = np.stack([plane(grid) + 0.01 * i + add for i in range(len(bands))]).astype(np.float32)
    if "LST" in bands:
        data[-1] = 295 + 20 * plane(grid)
    return Cube(data, np.ones(grid.shape, bool), BandSet.of(bands), grid)


def at(day, month=6):
    return datetime(2022, month, day, 10, 20, 31, tzinfo=UTC)


@pytest.fixture(scope="module")
def deliveries(tmp_path_factory):
    root = tmp_path_factory.mktemp("deliveries")
    cloud = np.zeros(S2_GRID.shape, bool)
    cloud[:20, :24] = True
    write_sentinel2_safe(root / "s2", s2_cube(), start=at(1))
    write_sentinel2_safe(root / "s2", s2_cube(0.1), start=at(11), cloud=cloud)
    write_sentinel2_safe(root / "s2", s2_cube(0.2), start=at(21), cloud=np.ones_like(cloud))
    hidden = np.zeros(LANDSAT_GRID.shape, bool)
    hidden[:10] = True
    write_landsat(root / "landsat", landsat_cube(), start=at(3))
    write_landsat(root / "landsat", landsat_cube(0.1), start=at(19), cloud=hidden, packing="tar")
    (root / "landsat" / "readme.md").write_text("no product")
    return root


@pytest.fixture(scope="module")
def built(deliveries, tmp_path_factory):
    out = tmp_path_factory.mktemp("series") / "area"
    done = build_series(out, sentinel2=deliveries / "s2", landsat=deliveries / "landsat")
    return out, done


def test_grids_are_nested_and_cover_the_same_whole_cells(built):
    out, done = built
    series = open_sensors(out)
    assert set(series) == {"sentinel2", "landsat"}
    fine, coarse = series["sentinel2"].grid, series["landsat"].grid
    assert fine.nested_ratio(coarse) == 3 and fine.zoom_out(3) == coarse
    assert fine.shape == (3 * coarse.height, 3 * coarse.width)
    # Landsat starts 15 m inside Sentinel-2 to the west and reaches beyond it elsewhere.
    assert fine.bounds == (399990.0, 5799420.0, 400680.0, 5800020.0)
    assert done.sensors["sentinel2"].skipped == {date(2022, 6, 21): 0.0}
    assert "2022-06-21" in done.text and "2 dates" in done.text


def test_sentinel2_pixels_are_taken_as_they_are(built, deliveries):
    series = open_sensors(built[0])["sentinel2"]
    assert series.dates == (date(2022, 6, 1), date(2022, 6, 11))
    assert series.bands.names == ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12")
    cube = series.read(date(2022, 6, 1))
    place = S2_GRID.locate(series.grid)
    expected = s2_cube().select(["B2", "B8"]).crop(place)
    np.testing.assert_allclose(cube.select(["B2", "B8"]).data, expected.data, atol=1.01e-4)
    # Interpolated 20 m bands follow the ramp but at the border of the product.
    ramp = s2_cube().select(["B11"]).crop(place).data[0, 4:-4, 4:-4]
    np.testing.assert_allclose(cube.select(["B11"]).data[0, 4:-4, 4:-4], ramp, atol=3e-4)


def test_clouds_are_kept_and_masked(built):
    series = open_sensors(built[0])["sentinel2"]
    cube = series.read(date(2022, 6, 11))
    assert np.isfinite(cube.data).all()
    cloudy = np.zeros(S2_GRID.shape, bool)
    cloudy[:20, :24] = True
    rows, cols = S2_GRID.locate(series.grid).slices
    np.testing.assert_array_equal(~cube.valid, cloudy[rows, cols])


def test_landsat_is_warped_half_a_pixel_onto_the_cells(built):
    series = open_sensors(built[0])["landsat"]
    cube = series.read(date(2022, 6, 3))
    truth = landsat_cube(grid=series.grid)
    inside = np.s_[:, 2:-2, 2:-2]
    np.testing.assert_allclose(cube.data[:7][inside], truth.data[:7][inside], atol=1.5e-4)
    np.testing.assert_allclose(cube.data[7:][inside], truth.data[7:][inside], atol=0.01)
    hidden = series.read(date(2022, 6, 19))
    assert np.isfinite(hidden.data[:, 2:-2, 2:-2]).all()
    assert not hidden.valid[:9].any() and hidden.valid[12:, 2:-2].all()


def test_a_box_and_dates_choose(deliveries, tmp_path):
    box = (399990 + 100, 5799500, 399990 + 300, 5799700)
    degrees = rasterio.warp.transform_bounds("EPSG:32633", "EPSG:4326", *box)
    done = build_series(
        tmp_path / "a",
        sentinel2=deliveries / "s2",
        landsat=deliveries / "landsat",
        bbox=degrees,
        last=date(2022, 6, 5),
        dry_run=True,
    )
    assert not (tmp_path / "a").exists()
    grid = done.sensors["landsat"].grid
    west, south, east, north = grid.bounds
    assert west <= box[0] and south <= box[1] and east >= box[2] and north >= box[3]
    assert 200 <= east - west <= 300 and 200 <= north - south <= 300
    assert list(done.sensors["sentinel2"].clear) == [date(2022, 6, 1)]


def test_resuming_makes_the_same_bytes_and_takes_up_what_came_since(deliveries, tmp_path, built):
    out, source = tmp_path / "a", tmp_path / "s2"
    write_sentinel2_safe(source, s2_cube(), start=at(1))
    options = {"sentinel2": source, "landsat": deliveries / "landsat"}
    build_series(out, **options)
    first = (out / "sentinel2" / "2022-06-01.tif").read_bytes()
    assert first == (built[0] / "sentinel2" / "2022-06-01.tif").read_bytes()
    stamp = (out / "sentinel2" / "2022-06-01.tif").stat().st_mtime_ns
    write_sentinel2_safe(source, s2_cube(0.1), start=at(11))
    build_series(out, **options)
    assert (out / "sentinel2" / "2022-06-01.tif").stat().st_mtime_ns == stamp
    assert len(open_sensors(out)["sentinel2"]) == 2
    with pytest.raises(StoreError, match="another configuration"):
        build_series(out, **options, sentinel2_mask="none")
    (out / "sentinel2" / "index.json").unlink()
    with pytest.raises(ProductError, match="sentinel2 is not finished"):
        open_sensors(out)


def test_products_of_one_date_are_merged_clear_first(tmp_path):
    west = S2_GRID
    east = S2_GRID.window(Window(0, 36, 60, 72))
    cloud = np.zeros(west.shape, bool)
    cloud[:, 36:] = True
    write_sentinel2_safe(tmp_path / "s2", s2_cube(0.5, west), start=at(1), cloud=cloud)
    write_sentinel2_safe(tmp_path / "s2", s2_cube(0.0, east), start=at(1), tile="33UVU")
    build_series(tmp_path / "out", sentinel2=tmp_path / "s2")
    series = open_series(tmp_path / "out" / "sentinel2")
    cube = series.read(date(2022, 6, 1), bands=["B4"])
    assert cube.valid.all() and cube.grid.width == 108
    add = cube.data[0] - s2_cube(0.0, series.grid).select(["B4"]).data[0]
    np.testing.assert_allclose(add[:, :36], 0.5, atol=2e-4)
    np.testing.assert_allclose(add[:, 36:], 0.0, atol=2e-4)


def test_another_zone_is_warped():
    grid = Grid.from_origin("EPSG:32632", 810000, 5805000, 30, 60, 60)
    source = MemorySource(
        Cube(
            np.stack([plane(grid, 0, 0), np.tile(np.arange(60) * 0.01, (60, 1))]).astype(
                np.float32
            ),
            np.ones(grid.shape, bool),
            BandSet.of(["B1", "B2"]),
            grid,
        )
    )
    box = rasterio.warp.transform_bounds("EPSG:32632", "EPSG:32633", *grid.bounds)
    target = Grid.from_origin("EPSG:32633", box[0] + 600, box[3] - 600, 30, 20, 20)
    data, valid = read_on(source, target, ["B2", "B9"])
    assert valid.all() and np.isnan(data[1]).all()
    xs, ys = np.meshgrid(*[np.arange(20)] * 2)
    a, _, c, _, e, f = target.transform
    x, _ = rasterio.warp.transform(
        "EPSG:32633", "EPSG:32632", (c + a * (xs + 0.5)).ravel(), (f + e * (ys + 0.5)).ravel()
    )
    expected = ((np.array(x) - 810000) / 30 - 0.5).reshape(20, 20) * 0.01
    np.testing.assert_allclose(data[0], expected, atol=2e-3)


def test_landsat_alone_and_without_temperature(tmp_path):
    write_landsat(tmp_path / "l", landsat_cube(bands=OLI[:7]), start=at(3))
    build_series(tmp_path / "out", landsat=tmp_path / "l")
    series = open_sensors(tmp_path / "out")["landsat"]
    assert series.grid == LANDSAT_GRID
    cube = series.read(date(2022, 6, 3))
    assert cube.valid.all() and np.isnan(cube.data[7]).all()
    np.testing.assert_allclose(cube.data[:7], landsat_cube().data[:7], atol=1.01e-4)


def test_a_series_serves_as_input(built, tmp_path):
    build_series(tmp_path / "b", sentinel2=built[0] / "sentinel2", landsat=built[0] / "landsat")
    one, two = open_sensors(built[0]), open_sensors(tmp_path / "b")
    for name in one:
        assert one[name].dates == two[name].dates and one[name].grid == two[name].grid
        for day in one[name].dates:
            a, b = one[name].read(day), two[name].read(day)
            np.testing.assert_array_equal(a.valid, b.valid)
            np.testing.assert_array_equal(a.data, b.data)


class TestBadInput:
    def test_no_common_ground(self, deliveries, tmp_path):
        far = Grid.from_origin("EPSG:32633", 500000, 5700000, 30, 20, 20)
        write_landsat(tmp_path / "l", landsat_cube(grid=far), start=at(3))
        with pytest.raises(OverlapError, match="no ground with the other sensor"):
            build_series(tmp_path / "o", sentinel2=deliveries / "s2", landsat=tmp_path / "l")
        with pytest.raises(OverlapError, match="no ground with the box"):
            build_series(tmp_path / "o", sentinel2=deliveries / "s2", bbox=(2, 40, 2.1, 40.1))
        assert not (tmp_path / "o").exists()

    def test_all_clouds(self, deliveries, tmp_path):
        with pytest.raises(DataError, match="none of 1 sentinel2 dates is clear"):
            build_series(tmp_path / "o", sentinel2=deliveries / "s2", first=date(2022, 6, 20))

    def test_nothing_there(self, deliveries, tmp_path):
        with pytest.raises(ConfigError, match="no products"):
            build_series(tmp_path / "o")
        with pytest.raises(ProductError, match="no Sentinel-2 L2A product"):
            build_series(tmp_path / "o", sentinel2=deliveries / "landsat")
        with pytest.raises(ProductError, match="no Landsat"):
            build_series(tmp_path / "o", landsat=deliveries / "s2")
        with pytest.raises(ProductError, match="does not exist"):
            build_series(tmp_path / "o", landsat=deliveries / "none")
        with pytest.raises(ProductError, match="no sentinel2 product from 2023"):
            build_series(tmp_path / "o", sentinel2=deliveries / "s2", first=date(2023, 1, 1))
        with pytest.raises(ConfigError, match="west,south,east,north"):
            build_series(tmp_path / "o", sentinel2=deliveries / "s2", bbox=(3, 0, 1, 1))
        with pytest.raises(ConfigError, match="min_clear"):
            build_series(tmp_path / "o", sentinel2=deliveries / "s2", min_clear=2)
        with pytest.raises(ProductError, match="no folder with the series"):
            open_sensors(deliveries)


CELLS = Grid.from_origin("EPSG:32633", 399960 - 1200, 5800020 + 1200, 300, 10, 10)


@pytest.fixture(scope="module")
def swaths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("swaths")
    data = np.stack([plane(CELLS) + 0.005 * i for i in range(19)]).astype(np.float32)
    clear = np.ones(CELLS.shape, bool)
    cube = Cube(data, clear, BandSet.of(S3_SYN_19), CELLS)
    write_syn(folder, cube, start=at(2))
    far = Grid.from_origin("EPSG:32633", 700000, 5500000, 300, 10, 10)
    write_syn(folder, Cube(data, clear, cube.bands, far), start=at(3))
    return folder


class TestSentinel3:
    def test_a_third_sensor_in_cells_of_300_m(self, deliveries, swaths, tmp_path):
        done = build_series(
            tmp_path, sentinel2=deliveries / "s2", landsat=deliveries / "landsat", sentinel3=swaths
        )
        series = open_sensors(tmp_path)
        fine, coarse = series["sentinel2"].grid, series["sentinel3"].grid
        assert fine.zoom_out(30) == coarse and series["landsat"].grid == fine.zoom_out(3)
        assert coarse.shape == (2, 1)
        assert list(done.sensors["sentinel3"].clear) == [date(2022, 6, 2)], "one swath is far away"
        assert series["sentinel3"].bands.names == S3_SYN_19
        cube = series["sentinel3"].read(date(2022, 6, 2))
        assert cube.valid.all()
        np.testing.assert_allclose(cube.data[0], plane(coarse), atol=0.01)

    def test_not_alone_and_not_elsewhere(self, deliveries, swaths, tmp_path):
        with pytest.raises(ConfigError, match="no products"):
            build_series(tmp_path, sentinel3=swaths)
        with pytest.raises(ProductError, match="SY_2_SYN"):
            build_series(tmp_path, sentinel2=deliveries / "s2", sentinel3=deliveries / "landsat")
        for swath in sorted(swaths.glob("*____20220603T*")):
            with pytest.raises(OverlapError, match="reaches the area"):
                build_series(tmp_path, sentinel2=deliveries / "s2", sentinel3=swath)
