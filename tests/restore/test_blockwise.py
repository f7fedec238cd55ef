"""Sources that are computed in blocks: each once, whatever is read and however often."""

import pickle
import tempfile

import numpy as np
import pytest

from trifuse.core import BandSet, Cube, Grid, MemorySource, Window
from trifuse.restore import blockwise
from trifuse.restore.blockwise import BlockwiseSource


class Doubled(BlockwiseSource):
    """Twice the image; counts the blocks."""

    made = 0

    def _solver(self):
        def solve(block):
            self.made += 1
            return 2 * block

        return solve


@pytest.fixture
def source(monkeypatch):
    """An image of 40 blocks, of which memory holds a row and one."""
    monkeypatch.setattr(blockwise, "CACHE_BYTES", 0)
    rng = np.random.default_rng(0)
    data = rng.random((3, 90, 66), np.float32)
    data[:, 20:24, 30:40] = np.nan
    grid = Grid.from_origin("EPSG:32633", 0, 0, 10.0, 90, 66)
    return MemorySource(Cube(data, np.isfinite(data).all(axis=0), BandSet.of("abc"), grid))


def doubled(source):
    return Doubled(source, 2, block=18, halo=4)


def test_a_second_pass_computes_nothing(source):
    view = doubled(source)
    first = view.read()
    blocks = len(view._rows) * len(view._cols)
    assert view.made == blocks > 2 * (len(view._cols) + 1)
    assert len(view._done) == len(view._cols) + 1
    again = view.read()
    parts = view.read(Window(11, 3, 50, 40))
    assert view.made == blocks
    np.testing.assert_array_equal(first.data, 2 * source.read().data)
    np.testing.assert_array_equal(again.data, first.data)
    np.testing.assert_array_equal(again.valid, first.valid)
    np.testing.assert_array_equal(parts.data, first.data[:, 11:61, 3:43])


def test_what_is_kept_goes_with_the_source(source):
    view = doubled(source)
    first = view.read().data
    other = pickle.loads(pickle.dumps(view))
    np.testing.assert_array_equal(other.read().data, first)
    assert other.made == 2 * view.made  # counted on from what the first had made
    kept = view._spool._file
    assert kept is not None
    view.close()
    assert kept.closed
    np.testing.assert_array_equal(view.read().data, first)


def test_without_room_for_it_blocks_are_made_again(source, monkeypatch, caplog):
    def full(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    view = doubled(source)
    first = view.read().data
    made = view.made
    np.testing.assert_array_equal(view.read().data, first)
    assert view.made > made
    assert caplog.text.count("No space left") == 1
