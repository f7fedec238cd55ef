"""What counts as the same result: bytes, values and words apart, and what no two runs share."""

import base64
import html
import importlib
import io
import json
from datetime import UTC, datetime

import h5py
import numpy as np
import pytest
import rasterio
import torch
from PIL import Image
from safetensors.numpy import save_file

PLACES = {"/somewhere/run": "<folder>", "/somewhere/code": "<code>"}
PLANE = np.arange(12, dtype=np.int16).reshape(3, 4)


@pytest.fixture
def bench(repository, monkeypatch):
    monkeypatch.syspath_prepend(repository)
    monkeypatch.syspath_prepend(repository / "bench")
    return importlib.import_module


@pytest.fixture
def same(bench):
    return bench("bench.same_bytes")


@pytest.fixture
def digests(bench):
    return lambda path: bench("_digests").digests_of(path, PLACES)


def geotiff(path, plane=PLANE, tag="a", **profile):
    options = {"driver": "GTiff", "height": 3, "width": 4, "count": 1, "dtype": "int16"}
    options |= {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 0, 0, -10, 0), **profile}
    with rasterio.open(path, "w", **options) as d:
        d.write(plane, 1)
        d.update_tags(note=tag)
    return path


def hdf5(path, plane=PLANE, tag="a"):
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=plane).attrs["note"] = tag
    return path


def safetensors(path, plane=PLANE, tag="a"):
    save_file({"x": plane}, path, {"note": tag})
    return path


def checkpoint(path, plane=PLANE, tag="a"):
    torch.save({"model": {"x": torch.tensor(plane)}, "note": tag}, path)
    return path


def differ(a, b):
    assert set(a) == set(b)
    return {kind for kind in a if a[kind] != b[kind]}


@pytest.mark.parametrize(
    ("write", "name"),
    [(geotiff, "a.tif"), (hdf5, "a.h5"), (safetensors, "a.safetensors"), (checkpoint, "a.pt")],
)
def test_values_and_words_are_told_apart(digests, tmp_path, write, name):
    first = digests(write(tmp_path / name))
    kinds = {"values", "words"} if write is checkpoint else {"bytes", "values", "words"}
    assert set(first) == kinds
    assert not differ(first, digests(write(tmp_path / name)))
    other = PLANE.copy()
    other[2, 3] += 1
    assert differ(first, digests(write(tmp_path / name, other))) == kinds - {"words"}
    assert differ(first, digests(write(tmp_path / name, tag="b"))) == kinds - {"values"}


def test_how_an_image_is_packed_and_where_it_lies_are_no_values(digests, tmp_path):
    first = digests(geotiff(tmp_path / "a.tif"))
    packed = digests(geotiff(tmp_path / "a.tif", compress="deflate"))
    assert differ(first, packed) == {"bytes", "words"}
    placed = digests(geotiff(tmp_path / "a.tif", crs="EPSG:32632"))
    assert differ(first, placed) == {"bytes", "words"}
    # One number, another meaning.
    masked = digests(geotiff(tmp_path / "a.tif", nodata=0))
    assert differ(first, masked) == {"bytes", "values", "words"}


def test_a_picture_is_its_colours(digests, tmp_path):
    colours = np.zeros((3, 4, 3), np.uint8)
    Image.fromarray(colours).save(tmp_path / "a.png", compress_level=0)
    first = digests(tmp_path / "a.png")
    Image.fromarray(colours).save(tmp_path / "a.png", compress_level=9)
    assert differ(first, digests(tmp_path / "a.png")) == {"bytes"}
    colours[0, 0] = 1
    Image.fromarray(colours).save(tmp_path / "a.png", compress_level=0)
    assert differ(first, digests(tmp_path / "a.png")) == {"bytes", "values"}


def test_records_are_compared_without_what_no_two_runs_share(digests, tmp_path):
    record = {
        "timings": {"total": 1.5, "learn": 0.5},
        "files": [{"path": "/somewhere/run/a.tif", "sha256": "0" * 64}],
        "text": "took 1.5 s, RMSE 0.5",
        "units": {"2022-05-15-0123456789ab": {"changed": "2024-01-01T10:00:00"}},
        "rmse": 0.5,
    }

    def of(**changes):
        (tmp_path / "a.json").write_text(json.dumps(record | changes))
        return digests(tmp_path / "a.json")["words"]

    first = of()
    assert first == of(timings={"total": 9.5, "learn": 0})
    assert first == of(files=[{"path": "<folder>/a.tif", "sha256": "f" * 64}])
    assert first == of(text="took 22.5 s, RMSE 0.5")
    assert first == of(units={"2022-05-15-ba9876543210": {"changed": "2025-01-01T00:00:00"}})
    assert first != of(units={"2022-05-16-0123456789ab": {"changed": "2024-01-01T10:00:00"}})
    assert first != of(timings={"total": 1.5})  # a time that is no longer told
    assert first != of(text="took 1.5 s, RMSE 0.6")
    assert first != of(rmse=np.nextafter(0.5, 1))
    assert first != of(files=[])
    # In a tag, a record is a text.
    geotiff(tmp_path / "a.tif", tag=json.dumps(record))
    tagged = digests(tmp_path / "a.tif")
    geotiff(tmp_path / "a.tif", tag=json.dumps(record | {"timings": {"total": 2, "learn": 3}}))
    assert differ(tagged, digests(tmp_path / "a.tif")) == {"bytes"}


def test_a_page_is_its_pictures_and_its_text(digests, tmp_path):
    def of(level=0, colour=0, seconds=1.5, rmse=0.5, title="a"):
        packed = io.BytesIO()
        Image.new("RGB", (4, 3), (colour, 0, 0)).save(packed, "png", compress_level=level)
        picture = base64.b64encode(packed.getvalue()).decode()
        record = html.escape(json.dumps({"timings": {"total": seconds}, "rmse": rmse}))
        shown = f'<img src="data:image/png;base64,{picture}">'
        (tmp_path / "a.html").write_text(f"<h1>{title}</h1>{shown}<pre>{record}</pre>")
        return digests(tmp_path / "a.html")

    first = of()
    assert set(first) == {"values", "words"}
    assert not differ(first, of(level=9, seconds=2.5))
    assert differ(first, of(colour=1)) == {"values"}
    assert differ(first, of(rmse=0.6)) == differ(first, of(title="b")) == {"words"}


def test_a_file_of_another_kind_is_its_bytes(digests, tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, PLANE)
    first = digests(path)
    assert set(first) == {"bytes"}
    np.save(path, PLANE + 1)
    assert differ(first, digests(path)) == {"bytes"}


def test_what_is_printed_is_kept_without_the_module_that_warns(bench, same, tmp_path):
    ran = bench("_one_by_one").Ran
    warning = "WARNING trifuse.{}: S2 and S3: 31 % of trifuse.x has no value\n"
    told = "  7%|▋ | 1/3\r 33%|▉ | 3/3\r" + warning.format("align.pairing")
    same.keep(tmp_path / "said" / "fuse", ran(0, 1.0, '{"rmse": 0.5}\n', told))
    assert (tmp_path / "said/fuse.out").read_text() == '{"rmse": 0.5}\n'
    kept = "code 0\nWARNING trifuse: S2 and S3: 31 % of trifuse.x has no value\n"
    assert (tmp_path / "said/fuse.err").read_text() == kept


def test_compare(same, monkeypatch, capsys):
    about = {"code": "x", "commit": "c", **same.machine()}

    def made(*failed, **entries):
        named = {name.replace("_", " "): digest for name, digest in entries.items()}
        return {"about": about, "failed": list(failed), "entries": named}

    one = made(a_values="1", b_words="2")
    assert same.compare(one, made(a_values="1", b_words="2")) == 0
    assert "0 of 2 entries differ" in capsys.readouterr().out
    other = made(a_values="1", b_words="3", c_words="4")
    assert same.compare(one, other) == 1
    out = capsys.readouterr().out
    assert "different   b words" in out and "only in B   c words" in out and "a values" not in out
    monkeypatch.setattr(same, "PURPOSEFUL", {"b *": "better words", "gone*": "long ago"})
    assert same.compare(one, other) == 1
    out = capsys.readouterr().out
    assert "purposeful  b words  better words" in out and "nothing differs: gone*" in out
    monkeypatch.setattr(same, "PURPOSEFUL", {"[bc] words": "better words"})
    assert same.compare(one, other) == 0 and same.compare(other, one) == 0
    # Nobody compares what was not made.
    assert same.compare(one, made("demo", a_values="1", b_words="2")) == 1
    assert "failed: demo" in capsys.readouterr().out


def test_commands_run_as_by_the_command_line(bench, same, tmp_path):
    """With the version that is the same for every code, and the exit codes of the command line."""
    runner = bench("_one_by_one")
    (tmp_path / "said").mkdir()
    (tmp_path / "run").mkdir()
    site = same.fixed_version(tmp_path)
    with runner.commands(tmp_path / "run", tmp_path / "said", [site], ["numpy"]) as run:
        assert run.home().name == "__init__.py" and run.home().parent.name == "cli"
        made = run(["scene", "-o", "scene", "--size", 20, "--json"])
        assert made.code == 0 and json.loads(made.out)["s2"] == "scene/S2_HrMSI.tif"
        again = run(["scene", "-o", "scene", "--size", 20])
        assert again.code == 5 and again.err.startswith("Error: ") and not again.out
        assert {"refined", "local-regression", "mtf-glp-hs"} <= set(same.methods_of(run))
    with rasterio.open(tmp_path / "run/scene/S2_HrMSI.tif") as image:
        assert image.tags()["TIFFTAG_SOFTWARE"] == "TriFuse 0"


def test_made_products_are_what_the_readers_expect(bench, tmp_path):
    from trifuse.products import open_cube
    from trifuse.simulate import write_scene

    made = bench("_made_products")
    scene = write_scene(tmp_path / "scene", size=60, seed=3, ratio=10)
    start = datetime(2021, 6, 24, 10, 20, tzinfo=UTC)
    cloud = slice(0, 12), slice(6, 18)
    safe = made.write_safe(tmp_path, scene.s2, start, seed=1, cloud=cloud)
    with open_cube(safe) as source, open_cube(scene.s2) as view:
        cube, clean = source.read(), view.read()
    assert source.grid.gsd == (10, 10) and source.meta["native_gsd"]["B9"] == 60
    hidden = np.zeros((60, 60), bool)
    hidden[cloud] = True
    np.testing.assert_array_equal(cube.valid, ~hidden)
    noise = (cube.data - clean.data)[cube.bands.index("B8")][~hidden]
    assert noise.std() == pytest.approx(1e-4 * made.NOISE, rel=0.05)
    coarse = made.write_coarse(tmp_path / "c.tif", scene.truth, 10, 100.0, seed=2, shift=(0.0, 0.0))
    with open_cube(coarse) as source, open_cube(scene.s3) as view:
        cube, clean = source.read(), view.read()
    assert source.grid.gsd == (100, 100) and source.bands == view.bands
    assert abs(cube.data - clean.data).mean() < 0.25 * clean.data.std()
