"""Series on disk."""

import json
from datetime import date

import numpy as np
import pytest

from trifuse.core import (
    BandSet,
    Cube,
    DataError,
    Grid,
    MemorySource,
    MetadataError,
    OutputExistsError,
    ProductError,
    Series,
)
from trifuse.products import inspect_product, is_series, open_cube, open_series, write_series

DAYS = (date(2023, 3, 31), date(2023, 1, 1), date(2023, 2, 28))


def make() -> Series:
    rng = np.random.default_rng(5)
    grid = Grid.from_origin("EPSG:32633", 600000, 5800000, 10, 30, 40)
    bands = BandSet.of(["B4", "B8A"], [665, 865], [31, 21])
    items = []
    for day in DAYS:
        data = rng.random((2, 30, 40), dtype=np.float32)
        data[:, day.month] = np.nan
        cube = Cube(data, np.isfinite(data).all(axis=0), bands, grid, {"level": "L2A"})
        items.append((day, MemorySource(cube, str(day))))
    return Series.of("S2A_MSI", items)


def test_a_series_comes_back(tmp_path):
    series = make()
    index = write_series(tmp_path / "s", series, dtype="float32")
    assert index.name == "index.json" and is_series(tmp_path / "s")
    names = sorted(p.name for p in (tmp_path / "s").iterdir())
    assert names == ["2023-01-01.tif", "2023-02-28.tif", "2023-03-31.tif", "index.json"]
    back = open_series(tmp_path / "s")
    assert back.dates == tuple(sorted(DAYS)) and back.sensor == "S2A_MSI"
    assert back.grid == series.grid and back.bands == series.bands
    for day in DAYS:
        np.testing.assert_array_equal(back.read(day).data, series.read(day).data)
        assert back.read(day).meta["date"] == day.isoformat()
    facts = inspect_product(tmp_path / "s")
    assert facts["dates"][0] == "2023-01-01" and "S2A_MSI" in facts["kind"]
    with pytest.raises(ProductError, match="series of dates"):
        open_cube(tmp_path / "s")


def test_clouds_stay_as_they_were_seen(tmp_path):
    first = make().sources[0].read()
    data = np.nan_to_num(first.data, nan=0.9)
    cube = Cube(data, first.valid, first.bands, first.grid)
    series = Series.of("S2A_MSI", [(DAYS[0], MemorySource(cube, "a"))])
    write_series(tmp_path / "kept", series)
    back = open_series(tmp_path / "kept").read(DAYS[0])
    assert not back.valid.all()
    np.testing.assert_array_equal(back.valid, first.valid)
    np.testing.assert_allclose(back.data, data, atol=5.1e-5)
    write_series(tmp_path / "blank", series, keep_invalid=False)
    back = open_series(tmp_path / "blank").read(DAYS[0])
    np.testing.assert_array_equal(back.valid, first.valid)
    assert np.isnan(back.data[:, ~back.valid]).all()


def test_nothing_is_replaced_unasked_and_the_index_comes_last(tmp_path):
    series = make()
    write_series(tmp_path, series)
    before = (tmp_path / "index.json").read_bytes()
    with pytest.raises(OutputExistsError):
        write_series(tmp_path, series)
    write_series(tmp_path, series, overwrite=True)
    assert (tmp_path / "index.json").read_bytes() == before

    class Broken(MemorySource):
        def read(self, window=None, bands=None):
            raise ProductError("is gone", where="there")

    first, *rest = series.sources
    broken = Series(series.sensor, series.dates, (first, *rest[:-1], Broken(rest[-1].read())))
    with pytest.raises(ProductError, match="is gone"):
        write_series(tmp_path, broken, overwrite=True)
    with pytest.raises(ProductError, match=r"holds no index\.json"):
        open_series(tmp_path)


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        (lambda r: r["images"][0].update(file="../x.tif"), MetadataError, "outside its folder"),
        (lambda r: r["images"][0].update(file="gone.tif"), ProductError, r"lacks gone\.tif"),
        (lambda r: r["images"][0].update(date="May"), MetadataError, "no index of a series"),
        (lambda r: r["images"][1].update(date="2023-01-01"), DataError, "follows"),
        (lambda r: r.pop("sensor"), MetadataError, "no index of a series"),
        (lambda r: r.update(images=7), MetadataError, "no index of a series"),
        (lambda r: r.update(bands=[{"centre": 1}]), MetadataError, "no index of a series"),
    ],
)
def test_a_damaged_index_is_told(tmp_path, change, kind, text):
    index = write_series(tmp_path, make())
    record = json.loads(index.read_text())
    change(record)
    index.write_text(json.dumps(record))
    with pytest.raises(kind, match=text) as caught:
        open_series(tmp_path)
    assert "\n" not in str(caught.value)
    index.write_text("{")
    with pytest.raises(ProductError, match="JSON"):
        open_series(tmp_path)
    with pytest.raises(ProductError, match=r"index\.json: cannot be read as JSON"):
        is_series(tmp_path)
