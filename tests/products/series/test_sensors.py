"""What series are built of: each sensor finds its own products where all lie together."""

import shutil
from datetime import UTC, date, datetime

import numpy as np
import pytest

from trifuse.core import BandSet, ConfigError, Cube, Grid, ProductError
from trifuse.products import write_landsat, write_olci_l1, write_sentinel2_safe, write_syn
from trifuse.products.series.find import find_products
from trifuse.products.series.sensors import SENSORS
from trifuse.srf_data import S2_L2A, S3_SYN_19, load

OLI = ("B1", "B2", "B3", "B4", "B5", "B6", "B7")
CELLS = Grid.from_origin("EPSG:32633", 399900, 5800200, 300, 6, 6)


def cube(names, gsd):
    grid = Grid.from_origin("EPSG:32633", 399960, 5800020, gsd, 1800 // gsd, 1800 // gsd)
    data = np.full((len(names), *grid.shape), 0.3, np.float32)
    return Cube(data, np.ones(grid.shape, bool), BandSet.of(names), grid)


def at(day):
    return datetime(2022, 6, day, 10, tzinfo=UTC)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Products of all sensors side by side, with a type of Sentinel-3 that no series takes."""
    folder = tmp_path_factory.mktemp("mixed")
    write_sentinel2_safe(folder, cube(S2_L2A, 10), start=at(1))
    write_sentinel2_safe(folder, cube(S2_L2A, 10), start=at(2), packing="zip")
    write_landsat(folder, cube(OLI, 30), start=at(3))
    write_landsat(folder, cube(OLI, 30), start=at(4), packing="tar")
    loose = write_landsat(folder / "elsewhere", cube(OLI, 30), start=at(5))
    for file in loose.iterdir():
        shutil.move(file, folder / file.name)
    shutil.rmtree(folder / "elsewhere")
    write_syn(folder, cube(S3_SYN_19, 300), start=at(6))
    write_syn(folder, cube(S3_SYN_19, 300), start=at(7), zipped=True)
    write_olci_l1(folder, cube(("Oa08", "Oa17"), 300), start=at(8))
    return folder


@pytest.mark.parametrize(
    ("name", "days"), [("sentinel2", (1, 2)), ("landsat", (3, 4, 5)), ("sentinel3", (6, 7))]
)
def test_each_sensor_finds_its_own_products(mixed, name, days):
    sensor = SENSORS[name]
    found = find_products(sensor, mixed, grid=CELLS)
    assert sorted(p.day for p in found) == [date(2022, 6, day) for day in days]
    for product in found:
        with product.open() as source:
            assert set(source.bands.names) <= set(sensor.bands)
            # a swath lies on the cells that are given, the others on pixels of their own
            if sensor.reader.swath:
                assert source.grid == CELLS
            else:
                assert source.grid.gsd == (sensor.gsd, sensor.gsd)


@pytest.mark.parametrize("name", SENSORS)
def test_one_product_may_be_given_itself(mixed, name):
    sensor = SENSORS[name]
    folders = [p for p in mixed.iterdir() if p.is_dir() and sensor.detects(p)]
    assert len(folders) == 1
    (found,) = find_products(sensor, folders[0], grid=CELLS)
    assert found.day in {p.day for p in find_products(sensor, mixed, grid=CELLS)}


@pytest.mark.parametrize("name", SENSORS)
def test_an_unknown_mask_is_told_before_anything_is_opened(tmp_path, name):
    with pytest.raises(ConfigError, match="mask nonsense is unknown"):
        find_products(SENSORS[name], tmp_path, "nonsense", CELLS)
    with pytest.raises(ProductError, match=f"holds no {SENSORS[name].product}"):
        find_products(SENSORS[name], tmp_path, grid=CELLS)


def test_sensors_fit_their_tables_and_readers():
    for name, sensor in SENSORS.items():
        known = {*load(sensor.table).bands.names, "LST"}
        assert set(sensor.bands) <= known, name
        assert {"mask", *sensor.options} <= set(sensor.reader.options), name
    swaths = [sensor.reader.swath for sensor in SENSORS.values()]
    assert swaths == sorted(swaths), "one with a grid of its own decides, so it comes first"
