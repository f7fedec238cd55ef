import gc
import gzip
import io
import os
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from trifuse.core import ProductError
from trifuse.products.files import archive
from trifuse.products.files.archive import (
    FileRef,
    is_tar,
    is_zip,
    tar_names,
    unpack_tar,
    zip_members,
)


def make_tar(path: Path, members: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


def everything(name: str) -> bool:
    return True


def test_kinds_are_told_by_name_in_any_case():
    assert is_zip(Path("A.ZIP")) and not is_zip(Path("a.gz"))
    assert all(is_tar(Path(n)) for n in ("a.tar.gz", "A.TGZ", "a.Tar"))
    assert not is_tar(Path("a.gz"))


def test_zip_members_are_read_in_place(tmp_path):
    path = tmp_path / "a.ZIP"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        z.mkdir("in")
        z.writestr("in/x.txt", b"hello")
    (member,) = zip_members(path)
    assert (member.name, member.size, member.read(5)) == ("x.txt", 5, b"hello")
    assert member.gdal == f"/vsizip/{{{path}}}/in/x.txt"
    with pytest.raises(ProductError, match="larger than"):
        member.read(4)


def test_plain_file_reads_like_a_member(tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(b"1234")
    file = FileRef.of(path)
    assert (file.name, file.gdal, file.read(4)) == ("x.bin", str(path), b"1234")
    path.unlink()
    with pytest.raises(ProductError, match="is missing"):
        file.read(4)


@pytest.mark.parametrize(
    "name", ["../evil.TIF", "a/../../evil", "/etc/passwd", "..\\evil", "C:\\x"]
)
def test_names_that_leave_the_archive_are_refused(tmp_path, name):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("fine.txt", b"")
        z.writestr(name, b"x")
    with pytest.raises(ProductError, match="outside itself"):
        zip_members(path)
    with pytest.raises(ProductError, match="outside itself"):
        unpack_tar(make_tar(tmp_path / "a.tar.gz", {name: b"x"}), everything)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tar.gz", "a.zip"]


def test_a_zip_that_claims_more_than_deflate_can_hold_is_refused(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("x", bytes(1000))
    raw = bytearray(path.read_bytes())
    entry = raw.index(b"PK\x01\x02")
    raw[entry + 24 : entry + 28] = struct.pack("<I", 3_000_000_000)
    path.write_bytes(raw)
    with pytest.raises(ProductError, match="no zip can hold"):
        zip_members(path)


def test_a_member_that_unpacks_to_more_than_the_limit_is_not_read(tmp_path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("METADATA.XML", bytes(80 << 20))
    assert path.stat().st_size < 100_000
    with pytest.raises(ProductError, match="larger than 64 MiB"):
        zip_members(path)[0].read(64 << 20)


def test_encrypted_and_damaged_zips_are_refused(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("x", b"abc")
    raw = bytearray(path.read_bytes())
    locked = bytearray(raw)
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(locked)
    with pytest.raises(ProductError, match="encrypted"):
        zip_members(path)
    path.write_bytes(raw[:-10])
    with pytest.raises(ProductError, match="cannot be read"):
        zip_members(path)


@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_only_wanted_members_are_unpacked_and_removed_with_the_last_user(tmp_path, mode):
    path = make_tar(tmp_path / "a.tar.gz", {"d/a.ZIP": b"1" * 3000, "d/b.txt": b"2"}, mode)
    assert tar_names(path) == ["d/a.ZIP", "d/b.txt"]
    assert tar_names(path, limit=1) == ["d/a.ZIP"]
    unpacked = unpack_tar(path, lambda name: name.endswith(".ZIP"))
    folder = unpacked.folder
    assert [p.name for p in folder.rglob("*") if p.is_file()] == ["a.ZIP"]
    assert (folder / "d/a.ZIP").read_bytes() == b"1" * 3000
    assert folder.stat().st_mode & 0o077 == 0
    del unpacked
    gc.collect()
    assert not folder.exists()


def test_links_and_doubled_members_of_a_tar_are_refused(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        link = tarfile.TarInfo("x.ZIP")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tar.addfile(link)
    with pytest.raises(ProductError, match="a link"):
        unpack_tar(path, everything)
    with tarfile.open(path, "w") as tar:
        for _ in range(2):
            tar.addfile(tarfile.TarInfo("x"), io.BytesIO())
    with pytest.raises(ProductError, match="twice"):
        unpack_tar(path, everything)


def test_a_tar_bomb_is_stopped_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "FREE_RATIO", 1 << 20)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "private"))
    (tmp_path / "private").mkdir()
    monkeypatch.setattr(archive.tempfile, "tempdir", None)
    path = make_tar(tmp_path / "bomb.tar.gz", {"x.ZIP": bytes(32 << 20)})
    for wanted in (everything, lambda name: False):
        with pytest.raises(ProductError, match="unpacks to more than"):
            unpack_tar(path, wanted)
        gc.collect()
        assert list((tmp_path / "private").iterdir()) == []


def test_a_header_that_claims_gigabytes_is_not_believed(tmp_path):
    entry = tarfile.TarInfo("x")
    entry.type, entry.size = tarfile.XHDTYPE, 4 << 30
    path = tmp_path / "a.tar"
    path.write_bytes(entry.tobuf(tarfile.GNU_FORMAT) + bytes(10240))
    with pytest.raises(ProductError, match="header claims"):
        tar_names(path)


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_a_truncated_tar_is_an_error(tmp_path, keep, mode):
    path = make_tar(tmp_path / "a.tar.gz", {f"{i}.ZIP": os.urandom(20_000) for i in range(3)}, mode)
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * keep * 0.9)])
    with pytest.raises(ProductError):
        unpack_tar(path, everything)


def test_what_is_no_tar_is_an_error(tmp_path):
    path = tmp_path / "a.tar.gz"
    for content in (b"", b"nothing", gzip.compress(b"nothing like a tar" * 100)):
        path.write_bytes(content)
        with pytest.raises(ProductError):
            unpack_tar(path, everything)
    with pytest.raises(ProductError, match="missing"):
        unpack_tar(tmp_path / "none.tar", everything)


def test_a_member_larger_than_the_free_space_is_refused(tmp_path, monkeypatch):
    path = make_tar(tmp_path / "a.tar", {"x": bytes(1000)}, "w")
    usage = archive.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(archive.shutil, "disk_usage", lambda _: usage._replace(free=10))
    with pytest.raises(ProductError, match="TMPDIR"):
        unpack_tar(path, everything)
