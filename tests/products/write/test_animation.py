"""Moving pictures of a series."""

import numpy as np
import pytest

from trifuse.core import BandError, BandSet, Cube, DataError, Grid, MemorySource, OutputExistsError
from trifuse.products import write_animation

Image = pytest.importorskip("PIL.Image")


def frames(count=3, height=60, width=90):
    grid = Grid.from_origin("EPSG:32633", 0, 0, 10, height, width)
    bands = BandSet.of(["B4", "B3", "B2", "LST"], [665, 560, 490, np.nan])
    out = []
    for i in range(count):
        data = np.full((4, height, width), 0.1 * i, np.float32)
        data[:, 45:] = 0.5
        valid = np.ones((height, width), bool)
        valid[55:] = False
        out.append((f"2022-0{i + 1}-01", MemorySource(Cube(data, valid, bands, grid))))
    return out


@pytest.mark.parametrize("ending", ["gif", "webp"])
def test_one_picture_a_date_stretched_alike(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    assert write_animation(path, frames()) == ("B4", "B3", "B2")
    with Image.open(path) as picture:
        assert picture.n_frames == 3 and picture.size == (90, 60)
        shown = []
        for i in range(3):
            picture.seek(i)
            pixels = np.array(picture.convert("RGB"), int)
            shown.append(pixels[40, 75].mean())
            assert pixels[50, 75].mean() > 240 and pixels[58, 75].mean() < 15
    # The land brightens from picture to picture, against one stretch.
    assert np.abs(np.array(shown) - [0, 51, 102]).max() < 8
    with pytest.raises(OutputExistsError):
        write_animation(path, frames())


def test_one_band_is_grey_and_large_images_are_reduced(tmp_path):
    path = tmp_path / "a.gif"
    assert write_animation(path, frames(2), rgb=["LST"], max_size=30) == ("LST",)
    with Image.open(path) as picture:
        assert picture.size == (30, 20)


def test_bad_input(tmp_path):
    with pytest.raises(DataError, match="0 pictures"):
        write_animation(tmp_path / "a.gif", [])
    with pytest.raises(DataError, match=r"\.gif or \.webp"):
        write_animation(tmp_path / "a.mp4", frames())
    with pytest.raises(BandError):
        write_animation(tmp_path / "a.gif", frames(), rgb=["B77"])
    assert not list(tmp_path.iterdir())
