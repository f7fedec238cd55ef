"""The wheel holds every file of every room, and both installs work from elsewhere."""

import subprocess
import sys
import zipfile

import pytest


@pytest.fixture(scope="module")
def wheel(repository, tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    source = tmp_path_factory.mktemp("source") / "checkout"
    # Built from a clean copy: a stale build folder could hide a missing file.
    files = tracked(repository)
    for name in files:
        if (repository / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((repository / name).read_bytes())
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(out),
        str(source),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return next(out.glob("*.whl"))


def tracked(repository):
    """Files that a commit of this checkout would hold."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=repository,
        check=True,
        capture_output=True,
        text=True,
    )
    return sorted(listed.stdout.splitlines())


def test_the_wheel_has_the_files_of_the_checkout(repository, wheel):
    rooms = {p.parent.name for p in repository.glob("*/py.typed")}
    expected = set()
    for name in tracked(repository):
        room, _, rest = name.partition("/")
        if room in rooms and rest and (repository / name).is_file():
            expected.add(f"trifuse/{rest}" if room == "api" else f"trifuse/{name}")
    with zipfile.ZipFile(wheel) as z:
        packed = {n for n in z.namelist() if ".dist-info/" not in n}
    assert packed == expected


def test_the_wheel_imports_from_elsewhere(wheel, tmp_path):
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--target",
            str(tmp_path / "site"),
            str(wheel),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import trifuse, trifuse.core as c, "
        "trifuse.cli.main as m; from trifuse.srf_data import load; load('S2A_MSI'); "
        "print(c.__file__)"
    )
    # -S keeps the editable install's finder out, -I the current folder.
    site = next(p for p in sys.path if p.endswith("site-packages"))
    code = code.replace(
        "sys.path.insert(0, sys.argv[1])", "sys.path[:0] = [sys.argv[1], sys.argv[2]]"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-I", "-c", code, str(tmp_path / "site"), site],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "site") in done.stdout


def test_the_console_script_and_the_module_are_one_command(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "trifuse.cli", "--version"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "trifuse" in done.stdout
