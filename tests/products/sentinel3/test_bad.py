"""Damaged, hostile and mutated deliveries end in one line, or in a read."""

import contextlib
import os
import shutil
import tempfile
import time
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from trifuse.core import Cube, Grid, MetadataError, ProductError, TrifuseError
from trifuse.products import open_sentinel3, open_syn_swath, write_syn
from trifuse.srf_data import load

GRID = Grid.from_origin("EPSG:32633", 300_000, 5_820_000, 300, 24, 26)
NAMES = ("Oa08", "S3")
BAND = "Syn_Oa08_reflectance.nc"


def make_cube():
    rng = np.random.default_rng(3)
    data = rng.uniform(0, 0.6, (2, *GRID.shape)).astype(np.float32)
    valid = np.ones(GRID.shape, bool)
    valid[4:9, 4:9] = False
    return Cube(data, valid, load("S3A_SYN").bands.select(NAMES), GRID)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return write_syn(tmp_path_factory.mktemp("syn"), make_cube())


@pytest.fixture
def scene(original, tmp_path):
    """A copy to damage."""
    return Path(shutil.copytree(original, tmp_path / original.name))


def read(path):
    source = open_sentinel3(path, grid=GRID, bands=list(NAMES))
    try:
        return source.read()
    finally:
        source.close()


def one_line(path, kind=ProductError, match=None):
    with pytest.raises(kind, match=match) as caught:
        read(path)
    text = str(caught.value)
    assert "\n" not in text and 10 < len(text) < 900
    return text


def replace(path, name, **create):
    """Put another variable in the place of one, with its attributes."""
    with h5py.File(path, "r+") as f:
        kept = dict(f[name].attrs)
        del f[name]
        new = f.create_dataset(name, **create)
        for key in ("_FillValue", "scale_factor", "flag_masks", "flag_meanings"):
            if key in kept:
                new.attrs[key] = kept[key]


@pytest.mark.parametrize("keep", [0, 7, 300, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("file", [BAND, "geolocation.nc", "flags.nc"])
def test_truncated_members_are_named(scene, file, keep):
    raw = (scene / file).read_bytes()
    (scene / file).write_bytes(raw[: keep if keep > 1 else int(len(raw) * keep)])
    assert file in one_line(scene)


def test_what_is_no_netcdf_is_named(scene):
    (scene / BAND).write_bytes(b"CDF\x01" + bytes(5000))
    (scene / "flags.nc").write_text("<html>404</html>")
    text = one_line(scene)
    assert BAND in text and "flags.nc" in text


def test_links_are_not_followed(scene, tmp_path):
    other = tmp_path / "other.nc"
    shutil.copy(scene / BAND, other)
    for link in (h5py.ExternalLink(str(other), "/SDR_Oa08"), h5py.SoftLink("/SDR_Oa08_err")):
        with h5py.File(scene / BAND, "r+") as f:
            del f["SDR_Oa08"]
            f["SDR_Oa08"] = link
        one_line(scene, match="is a link")
    with h5py.File(scene / BAND, "r+") as f:
        del f["SDR_Oa08"]
        f.create_group("SDR_Oa08")
    one_line(scene, match="is no variable")


def test_values_in_other_files_are_not_read(scene, tmp_path):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(range(256)) * 400)
    with h5py.File(scene / BAND) as f:
        shape = f["SDR_Oa08"].shape
    replace(
        scene / BAND,
        "SDR_Oa08",
        shape=shape,
        dtype="i2",
        external=[(str(secret), 0, h5py.h5f.UNLIMITED)],
    )
    one_line(scene, match="in another file")
    layout = h5py.VirtualLayout(shape, "i2")
    layout[:] = h5py.VirtualSource(str(tmp_path / "x.nc"), "a", shape)
    with h5py.File(scene / BAND, "r+") as f:
        del f["SDR_Oa08"]
        f.create_virtual_dataset("SDR_Oa08", layout)
    one_line(scene, match="in another file")


def test_headers_that_claim_too_much_are_refused_at_once(scene):
    start = time.perf_counter()
    for create, text in (
        ({"shape": (10**6, 10**6), "chunks": (100, 100)}, "claims"),
        ({"shape": (20_000, 6_000), "chunks": (20_000, 6_000), "dtype": "i8"}, "in chunks of"),
        ({"shape": (0, 5), "maxshape": (None, 5), "chunks": (5, 5)}, "is empty"),
    ):
        replace(scene / BAND, "SDR_Oa08", **{"dtype": "i2", **create})
        one_line(scene, match=text)
    assert time.perf_counter() - start < 10


def test_unknown_filters_are_not_loaded(scene):
    with h5py.File(scene / BAND) as f:
        shape = f["SDR_Oa08"].shape
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk(shape)
    # A number that no plug-in has: other packages may have brought plug-ins for registered ones.
    plan.set_filter(40001, h5py.h5z.FLAG_OPTIONAL)
    with h5py.File(scene / BAND, "r+") as f:
        del f["SDR_Oa08"]
        space = h5py.h5s.create_simple(shape)
        h5py.h5d.create(f.id, b"SDR_Oa08", h5py.h5t.STD_I16LE, space, dcpl=plan)
    one_line(scene, match="filter 40001")


@pytest.mark.parametrize("dtype", ["S5", h5py.string_dtype(), [("a", "i2")], "c16", "f2"])
def test_what_holds_no_numbers_is_refused(scene, dtype):
    with h5py.File(scene / BAND) as f:
        shape = f["SDR_Oa08"].shape
    replace(scene / BAND, "SDR_Oa08", shape=shape, dtype=dtype)
    if dtype == "f2":
        assert read(scene).data.shape[0] == 2
    else:
        one_line(scene, match="not numbers")


def test_attributes_that_make_no_sense_are_named(scene):
    for name, values in (
        ("scale_factor", (0.0, np.nan, "x", [1.0, 2.0])),
        ("_FillValue", (1e9, 0.5, np.nan, "none")),
        ("flag_masks", ([1, 2, 3],)),
    ):
        for value in values:
            with h5py.File(scene / BAND, "r+") as f:
                before = f["SDR_Oa08"].attrs.get(name)
                f["SDR_Oa08"].attrs[name] = value
            one_line(scene, MetadataError)
            with h5py.File(scene / BAND, "r+") as f:
                del f["SDR_Oa08"].attrs[name]
                if before is not None:
                    f["SDR_Oa08"].attrs[name] = before
    with h5py.File(scene / BAND, "r+") as f:
        del f["SDR_Oa08"].attrs["scale_factor"]
    one_line(scene, MetadataError, "no scale_factor")


def test_a_fill_that_is_not_stated_is_the_known_one(scene, original):
    with h5py.File(scene / BAND, "r+") as f:
        del f["SDR_Oa08"].attrs["_FillValue"]
    np.testing.assert_array_equal(read(scene).data, read(original).data)


@pytest.mark.parametrize("file", [BAND, "geolocation.nc", "flags.nc"])
def test_sizes_that_disagree_are_named(scene, file):
    name = {BAND: "SDR_Oa08", "flags.nc": "CLOUD_flags"}.get(file, "lat")
    with h5py.File(scene / file) as f:
        dtype, (rows, cols) = f[name].dtype, f[name].shape
    for shape in ((rows + 1, cols), (rows * cols,)):
        replace(scene / file, name, shape=shape, dtype=dtype)
        one_line(scene, MetadataError, f"{name} is")


def test_places_that_are_nonsense_are_named(scene, original):
    def put(lon, lat):
        with h5py.File(scene / "geolocation.nc", "r+") as f:
            shape = f["lon"].shape
            f["lon"][...], f["lat"][...] = lon(shape) * 1e6, lat(shape) * 1e6
        with h5py.File(scene / "tiepoints_olci.nc", "r+") as f:
            f["OLC_TP_lon"][...], f["OLC_TP_lat"][...] = 500.0, 500.0

    rng = np.random.default_rng(0)
    for lon, lat in (
        (lambda s: np.full(s, 500.0), lambda s: np.full(s, 500.0)),
        (lambda s: np.full(s, 0.0), lambda s: np.full(s, 0.0)),
        (lambda s: rng.uniform(-180, -170, s), lambda s: rng.uniform(-90, -80, s)),
    ):
        put(lon, lat)
        with pytest.raises(TrifuseError):
            read(scene)
        with pytest.raises(TrifuseError):
            open_sentinel3(scene, bands=["Oa08"], gsd=1.0, bbox=(12.0, 52.0, 13.0, 53.0)).read()
    # tie points alone that are nonsense do no harm
    shutil.copy(original / "geolocation.nc", scene)
    np.testing.assert_array_equal(read(scene).data, read(original).data)


def test_manifests_are_parsed_without_trust_and_done_without_if_damaged(scene):
    manifest = scene / "xfdumanifest.xml"
    good = manifest.read_bytes()
    body = good.split(b"?>", 1)[1]
    for text in (
        b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "cc">]>' + body,
        b'<?xml version="1.0"?><!DOCTYPE a SYSTEM "file:///etc/hostname">' + body,
    ):
        manifest.write_bytes(text)
        assert "xfdumanifest.xml" in one_line(scene, TrifuseError, "DOCTYPE")
    for text in (
        good[: len(good) // 2],
        b"",
        b"\xff\xfe\x00bad",
        good.replace(b"<", b"\xe9<", 9),
        b"<a>" * 100 + b"</a>" * 100,
    ):
        manifest.write_bytes(text)
        source = open_sentinel3(scene, bands=["S3"])
        (note,) = source.meta["notes"]
        assert source.name == scene.stem and note.startswith("xfdumanifest.xml ")
        assert source.meta["start_time"].startswith("2022-06-21")
    manifest.write_bytes(
        good.replace(b"<sentinel3:productName>S3A", b"<sentinel3:productName>&#9;X")
    )
    assert open_sentinel3(scene, bands=["S3"]).name == scene.stem


def pack(folder, target, names=None):
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, (names or {}).get(path.name, f"{folder.name}/{path.name}"))
    return target


def leftovers():
    return set(Path(tempfile.gettempdir()).glob("trifuse-*"))


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path, monkeypatch):
    """So that what other programs leave is not counted."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


def test_zips_that_lie_are_refused_and_leave_nothing(scene, tmp_path):
    before = leftovers()
    slip = pack(scene, tmp_path / "slip.SEN3.zip", {"flags.nc": "../../flags.nc"})
    one_line(slip, match="outside itself")
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{scene.name}/xfdumanifest.xml", (scene / "xfdumanifest.xml").read_text())
        with archive.open(f"{scene.name}/{BAND}", "w") as sink:
            for _ in range(64):
                sink.write(bytes(1 << 20))
    one_line(bomb)
    packed = pack(scene, tmp_path / f"{scene.name}.zip")
    raw = bytearray(packed.read_bytes())
    with zipfile.ZipFile(packed) as archive:
        at = archive.getinfo(f"{scene.name}/{BAND}").header_offset
    raw[at + 120] ^= 0xFF
    packed.write_bytes(raw)
    assert BAND in one_line(packed)
    packed.write_bytes(raw[: len(raw) // 2])
    one_line(packed, match="cannot be read")
    twice = pack(scene, tmp_path / "twice.zip", {"flags.nc": f"{scene.name}/GEOLOCATION.NC"})
    one_line(twice, match="twice")
    assert leftovers() == before


def test_a_file_of_a_folder_without_products(tmp_path):
    (tmp_path / "xfdumanifest.xml").write_text("<a/>")
    with pytest.raises(ProductError, match="no Sentinel-3 product"):
        open_sentinel3(tmp_path / "xfdumanifest.xml")


def mutate(rng, folder):
    """Damage one thing of a delivery."""
    paths = sorted(folder.iterdir())
    path = paths[rng.integers(len(paths))]
    raw = bytearray(path.read_bytes())
    kind = rng.integers(7)
    if kind == 0:
        path.unlink()
    elif kind == 1:
        path.write_bytes(raw[: rng.integers(len(raw))])
    elif kind in (2, 3) or path.suffix == ".xml":
        for _ in range(rng.integers(1, 40)):
            raw[rng.integers(len(raw))] = rng.integers(256)
        path.write_bytes(raw)
    else:
        with h5py.File(path, "r+") as f:
            names = [n for n in f if f[n].shape and n not in ("rows", "columns")]
            name = names[rng.integers(len(names))]
            if kind == 4:
                del f[name]
            elif kind == 5:
                values = f[name][()]
                flat = values.reshape(-1)
                some = rng.integers(0, flat.size, flat.size // 2)
                flat[some] = rng.integers(-(2**15), 2**15, some.size).astype(values.dtype)
                f[name][...] = values
            else:
                keys = list(f[name].attrs)
                for key in keys[: rng.integers(1, len(keys) + 1)]:
                    if rng.random() < 0.5:
                        del f[name].attrs[key]
                    else:
                        f[name].attrs[key] = rng.random() if rng.random() < 0.5 else "nonsense"


@pytest.mark.parametrize("seed", range(50 * int(os.environ.get("TRIFUSE_FUZZ", "1"))))
def test_mutated_deliveries_end_well(original, tmp_path, seed):
    rng = np.random.default_rng(seed)
    scene = Path(shutil.copytree(original, tmp_path / original.name))
    for _ in range(rng.integers(1, 3)):
        with contextlib.suppress(OSError, KeyError, ValueError):  # it may be damaged already
            mutate(rng, scene)
    before = leftovers()
    start = time.perf_counter()
    try:
        cube = read(scene)
        assert cube.data.shape == (2, *GRID.shape) and cube.valid.dtype == bool
        assert open_syn_swath(scene, bands=list(NAMES)).shape[0] > 20
    except TrifuseError as e:
        assert "\n" not in str(e) and len(str(e)) < 1500
    assert time.perf_counter() - start < 20 and leftovers() == before
