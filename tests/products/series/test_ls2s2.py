"""Areas of LS2S2: a small one written in its layout, read, converted, damaged."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from trifuse.core import BandError, DataError, GridError, MetadataError, ProductError, Window
from trifuse.products.series.build import build_series
from trifuse.products.series.find import open_sensors
from trifuse.products.series.ls2s2 import SENSORS, is_ls2s2, open_ls2s2

DAYS = {"sentinel2": ("2022-01-04", "2022-01-09", "2022-02-01"), "landsat": ("2022-01-07",)}
HEADER = "product_id\tacquisition_date\tclear_pixel_rate\tsnow_pixel_rate\tvalid\tbands\tmask\n"


def write(path: Path, planes: np.ndarray, gsd: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {
        "driver": "GTiff",
        "count": len(planes),
        "height": planes.shape[1],
        "width": planes.shape[2],
        "dtype": planes.dtype,
        "crs": "EPSG:32631",
        "transform": rasterio.Affine(gsd, 0, 600000, 0, -gsd, 4900020),
    }
    with rasterio.open(path, "w", **profile) as d:
        d.write(planes)


def stored(sensor: str, number: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(number)
    size, bands = (36, 10) if sensor == "sentinel2" else (12, 8)
    planes = rng.integers(100, 6000, (bands, size, size)).astype(np.int16)
    if sensor == "landsat":
        planes[7] = rng.integers(2700, 3100, (size, size))
    planes[:, 0, 0] = -10000
    planes[1, 2, 3] = 0
    mask = np.zeros((1, size, size), np.uint8)
    mask[0, 5:9, :4] = 3
    return planes, mask


@pytest.fixture
def area(tmp_path):
    """An area as it lies on disk; one image of each sensor is called not valid."""
    root = tmp_path / "31TCJ_12"
    for sensor, days in DAYS.items():
        lines = HEADER
        for number, day in enumerate((*days, "2022-03-01")):
            tag = day.replace("-", "")
            planes, mask = stored(sensor, number)
            gsd = 10 if sensor == "sentinel2" else 30
            names = [f"{tag}/{sensor}_{kind}_{tag}.tif" for kind in ("bands", "mask")]
            write(root / sensor / names[0], planes, gsd)
            write(root / sensor / names[1], mask, gsd)
            names[1] = f"/somewhere/else/{names[1]}"
            valid = day != "2022-03-01"
            lines += f"P{number}\t{day}\t0.9\t0.0\t{valid}\t{names[0]}\t{names[1]}\n"
        (root / sensor / "index.csv").write_text(lines)
    return root


def test_an_area_is_read(area):
    assert is_ls2s2(area) and not is_ls2s2(area / "landsat")
    series = open_ls2s2(area)
    assert [str(d) for d in series["sentinel2"].dates] == list(DAYS["sentinel2"])
    assert [str(d) for d in series["landsat"].dates] == list(DAYS["landsat"])
    assert series["sentinel2"].grid.nested_ratio(series["landsat"].grid) == 3
    for sensor, (_, names) in SENSORS.items():
        cube = series[sensor].sources[0].read()
        planes, mask = stored(sensor, 0)
        assert cube.bands.names == names
        scale = np.full(len(names), 1e-4)
        scale[[n == "LST" for n in names]] = 0.1
        expected = planes * scale[:, None, None]
        expected[planes == -10000] = np.nan
        np.testing.assert_allclose(cube.data, expected, rtol=1e-6)
        invalid = (mask[0] > 0) | (planes == 0).any(0) | (planes == -10000).any(0)
        np.testing.assert_array_equal(cube.valid, ~invalid)
        assert np.isfinite(cube.data[:, 6, 1]).all()  # what lies under the mask is kept
    assert 270 < np.nanmin(cube.data[7]) and np.nanmax(cube.data[7]) <= 310


def test_windows_and_bands(area):
    image = open_ls2s2(area)["landsat"].sources[0]
    whole = image.read()
    part = image.read(Window(2, 1, 5, 6), ["LST", "B2"])
    np.testing.assert_array_equal(part.data, whole.data[[7, 1], 2:7, 1:7])
    np.testing.assert_array_equal(part.valid, whole.valid[2:7, 1:7])


def test_an_area_becomes_series(area, tmp_path):
    build_series(tmp_path / "out", ls2s2=area)
    ours, theirs = open_sensors(tmp_path / "out"), open_sensors(area)
    for sensor in SENSORS:
        assert ours[sensor].dates == theirs[sensor].dates
        assert ours[sensor].grid == theirs[sensor].grid
        for day in theirs[sensor].dates:
            a, b = ours[sensor].read(day), theirs[sensor].read(day)
            np.testing.assert_array_equal(a.valid, b.valid)
            reflective = slice(0, 7 if sensor == "landsat" else 10)
            np.testing.assert_allclose(a.data[reflective], b.data[reflective], atol=1e-6)
            np.testing.assert_allclose(a.data, b.data, atol=5.1e-3)


def test_one_sensor_is_enough(area):
    (area / "landsat" / "index.csv").unlink()
    assert set(open_ls2s2(area)) == {"sentinel2"}


def test_no_area(tmp_path):
    with pytest.raises(ProductError, match="holds neither"):
        open_ls2s2(tmp_path)


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        (lambda t: t.replace("2022-01-09", "2022-01-04"), DataError, "follows"),
        (lambda t: t.replace("acquisition_date", "day"), MetadataError, "acquisition_date"),
        (lambda t: t.replace("2022-01-04", "soon", 1), MetadataError, "acquisition_date"),
        (lambda t: t.replace("20220104/", "../20220104/"), MetadataError, "outside"),
        (lambda t: t.replace("True", "False"), ProductError, "no valid image"),
        (lambda t: t.replace("bands_20220109", "gone"), ProductError, "does not exist"),
        (
            lambda t: t.replace("True\t20220104/sentinel2_bands", "True\t20220104/sentinel2_mask"),
            BandError,
            "holds 1 bands",
        ),
    ],
)
def test_a_damaged_index_is_told(area, change, kind, text):
    index = area / "sentinel2" / "index.csv"
    index.write_text(change(index.read_text()))
    with pytest.raises(kind, match=text) as caught:
        open_ls2s2(area)
    assert "\n" not in str(caught.value)


def test_a_mask_of_another_grid_is_told(area):
    planes, mask = stored("sentinel2", 0)
    del planes
    write(area / "sentinel2" / "20220104" / "sentinel2_mask_20220104.tif", mask, 20)
    with pytest.raises(GridError, match="another grid"):
        open_ls2s2(area)
