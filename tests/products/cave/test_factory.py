"""Made scenes like CAVE's: what is read is what was given, and equal bytes for equal cubes."""

import numpy as np
import pytest

from trifuse.core import BandSet, ConfigError, Cube, DataError, Grid, OutputExistsError
from trifuse.products import open_cave, write_cave
from trifuse.products.cave.reader import CENTRES
from trifuse.products.files.raster import UNPLACED

SHAPE = (9, 7)


def scene(bands=31, missing=False):
    data = np.random.default_rng(0).uniform(-0.1, 1.1, (bands, *SHAPE)).astype(np.float32)
    data[0, 0, 0] = np.nan if missing else 0.5
    names = [f"C{nm:.0f}" for nm in CENTRES[:bands]]
    return Cube(data, np.ones(SHAPE, bool), BandSet.of(names), Grid("", UNPLACED, *SHAPE))


@pytest.mark.parametrize("form", ["png", "mat"])
def test_reader_gives_back_what_was_made(tmp_path, form):
    path = write_cave(tmp_path / "a", scene(), form=form)
    with open_cave(path) as source:
        cube = source.read()
    assert source.name == "balloons_ms" and cube.bands.centres == CENTRES
    np.testing.assert_allclose(cube.data, scene().data.clip(0, 1), atol=0.51 / 65535)
    again = write_cave(tmp_path / "b", scene(), form=form)
    files = [sorted(p.rglob("*")) if p.is_dir() else [p] for p in (path, again)]
    assert [p.read_bytes() for p in files[0]] == [p.read_bytes() for p in files[1]]
    assert len(files[0]) == (31 if form == "png" else 1)


@pytest.mark.parametrize("form", ["png", "mat"])
def test_nothing_is_replaced_unasked(tmp_path, form):
    write_cave(tmp_path, scene(), form=form)
    with pytest.raises(OutputExistsError):
        write_cave(tmp_path, scene(), form=form)
    write_cave(tmp_path, scene(), form=form, overwrite=True)
    assert len(list(tmp_path.iterdir())) == 1


def test_what_is_no_scene_is_refused(tmp_path):
    with pytest.raises(DataError, match="a cube of 30 bands, 0 values missing"):
        write_cave(tmp_path, scene(30))
    with pytest.raises(DataError, match="1 values missing"):
        write_cave(tmp_path, scene(missing=True))
    with pytest.raises(ConfigError, match="form 'jpg' is unknown"):
        write_cave(tmp_path, scene(), form="jpg")
    assert not list(tmp_path.iterdir())
