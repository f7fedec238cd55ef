import pickle

import numpy as np
import pytest

from trifuse.core import ConfigError, OutputExistsError, degrade
from trifuse.products import inspect_product, open_cube
from trifuse.simulate import SimulateConfig, simulate_store, write_scene
from trifuse.srf_data import S2_L2A, S3_SYN_19


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Three small scenes: seed → files."""
    out = tmp_path_factory.mktemp("scenes")
    return {s: write_scene(out / str(s), 40, s, clouds=s == 2) for s in (1, 2, 3)}


def test_the_files_fit_together(written):
    files = written[1]
    s2, s3, truth = (open_cube(p) for p in (files.s2, files.s3, files.truth))
    assert s2.bands.names == S2_L2A
    assert s3.bands.names == truth.bands.names == S3_SYN_19
    assert s2.grid == truth.grid == open_cube(files.enmap).grid
    assert s2.grid.nested_ratio(s3.grid) == 10
    assert s2.meta["sensor"] == "S2A_MSI"
    # Both are rounded to counts of 1e-4, and the mean of rounded values strays less than one.
    cells, fine = s3.read(), truth.read()
    assert np.abs(degrade(fine.data, 10) - cells.data).max() <= 1e-4
    assert cells.valid.all()


def test_the_delivery_is_one(written):
    files = written[1]
    assert files.enmap.is_dir()
    assert sorted(p.name.split("-")[-1] for p in files.enmap.glob("*METADATA*")) == ["METADATA.XML"]
    facts = inspect_product(files.enmap)
    assert "ENMAP" in str(facts)


def test_clouds_are_nodata_in_the_views(written):
    cloudy = open_cube(written[2].s2).read()
    delivery = open_cube(written[2].enmap).read(bands=["E040"])
    np.testing.assert_array_equal(cloudy.valid, delivery.valid)


def test_the_same_seed_gives_the_same_bytes(written, tmp_path):
    again = write_scene(tmp_path, 40, 1)
    for name in ("s2", "s3", "truth"):
        assert getattr(again, name).read_bytes() == getattr(written[1], name).read_bytes()
    ours = {p.name: p.read_bytes() for p in again.enmap.iterdir()}
    assert ours == {p.name: p.read_bytes() for p in written[1].enmap.iterdir()}


def test_what_is_there_is_not_replaced(written, tmp_path):
    files = write_scene(tmp_path, 20, 1)
    before = files.s2.read_bytes()
    with pytest.raises(OutputExistsError, match="exists already; give --overwrite"):
        write_scene(tmp_path, 20, 4)
    assert files.s2.read_bytes() == before
    assert write_scene(tmp_path, 20, 1, ratio=5, overwrite=True).s3 == files.s3
    assert open_cube(files.s3).grid.shape == (4, 4)


def test_a_scene_below_one_cell(tmp_path):
    with pytest.raises(ConfigError, match="a scene of 20 pixels at ratio 30"):
        write_scene(tmp_path / "x", 20, ratio=30)
    assert not (tmp_path / "x").exists()


def test_deliveries_become_a_store(written, tmp_path):
    config = SimulateConfig(patch=20, min_valid=0.5)
    paths = [files.enmap for files in written.values()]
    store = simulate_store(paths, tmp_path / "a", config)
    assert set(store.splits.values()) == {"train", "val", "test"}
    names = {files.enmap.name for files in written.values()}
    assert {store.read(i).provenance["product_id"] for i in store.ids()} <= names
    assert len(names) == 3
    t = store.read(3)
    files = next(f for f in written.values() if f.enmap.name == t.provenance["product_id"])
    truth = open_cube(files.truth)
    row, col = t.provenance["row"], t.provenance["col"]
    np.testing.assert_array_equal(t.hrhsi, truth.read().masked()[:, row : row + 20, col : col + 20])
    sent = [pickle.loads(pickle.dumps(open_cube(p))) for p in paths]  # as to another process
    assert simulate_store(sent, tmp_path / "b", config).hash == store.hash
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    cloudless = simulate_store(paths, tmp_path / "c", SimulateConfig(patch=20, mask="none"))
    assert len(cloudless) == 12
