import pickle
from dataclasses import replace
from datetime import date

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
    GridError,
    MemorySource,
    Sampling,
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


NAMES = ("B2", "B4", "B8A", "B11")


def sampled_source():
    """An image that tells how it was sampled, and notes whether it was closed."""

    class Noted(MemorySource):
        closed = 0

        def close(self):
            self.closed += 1

    grid = Grid.from_origin("EPSG:32633", 0, 100, 10, 11, 13)
    meta = {"native_gsd": dict(zip(NAMES, (10, 10, 20, 20), strict=True)), "noise": 0.003}
    data = np.random.default_rng(0).random((4, 11, 13), np.float32)
    bands = BandSet.of(NAMES, [490, 665, 865, 1610], [66, 31, 21, 91])
    return Noted(Cube(data, data[0] > 0.2, bands, grid, meta), "whole")


@st.composite
def windows(draw, height=11, width=13):
    """A window of an image, and one of that window."""
    found = []
    for _ in range(2):
        row, col = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        height, width = draw(st.integers(1, height - row)), draw(st.integers(1, width - col))
        found.append(Window(row, col, height, width))
    return found


def same(a, b):
    np.testing.assert_array_equal(a.data, b.data)
    np.testing.assert_array_equal(a.valid, b.valid)
    assert (a.bands, a.grid, a.sampling) == (b.bands, b.grid, b.sampling)
    assert dict(a.meta) == dict(b.meta)


class TestAlgebra:
    @given(windows(), st.permutations(NAMES), st.integers(1, 4))
    def test_parts_of_parts_are_what_the_whole_shows(self, inside, order, count):
        source, (outer, inner) = sampled_source(), inside
        some = order[:count]
        both = inner.shift(outer.row, outer.col)
        expected = source.read().select(some).crop(both)
        ways = [
            source[outer][inner].select(some),
            source.select(some)[outer][inner],
            source.select(order)[outer].select(some)[inner],
            source[both].select(some),
        ]
        for way in ways:
            same(way.read(), expected)
            assert (way.grid, way.bands) == (expected.grid, expected.bands)
            assert way.sampling == expected.sampling
            same(pickle.loads(pickle.dumps(way)).read(), expected)
        assert expected.sampling.values("origin") == ((-both.row, -both.col),) * count
        same(source[outer].read(inner, some), expected)
        same(source.read()[outer][inner].select(some), expected)

    @given(windows(), st.permutations(NAMES))
    def test_what_is_said_later_goes_along(self, inside, order):
        source, (outer, inner) = sampled_source(), inside
        said = source.with_meta(tile="33UUU")[outer].select(order).with_meta({"noise": 0.001})
        part = said.read(inner)
        assert part.meta["tile"] == said.meta["tile"] == "33UUU" and part.meta["noise"] == 0.001
        assert part.sampling == said[inner].sampling
        assert part.sampling.values("noise") == (0.001,) * 4
        row, col = outer.row + inner.row, outer.col + inner.col
        assert part.sampling.values("origin") == ((-row, -col),) * 4
        assert source.sampling.values("noise") == (0.003,) * 4 and "tile" not in source.meta
        np.testing.assert_array_equal(part.data, source.read().select(order)[outer][inner].data)
        kept = source.read()[outer].with_meta(noise=0.001, tile="33UUU").select(order)[inner]
        same(part, kept)

    def test_a_part_of_a_part_is_one_step(self):
        source = sampled_source()
        part = source[Window(1, 1, 9, 9)].select(["B4"])[Window(2, 2, 3, 3)].with_meta(a=1)
        assert part._source is source and part.meta["a"] == 1

    def test_sampling_found_in_the_pixels_goes_along(self):
        source = sampled_source()
        bands = tuple(b.with_found(mtf=0.27) for b in source.sampling.bands)
        known = source.with_sampling(Sampling(bands)).select(["B11", "B2"])[Window(3, 2, 4, 4)]
        for sampling in (known.sampling, known.read().sampling):
            assert [b.sense("mtf") for b in sampling.bands] == ["found", "found"]
            assert sampling.values("origin") == ((-3, -2),) * 2
        assert known.read(Window(1, 0, 2, 2), ["B2"]).sampling.values("origin") == ((-4, -2),)

    def test_the_outside_and_missing_bands_are_refused(self):
        source = sampled_source()
        part = source[Window(2, 2, 5, 5)].select(["B2", "B11"])
        for wrong in (Window(0, 0, 6, 5), Window(-1, 0, 2, 2), Window(0, 4, 1, 2)):
            with pytest.raises(DataError, match="leaves an image of 5×5"):
                part.read(wrong)
            with pytest.raises(DataError, match="leaves"):
                part[wrong]
        for ask in (part.select, lambda names: part.read(None, names)):
            with pytest.raises(BandError, match="B4"):
                ask(["B4"])

    def test_closing_a_part_closes_the_whole(self):
        source = sampled_source()
        with source[Window(0, 0, 2, 2)].select(["B2"]).with_meta(a=1):
            assert not source.closed
        assert source.closed == 1

    def test_images_are_no_sequences(self):
        source = sampled_source()
        for image in (source, source.read(), source[Window(0, 0, 2, 2)]):
            with pytest.raises(TypeError, match="not iterable"):
                iter(image)


def test_metadata_that_are_replaced_count_where_nothing_else_is_known():
    c = sampled_source().read()
    other = replace(c, meta={"native_gsd": 60.0})
    assert other.sampling.values("gsd") == (60.0,) * 4
    assert replace(c, meta={}).sampling == Sampling.unknown(4)
    fewer = replace(c.crop(Window(0, 0, 3, 3)), data=c.data[:1, :3, :3], bands=BandSet.of(["B2"]))
    assert fewer.sampling.values("gsd") == (10.0,)
