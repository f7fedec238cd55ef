"""Standard deviations beside interpolated dates: what they are, where they are told, resuming."""

import json
from datetime import date, timedelta

import numpy as np
import pytest
import rasterio

from trifuse.core import BandSet, ConfigError, Cube, Grid, MemorySource, Series, Window
from trifuse.flows.interpolate import choose_method, interpolate, method_area
from trifuse.products import open_geotiff
from trifuse.temporal.block_images import Reading
from trifuse.temporal.config import LANDSAT, SENTINEL2
from trifuse.temporal.deviation import block_deviations

GRID = Grid.from_origin("EPSG:32633", 400000, 5800000, 10, 18, 21)


def series(sensor, days, hidden=0):
    """Flat land that brightens and darkens, its first rows never clear after so many images."""
    grid = GRID.zoom_out(sensor.ratio) if sensor.ratio > 1 else GRID
    rng = np.random.default_rng(1)
    texture = rng.uniform(0.9, 1.1, grid.shape).astype(np.float32)
    items = []
    for k, day in enumerate(days):
        level = 0.2 + 0.05 * np.sin(2 * np.pi * day / 365)
        data = np.broadcast_to(level * texture, (len(sensor.bands), *grid.shape)).copy()
        if sensor.thermal:
            data[-1] = 290 + 5 * np.sin(2 * np.pi * day / 365)
        valid = np.ones(grid.shape, bool)
        valid[: 3 // sensor.ratio] = False
        if hidden and k >= hidden:
            valid[: 9 // sensor.ratio] = False
        cube = Cube(data.astype(np.float32), valid, BandSet.of(sensor.bands), grid)
        items.append((date(2022, 1, 1) + timedelta(days=int(day)), MemorySource(cube)))
    return Series.of(sensor.name, items)


@pytest.fixture(scope="module")
def year():
    return {
        "sentinel2": series(SENTINEL2, range(3, 360, 12), hidden=12),
        "landsat": series(LANDSAT, range(5, 360, 16), hidden=10),
    }


def run(found, out, dates, **options):
    given = {"animation": False, "quality": False, "dtype": "float32", "method": "prior"}
    return interpolate(found, out, dates=dates, **{**given, **options})


@pytest.mark.parametrize("method", ["prior", "tamrf"])
def test_deviations_lie_beside_the_images(year, tmp_path, method):
    done = run(
        year,
        tmp_path,
        "2022-03-01,2022-11-01",
        method=method,
        uncertainty=True,
        quality=True,
        bands="B4,B11,landsat:B4,LST,NDVI",
    )
    names = sorted(p.name for p in done.files)
    assert names == sorted(
        f"2022-{d}{k}.tif" for d in ("03-01", "11-01") for k in ("", "_std", "_quality")
    )
    for day in ("2022-03-01", "2022-11-01"):
        image = open_geotiff(tmp_path / f"{day}.tif").read()
        std = open_geotiff(tmp_path / f"{day}_std.tif").read()
        assert std.bands.names == image.bands.names and std.grid == image.grid
        np.testing.assert_array_equal(np.isfinite(std.data), np.isfinite(image.data))
        assert np.isnan(image.data[0, 0]).all() and (std.data[:, 5:] > 0).all()
        assert std.meta["quantity"] == "standard deviation"
        with rasterio.open(tmp_path / f"{day}_std.tif") as f:
            assert f.units == ("1", "1", "1", "K", "1")
        with rasterio.open(tmp_path / f"{day}_quality.tif") as f:
            assert f.units[:2] == ("d", "d") and set(f.units[2:]) <= {"1"}
        record = json.loads((tmp_path / f"{day}.tif.json").read_text())
        assert record["uncertainty"]["file"] == f"{day}_std.tif"
        item = json.loads((tmp_path / f"{day}.tif.stac.json").read_text())
        assert item["assets"]["standard_deviation"]["href"] == f"./{day}_std.tif"
    far = std.data[:, 4:8].mean(axis=(1, 2)) / std.data[:, 10:].mean(axis=(1, 2))
    assert (far[:3] > 1.3).all() and far[3] > 1.1, "June is farther away than last week"
    assert 0.05 < std.data[3, 10:].mean() < 30, "kelvin"
    assert done.bands == ("B4", "B11", "landsat:B4", "LST", "NDVI")


def test_days_far_from_all_images_say_so(tmp_path):
    days = [*range(60, 300, 12), *range(1155, 1395, 12)]
    found = {"sentinel2": series(SENTINEL2, days)}
    run(found, tmp_path, "2022-06-01,2023-12-15", uncertainty=True, bands="B4,B8")
    near, far = (
        open_geotiff(tmp_path / f"{day}_std.tif").read().data[:, 5:].mean(axis=(1, 2))
        for day in ("2022-06-01", "2023-12-15")
    )
    assert (far > 2 * near).all() and (far > 0.01).all()
    image = open_geotiff(tmp_path / "2023-12-15.tif").read().data[:, 5:]
    assert 0.14 < image.min() and image.max() < 0.28, "as the images are, not the sensor's mean"


def test_they_may_be_added_later_and_images_do_not_change(year, tmp_path):
    run(year, tmp_path / "a", "2022-05-01", bands="B4")
    before = (tmp_path / "a" / "2022-05-01.tif").read_bytes()
    run(year, tmp_path / "a", "2022-05-01", bands="B4", uncertainty=True)
    run(year, tmp_path / "a", "2022-06-01", bands="B4")
    run(year, tmp_path / "b", "2022-05-01", bands="B4", uncertainty=True)
    assert (tmp_path / "a" / "2022-05-01.tif").read_bytes() == before
    for name in ("2022-05-01.tif", "2022-05-01_std.tif", "2022-05-01.tif.stac.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    assert not (tmp_path / "a" / "2022-06-01_std.tif").exists()
    record = json.loads((tmp_path / "a" / "2022-06-01.tif.json").read_text())
    assert "uncertainty" not in record


def test_blocks_change_no_deviation(year):
    method = choose_method("prior", None, year)
    area = method_area(method, year)
    whole = method.prepare(area, Window(0, 0, 18, 21), Reading())
    part = method.prepare(area, Window(6, 3, 9, 12), Reading())
    a, b = (block_deviations(method, r.images, [120.0], [10, 17]) for r in (whole, part))
    np.testing.assert_allclose(a[:, :, 6:15, 3:15], b, rtol=1e-4)


def test_methods_that_know_nothing_of_their_errors_are_refused(year, tmp_path):
    with pytest.raises(ConfigError, match="linear does not know its errors; give the method prior"):
        run(year, tmp_path / "o", "2022-05-01", method="linear", uncertainty=True)
    assert not (tmp_path / "o").exists()
