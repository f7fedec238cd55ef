"""A spectral cube as both sensors would see it, written so that it can be fused."""

import json

import numpy as np
import pytest

from trifuse.cli.main import run
from trifuse.cli.views import ERRORS
from trifuse.core import ConfigError, OutputExistsError
from trifuse.flows.views import NAMES, write_views
from trifuse.products import open_cube
from trifuse.simulate import PROTOCOLS, observe, procedural_scene, scene_views, write_scene


@pytest.fixture(scope="module")
def scene():
    return procedural_scene(60, 3)


def test_without_errors_they_are_the_views_of_the_scene(scene):
    from trifuse.core import MemorySource

    made = write_views(scene)
    for view, expected in zip(
        (made.s2, made.s3, made.truth), scene_views(MemorySource(scene)), strict=True
    ):
        assert view.grid == expected.grid and view.bands == expected.bands
        np.testing.assert_array_equal(view.data, expected.data)
    assert made.files == () and "errors: none" in made.text


def test_errors_are_those_of_the_protocol_and_are_told(scene):
    from trifuse.core import MemorySource

    made = write_views(scene, errors="real-world", seed=5)
    sharp, _, truth = scene_views(MemorySource(scene))
    expected = observe(sharp, truth, 10, PROTOCOLS["real-world"], 5)
    np.testing.assert_array_equal(made.s2.data, expected.hrmsi.data)
    np.testing.assert_array_equal(made.s3.data, expected.lrhsi.data)
    assert made.s2.sampling.values("gsd") == expected.hrmsi.sampling.values("gsd")
    assert made.record["drawn"]["shift_pixels"] == list(expected.drawn.shift)
    assert made.record["drawn"]["gain"]["B4"] == expected.drawn.gain[sharp.bands.index("B4")]
    again = write_views(scene, errors="real-world", seed=6)
    assert again.record["drawn"]["shift_pixels"] != made.record["drawn"]["shift_pixels"]


def test_from_a_delivery_to_a_score(tmp_path, capsys):
    delivery = write_scene(tmp_path / "scene", size=60, seed=3).enmap
    pair = tmp_path / "pair"
    command = ["views", str(delivery), "-o", str(pair), "--errors", "real-world"]
    assert run([*command, "--dry-run"]) == 0 and not pair.exists()
    assert run([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out.split("dry run: would write")[-1].split("\n", 1)[1])
    assert [f.rsplit("/", 1)[1] for f in told["files"]] == list(NAMES)
    assert json.loads((pair / "S2_HrMSI.tif.json").read_text())["drawn"] == told["drawn"]
    with open_cube(pair / "S2_HrMSI.tif") as s2:
        assert dict(zip(s2.bands.names, s2.sampling.values("gsd"), strict=True))["B5"] == 60.0
    files = [str(pair / n) for n in NAMES]
    out = str(tmp_path / "fused.tif")
    assert run(["fuse", "--s2", files[0], "--s3", files[1], "-o", out, "--method", "physics"]) == 0
    assert run(["evaluate", out, "--truth", files[2], "--json"]) == 0
    assert run(command) == OutputExistsError.exit_code
    capsys.readouterr()


def test_errors_by_a_name_that_is_none(scene):
    with pytest.raises(ConfigError, match="real-world"):
        write_views(scene, errors="bad weather")


def test_the_command_offers_all_errors():
    assert set(ERRORS) == set(PROTOCOLS)
