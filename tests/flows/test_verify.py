"""What was written is told whole, and any damage to it is named."""

import json
import shutil

import numpy as np
import pytest

from trifuse.core import BandSet, Cube, Grid, IntegrityError, MemorySource, ProductError, Series
from trifuse.flows.ndvi import ndvi, ndvi_series
from trifuse.flows.verify import require_whole, verify
from trifuse.products import write_series

GRID = Grid.from_origin("EPSG:32633", 5e5, 5e6, 10.0, 40, 50)


def cube(seed):
    data = np.random.default_rng(seed).uniform(0.1, 0.4, (3, 40, 50)).astype(np.float32)
    return Cube(data, np.ones((40, 50), bool), BandSet.of(["B4", "B8", "B8A"]), GRID)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A product, a series, and the series of its NDVI."""
    from datetime import date

    base = tmp_path_factory.mktemp("written")
    (base / "product").mkdir()
    ndvi(cube(0), base / "product/ndvi.tif")
    days = [(date(2020, 5, d), MemorySource(cube(d))) for d in (1, 11)]
    write_series(base / "series", Series.of("sentinel2", days))
    ndvi_series(base / "series", base / "course")
    return base


@pytest.fixture
def copy(written, tmp_path):
    return shutil.copytree(written, tmp_path / "copy")


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "kind", "count"),
    [
        ("product/ndvi.tif", "product", 1),
        ("product/ndvi.tif.json", "product", 1),
        ("product", "folder of product", 1),
        ("series", "series", 2),
        ("course", "ndvi-series", 2),
        (".", "folder of folder of product, ndvi-series, series", 5),
    ],
)
def test_what_was_written_is_whole(written, name, kind, count):
    found = verify(written / name)
    assert found.whole and found.kind == kind
    assert len(found.checked) == count
    require_whole([found])
    assert json.loads(json.dumps(found.to_json()))["whole"] is True


@pytest.mark.parametrize(
    ("path", "change", "asked", "words"),
    [
        ("product/ndvi.tif", flip, "product/ndvi.tif", "was changed"),
        ("series/2020-05-01.tif", flip, "series", "was changed"),
        ("course/2020-05-11.tif", flip, ".", "was changed"),
        ("course/2020-05-11.tif", lambda p: p.unlink(), "course", "is missing"),
        ("series/2020-05-01.tif", lambda p: p.write_bytes(b"II"), "series", "2 bytes instead"),
        ("series/index.json", lambda p: p.write_text("{"), "series", "cannot be read as JSON"),
        ("course/index.json", lambda p: p.unlink(), "course", "not finished"),
        ("course/manifest.json", lambda p: p.write_text("[]"), "course", "damaged"),
    ],
)
def test_damage_is_named(copy, path, change, asked, words):
    change(copy / path)
    found = verify(copy / asked)
    assert not found.whole
    with pytest.raises(IntegrityError, match=words) as caught:
        require_whole([found])
    assert "\n" not in str(caught.value) and path.rpartition("/")[2] in str(caught.value)
    assert "NOT whole" in found.text


def test_weights_and_images_without_a_record(copy, tmp_path):
    (copy / "product/ndvi.tif.json").unlink()
    assert verify(copy / "product/ndvi.tif").decoded == ("ndvi.tif",)
    from trifuse.flows.landcover import WEIGHTS

    weights = tmp_path / "w.safetensors"
    weights.write_bytes(WEIGHTS.read_bytes()[:-10])
    assert "truncated" in verify(weights).text
    with pytest.raises(ProductError, match="nothing that is recorded"):
        verify(_other(tmp_path))
    with pytest.raises(ProductError, match="no such file"):
        verify(tmp_path / "nowhere")


def _other(folder):
    (folder / "notes").mkdir()
    (folder / "notes/a.txt").write_text("mine")
    return folder / "notes"


def test_a_damaged_input_is_refused_on_request(copy, capsys):
    from trifuse.cli.main import run

    flip(copy / "series/2020-05-01.tif")
    out = copy / "n"
    assert run(["ndvi", str(copy / "series"), "-o", str(out), "--verify"]) == 17
    assert "2020-05-01.tif was changed" in capsys.readouterr().err
    assert not out.exists()
    assert run(["verify", str(copy / "product"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["whole"] is True
    assert run(["verify", str(copy / "product"), str(copy / "series")]) == 17
