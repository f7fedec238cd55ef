"""Landsat Level 2: what is read is what was made, and damage ends in one line."""

import json
import os
import re
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import rasterio

from trifuse.core import (
    BandError,
    BandSet,
    ConfigError,
    Cube,
    DataError,
    Grid,
    MetadataError,
    ProductError,
    TrifuseError,
    Window,
)
from trifuse.products import detect, inspect_product, open_cube
from trifuse.products.landsat.factory import write_landsat
from trifuse.products.landsat.metadata import LST, SR_BANDS, parse_mtl
from trifuse.products.landsat.reader import is_landsat, open_landsat
from trifuse.srf_data import load

H, W = 40, 50
NAME = "LC0{}_L2SP_193024_20240621_20240621_02_T1"


def scene() -> Cube:
    rng = np.random.default_rng(0)
    data = rng.uniform(-0.1, 0.9, (8, H, W)).astype(np.float32)
    data[7] = rng.uniform(250, 330, (H, W))
    data[7, 3:6, 3:6] = np.nan
    data[2, 20, 20] = np.nan
    data[:, 34:] = np.nan
    valid = np.isfinite(data[:7]).all(axis=0)
    valid[0, 0] = False
    bands = BandSet.of([*SR_BANDS, LST])
    return Cube(data, valid, bands, Grid.from_origin("EPSG:32633", 300000, 5800020, 30, H, W))


CUBE = scene()
CLOUD = np.zeros((H, W), bool)
CLOUD[10:15, 10:20] = True
SHADOW = np.zeros((H, W), bool)
SHADOW[16:18, 10:20] = True


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    return write_landsat(tmp_path_factory.mktemp("landsat"), CUBE, cloud=CLOUD, shadow=SHADOW)


@pytest.fixture
def folder(original, tmp_path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(original, tmp_path / original.name))


def part(folder: Path, ending: str) -> Path:
    (path,) = folder.glob(f"*{ending}")
    return path


def one_line(path: Path, kind=TrifuseError, match: str | None = None, **options) -> str:
    with pytest.raises(kind, match=match) as caught:
        open_cube(path, **options).read()
    text = str(caught.value)
    assert "\n" not in text and 10 < len(text) < 700
    return text


def counts(path: Path) -> np.ndarray:
    with rasterio.open(path) as image:
        return image.read(1)


@pytest.mark.parametrize("packing", ["folder", "tar"])
@pytest.mark.parametrize("kind", ["xml", "json", "txt"])
def test_reader_gives_back_what_was_made(tmp_path, packing, kind):
    path = write_landsat(
        tmp_path, CUBE, cloud=CLOUD, shadow=SHADOW, packing=packing, metadata=[kind], satellite=8
    )
    assert is_landsat(path) and detect(path)[0] == "landsat"
    with open_cube(path) as source:
        cube = source.read()
    assert source.name == NAME.format(8) and source.grid == CUBE.grid
    assert cube.bands.names == (*SR_BANDS, LST)
    step = np.array([2.75e-5] * 7 + [0.00341802])[:, None, None]
    assert (np.isnan(cube.data) == np.isnan(CUBE.data)).all()
    error = np.abs(cube.data.astype(np.float64) - CUBE.data)
    assert np.nanmax(error / step) < 0.51
    assert (cube.valid == (CUBE.valid & ~CLOUD & ~SHADOW)).all()
    assert source.meta["sensor"] == "L8_OLI" and source.meta["band_units"] == {"LST": "K"}
    assert source.meta["start_time"] == "2024-06-21T10:12:31.861099Z"
    assert source.meta["sun_elevation_deg"] == 55 and not source.meta["notes"]
    assert not list(tmp_path.glob(".*")), "nothing temporary is left"


def test_three_forms_of_the_metadata_say_the_same(original):
    said = [parse_mtl(part(original, f"MTL.{k}").read_bytes(), k) for k in ("xml", "json", "txt")]
    assert said[0] == said[1] == said[2]


def test_bands_are_those_of_the_satellite(original):
    source = open_landsat(original)
    oli = load("L9_OLI").select(SR_BANDS).bands
    assert source.meta["sensor"] == "L9_OLI" and source.bands[:7] == oli
    assert np.isnan(source.bands[7].centre), "temperature has no wavelength of reflectance"


def test_coefficients_come_from_the_metadata_of_level_2(tmp_path):
    path = write_landsat(tmp_path, CUBE, reflectance=(4e-5, -0.3))
    assert np.nanmax(np.abs(open_landsat(path).read().data[:7] - CUBE.data[:7])) < 2.01e-5
    text = part(path, "MTL.xml").read_text()
    assert text.count("<REFLECTANCE_MULT_BAND_1>") == 2, "Level 1 has the same name beside it"


def test_temperature_gaps_leave_reflectance_valid(original):
    source = open_landsat(original)
    assert source.read().valid[4, 4] and np.isnan(source.read().data[7, 4, 4])
    assert not source.read(bands=["LST"]).valid[4, 4]
    assert not source.read().valid[34:].any()
    every = open_landsat(original, mask="none")
    assert not every.read().valid[20, 20] and every.read(bands=["B1", "LST"]).valid[20, 20]


def test_masks(tmp_path):
    flags = np.zeros((H, W), np.uint16)
    bits = (0, 1, 2, 3, 4, 5, 6, 7)
    for bit in bits:
        flags[bit] = 1 << bit
    flags[8] = (1 << 6) | (1 << 8) | (1 << 14)  # confidences are no flags
    full = Cube(
        np.full((7, H, W), 0.2, "f4"), np.ones((H, W), bool), BandSet.of(SR_BANDS), CUBE.grid
    )
    path = write_landsat(tmp_path, full, qa=flags)

    def gone(mask) -> set[int]:
        valid = open_landsat(path, mask=mask).read().valid
        assert valid[8:].all()
        return {bit for bit in bits if not valid[bit].any()}

    assert gone("default") == {0, 1, 2, 3, 4}
    assert gone("strict") == {0, 1, 2, 3, 4, 5}
    assert gone("default,water") == {0, 1, 2, 3, 4, 7}
    assert gone("none") == set() and gone(["cloud"]) == {3}
    with pytest.raises(ConfigError, match="mask haze is unknown"):
        open_landsat(path, mask="haze")
    assert open_landsat(path).bands.names == SR_BANDS, "no temperature was made"


def test_windows_and_choices(original):
    source = open_landsat(original, bands=["b04", "B5"])
    whole, window = source.read(), Window(5, 6, 7, 8)
    piece = source.read(window, ["B5"])
    assert piece.bands.names == ("B5",) and piece.grid == whole.grid.window(window)
    np.testing.assert_array_equal(piece.data[0], whole.data[1][window.slices])
    with pytest.raises(DataError, match="leaves an image"):
        source.read(Window(0, 0, H + 1, 1))
    with pytest.raises(BandError, match="B8"):
        open_landsat(original, bands=["B8"])
    with pytest.raises(BandError):
        open_landsat(original, bands=[])
    facts = inspect_product(original)
    json.dumps(facts, allow_nan=False)
    assert facts["kind"] == "Landsat Collection 2 Level 2"


def test_every_way_to_name_a_scene(original, folder, tmp_path):
    assert open_landsat(part(original, "MTL.txt")).name == NAME.format(9)
    for path in folder.iterdir():
        path.rename(path.with_name(path.name.lower()))
    assert is_landsat(folder) and open_landsat(folder).name == NAME.format(9)
    assert not is_landsat(tmp_path / "none") and not is_landsat(part(original, "SR_B1.TIF"))


def test_all_that_is_missing_is_named_at_once(folder):
    for ending in ("SR_B3.TIF", "SR_B6.TIF", "QA_PIXEL.TIF", "MTL.xml", "MTL.json", "MTL.txt"):
        part(folder, ending).unlink()
    text = one_line(folder, ProductError, "lacks")
    assert all(w in text for w in ("SR_B3.TIF", "SR_B6.TIF", "QA_PIXEL.TIF", "MTL.xml"))


def test_what_is_not_asked_for_is_not_missed(folder):
    part(folder, "SR_B3.TIF").unlink()
    part(folder, "ST_B10.TIF").unlink()
    part(folder, "QA_PIXEL.TIF").unlink()
    source = open_landsat(folder, bands=["B4"], mask="none")
    assert source.read().valid[:34].all()
    one_line(folder, ProductError, "ST_B10", bands=["LST"])


def test_a_listed_temperature_that_is_not_there_is_noted(folder, caplog):
    part(folder, "ST_B10.TIF").unlink()
    source = open_landsat(folder)
    assert source.bands.names == SR_BANDS and "ST_B10" in source.meta["notes"][0]
    assert "ST_B10" in caplog.text


@pytest.mark.parametrize(
    ("old", "new", "kind", "match"),
    [
        (
            "<LANDSAT_METADATA_FILE>",
            "<!DOCTYPE a [<!ENTITY b 'c'>]><LANDSAT_METADATA_FILE>",
            ProductError,
            "DOCTYPE",
        ),
        ("LANDSAT_9", "LANDSAT_7", MetadataError, "LANDSAT_7"),
        ("<PROCESSING_LEVEL>L2SP", "<PROCESSING_LEVEL>L1TP", MetadataError, "L1TP"),
        (
            "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS",
            "OTHER",
            MetadataError,
            "no LEVEL2_SURFACE_REFLECTANCE_PARAMETERS/REFLECTANCE_MULT_BAND_1",
        ),
        ("<REFLECTANCE_ADD_BAND_5>-0.2<", "<REFLECTANCE_ADD_BAND_5>NaN<", MetadataError, "BAND_5"),
        ("<REFLECTANCE_MULT_BAND_2>2.75e-05<", "<REFLECTANCE_MULT_BAND_2>0<", MetadataError, "B2"),
        ("LANDSAT_METADATA_FILE", "other", MetadataError, "no Landsat MTL"),
        ("</LANDSAT_METADATA_FILE>", "", ProductError, "well-formed"),
    ],
)
def test_metadata_that_calibration_needs(folder, old, new, kind, match):
    for form in ("MTL.json", "MTL.txt"):  # they would do for a damaged one
        part(folder, form).unlink()
    path = part(folder, "MTL.xml")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    assert path.name in one_line(folder, kind, match)


def test_text_and_json_metadata_that_are_damaged(folder):
    part(folder, "MTL.xml").unlink()
    text_form = part(folder, "MTL.txt")
    text = text_form.read_text()
    text_form.unlink()
    path = part(folder, "MTL.json")
    raw = path.read_bytes()
    path.write_bytes(raw[:-9])
    one_line(folder, ProductError, "no JSON")
    path.write_text('{"a": 1}')
    one_line(folder, MetadataError, "LANDSAT_METADATA_FILE")
    path.unlink()
    path = text_form
    for wrong, match in (
        (text[: len(text) // 2], "cut short"),
        (text.replace("END_GROUP = IMAGE", "END_GROUP = X"), "not open"),
        ("", "no Landsat MTL"),
    ):
        path.write_text(wrong)
        one_line(folder, ProductError, match)
    path.write_bytes(b"GROUP = \xff\xfe")
    one_line(folder, ProductError, "UTF-8")


@pytest.mark.parametrize("keep", [0, 6, 0.5, 0.95])
def test_a_truncated_image_or_tar_is_named(folder, tmp_path, keep):
    image = part(folder, "SR_B4.TIF")
    raw = image.read_bytes()
    image.write_bytes(raw[: keep if keep > 1 else int(len(raw) * keep)])
    assert "SR_B4" in one_line(folder, ProductError)
    path = write_landsat(tmp_path / "t", CUBE, packing="tar")
    raw = path.read_bytes()
    path.write_bytes(raw[: keep if keep > 1 else int(len(raw) * keep * 0.9)])
    one_line(path, ProductError)


def test_tars_that_are_not_to_be_trusted(original, tmp_path):
    def packed(name: str, prefix: str, mode: str = "w") -> Path:
        path = tmp_path / name
        with tarfile.open(path, mode) as tar:
            for file in sorted(original.iterdir()):
                tar.add(file, prefix + file.name)
        return path

    assert open_landsat(packed("inner.tar", "scene/")).name == NAME.format(9)
    one_line(packed(f"{original.name}.tar", "../"), ProductError, "outside itself")
    one_line(packed(f"{original.name}.tar.gz", "", "w:gz"), ProductError, "compressed")
    linked = tmp_path / "linked.tar"
    with tarfile.open(linked, "w") as tar:
        for file in sorted(original.iterdir()):
            entry = tar.gettarinfo(file, file.name)
            if "SR_B1" in file.name:
                entry.type, entry.linkname, entry.size = tarfile.SYMTYPE, "/etc/hostname", 0
                tar.addfile(entry)
            else:
                with file.open("rb") as content:
                    tar.addfile(entry, content)
    one_line(linked, ProductError, "lacks SR_B1.TIF")


def test_a_tar_written_again_is_read_again(tmp_path):
    """In place, and not by what was remembered of a file of the same name."""
    for value in (0.1, 0.7):
        cube = Cube(
            np.full((7, H, W), value, "f4"), np.ones((H, W), bool), BandSet.of(SR_BANDS), CUBE.grid
        )
        path = write_landsat(
            tmp_path,
            cube,
            packing="tar",
            overwrite=True,
            metadata=["xml"] if value > 0.5 else ["txt", "xml"],
        )
        read = open_landsat(path).read().data
        assert np.abs(read - value).max() < 2e-5


def test_two_scenes_and_other_grids(folder, tmp_path):
    for path in list(folder.iterdir()):
        shutil.copy(path, folder / path.name.replace("LC09", "LC08"))
    assert "LC08" in one_line(folder, ProductError, "2 Landsat Level-2 scenes")
    for path in folder.glob("LC08*"):
        path.unlink()
    band = part(folder, "SR_B2.TIF")
    with rasterio.open(band, "r+") as image:
        image.transform = rasterio.Affine(30, 0, 300030, 0, -30, 5800020)
    assert "SR_B2" in one_line(folder, ProductError, "another grid")


def mutate(folder: Path, rng: np.random.Generator) -> None:
    """Damage one file."""
    files = sorted(p for p in folder.iterdir() if p.suffix != ".json")
    texts = [p for p in files if "MTL" in p.name]
    kind = rng.integers(0, 6)
    file = (texts if kind < 3 else files)[rng.integers(2 if kind < 3 else len(files))]
    raw = file.read_bytes()
    at = int(rng.integers(len(raw)))
    if kind == 0:
        values = [b"NaN", b"-1", b"", b"1e999", b"\xff", b"9" * 4000]
        rows = list(re.finditer(rb"(?:>|= )([-\w.\"]+)(?:<|\n)", raw))
        row = rows[rng.integers(len(rows))]
        raw = raw[: row.start(1)] + values[rng.integers(len(values))] + raw[row.end(1) :]
    elif kind in (1, 3):
        raw = raw[:at] + raw[at + rng.integers(1, 300) :]
    elif kind in (2, 4):
        raw = raw[:at] + bytes([raw[at] ^ (1 << rng.integers(8))]) + raw[at + 1 :]
    else:
        raw = raw[:at]
    file.write_bytes(raw)
    if rng.random() < 0.5 and (folder / texts[1].name).exists() and file != texts[0]:
        texts[1].unlink()


def check_mutated(original: Path, folder: Path) -> bool:
    """Whether it was refused; if not, what is read must be right in all files that are whole."""
    try:
        source = open_landsat(folder)
        cube = source.read()
    except TrifuseError as e:
        assert "\n" not in str(e) and len(str(e)) < 1000
        return True
    used, count = source.meta["calibration"], len(cube.bands)
    for i, band in enumerate(cube.bands.names):
        name = "ST_B10.TIF" if band == LST else f"SR_{band}.TIF"
        if part(folder, name).read_bytes() != part(original, name).read_bytes():
            continue
        stored = counts(part(original, name)).astype(np.float64)
        scale, offset = (np.broadcast_to(used[k], count)[i] for k in ("scale", "offset"))
        expected = np.where(stored == 0, np.nan, stored * scale + offset)
        np.testing.assert_allclose(cube.data[i], expected, rtol=2e-7, atol=1e-6)
    return False


def test_mutated_scenes_end_in_one_line_or_a_correct_read(original, tmp_path):
    refused = 0
    for seed in range(20 * int(os.environ.get("TRIFUSE_FUZZ", "1"))):
        folder = Path(shutil.copytree(original, tmp_path / f"{seed}" / original.name))
        part(folder, "MTL.json").unlink()
        mutate(folder, np.random.default_rng(seed))
        refused += check_mutated(original, folder)
    assert refused >= 3, "some damage is seen"


def test_the_real_scene_against_rasterio(data_dir):
    folder = data_dir / "5_stf" / "landsat8_l2_decimated"
    if not folder.is_dir():
        pytest.skip("the decimated Landsat-8 scene is not among the real data")
    source = open_cube(folder)
    assert source.meta["sensor"] == "L8_OLI" and source.bands.names == SR_BANDS
    assert source.meta["start_time"] == "2019-12-01T15:13:51.861099Z"
    assert source.meta["calibration"]["offset"] == -0.2, "of Level 2; Level 1 has -0.1"
    cube = source.read()
    flags = counts(part(folder, "QA_PIXEL.TIF"))
    seen = np.ones(flags.shape, bool)
    for band, plane in zip(SR_BANDS, cube.data, strict=True):
        stored = counts(part(folder, f"SR_{band}.TIF")).astype(np.float64)
        expected = np.where(stored == 0, np.nan, stored * 2.75e-5 - 0.2)
        np.testing.assert_allclose(plane, expected, atol=3e-7)
        seen &= stored != 0
    assert (cube.valid == (seen & (flags & 0b11111 == 0))).all()
    said = {
        parse_mtl(part(folder, f"MTL.{k}").read_bytes(), k).scale["B4"]
        for k in ("xml", "json", "txt")
    }
    assert said == {2.75e-5}


def test_images_without_a_coordinate_system_lie_where_the_mtl_says(tmp_path):
    scene = write_landsat(tmp_path, CUBE, metadata=("txt",))
    (mtl,) = scene.glob("*MTL.txt")
    stated = (
        '  GROUP = PROJECTION_ATTRIBUTES\n    MAP_PROJECTION = "UTM"\n    UTM_ZONE = 33\n'
        "  END_GROUP = PROJECTION_ATTRIBUTES\n  GROUP = IMAGE_ATTRIBUTES\n"
    )
    for file in scene.glob("*.TIF"):
        with rasterio.open(file) as source:
            stored, transform = source.read(), source.transform
        how = {"driver": "GTiff", "count": 1, "dtype": stored.dtype, "transform": transform}
        size = {"height": stored.shape[1], "width": stored.shape[2]}
        with rasterio.open(file, "w", **how, **size) as sink:
            sink.write(stored)
    with pytest.raises(MetadataError, match="no coordinate system, and the MTL states none"):
        open_landsat(scene)
    mtl.write_text(mtl.read_text().replace("  GROUP = IMAGE_ATTRIBUTES\n", stated))
    with open_landsat(scene) as source:
        assert source.grid == CUBE.grid and "EPSG:32633 by the MTL" in source.meta["notes"][0]
