"""Sentinel-2 L1C: reflectance at the top of the atmosphere, its masks, and what is made of it."""

import pickle
import re

import numpy as np
import pytest
import rasterio

from trifuse.core import (
    BandError,
    BandSet,
    ConfigError,
    Cube,
    Grid,
    MetadataError,
    ProductError,
    Window,
)
from trifuse.products import inspect_product, open_cube
from trifuse.products.sentinel2 import open_sentinel2, write_sentinel2_l1c, write_sentinel2_safe
from trifuse.products.sentinel2.levels import NATIVE_L1C

BANDS = tuple(NATIVE_L1C)
GRID = Grid.from_origin("EPSG:32633", 600000, 5800020, 10, 24, 36)


def make_cube():
    """Noise, each band constant over its own cells."""
    rng = np.random.default_rng(0)
    data = np.empty((13, *GRID.shape), np.float32)
    for plane, (band, gsd) in zip(data, NATIVE_L1C.items(), strict=True):
        k = gsd // 10
        low, high = (0.001, 0.004) if band == "B10" else (0.08, 0.5)
        plane[:] = np.kron(rng.uniform(low, high, (24 // k, 36 // k)), np.ones((k, k)))
    return Cube(data, np.ones(GRID.shape, bool), BandSet.of(BANDS), GRID)


CUBE = make_cube()
CLOUD = np.zeros(GRID.shape, bool)
CLOUD[6:9, 12:15] = True
CIRRUS = np.zeros(GRID.shape, bool)
CIRRUS[12:18, :6] = True


def read(path, **options):
    with open_sentinel2(path, upsampling="nearest", **options) as source:
        return source.read(), source.meta


def cells(mask):
    """A mask as MSK_CLASSI has it: cells of 60 m, back on pixels."""
    told = mask.reshape(4, 6, 6, 6).any(axis=(1, 3))
    return np.kron(told, np.ones((6, 6), bool))


@pytest.mark.parametrize("packing", ["folder", "zip"])
@pytest.mark.parametrize("baseline", ["02.04", "03.01", "04.00", "05.11"])
def test_all_thirteen_bands_come_back_as_reflectance_at_the_top(tmp_path, packing, baseline):
    path = write_sentinel2_l1c(tmp_path, CUBE, packing=packing, baseline=baseline)
    cube, meta = read(path)
    assert cube.bands.names == BANDS and cube.grid == GRID and cube.valid.all()
    assert np.abs(cube.data - CUBE.data).max() < 6e-5
    assert (meta["level"], meta["quantity"]) == ("L1C", "toa_reflectance")
    assert meta["kind"] == "Sentinel-2 L1C, TOA reflectance (SAFE)" and meta["sensor"] == "S2A_MSI"
    assert meta["calibration"]["offset"] == (-0.1 if baseline >= "04" else 0)
    assert meta["calibration"]["from"].startswith("MTD_MSIL1C.xml: (DN + RADIO_ADD_OFFSET)")
    assert meta["start_time"] == "2024-06-21T10:20:31.000Z"
    quiet = baseline >= "04"
    assert bool(meta["notes"]) is not quiet
    if not quiet:
        assert any("no MSK_QUALIT" in note for note in meta["notes"])


def test_values_are_those_of_the_files_and_the_offset_is_by_the_bands_own_number(tmp_path):
    offset = {b: -1000 - 10 * i for i, b in enumerate(BANDS)}
    path = write_sentinel2_l1c(tmp_path, CUBE, offset=offset)
    cube, _ = read(path)
    for band, plane in zip(BANDS, cube.data, strict=True):
        number = band if band == "B8A" else f"B{int(band[1:]):02d}"
        (file,) = path.glob(f"GRANULE/*/IMG_DATA/*_{number}.jp2")
        with rasterio.open(file) as image:
            stored = image.read(1).astype(float)
        k = NATIVE_L1C[band] // 10
        wanted = (np.kron(stored, np.ones((k, k))) + offset[band]) / 10000
        np.testing.assert_allclose(plane, wanted, atol=2e-7)


@pytest.mark.parametrize("baseline", ["03.01", "05.10"], ids=["polygons", "flags"])
@pytest.mark.parametrize("resolution", [10, 20, 60])
def test_clouds_and_cirrus_are_masked_by_either_form(tmp_path, baseline, resolution):
    path = write_sentinel2_l1c(tmp_path, CUBE, baseline=baseline, cloud=CLOUD, cirrus=CIRRUS)
    k = resolution // 10
    hidden = {"cloud": cells(CLOUD)[::k, ::k], "cirrus": cells(CIRRUS)[::k, ::k]}
    for mask, wanted in (
        ("default", hidden["cloud"] | hidden["cirrus"]),
        ("cloud", hidden["cloud"]),
        (["cirrus"], hidden["cirrus"]),
        ("none", np.zeros_like(hidden["cloud"])),
    ):
        cube, _ = read(path, mask=mask, resolution=resolution)
        np.testing.assert_array_equal(~cube.valid, wanted)
        assert np.isfinite(cube.data).all()
    with open_sentinel2(path) as source:
        part = Window(5, 9, 7, 11)
        np.testing.assert_array_equal(
            pickle.loads(pickle.dumps(source)).read(part).valid, source.read().valid[part.slices]
        )


def test_a_flaw_takes_the_value_of_its_band_alone(tmp_path):
    lost = np.zeros((12, 18), bool)
    lost[2, 3] = True
    snowy = np.zeros((24, 36), bool)
    snowy[0, 0] = True
    path = write_sentinel2_l1c(
        tmp_path, CUBE, flaws={"B11": {"lost": lost}, "B2": {"crosstalk": snowy}}
    )
    gone = np.kron(lost, np.ones((2, 2), bool))
    cube, _ = read(path)
    for band, plane in zip(BANDS, cube.data, strict=True):
        np.testing.assert_array_equal(np.isnan(plane), gone & (band == "B11"))
    np.testing.assert_array_equal(~cube.valid, gone)
    assert read(path, bands=["B2"])[0].valid.all()
    assert not read(path, bands=["B2"], mask="crosstalk")[0].valid[0, 0]
    assert np.isfinite(read(path, mask="none")[0].data).all()


def test_any_of_its_paths_opens_and_inspect_says_what_it_is(tmp_path):
    path = write_sentinel2_l1c(tmp_path / "a", CUBE)
    for given in (path, path.parent, path / "MTD_MSIL1C.xml"):
        with open_cube(given) as source:
            assert source.meta["level"] == "L1C"
    facts = inspect_product(path)
    assert facts["kind"] == "Sentinel-2 L1C, TOA reflectance (SAFE)"
    assert facts["meta"]["quantity"] == "toa_reflectance"
    assert {d["look"] for d in facts["doubts"]} <= {"tile"}  # made elsewhere than on its square


def test_what_is_missing_or_broken_is_one_line(tmp_path):
    path = write_sentinel2_l1c(tmp_path, CUBE)
    mtd = path / "MTD_MSIL1C.xml"
    text = mtd.read_text()
    with pytest.raises(ConfigError, match=r"cloudshadow is unknown; choose from .*cirrus"):
        open_sentinel2(path, mask="cloudshadow")
    with pytest.raises(BandError, match="B13"):
        open_sentinel2(path, bands=["B13"])
    mtd.write_text(
        re.sub("<Radiometric_Offset_List>.*</Radiometric_Offset_List>", "", text, flags=16)
    )
    with pytest.raises(MetadataError, match=r"no RADIO_ADD_OFFSET, which baseline 05\.10"):
        open_sentinel2(path)
    mtd.write_text(text.replace("Level-1C<", "Level-2A<"))
    with pytest.raises(MetadataError, match=r"Level-2A.*not Level-1C"):
        open_sentinel2(path)
    mtd.write_text(text)
    (flags,) = path.rglob("MSK_CLASSI_B00.jp2")
    flags.rename(flags.with_name("other.bin"))
    with pytest.raises(ProductError, match=r"lacks MSK_CLASSI_B00.jp2.*choose mask none"):
        open_sentinel2(path)
    assert read(path, mask="lost")[0].valid.all()


@pytest.mark.parametrize(
    ("pattern", "new", "match"),
    [
        (r"8.7:32633", "8.7:32632", "lies in EPSG:32632"),
        (r"(<gml:posList[^>]*>)[^<]*", r"\g<1>1 2 3", "polygon that is none"),
        (r"<eop:Mask ", "<!DOCTYPE x><eop:Mask ", "DOCTYPE"),
    ],
)
def test_polygons_that_are_not_to_be_trusted(tmp_path, pattern, new, match):
    path = write_sentinel2_l1c(tmp_path, CUBE, baseline="03.01", cloud=CLOUD)
    (gml,) = path.rglob("*.gml")
    gml.write_text(re.sub(pattern, new, gml.read_text(), count=1))
    with pytest.raises(ProductError, match=match):
        open_sentinel2(path)


def test_files_of_the_first_years_are_told_by_their_long_names(tmp_path):
    path = write_sentinel2_l1c(tmp_path, CUBE, baseline="02.04", cloud=CLOUD)
    old = "S2A_OPER_{}_SGS__20151231T120000_A006640_T33UUU_{}"
    for file in sorted(path.rglob("*"), key=lambda p: -len(p.parts)):
        if match := re.fullmatch(r"T33UUU_\d+T\d+_(B..)\.jp2", file.name):
            file.rename(file.with_name(old.format("MSI_L1C_TL", match[1]) + ".jp2"))
        elif file.suffix == ".gml":
            file.rename(file.with_name(old.format("MSK_CLOUDS", "B00_MSIL1C") + ".gml"))
        elif file.name == "MTD_TL.xml":
            file.rename(file.with_name(old.format("MTD_L1C_TL", "N02.04") + ".xml"))
        elif file.name == "MTD_MSIL1C.xml":
            file.rename(file.with_name("S2A_OPER_MTD_SAFL1C_PDMC_20160905T104813_R002.xml"))
    cube, meta = read(path)
    assert np.abs(cube.data - CUBE.data).max() < 6e-5
    np.testing.assert_array_equal(~cube.valid, cells(CLOUD))
    assert meta["tile"] == "33UUU" and meta["sun_elevation_deg"] == 55


def test_both_levels_beside_each_other_are_two_products(tmp_path):
    write_sentinel2_l1c(tmp_path, CUBE)
    write_sentinel2_safe(tmp_path, CUBE)
    with pytest.raises(ProductError, match="holds 2 products"):
        open_sentinel2(tmp_path)


def test_the_manifest_lists_every_file(tmp_path):
    path = write_sentinel2_l1c(tmp_path, CUBE)
    listed = set(re.findall(r'href="\./([^"]+)"', (path / "manifest.safe").read_text()))
    there = {p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()}
    assert listed == there - {"manifest.safe"}
    assert sum("IMG_DATA" in name for name in listed) == 13
