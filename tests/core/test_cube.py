import pickle
from datetime import date

import numpy as np
import pytest

from trifuse.core import (
    BandError,
    BandSet,
    Cube,
    DataError,
    Grid,
    GridError,
    MemorySource,
    Series,
    Window,
)


def cube(bands=("B4", "B8A"), height=4, width=5, west=0.0):
    data = np.arange(len(bands) * height * width, dtype=np.float32)
    return Cube(
        data.reshape(len(bands), height, width),
        np.ones((height, width), bool),
        BandSet.of(bands, [665, 865][: len(bands)]),
        Grid.from_origin("EPSG:32633", west, 100, 10, height, width),
        {"sensor": "S2A_MSI"},
    )


def test_shapes_and_types_are_checked():
    good = cube()
    with pytest.raises(DataError, match="do not fit 2 bands"):
        Cube(good.data[:1], good.valid, good.bands, good.grid)
    with pytest.raises(DataError, match="float64"):
        Cube(good.data.astype(float), good.valid, good.bands, good.grid)


def test_crop_moves_the_grid_and_refuses_the_outside():
    part = cube().crop(Window(1, 2, 2, 3))
    assert part.grid.bounds == (20, 70, 50, 90)
    assert part.data[0, 0, 0] == 7
    with pytest.raises(DataError, match="leaves"):
        cube().crop(Window(3, 3, 2, 2))


def test_select_orders_and_names_the_missing():
    assert cube().select(["B8A", "B04"]).bands.names == ("B8A", "B4")
    with pytest.raises(BandError, match="B3"):
        cube().select(["B3"])


def test_masked_copies():
    c = cube()
    c.valid[0, 0] = False
    assert np.isnan(c.masked()[:, 0, 0]).all()
    assert np.isfinite(c.data).all()


def test_meta_is_read_only_and_pickles():
    c = cube()
    with pytest.raises(TypeError):
        c.meta["sensor"] = "x"
    again = pickle.loads(pickle.dumps(c))
    assert dict(again.meta) == {"sensor": "S2A_MSI"}
    np.testing.assert_array_equal(again.data, c.data)


def test_to_xarray_has_pixel_centres():
    array = cube().to_xarray()
    assert array.dims == ("band", "y", "x")
    assert (array.x.values[0], array.y.values[0]) == (5, 95)
    assert list(array.wavelength.values) == [665, 865]


def test_memory_source_reads_windows_of_bands():
    with MemorySource(cube()) as source:
        part = source.read(Window(0, 0, 2, 2), ["B8A"])
    assert part.shape == (1, 2, 2)
    assert part.data[0, 0, 0] == 20


class TestSeries:
    def test_to_xarray_has_time(self):
        days = [date(2022, 5, 1), date(2022, 5, 9)]
        second = cube()
        second.data[:] = 7
        second.valid[1, 2] = False
        series = Series.of("S2A_MSI", zip(days, map(MemorySource, (cube(), second)), strict=True))
        array = series.to_xarray(Window(0, 1, 3, 4), ["B4"])
        assert array.dims == ("time", "band", "y", "x")
        assert array.shape == (2, 1, 3, 4)
        assert [str(t)[:10] for t in array.time.values] == ["2022-05-01", "2022-05-09"]
        assert (array.sel(time="2022-05-09") == 7).all()
        assert not array.valid.values[1, 1, 1] and array.valid.values.sum() == 23
        plain = cube().crop(Window(0, 1, 3, 4)).to_xarray()
        assert array.x.values.tolist() == plain.x.values.tolist()
        assert array.attrs["sensor"] == "S2A_MSI"

    def test_sorts_and_reads_by_date(self):
        days = [date(2022, 5, 2), date(2022, 5, 1)]
        series = Series.of("S2A_MSI", [(d, MemorySource(cube())) for d in days])
        assert series.dates == (date(2022, 5, 1), date(2022, 5, 2))
        assert series.read(date(2022, 5, 2), bands=["B4"]).shape == (1, 4, 5)
        assert len(series.between(date(2022, 5, 2), date(2022, 6, 1))) == 1
        with pytest.raises(DataError, match="2023-01-01"):
            series.read(date(2023, 1, 1))

    def test_doubled_dates_other_grids_and_other_bands_are_refused(self):
        day, later = date(2022, 5, 1), date(2022, 5, 9)
        first = (day, MemorySource(cube()))
        with pytest.raises(DataError, match="follows"):
            Series.of("x", [first, (day, MemorySource(cube()))])
        with pytest.raises(GridError):
            Series.of("x", [first, (later, MemorySource(cube(west=10.0)))])
        with pytest.raises(BandError):
            Series.of("x", [first, (later, MemorySource(cube(("B4", "B8"))))])
        with pytest.raises(DataError):
            Series.of("x", [])


def test_a_source_in_memory_pickles():
    source = pickle.loads(pickle.dumps(MemorySource(cube(), "scene")))
    assert source.name == "scene"
    assert source.meta["sensor"] == "S2A_MSI"
    assert (source.read().data == cube().data).all()
