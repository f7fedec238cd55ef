"""No output is, holds, or lies in an input; and an output has one writer."""

import subprocess
import sys
from pathlib import Path

import pytest

from trifuse.core import (
    BusyError,
    OutputExistsError,
    refuse_existing,
    sole_writer,
    spare,
    write_bytes,
    writes,
)
from trifuse.core.outputs import product_files


class Source:
    """An open source that knows its file by an attribute of an attribute."""

    def __init__(self, path):
        self.raster = Raster(path)


class Raster:
    def __init__(self, path):
        self.path = path


for kind in (Source, Raster):  # as a class of ours
    kind.__module__ = "trifuse.tests"


@pytest.fixture
def given(tmp_path):
    (tmp_path / "s2.tif").write_bytes(b"s2")
    (tmp_path / "s2.tif.json").write_text("{}")
    (tmp_path / "series/sentinel2").mkdir(parents=True)
    (tmp_path / "series/sentinel2/2020-01-01.tif").write_bytes(b"d")
    return tmp_path


@writes("image", "more")
def product(image, out=None, *, more=(), dry_run=False):
    return "done"


@writes("series", folder=True)
def folder(series, out, *, dry_run=False):
    return "done"


@pytest.mark.parametrize("as_text", [True, False])
def test_an_output_on_an_input_or_its_record_is_refused(given, as_text):
    image = str(given / "s2.tif") if as_text else given / "s2.tif"
    for value in (image, [image], {"a": Source(given / "s2.tif")}):
        with pytest.raises(OutputExistsError, match="is an input too; write elsewhere"):
            product(value, given / "s2.tif")
        with pytest.raises(OutputExistsError, match="is an input too"):
            product(value, given / "s2.tif", dry_run=True)
    with pytest.raises(OutputExistsError, match="is an input too"):
        spare([given / "s2.tif.json"], [image])
    assert product(image, given / "s2_new.tif") == "done"
    assert product(image) == "done"


def test_what_is_derived_from_the_output_counts_too(given):
    (given / "fused_std.tif").write_bytes(b"s3")
    with pytest.raises(OutputExistsError, match=r"fused_std\.tif: is an input too"):
        product(given / "s2.tif", given / "fused.tif", more=[given / "fused_std.tif"])


def test_names_that_lead_to_the_same_file_count_as_one(given):
    (given / "link.tif").symlink_to(given / "s2.tif")
    (given / "hard.tif").hardlink_to(given / "s2.tif")
    for name in ("link.tif", "hard.tif", "series/../s2.tif"):
        with pytest.raises(OutputExistsError, match="is an input too"):
            product(given / "s2.tif", given / name)


def test_a_folder_that_is_holds_or_lies_in_an_input_is_refused(given):
    series = given / "series"
    for out, words in (
        (series, "is an input too"),
        (given, "holds the input series"),
        (series / "sentinel2", "lies in the input series"),
        (series / "new", "lies in the input series"),
    ):
        with pytest.raises(OutputExistsError, match=words):
            folder(series, out)
    assert folder(series, given / "out") == "done"
    assert sorted(p.name for p in given.iterdir()) == ["s2.tif", "s2.tif.json", "series"]


def test_the_folder_that_a_source_lies_in_may_take_outputs(given):
    source = Source(given / "s2.tif")
    source.folder = given
    assert product(source, given / "new.tif") == "done"
    with pytest.raises(OutputExistsError, match="is an input too"):
        product(source, given / "s2.tif")


def test_the_files_of_a_product():
    names = [p.name for p in product_files(Path("a/b.tif"))]
    assert names == ["b.tif", "b_std.tif", "b.png", "b.tif.json", "b.tif.stac.json"]


HOLD = """
import sys
from trifuse.core import sole_writer
with sole_writer(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_second_process_ends_before_it_computes(tmp_path):
    out = tmp_path / "new" / "out.tif"
    command = [sys.executable, "-c", HOLD, str(out)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(BusyError, match="another process"):
            product("", out)
        assert product("", out, dry_run=True) == "done"
        process.communicate("go\n", timeout=30)
    assert product("", out) == "done"
    assert list(tmp_path.iterdir()) == [], "a folder into which nothing came goes again"


def test_what_killed_writers_left_in_a_folder_goes(tmp_path):
    for name in (".a.tif.lock", ".a.tif.01234567.partial.tif", "keep.tif", ".hidden"):
        (tmp_path / name).write_bytes(b"")
    with sole_writer(tmp_path):
        pass
    assert sorted(p.name for p in tmp_path.iterdir()) == [".hidden", "keep.tif"]


BEGUN = """
import sys, time
from pathlib import Path
from trifuse.core import refuse_existing, sole_writer
out = Path(sys.argv[1])
with sole_writer(out):
    if sys.argv[2] == "begun":
        refuse_existing(out)
        out.write_text("half")
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("how", ["begun", "not begun"])
def test_what_a_killed_process_began_is_made_anew_and_nothing_else(tmp_path, how):
    out = tmp_path / "out.tif"
    if how == "not begun":
        out.write_text("somebody's")
    command = [sys.executable, "-c", BEGUN, str(out), how]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        assert process.stdout.readline() == "held\n"
        process.kill()

    @writes()
    def verb(out):
        write_bytes(out, b"whole")

    if how == "begun":
        verb(out)
        assert out.read_bytes() == b"whole"
        assert list(tmp_path.iterdir()) == [out]
    with pytest.raises(OutputExistsError, match="exists already"):
        verb(out)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_ended_after_its_first_file_is_made_anew(tmp_path, error):
    out = tmp_path / "out.tif"

    @writes()
    def verb(out, fails=None):
        refuse_existing(out)
        write_bytes(out, b"image")
        if fails:
            raise fails
        write_bytes(tmp_path / "out.tif.json", b"record")

    @writes()
    def other(out):
        refuse_existing(out, overwrite=True)
        raise error

    with pytest.raises(error):
        verb(out, error)
    verb(out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.tif", "out.tif.json"]
    with pytest.raises(error):
        other(out)
    with pytest.raises(OutputExistsError, match="exists already"):
        verb(out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.tif", "out.tif.json"]
