from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from trifuse.core import BandError, BandSet, Cube, CubeSource, MemorySource, Window
from trifuse.simulate import convolve
from trifuse.simulate.spectral import BLOCK_ROWS, band_product, row_blocks
from trifuse.srf_data import S2_L2A, integrate, load


@pytest.fixture(scope="module")
def operator():
    return integrate(load("S2A_MSI").select(S2_L2A), load("ENMAP").bands)


class Counting(CubeSource):
    """Hands on to another source and remembers what was asked for."""

    def __init__(self, inner):
        self.inner, self.asked = inner, []
        self.name, self.grid = inner.name, inner.grid
        self.bands, self.meta = inner.bands, inner.meta

    def read(self, window=None, bands=None):
        self.asked.append((window, list(bands)))
        return self.inner.read(window, bands)


def changed(source, **fields):
    return MemorySource(replace(source.read(), **fields))


def test_it_is_the_matrix_product(make_scene, operator):
    source = make_scene(holes=False)
    made = convolve(source, operator)
    wanted = np.einsum("ob,byx->oyx", operator.matrix, source.read().data.astype(float))
    np.testing.assert_allclose(made.data, wanted, atol=2e-7)
    assert made.bands.names == S2_L2A
    assert made.grid == source.grid
    assert made.meta["product_id"] == "ENMAP01-000"
    assert "sensor" not in made.meta


def test_a_constant_spectrum_stays_constant(make_scene, operator):
    source = make_scene(holes=False)
    flat = changed(source, data=np.full(source.read().shape, 0.37, np.float32))
    np.testing.assert_allclose(convolve(flat, operator).data, 0.37, atol=1e-6)


def test_blocks_and_windows_leave_no_trace(make_scene, operator, monkeypatch):
    source = make_scene()
    whole = convolve(source, operator)
    part = convolve(source, operator, Window(3, 5, 20, 30))
    # The product itself rounds differently for other numbers of pixels.
    np.testing.assert_allclose(part.data, whole.crop(Window(3, 5, 20, 30)).data, atol=2e-7)
    assert part.grid == source.grid.window(Window(3, 5, 20, 30))
    three_rows = partial(row_blocks, budget=4 * len(operator.used) * 60 * 3)
    monkeypatch.setattr("trifuse.simulate.spectral.row_blocks", three_rows)
    counting = Counting(source)
    blocks = convolve(counting, operator)
    assert [w.height for w, _ in counting.asked] == [3] * 13 + [1]
    np.testing.assert_allclose(blocks.data, whole.data, atol=2e-7)
    np.testing.assert_array_equal(blocks.valid, whole.valid)


def test_blocks_cover_a_window_once_within_the_budget():
    window = Window(10, 4, 1000, 1000)
    blocks = row_blocks(window, 150)
    above = [sum(b.height for b in blocks[:i]) for i in range(len(blocks))]
    assert [b.row for b in blocks] == [10 + rows for rows in above]
    assert sum(b.height for b in blocks) == 1000
    assert {b.height % BLOCK_ROWS for b in blocks[:-1]} == {0}
    assert max(4 * 150 * b.height * b.width for b in blocks) <= 96 << 20
    assert row_blocks(Window(0, 0, 2, 10**9), 200)[0].height == 1


def test_only_bands_that_carry_weight_are_read(make_scene, operator):
    source = Counting(make_scene())
    convolve(source, operator)
    assert source.asked[0][1] == [source.bands[i].name for i in operator.used]
    assert len(operator.used) < 140


def test_dead_bands_may_hold_anything(make_scene, operator):
    source = make_scene(holes=False)
    data = source.read().data.copy()
    dead = sorted(set(range(224)) - set(operator.used))
    data[dead] = np.nan
    made = convolve(changed(source, data=data), operator)
    assert made.valid.all()
    np.testing.assert_array_equal(made.data, convolve(source, operator).data)


def test_a_missing_value_reaches_only_the_bands_that_need_it(make_scene, operator):
    source = make_scene(holes=False)
    data = source.read().data.copy()
    at = int(np.argmax(operator.matrix[S2_L2A.index("B4")]))
    data[at, 2, 3] = np.nan
    data[:, 5, 6] = np.nan
    data[at, 8, 9] = np.inf
    made, whole = convolve(changed(source, data=data), operator), convolve(source, operator)
    hit = operator.matrix[:, at] != 0
    for y, x in ((2, 3), (8, 9)):
        assert np.isnan(made.data[hit, y, x]).all()
        np.testing.assert_allclose(made.data[~hit, y, x], whole.data[~hit, y, x], atol=1e-7)
    assert 1 <= hit.sum() < 12
    assert np.isnan(made.data[:, 5, 6]).all()
    assert (~made.valid).sum() == 1
    assert not made.valid[5, 6]


def test_what_the_source_calls_invalid_stays_so(make_scene, operator):
    source = make_scene(holes=False)
    valid = source.read().valid.copy()
    valid[4, 4] = False
    made = convolve(changed(source, valid=valid), operator)
    np.testing.assert_array_equal(made.valid, valid)


def test_the_order_of_the_bands_does_not_matter(make_scene):
    source = make_scene()
    order = np.random.default_rng(0).permutation(224)
    cube = source.read()
    mixed = changed(source, data=cube.data[order], bands=cube.bands.select(order.tolist()))
    detectors = ["VNIR"] * 91 + ["SWIR"] * 133
    table = load("S3A_SYN").select(["Oa04", "Oa21", "S5"])
    ours = convolve(source, integrate(table, source.bands, detectors=detectors))
    theirs = convolve(mixed, integrate(table, mixed.bands, detectors=[detectors[i] for i in order]))
    np.testing.assert_allclose(ours.data, theirs.data, atol=2e-7)


def test_it_is_linear(make_scene, operator):
    a, b = make_scene(1).read(), make_scene(2).read()
    both = Cube(0.3 * a.data + 0.7 * b.data, a.valid, a.bands, a.grid)
    seen, of_a, of_b = (convolve(MemorySource(cube), operator).data for cube in (both, a, b))
    np.testing.assert_allclose(seen, 0.3 * of_a + 0.7 * of_b, atol=3e-7)


def test_it_agrees_with_the_operators_own_form(make_scene, operator):
    source = make_scene()
    wanted = operator.apply(source.read().data)
    np.testing.assert_allclose(convolve(source, operator).data, wanted, atol=2e-7)


def test_an_operator_for_other_bands_is_refused(make_scene, operator):
    few = make_scene().read().select([f"{n}" for n in load("ENMAP").bands.names[:50]])
    with pytest.raises(BandError, match="has 50 bands, the operator was made for 224"):
        convolve(MemorySource(few), operator)


def test_an_error_while_reading_ahead_is_the_readers_own(make_scene):
    class Broken(Counting):
        def read(self, window=None, bands=None):
            raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        band_product(Broken(make_scene()), np.eye(224), Window(0, 0, 40, 60))


def test_a_band_set_of_one(make_scene):
    source = make_scene(holes=False)
    one = integrate(load("S2A_MSI").select(["B4"]), source.bands)
    assert convolve(source, one).bands == BandSet((load("S2A_MSI").bands[3],))
