"""Files appear whole or not at all, hold what was meant, and have one writer at a time."""

import errno
import os
import signal
import stat
import subprocess
import sys
import threading

import numpy as np
import pytest

from trifuse.core import (
    BusyError,
    ProductError,
    atomic_file,
    atomic_path,
    locked,
    write_bytes,
    write_json,
)
from trifuse.core import atomic as atomic_module

FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
"""

WRITERS = {
    "bytes": """
from trifuse.core import write_bytes
write_bytes(out, bytes(300_000), overwrite=True)
""",
    "array": """
import numpy as np
from trifuse.core import atomic_file
with atomic_file(out, overwrite=True) as sink:
    np.save(sink, np.zeros(100_000))
""",
    "geotiff": """
import numpy as np
from trifuse.core import BandSet, Cube, Grid
from trifuse.products import write_cube
data = np.random.default_rng(0).random((3, 300, 300), dtype=np.float32)
grid = Grid.from_origin("EPSG:32633", 5e5, 5e6, 10.0, 300, 300)
write_cube(out, Cube(data, np.ones((300, 300), bool), BandSet.of(["B2", "B3", "B4"]), grid),
           dtype="float32", overwrite=True, cog=cog)
""",
}


def on_a_full_disk(limit, code, out):
    text = f"{FULL}\nout, cog = {str(out)!r}, True\n" + (
        f"from trifuse.core import ProductError\ntry:\n    exec({code!r})\n"
        "except ProductError as e:\n    print(e); sys.exit(3)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", text, str(limit)], capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("limit", [0, 4096, 200_000])
def test_on_a_full_disk_the_old_file_stays_and_nothing_else(tmp_path, writer, limit):
    out = tmp_path / "out.tif"
    out.write_bytes(b"the good old file")
    done = on_a_full_disk(limit, WRITERS[writer], out)
    assert done.returncode == 3, done.stderr
    assert "cannot be written" in done.stdout and len(done.stdout.splitlines()) == 1
    assert out.read_bytes() == b"the good old file"
    assert [p.name for p in tmp_path.iterdir()] == ["out.tif"]


@pytest.mark.parametrize("cog", [True, False])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99, 0.999])
def test_a_geotiff_cut_anywhere_is_refused(tmp_path, share, cog):
    """The raw windows lie in a file of their own, so the limit is put on the compressed one."""
    from trifuse.core import BandSet, Cube, Grid
    from trifuse.products import write_cube
    from trifuse.products.write import writer

    data = np.random.default_rng(0).random((3, 200, 200), dtype=np.float32)
    grid = Grid.from_origin("EPSG:32633", 5e5, 5e6, 10.0, 200, 200)
    cube = Cube(data, np.ones((200, 200), bool), BandSet.of(["B2", "B3", "B4"]), grid)
    out = tmp_path / "out.tif"
    write_cube(out, cube, dtype="float32", cog=cog)
    good = out.read_bytes()
    finish = writer._finish

    def cut(stage, final, *rest):
        finish(stage, final, *rest)
        with final.open("r+b") as f:
            f.truncate(int(len(good) * share))

    writer._finish = cut
    try:
        with pytest.raises(ProductError, match="cannot be written"):
            write_cube(out, cube, dtype="float32", cog=cog, overwrite=True)
    finally:
        writer._finish = finish
    assert out.read_bytes() == good
    assert [p.name for p in tmp_path.iterdir()] == ["out.tif"]


def test_a_flipped_bit_is_found_before_the_file_gets_its_name(tmp_path, monkeypatch):
    honest = os.fsync

    def rot(handle):
        honest(handle)
        if stat.S_ISREG(os.fstat(handle).st_mode) and os.fstat(handle).st_size > 100:
            for name in tmp_path.glob(".*partial*"):
                with name.open("r+b") as f:
                    f.seek(50)
                    f.write(b"\xff")

    monkeypatch.setattr(atomic_module.os, "fsync", rot)
    with pytest.raises(ProductError, match="reads back otherwise"):
        write_bytes(tmp_path / "a.bin", bytes(200))
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_disk_at_the_end_is_no_success(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic_module.os, "fsync", full)
    with pytest.raises(ProductError, match=r"a\.json: cannot be written \(No space left"):
        write_json(tmp_path / "a.json", {"a": 1})
    assert list(tmp_path.iterdir()) == []


def test_files_have_the_rights_that_the_user_wants(tmp_path):
    old = os.umask(0o022)
    try:
        write_bytes(tmp_path / "a", b"a")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o644


def test_windows_that_overlap_are_compared_as_they_ended(tmp_path):
    from trifuse.core import BandSet, Grid, Window
    from trifuse.products import cube_writer, open_cube

    grid = Grid.from_origin("EPSG:32633", 5e5, 5e6, 10.0, 40, 40)
    rng = np.random.default_rng(1)
    want = np.zeros((1, 40, 40), np.float32)
    with cube_writer(
        tmp_path / "a.tif", grid, BandSet.of(["B4"]), dtype="float32", mask=True
    ) as out:
        for window in (Window(0, 0, 40, 40), Window(5, 5, 20, 20), Window(20, 0, 20, 40)):
            part = rng.random((1, *window.shape), dtype=np.float32)
            rows, cols = window.slices
            want[:, rows, cols] = part
            out.write(window, part)
    with open_cube(tmp_path / "a.tif") as source:
        np.testing.assert_array_equal(source.read().data, want)


HOLD = """
import sys, time
from trifuse.core import atomic_path
with atomic_path(sys.argv[1], overwrite=True) as temporary:
    temporary.write_bytes(b"first")
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def other(tmp_path):
    """Another process that is writing ``out``, until a line comes."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "out")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_does_not_touch_what_the_first_is_writing(tmp_path, other, monkeypatch):
    monkeypatch.setattr(atomic_module, "WAIT", 0.2)
    with pytest.raises(BusyError, match="another process"):
        write_bytes(tmp_path / "out", b"second", overwrite=True)
    with pytest.raises(BusyError), locked(tmp_path / "out"):
        pass
    other.communicate("go\n", timeout=30)
    assert other.returncode == 0
    assert (tmp_path / "out").read_bytes() == b"first"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_what_a_killed_process_left_is_taken_over(tmp_path, other):
    os.kill(other.pid, signal.SIGKILL)
    other.wait(30)
    assert len(list(tmp_path.iterdir())) == 2  # its lock, and its half file
    write_bytes(tmp_path / "out", b"second")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_threads_of_one_process_spare_each_other(tmp_path):
    inside, go = threading.Event(), threading.Event()

    def slow():
        with atomic_file(tmp_path / "out", overwrite=True) as sink:
            sink.write(b"slow")
            inside.set()
            go.wait(10)

    thread = threading.Thread(target=slow)
    thread.start()
    assert inside.wait(10)
    write_bytes(tmp_path / "out", b"fast", overwrite=True)
    go.set()
    thread.join()
    assert (tmp_path / "out").read_bytes() == b"slow"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_path_that_libraries_write_to_goes_with_its_sidecars(tmp_path):
    with pytest.raises(ValueError), atomic_path(tmp_path / "a.tif") as temporary:
        temporary.write_bytes(b"x")
        temporary.with_name(temporary.name + ".aux.xml").write_bytes(b"x")
        raise ValueError
    assert list(tmp_path.iterdir()) == []
