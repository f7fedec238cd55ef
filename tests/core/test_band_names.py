"""Names in use, each told for what it is; and those that fit two bands."""

import math
import re

import pytest

from trifuse.core import BandError, BandSet
from trifuse.core.band_names import (
    CENTRES,
    LANDSAT,
    SENTINEL2,
    WIDTHS,
    band_of_file,
    by_wavelength,
    known_name,
    listed,
    name_bands,
    wavelength_in,
)
from trifuse.srf_data import load

HABITS = {
    "numbers": "B1 B2 B3 B4 B5 B6 B7 B8 B8A B9 B10 B11 B12",
    "two digits": "B01 B02 B03 B04 B05 B06 B07 B08 B08A B09 B10 B11 B12",
    "small letters": "b01 b02 b03 b04 b05 b06 b07 b08 b8a b09 b10 b11 b12",
    "Earth Search": "coastal blue green red rededge1 rededge2 rededge3 nir nir08 nir09 cirrus "
    "swir16 swir22",
    "STAC 2": "coastal blue green red rededge071 rededge075 rededge078 nir nir08 nir09 "
    "cirrus swir16 swir22",
    "capitals": "Coastal Blue Green Red RedEdge1 RedEdge2 RedEdge3 NIR NIR08 NIR09 Cirrus SWIR1 "
    "SWIR2",
    "metres": "B01_60m B02_10m B03_10m B04_10m B05_20m B06_20m B07_20m B08_10m B8A_20m B09_60m "
    "B10_60m B11_20m B12_20m",
    "surface": "SR_B1 SR_B2 SR_B3 SR_B4 SR_B5 SR_B6 SR_B7 SR_B8 SR_B8A SR_B9 SR_B10 SR_B11 SR_B12",
    "reducers": "B1_median B2_median B3_median B4_median B5_median B6_median B7_median B8_median "
    "B8A_median B9_median B10_median B11_median B12_median",
}
WORDS = {
    "FORCE": (
        ["BLUE", "GREEN", "RED", "REDEDGE1", "REDEDGE2", "REDEDGE3", "BROADNIR", "NIR", "SWIR1"],
        ["B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11"],
    ),
    "Earth Engine": (
        ["Aerosols", "Red Edge 1", "Red Edge 4", "NIR", "Water vapor", "SWIR 1", "SWIR 2"],
        ["B1", "B5", "B8A", "B8", "B9", "B11", "B12"],
    ),
    "Digital Earth Australia": (
        ["nbart_red", "nbart_red_edge_2", "nbart_nir_1", "nbart_nir_2", "nbart_swir_2",
         "nbart_swir_3"],
        ["B4", "B6", "B8", "B8A", "B11", "B12"],
    ),
    "Digital Earth Africa": (
        ["red_edge_3", "nir", "nir_narrow", "swir_1", "swir_2"],
        ["B7", "B8", "B8A", "B11", "B12"],
    ),
    "GDAL": (
        ["B2, central wavelength 490 nm", "B8A, central wavelength 865 nm"],
        ["B2", "B8A"],
    ),
    "with a mask": (["B04", "B08", "SCL", "dataMask"], ["B4", "B8", "SCL", "dataMask"]),
}  # fmt: skip


@pytest.mark.parametrize("habit", HABITS)
def test_habits_that_name_all_bands(habit):
    found = name_bands(HABITS[habit].split())
    assert found.names == tuple(SENTINEL2) and found.sensor == "sentinel2"


@pytest.mark.parametrize("habit", WORDS)
def test_habits_that_name_some(habit):
    names, bands = WORDS[habit]
    assert name_bands(names).names == tuple(bands)


@pytest.mark.parametrize(
    ("names", "how", "bands"),
    [
        ("SR_B1 SR_B2 SR_B3 SR_B4 SR_B5 SR_B6 SR_B7", {}, "B1 B2 B3 B4 B5 B6 B7"),
        ("SR_B4 SR_B5 ST_B10", {}, "B4 B5 ST_B10"),
        ("coastal blue green red nir08 swir16 swir22 lwir11", {}, "B1 B2 B3 B4 B5 B6 B7 lwir11"),
        ("coastal blue green red nir08 swir16 swir22", {"gsd": 30.0}, "B1 B2 B3 B4 B5 B6 B7"),
    ],
)
def test_landsat_is_told_from_sentinel2(names, how, bands):
    found = name_bands(names.split(), **how)
    assert found.names == tuple(bands.split()) and found.sensor == "landsat"


def test_a_name_of_landsat_in_a_stack_of_sentinel2_is_of_sentinel2():
    assert name_bands(["B2", "B3", "SR_B4", "B8A"]).names == ("B2", "B3", "B4", "B8A")
    assert name_bands(["SR_B4", "SR_B5", "SR_B11"]).sensor == "sentinel2"


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["B8", "nir", "red"], "B8 and nir are both Sentinel-2's B8"),
        (["B04", "red", "B08"], "B04 and red are both Sentinel-2's B4"),
        (["SR_B4", "SR_B5", "red"], "SR_B4 and red are both Landsat's B4"),
        (["nir08", "B8A", "B4"], "nir08 and B8A are both Sentinel-2's B8A"),
        (["B8", "broadnir", "nir"], "B8 and broadnir are both Sentinel-2's B8"),
    ],
)
def test_two_names_of_one_band_are_told_in_one_line(names, words):
    with pytest.raises(BandError, match=re.escape(words)) as told:
        name_bands(names, where="x.tif")
    assert str(told.value).startswith("x.tif: ") and "--bands" in str(told.value)
    assert told.value.exit_code == 10 and "\n" not in str(told.value)


@pytest.mark.parametrize(
    "names",
    [
        ["red"],
        ["red", "E001"],
        ["20230101_B4", "20230201_B4"],
        ["coastal", "blue", "green", "yellow", "red", "rededge", "nir1", "nir2"],
        ["blue", "green", "red", "rededge", "nir"],
        [f"B{i}" for i in range(1, 225)],
        ["Oa08", "Oa17", "S3", "S5"],
        ["Band 1", "Band 2"],
        ["B4_stdDev", "B8_stdDev"],
        ["NDVI", "LST"],
        ["SR_B1", "SR_B2", "SR_B3", "SR_B4", "SR_B5", "SR_B7"],
        ["SR_B3", "SR_B4", "ST_B6"],
        ["sur_refl_b01", "sur_refl_b02"],
        ["MOD09GA_B01", "MOD09GA_B02"],
    ],
)
def test_what_is_not_known_stays_as_it_is(names):
    assert name_bands(names).names == tuple(names)


def test_wavelengths_have_a_say():
    nir = name_bands(["blue", "green", "red", "nir"], [490, 560, 665, 865], [65, 35, 30, 20])
    assert nir.names[-1] == "B8A"
    planet = ["blue", "green", "red", "nir"]
    assert name_bands(planet, [490, 531, 665, 865]).names == tuple(planet)
    oli = load("L8_OLI").select(["B2", "B4", "B5"]).bands
    assert name_bands(["B2", "B4", "B5"], oli.centres).sensor == ""


@pytest.mark.parametrize("table", ["S2A_MSI", "S2B_MSI", "S2C_MSI"])
def test_bands_are_known_by_their_centres(table):
    bands = load(table).bands
    assert by_wavelength(bands.centres, bands.fwhms) == bands.names
    rounded = [443, 490, 560, 665, 705, 740, 783, 842, 865, 945, 1375, 1610, 2190]
    assert by_wavelength(rounded) == tuple(SENTINEL2)


@pytest.mark.parametrize("table", ["L8_OLI", "S3A_OLCI", "ENMAP"])
def test_bands_of_others_are_not(table):
    bands = load(table).bands
    assert by_wavelength(bands.centres, bands.fwhms) == ()
    assert by_wavelength([490, 491]) == by_wavelength([665]) == by_wavelength([math.nan] * 3) == ()


@pytest.mark.parametrize(
    ("name", "nm"),
    [
        ("band 1 (0.455400 Micrometers)", 455.4),
        ("Band 12 (2190 Nanometers)", 2190.0),
        ("B2, central wavelength 490 nm", 490.0),
        ("0.665 um", 665.0),
        ("865.5nm", 865.5),
        ("B02_10m", math.nan),
        ("nir", math.nan),
    ],
)
def test_wavelengths_within_names(name, nm):
    found = wavelength_in(name)
    assert found == nm or (math.isnan(nm) and math.isnan(found))


@pytest.mark.parametrize(
    ("file", "label"),
    [
        ("T33UUU_20230912T101031_B02_10m.jp2", "B02"),
        ("S2A_33UUU_20230912_0_L2A_B8A.tif", "B8A"),
        ("2023-09-12-00:00_2023-09-12-23:59_Sentinel-2_L2A_B04_(Raw).tiff", "B04"),
        ("HLS.S30.T33UUU.2023255T101031.v2.0.B8A.tif", "B8A"),
        ("HLS.L30.T33UUU.2023255T101031.v2.0.B05.tif", "SR_B05"),
        ("LC08_L2SP_193024_20220601_20220602_02_T1_SR_B4.TIF", "SR_B4"),
        ("SENTINEL2A_20230912-101_L2A_T33UUU_D_V3-1_FRE_B8A.tif", "B8A"),
        ("scene_red_edge_1.tif", "red_edge_1"),
        ("red.tif", "red"),
        ("B02_10m.jp2", "B02"),
        ("T33UUU_20230912T101031_SCL_20m.jp2", ""),
        ("infrared.tif", ""),
        ("scene.tif", ""),
        ("t0.tif", ""),
        ("LE07_L2SP_193024_20020601_20200916_02_T1_SR_B4.TIF", ""),
        ("MOD09A1.A2023001.h18v03.061.sur_refl_b01.tif", ""),
    ],
)
def test_files_named_after_their_band(file, label):
    assert band_of_file(file) == label


def test_words_find_bands_that_are_called_by_number():
    bands = BandSet.of(["B2", "B4", "B8A"])
    assert bands.indices(["red", "nir08", "Blue"]) == [1, 2, 0]
    assert BandSet.of(["red", "B4"]).index("red") == 0
    with pytest.raises(BandError, match="no band 'nir' among B2, B4, B8A"):
        bands.index("nir")


def test_bands_without_wavelengths_are_found_by_their_names():
    bands = BandSet.of(["B02", "B4", "B8A", "Oa08"])
    assert [bands.nearest(nm, 5) for nm in (490, 665, 865)] == [0, 1, 2]
    with pytest.raises(BandError):
        bands.nearest(560, 25)
    measured = BandSet.of(["B4", "other"], [500, 664])
    assert measured.nearest(665) == 1


def test_many_names_are_not_all_told():
    bands = BandSet.of([f"E{i:03d}" for i in range(1, 225)], range(400, 624))
    for ask in (
        lambda: bands.index("B4"),
        lambda: bands.indices(["B4"]),
        lambda: bands.nearest(5000, 10),
    ):
        with pytest.raises(BandError) as told:
            ask()
        assert len(str(told.value)) < 200 and "(224 bands)" in str(told.value)
    assert "224 bands (E001" in bands.differences(BandSet.of(["B1"]))[0]
    assert listed(["a", "b"]) == "a, b"


def test_the_tables_know_the_same_bands():
    assert set(SENTINEL2) == set(CENTRES) == set(WIDTHS)
    for table in (SENTINEL2, LANDSAT):
        words = [w for spellings in table.values() for w in spellings]
        assert len(words) == len(set(words))
    assert all(known_name(w) == b for b, words in SENTINEL2.items() for w in words)
    measured = load("S2A_MSI").bands
    for band in measured:
        assert CENTRES[band.name][0] <= band.centre <= CENTRES[band.name][1]
        assert WIDTHS[band.name][0] <= band.fwhm <= WIDTHS[band.name][1]


def rows(text, heading):
    """Cells of the table below a line."""
    lines = text[text.index(heading) :].splitlines()[2:]
    for line in lines:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


def test_the_page_on_formats_tells_the_table(repository):
    text = (repository / "docs/formats.md").read_text()
    told = {band: (words, nm, landsat) for band, words, nm, landsat in rows(text, "| band | words")}
    assert list(told) == list(SENTINEL2)
    for band, (words, nm, landsat) in told.items():
        assert tuple(re.findall("`([^`]+)`", words)) == SENTINEL2[band]
        low, high = CENTRES[band]
        assert nm == f"{low:g} to {high:g}"
        theirs = [b for b, spelled in LANDSAT.items() if set(spelled) & set(SENTINEL2[band])]
        assert landsat == (f"`SR_{theirs[0]}`" if theirs else "")


def test_the_habits_on_that_page_are_read_as_it_says(repository):
    text = (repository / "docs/formats.md").read_text()
    found = list(rows(text, "| habit | names"))
    for habit, names, read in found:
        written = names.strip("`").split()
        bands = re.fullmatch("`([^`]+)`( of Landsat)?", read)
        if all("_B" in n or ".B" in n for n in written if "ST_" not in n) and "SR_" not in names:
            written = [band_of_file(f"{n}.tif") for n in written]
        result = name_bands(written)
        assert result.names == tuple(bands[1].split()), habit
        assert result.sensor == ("landsat" if bands[2] else "sentinel2"), habit
    assert len(found) > 10
