"""All readers together: each knows the deliveries of its own kind among those of all others.

Deliveries are made by the module ``deliveries.py`` in the folder of each product's tests.
"""

import importlib.util
import inspect
from pathlib import Path

import pytest

from trifuse.core import ConfigError, CubeSource, Grid
from trifuse.products import READERS, detect, find_reader, open_cube, open_scenes
from trifuse.products.reader import Reader

FORMATS = {"envi", "geotiff"}
"""Formats of files, of which deliveries are made too: their readers are asked last."""

KINDS = [reader.kind for reader in READERS]
BY_KIND = {reader.kind: reader for reader in READERS}


def made_by(module: Path, folder: Path) -> dict[str, list[Path]]:
    """What a product's ``deliveries.py`` makes."""
    spec = importlib.util.spec_from_file_location(f"{module.parent.name}_deliveries", module)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded.deliveries(folder)


@pytest.fixture(scope="module")
def deliveries(tmp_path_factory) -> dict[str, list[Path]]:
    """Kind → deliveries in every form."""
    made: dict[str, list[Path]] = {}
    for module in sorted(Path(__file__).parent.glob("*/deliveries.py")):
        folder = tmp_path_factory.mktemp(module.parent.name)
        for kind, paths in made_by(module, folder).items():
            assert kind not in made
            made[kind] = paths
    return made


def test_each_kind_has_one_reader_and_deliveries_to_show(deliveries):
    assert len(set(KINDS)) == len(KINDS)
    assert set(deliveries) == set(KINDS)
    assert all(kind == kind.lower() and kind.isidentifier() for kind in KINDS)
    assert all(isinstance(reader, Reader) for reader in READERS)


def test_each_reader_knows_its_own_deliveries_and_no_others(deliveries):
    for kind, paths in deliveries.items():
        for path in paths:
            knowing = {reader.kind for reader in READERS if reader.detects(path)}
            assert knowing - FORMATS == {kind} - FORMATS, path
            assert kind in knowing and find_reader(path).kind == detect(path)[0] == kind, path


def test_the_order_matters_for_formats_of_files_only(deliveries):
    assert set(KINDS[-len(FORMATS) :]) == FORMATS
    both = [p for paths in deliveries.values() for p in paths]
    taken = {kind for kind in FORMATS for p in both if BY_KIND[kind].detects(p)}
    assert taken == FORMATS
    for kind in FORMATS:  # each would take a delivery from its reader if it were asked first
        others = [p for k, paths in deliveries.items() if k not in FORMATS for p in paths]
        assert any(BY_KIND[kind].detects(p) for p in others)
    own = {kind: deliveries[kind] for kind in FORMATS}
    for kind, paths in own.items():  # among themselves they could stand either way
        assert not any(BY_KIND[other].detects(p) for other in FORMATS - {kind} for p in paths)


def test_what_is_known_opens(deliveries):
    for paths in deliveries.values():
        for path in paths:
            scenes = open_scenes(path)
            assert all(isinstance(scene, CubeSource) for scene in scenes), path
            if len(scenes) == 1:
                with open_cube(path) as source, scenes[0] as scene:
                    assert source.grid == scene.grid and source.name == scene.name
                    assert source.read(bands=source.bands.names[:1]).valid.any(), path
    counts = {p.name: len(open_scenes(p)) for p in (deliveries["enmap"] + deliveries["cave"])}
    assert counts["two"] == counts["several"] == 2


def test_a_scene_of_spectra_has_the_bands_that_both_sensors_need(deliveries):
    with open_scenes(deliveries["cave"][0])[0] as extended, open_cube(deliveries["cave"][0]) as own:
        assert len(own.bands) == 31 and extended.bands.centres[-1] == 2410


def test_the_mask_of_a_scene_is_handed_on(deliveries):
    for terms, expected in (("none", []), ("cloud", ["cloud"])):
        for scene in open_scenes(deliveries["enmap"][0], mask=terms):
            assert scene.meta["mask"] == expected


def test_options_are_what_opening_takes(deliveries):
    for reader in READERS:
        parameters = inspect.signature(reader.open).parameters
        for name in reader.options:
            assert parameters[name].kind is inspect.Parameter.KEYWORD_ONLY, (reader.kind, name)
        assert len(set(reader.options)) == len(reader.options)


@pytest.mark.parametrize("kind", KINDS)
def test_options_that_do_not_apply_are_refused_by_name(deliveries, kind):
    path = deliveries[kind][0]
    every = {name for reader in READERS for name in reader.options}
    for name in sorted(every - set(BY_KIND[kind].options)):
        with pytest.raises(ConfigError, match=f"{name} does not apply to {kind}") as caught:
            open_cube(path, **{name: "x"})
        assert str(path) in str(caught.value)
        assert all(option in str(caught.value) for option in BY_KIND[kind].options)
        open_cube(path, **{name: None}).close()


def test_swaths_are_brought_onto_the_grid_that_is_given(deliveries):
    assert {reader.kind for reader in READERS if reader.swath} == {"sentinel3", "olci"}
    grid = Grid.from_origin("EPSG:32633", 600300, 5799900, 300, 2, 3)
    for reader in READERS:
        if reader.swath:
            with open_cube(deliveries[reader.kind][0], grid=grid) as source:
                assert source.grid == grid


def test_nothing_is_known_by_accident(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "none.bin").touch()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "readme.md").write_text("no product")
    cut = [tmp_path / name for name in ("a.zip", "a.tar", "a.tar.gz", "a.mat", "a.xml", "a.tif")]
    for path in cut:
        path.write_bytes(bytes(range(64)))
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (*sorted(tmp_path.iterdir()), tmp_path / "absent", tmp_path / "absent.SEN3"):
        assert [reader.kind for reader in READERS if reader.detects(path)] == [], path
