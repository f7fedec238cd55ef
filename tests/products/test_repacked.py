"""Products packed, nested and renamed by those who handed them on: all open to the same values."""

import io
import shutil
import tarfile
import zipfile

import numpy as np
import pytest

from trifuse.core import BandSet, Cube, Grid, ProductError
from trifuse.products import build_series, detect, open_cube, open_sensors
from trifuse.products.enmap import write_enmap_l2a
from trifuse.products.files.archive import is_zip, tar_members, unpack_tar, zip_members
from trifuse.products.files.clutter import is_clutter
from trifuse.products.landsat import write_landsat
from trifuse.products.landsat.metadata import SR_BANDS
from trifuse.products.sentinel2 import write_sentinel2_safe
from trifuse.products.sentinel3 import write_olci_l1, write_syn
from trifuse.products.sentinel3.factory_olci import BANDS as OLCI
from trifuse.srf_data import S2_L2A, S3_SYN, load

APPLE = b"\0\x05\x16\x07\0\x02\0\0Mac OS X        " + bytes(80)


def cube(names, gsd, height, width, **more):
    data = np.random.default_rng(1).uniform(0.1, 0.4, (len(names), height, width))
    grid = Grid.from_origin("EPSG:32633", 600000, 5800200, gsd, height, width)
    bands = BandSet.of(names, **more)
    return Cube(data.astype(np.float32), np.ones((height, width), bool), bands, grid)


def sentinel2(folder):
    return write_sentinel2_safe(folder, cube(S2_L2A, 10, 12, 18))


def enmap(folder):
    table = load("ENMAP").bands
    names = [f"E{i:03d}" for i in range(1, 25)]
    more = {"centres": table.centres[:24], "fwhms": table.fwhms[:24]}
    return write_enmap_l2a(folder, cube(names, 30, 10, 12, **more))


def syn(folder):
    return write_syn(folder, cube(S3_SYN, 300, 8, 9))


def olci(folder):
    return write_olci_l1(folder, cube(OLCI, 300, 8, 9))


def landsat(folder):
    return write_landsat(folder, cube(SR_BANDS, 30, 10, 12))


def read(path):
    with open_cube(path) as source:
        return source.read()


def files_of(product):
    for path in sorted(product.rglob("*")):
        if path.is_file():
            yield path.relative_to(product.parent).as_posix(), path.read_bytes()


def with_macos(product):
    for name, content in files_of(product):
        folder, _, base = name.rpartition("/")
        yield name, content
        yield f"__MACOSX/{folder}/._{base}", APPLE
    yield f"{product.name}/.DS_Store", APPLE


def pack(path, members):
    with zipfile.ZipFile(path, "w") as z:
        for name, content in members:
            z.writestr(name, content)
    return path


@pytest.mark.parametrize("make", [sentinel2, enmap, syn, olci])
@pytest.mark.parametrize("how", ["macos", "backslashes", "named SAFE"])
def test_a_zip_made_anew_holds_the_same_product(tmp_path, make, how):
    product = make(tmp_path / "in")
    if how == "macos":
        path = pack(tmp_path / f"{product.stem}.zip", with_macos(product))
    elif how == "backslashes":
        members = ((name.replace("/", "\\"), content) for name, content in files_of(product))
        path = pack(tmp_path / f"{product.stem}.zip", members)
    else:
        path = pack(tmp_path / f"{product.stem}.SAFE", files_of(product))
    assert detect(path)[0] == detect(product)[0]
    expected, found = read(product), read(path)
    np.testing.assert_array_equal(found.data, expected.data)
    assert found.grid == expected.grid and found.bands == expected.bands


def test_a_tar_made_on_macos_holds_one_scene(tmp_path):
    scene = landsat(tmp_path / "in")
    path = tmp_path / f"{scene.name}.tar"
    with tarfile.open(path, "w") as tar:
        for file in sorted(scene.iterdir()):
            for name, content in ((f"._{file.name}", APPLE), (file.name, file.read_bytes())):
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    assert len(tar_members(path)) == len(list(scene.iterdir()))
    np.testing.assert_array_equal(read(path).data, read(scene).data)
    unpacked = unpack_tar(path, lambda name: True)
    assert not [p for p in unpacked.folder.iterdir() if p.name.startswith(".")]


def test_what_is_clutter_and_what_is_a_zip(tmp_path):
    names = ["__MACOSX/a/b.tif", "a/._b.tif", "a\\.DS_Store", "__MACOSX\\x", "Thumbs.db"]
    assert all(map(is_clutter, names))
    assert not any(map(is_clutter, ["a/b.tif", "a/.b", "MACOSX/a", "a_._b"]))
    path = pack(tmp_path / "x.SAFE", [("a\\b\\c.txt", b"hello")])
    (member,) = zip_members(path)
    assert is_zip(path) and not is_zip(tmp_path) and not is_zip(tmp_path / "none")
    assert (member.member, member.name, member.read(9)) == ("a/b/c.txt", "c.txt", b"hello")
    member.verify()


@pytest.mark.parametrize("make", [syn, olci])
@pytest.mark.parametrize("above", ["{name}", "{stem}", "download", "{stem}/{name}"])
def test_a_product_in_folders_of_its_own_name_opens(tmp_path, make, above):
    product = make(tmp_path / "in")
    place = tmp_path / "out" / above.format(name=product.name, stem=product.stem)
    shutil.copytree(product, place / product.name)
    top = tmp_path / "out" / place.relative_to(tmp_path / "out").parts[0]
    assert detect(top)[0] == detect(product)[0]
    np.testing.assert_array_equal(read(top).data, read(product).data)


def test_an_incomplete_product_is_still_called_so_and_two_are_told_apart(tmp_path):
    product = syn(tmp_path / "in")
    (product / "flags.nc").unlink()
    nested = tmp_path / "out" / product.name
    shutil.copytree(product, nested / product.name)
    with pytest.raises(ProductError, match=r"lacks flags\.nc"):
        open_cube(nested)
    other = nested / product.name.replace("S3A", "S3B")
    shutil.copytree(product, other)
    with pytest.raises(ProductError, match="holds 2 Sentinel-3 products"):
        open_cube(nested)


def test_series_are_built_of_nested_products_beside_what_macos_left(tmp_path):
    coarse = cube(S3_SYN, 300, 8, 9)
    sharp = write_sentinel2_safe(tmp_path / "s2", cube(S2_L2A, 10, 240, 270))
    (tmp_path / "s2" / "__MACOSX" / sharp.name).mkdir(parents=True)
    swath = write_syn(tmp_path / "made", coarse)
    shutil.copytree(swath, tmp_path / "s3" / swath.stem / swath.name)
    build_series(tmp_path / "out", sentinel2=tmp_path / "s2", sentinel3=tmp_path / "s3")
    ((_, source),) = list(open_sensors(tmp_path / "out")["sentinel3"])
    found = source.read(bands=["Oa08"])
    assert found.valid.any()
    assert abs(np.nanmedian(found.data) - np.median(coarse.select(["Oa08"]).data)) < 0.05
