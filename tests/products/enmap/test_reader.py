import json
import logging
import pickle
import re
import shutil
import tarfile
import tempfile
import threading
import zipfile
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from trifuse.core import (
    BandError,
    BandSet,
    ConfigError,
    Cube,
    DataError,
    Grid,
    ProductError,
    Window,
)
from trifuse.products.enmap.factory import NESTINGS, write_enmap, write_enmap_order
from trifuse.products.enmap.mask import PRESETS, RULES, mask_terms
from trifuse.products.enmap.reader import is_enmap, open_enmap, open_enmap_all
from trifuse.srf_data import load

H, W = 70, 46
CENTRES = [*np.linspace(418, 993, 12), *np.linspace(902, 2445, 11)]
DETECTORS = ["VNIR"] * 12 + ["SWIR"] * 11
DEAD = "E017"


def make_cube(seed: int = 0, scale: float = 1.0) -> Cube:
    """Noise with a background wedge, values below 0 and above 1, a dead band and one hole."""
    rng = np.random.default_rng(seed)
    n = len(CENTRES)
    data = (scale * rng.uniform(-0.05, 1.3, (n, H, W))).astype(np.float32)
    rows, cols = np.mgrid[:H, :W]
    background = rows + cols < 20
    data[:, background] = np.nan
    data[16] = np.nan
    data[3, 60, 30] = np.nan
    bands = BandSet.of([f"E{i:03d}" for i in range(1, n + 1)], CENTRES, np.linspace(6, 12, n))
    grid = Grid.from_origin("EPSG:32633", 365055.0, 5807085.0, 30, H, W)
    return Cube(data, np.isfinite(data[0]), bands, grid, {"detectors": DETECTORS})


CUBE = make_cube()
CLOUD = np.zeros((H, W), bool)
CLOUD[30:38, 20:30] = True
SHADOW = np.roll(CLOUD, (10, 8), (0, 1))
EXPECTED = CUBE.valid & np.isfinite(CUBE.data[3]) & ~CLOUD & ~SHADOW


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """One delivery of each nesting."""
    root = tmp_path_factory.mktemp("enmap")
    return {n: write_enmap(root / n, CUBE, nesting=n, cloud=CLOUD, shadow=SHADOW) for n in NESTINGS}


def leftovers() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("trifuse-*"))


@pytest.mark.parametrize("nesting", NESTINGS)
def test_reads_what_was_written_in_every_nesting(scenes, nesting):
    before = leftovers()
    assert is_enmap(scenes[nesting])
    with open_enmap(scenes[nesting]) as source:
        cube = source.read()
        assert source.grid == CUBE.grid and source.bands == CUBE.bands
        assert cube.bands == CUBE.bands and cube.grid == CUBE.grid
        assert np.array_equal(np.isnan(cube.data), np.isnan(CUBE.data))
        assert np.nanmax(np.abs(cube.data - CUBE.data)) <= 0.5e-4 + 1e-7
        assert np.array_equal(cube.valid, EXPECTED)
        assert len(leftovers() - before) == (nesting == "order-tar")
    assert leftovers() <= before


@pytest.mark.parametrize("image_format", ["BSQ", "BIL", "BIP", "JPEG2000"])
@pytest.mark.parametrize("nesting", ["folder", "flat-zip"])
def test_reads_every_image_format(tmp_path, image_format, nesting):
    path = write_enmap(tmp_path, CUBE, image_format=image_format, nesting=nesting)
    cube = open_enmap(path).read(Window(5, 7, 50, 30))
    part = CUBE.crop(Window(5, 7, 50, 30))
    assert cube.grid == part.grid
    assert np.array_equal(np.isnan(cube.data), np.isnan(part.data))
    assert np.nanmax(np.abs(cube.data - part.data)) <= 0.5e-4 + 1e-7


@pytest.mark.parametrize("level", ["L2A", "L1C"])
def test_values_agree_with_an_independent_read(tmp_path, level):
    path = write_enmap(tmp_path, make_cube(scale=0.1 if level == "L1C" else 1), level=level)
    source = open_enmap(path)
    cube = source.read()
    (image,) = path.glob("*SPECTRAL_IMAGE.TIF")
    root = ElementTree.parse(next(path.glob("*METADATA.XML")))
    assert root.findtext("specific/backgroundValue") == "0"
    with rasterio.open(image) as dataset:
        stored = dataset.read()
    fill = {"L2A": -32768, "L1C": 0}[level]
    for n, row in enumerate(root.findall("specific/bandCharacterisation/bandID")):
        gain, offset = float(row.findtext("GainOfBand")), float(row.findtext("OffsetOfBand"))
        values = np.where(stored[n] == fill, np.nan, stored[n] * gain + offset)
        np.testing.assert_allclose(cube.data[n], values, rtol=1e-6, atol=1e-9)
        assert source.meta["calibration"]["gain"][n] == gain
    assert source.meta["quantity"] == {"L2A": "reflectance", "L1C": "radiance"}[level]
    assert source.meta["level"] == level


def test_l2a_zero_is_a_reflectance_even_if_the_header_calls_it_nodata(tmp_path):
    data = CUBE.data.copy()
    data[:, 50, 20] = 0
    path = write_enmap(tmp_path, Cube(data, CUBE.valid, CUBE.bands, CUBE.grid, CUBE.meta))
    (image,) = path.glob("*SPECTRAL_IMAGE.TIF")
    with rasterio.open(image, "r+") as dataset:
        dataset.nodata = 0
    cube = open_enmap(path).read()
    assert cube.valid[50, 20] and cube.data[0, 50, 20] == 0
    assert np.isnan(cube.data[:, 0, 0]).all() and not cube.valid[0, 0]


def test_l1c_says_radiance_and_keeps_half_a_step(tmp_path):
    cube = make_cube(scale=0.1)
    source = open_enmap(write_enmap(tmp_path, cube, level="L1C"))
    got = source.read()
    gain = np.array(source.meta["calibration"]["gain"])[:, None, None]
    assert source.meta["units"] == "W m-2 sr-1 nm-1"
    assert len(set(source.meta["calibration"]["gain"])) > 15
    assert np.nanmax(np.abs(got.data - cube.data) / gain) <= 0.51  # half a step and float32
    assert np.array_equal(np.isnan(got.data), np.isnan(cube.data))


def test_meta_is_plain_and_complete(scenes):
    meta = open_enmap(scenes["folder"]).meta
    json.dumps(meta, allow_nan=False)
    assert meta["sensor"] == "ENMAP" and meta["product_id"] == scenes["folder"].name
    assert meta["detectors"] == DETECTORS
    assert [n for n, ok in enumerate(meta["usable"]) if not ok] == [16]
    assert meta["start_time"].startswith("2022-06-21T10:20:00")
    assert meta["sun_elevation_deg"] == 55.0
    imaged = np.isfinite(CUBE.data[0])
    assert meta["cloud_cover_pct"] == round(100 * CLOUD[imaged].mean())
    assert meta["mask"] == list(PRESETS["default"])
    assert meta["missing_layers"] == [] and meta["notes"] == []


def test_detectors_come_from_the_channel_lists_also_when_they_interleave(tmp_path):
    order = np.argsort(CENTRES)
    bands = CUBE.bands.select([int(i) for i in order])
    bands = BandSet.of(CUBE.bands.names, bands.centres, bands.fwhms)
    detectors = [DETECTORS[i] for i in order]
    assert detectors != sorted(detectors, reverse=True)
    cube = Cube(CUBE.data, CUBE.valid, bands, CUBE.grid, {"detectors": detectors})
    source = open_enmap(write_enmap(tmp_path, cube))
    assert source.meta["detectors"] == detectors
    part = source.read(bands=["E010", "E002"])
    assert part.meta["detectors"] == [detectors[9], detectors[1]]


def test_dead_bands_are_nan_and_leave_valid_alone(tmp_path):
    path = write_enmap(tmp_path, CUBE, dead=["E005"])
    source = open_enmap(path)
    assert [n for n, ok in enumerate(source.meta["usable"]) if not ok] == [4, 16]
    cube = source.read(bands=["E005", "E001", DEAD])
    assert np.isnan(cube.data[[0, 2]]).all()
    assert np.array_equal(cube.valid, CUBE.valid)
    assert not source.read(bands=["E005"]).valid.any()


def test_a_band_of_fill_is_dead_even_if_the_statistics_deny_it(tmp_path):
    path = write_enmap(tmp_path, CUBE)
    (xml,) = path.glob("*METADATA.XML")
    xml.write_text(xml.read_text().replace("-1000000.0", "0.25"))
    source = open_enmap(path)
    assert [n for n, ok in enumerate(source.meta["usable"]) if not ok] == [16]


def test_a_constant_band_is_not_dead(tmp_path):
    data = CUBE.data.copy()
    data[2] = 0.25
    cube = Cube(data, CUBE.valid, CUBE.bands, CUBE.grid, CUBE.meta)
    source = open_enmap(write_enmap(tmp_path, cube))
    assert source.meta["usable"][2]


def test_a_pixel_missing_in_one_band_is_valid_for_the_others(scenes):
    source = open_enmap(scenes["folder"])
    assert not source.read(bands=["E003", "E004"]).valid[60, 30]
    assert source.read(bands=["E003", "E005"]).valid[60, 30]


FLAGS = {
    "water": ("CLASSES", 2),
    "land": ("CLASSES", 1),
    "background": ("CLASSES", 0),
    "cloud": ("CLOUD", 1),
    "cloudshadow": ("CLOUDSHADOW", 1),
    "haze": ("HAZE", 1),
    "snow": ("SNOW", 1),
    "cirrus": ("CIRRUS", 2),
    "thincirrus": ("CIRRUS", 1),
}


@pytest.mark.parametrize("term", sorted(FLAGS))
def test_each_mask_term_takes_out_its_value(tmp_path, term):
    layer, value = FLAGS[term]
    other = {"land": 2}.get(term, 1 if layer == "CLASSES" else 0)
    values = np.full((H, W), other, np.uint8)
    values[50:60, 10:20] = value
    path = write_enmap(tmp_path, CUBE, layers={layer: values})
    valid = open_enmap(path, mask=term).read(bands=["E001"]).valid
    assert np.array_equal(valid, CUBE.valid & (values == other))
    assert np.array_equal(open_enmap(path, mask="none").read(bands=["E001"]).valid, CUBE.valid)


def test_the_default_mask_is_the_documented_one(tmp_path):
    rng = np.random.default_rng(5)
    layers = {
        "CLASSES": rng.integers(0, 4, (H, W)), "CLOUD": rng.integers(0, 2, (H, W)),
        "CLOUDSHADOW": rng.integers(0, 2, (H, W)), "CIRRUS": rng.integers(0, 4, (H, W)),
        "TESTFLAGS": rng.choice([0, 1, 2, 4, 8, 16, 32, 64, 128], (H, W)),
        "HAZE": rng.integers(0, 2, (H, W)), "SNOW": rng.integers(0, 2, (H, W)),
    }  # fmt: skip
    got = open_enmap(write_enmap(tmp_path, CUBE, layers=layers)).read(bands=["E001", "E020"])
    expected = (
        np.isin(layers["CLASSES"], [1, 2])
        & (layers["CLOUD"] == 0)
        & (layers["CLOUDSHADOW"] == 0)
        & (layers["CIRRUS"] < 2)
        & ((layers["TESTFLAGS"] & 0b11110000) == 0)
        & CUBE.valid
    )
    assert 0 < expected.sum() < expected.size
    assert np.array_equal(got.valid, expected)


def test_test_flags_count_for_the_detectors_in_use(tmp_path):
    flags = np.zeros((H, W), np.uint8)
    flags[40, :8] = 1 << np.arange(8)
    path = write_enmap(tmp_path, CUBE, layers={"TESTFLAGS": flags})
    vnir, swir = ["E001"], ["E020"]

    def out(mask, bands):
        valid = open_enmap(path, mask=mask).read(bands=bands).valid[40, :8]
        return np.flatnonzero(~valid).tolist()

    assert out("saturated", vnir) == [5] and out("saturated", swir) == [4]
    assert out("artefact", vnir) == [7] and out("artefact", swir) == [6]
    assert out("interpolated", vnir) == [3] and out("interpolated", vnir + swir) == [2, 3]
    assert out("lowquality", vnir) == [1]
    assert out("default", vnir + swir) == [4, 5, 6, 7]


def test_the_pixel_mask_counts_per_band(tmp_path):
    defective = np.zeros(CUBE.shape, np.uint8)
    defective[5, 50, 20] = 1
    source = open_enmap(write_enmap(tmp_path, CUBE, layers={"PIXELMASK": defective}), mask="strict")
    assert not source.read(bands=["E006", "E001"]).valid[50, 20]
    assert source.read(bands=["E007", "E001"]).valid[50, 20]


def test_masks_combine_and_unknown_ones_are_named():
    assert mask_terms("default, SNOW") == (*PRESETS["default"], "snow")
    assert mask_terms(["snow", "default", "snow"])[0] == "snow"
    assert mask_terms("none") == () and set(PRESETS["strict"]) <= set(RULES)
    with pytest.raises(ConfigError, match=r"fog.*choose from default"):
        mask_terms("default,fog")


def test_missing_layers_are_named_once_and_the_rest_still_masks(tmp_path, caplog):
    path = write_enmap(tmp_path, CUBE, cloud=CLOUD, shadow=SHADOW, leave_out=["CLOUD", "TESTFLAGS"])
    with caplog.at_level(logging.WARNING, "trifuse"):
        source = open_enmap(path)
    assert source.meta["missing_layers"] == ["QUALITY_CLOUD", "QUALITY_TESTFLAGS"]
    assert source.meta["undelivered"] == []  # METADATA.XML does not list them either
    assert len(caplog.records) == 1
    assert "QL_QUALITY_CLOUD, QL_QUALITY_TESTFLAGS" in caplog.text and "saturated" in caplog.text
    assert np.array_equal(source.read(bands=["E001"]).valid, CUBE.valid & ~SHADOW)
    caplog.clear()
    next(path.glob("*QL_QUALITY_SNOW.TIF")).unlink()
    assert open_enmap(path, mask="cloudshadow").meta["undelivered"] == ["QL_QUALITY_SNOW"]
    assert not caplog.records


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_any_window_of_any_bands_is_a_part_of_the_whole(scenes, data):
    row, col = data.draw(st.integers(0, H - 1)), data.draw(st.integers(0, W - 1))
    window = Window(
        row, col, data.draw(st.integers(1, H - row)), data.draw(st.integers(1, W - col))
    )
    names = data.draw(st.lists(st.sampled_from(CUBE.bands.names), min_size=1, unique=True))
    nesting = data.draw(st.sampled_from(["folder", "zip"]))
    source = open_enmap(scenes[nesting])
    part, whole = source.read(window, names), source.read(bands=names).crop(window)
    assert np.array_equal(part.data, whole.data, equal_nan=True)
    assert np.array_equal(part.valid, whole.valid)
    assert part.bands.names == tuple(names) and part.grid == CUBE.grid.window(window)


def test_windows_and_bands_that_are_not_there(scenes):
    source = open_enmap(scenes["folder"])
    for window in (Window(0, 0, H + 1, W), Window(-1, 0, 2, 2), Window(0, 0, 0, 3)):
        with pytest.raises(DataError):
            source.read(window)
    with pytest.raises(BandError, match="E999"):
        source.read(bands=["E999"])


def read_in_child(source):
    cube = source.read(Window(20, 10, 20, 20))
    source.close()
    return cube.data


@pytest.mark.parametrize("nesting", ["folder", "zip", "order-tar"])
def test_sources_travel_to_other_processes(scenes, nesting):
    source = open_enmap(scenes[nesting])
    expected = source.read(Window(20, 10, 20, 20)).data
    with get_context("fork").Pool(1) as pool:
        assert np.array_equal(pool.apply(read_in_child, [source]), expected, equal_nan=True)
    copy = pickle.loads(pickle.dumps(source))
    source.close()
    del source
    assert np.array_equal(read_in_child(copy), expected, equal_nan=True)


def test_threads_read_at_the_same_time(scenes):
    source = open_enmap(scenes["zip"])
    expected = source.read().data
    wrong = []

    def work(row):
        for _ in range(5):
            got = source.read(Window(row, 0, 10, W)).data
            if not np.array_equal(got, expected[:, row : row + 10], equal_nan=True):
                wrong.append(row)

    threads = [threading.Thread(target=work, args=(row,)) for row in range(0, 60, 15)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    source.close()
    assert np.array_equal(source.read().data, expected, equal_nan=True)


def test_an_order_with_several_scenes(tmp_path):
    zips = []
    for tile, start in ((2, 21), (1, 20)):
        zips.append(
            write_enmap(
                tmp_path,
                make_cube(tile),
                tile=tile,
                nesting="zip",
                cloud=CLOUD,
                start=datetime(2022, 7, 24, 10, 45, start, tzinfo=UTC),
            )
        )
    order = write_enmap_order(tmp_path / "dims_op_oc_oc-en_700_1.tar.gz", zips)
    sources = open_enmap_all(order)
    assert [s.name for s in sources] == sorted(p.stem for p in zips)
    for source, tile in zip(sources, (1, 2), strict=True):
        assert np.nanmax(np.abs(source.read().data - make_cube(tile).data)) < 0.51e-4
    with pytest.raises(ProductError, match=r"holds 2 scenes: ENMAP01.*_001_.*_002_"):
        open_enmap(order)
    one = open_enmap(order, scene="_002_")
    assert one.name == sources[1].name
    with pytest.raises(ProductError, match="holds 0 scenes named like 'nowhere'"):
        open_enmap(order, scene="nowhere")
    unpacked = tmp_path / "unpacked"
    with tarfile.open(order) as tar:
        tar.extractall(unpacked, filter="data")
    assert [s.name for s in open_enmap_all(unpacked)] == [s.name for s in sources]
    copy = pickle.loads(pickle.dumps(one))
    expected = one.read().data
    for source in (*sources, one):
        source.close()
    del sources, one, source
    assert np.array_equal(copy.read().data, expected, equal_nan=True)


def test_an_order_of_plain_files_and_many_flat_scenes(tmp_path, scenes):
    order = tmp_path / "order.tar"
    with tarfile.open(order, "w") as tar:
        tar.add(scenes["folder"], arcname=f"x/{scenes['folder'].name}")
    source = open_enmap(order)
    expected = source.read().data
    copy = pickle.loads(pickle.dumps(source))
    source.close()
    del source
    assert np.array_equal(copy.read().data, expected, equal_nan=True)
    flat = tmp_path / "flat"
    shutil.copytree(scenes["cog"], flat)
    other = write_enmap(tmp_path, make_cube(3), nesting="cog", tile=2)
    for file in other.iterdir():
        shutil.copy(file, flat)
    names = [s.name for s in open_enmap_all(flat)]
    assert len(names) == 2 and "_001_" in names[0] and "_002_" in names[1]


def test_a_single_file_of_a_delivery_opens_it(scenes):
    for pattern in ("*METADATA.XML", "*SPECTRAL_IMAGE.TIF"):
        (path,) = scenes["folder"].glob(pattern)
        assert is_enmap(path)
        assert open_enmap(path).name == scenes["folder"].name


def test_names_match_in_any_case(tmp_path, scenes):
    lower = tmp_path / "enmap"
    lower.mkdir()
    for file in scenes["folder"].iterdir():
        shutil.copy(file, lower / file.name.lower())
    assert is_enmap(lower)
    source = open_enmap(lower)
    assert np.array_equal(source.read().valid, EXPECTED)
    path = tmp_path / "some.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in lower.iterdir():
            archive.write(file, f"deep/er/{file.name}")
    assert np.array_equal(open_enmap(path).read().valid, EXPECTED)


def test_other_things_are_not_enmap(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"no zip")
    (tmp_path / "a.tar.gz").write_bytes(b"no tar")
    (tmp_path / "a.tif").write_bytes(b"")
    for path in (*tmp_path.iterdir(), tmp_path, tmp_path / "none"):
        assert not is_enmap(path)


def test_a_folder_is_judged_by_what_lies_in_it(tmp_path, scenes):
    results = tmp_path / scenes["folder"].name
    results.mkdir()
    (results / f"{results.name}-fused.tif").write_bytes(b"x")
    assert not is_enmap(results) and not is_enmap(results / f"{results.name}-fused.tif")
    shutil.copy(next(scenes["folder"].glob("*METADATA.XML")), results)
    assert is_enmap(results)  # an incomplete delivery, which opening then names
    desis = tmp_path / "desis"
    desis.mkdir()
    for ending in ("METADATA.xml", "SPECTRAL_IMAGE.tif"):
        (desis / f"DESIS-HSI-L2A-DT0884573241_001-20200601T090603-V0210-{ending}").write_bytes(b"x")
    assert not is_enmap(desis)


def test_real_samples_of_other_kinds_are_not_enmap_deliveries(data_dir):
    for folder in ("1_enmap/potsdam_L2A_real/tiles", "5_stf/landsat8_l2_decimated", "2_srf"):
        assert not is_enmap(data_dir / folder)


def test_an_image_of_another_size_than_stated_is_noted(tmp_path, caplog):
    path = write_enmap(tmp_path, CUBE)
    (xml,) = path.glob("*METADATA.XML")
    xml.write_text(xml.read_text().replace("<widthOfOrthoScene>46", "<widthOfOrthoScene>47"))
    source = open_enmap(path)
    assert source.meta["notes"] == ["image is 70×46, METADATA.XML states 70×47"]
    assert "70×47" in caplog.text


def test_the_stated_projection_serves_where_the_image_has_none(tmp_path):
    path = write_enmap(tmp_path, CUBE)
    (image,) = path.glob("*SPECTRAL_IMAGE.TIF")
    with rasterio.open(image) as dataset:
        profile, stored = dataset.profile, dataset.read()
    image.unlink()
    with rasterio.open(image, "w", **{**profile, "crs": None}) as dataset:
        dataset.write(stored)
    assert open_enmap(path).grid == CUBE.grid


def _edited(product: Path, old: str, new: str) -> Path:
    (file,) = product.glob("*METADATA.XML")
    text = file.read_text()
    assert re.search(old, text)
    file.write_text(re.sub(old, new, text))
    return product


@pytest.mark.parametrize(
    ("mode", "quantity", "said"),
    [
        ("Land_Mode", "reflectance", False),
        ("Water_Mode", "water_leaving_reflectance", True),
        ("Combined_Mode", "reflectance", True),
    ],
)
def test_what_was_corrected_for_water_is_no_surface_reflectance(tmp_path, mode, quantity, said):
    path = _edited(write_enmap(tmp_path, CUBE), "Land_Mode", mode)
    with open_enmap(path) as source:
        assert source.meta["quantity"] == quantity
        assert any("water-leaving" in n for n in source.meta["notes"]) == said


def _as_enpt_writes(folder, centres, detectors):
    """A cube of some of the 224 bands, its METADATA.XML with the channel lists of all."""
    n = len(centres)
    names = [f"E{i + 1:03d}" for i in range(n)]
    bands = BandSet.of(names, list(map(float, centres)), [9.0] * n)
    grid = Grid.from_origin("EPSG:32632", 600000, 5400000, 30, 8, 9)
    data = np.linspace(0.05, 0.5, n * 72).reshape(n, 8, 9).astype(np.float32)
    cube = Cube(data, np.ones((8, 9), bool), bands, grid, {"detectors": list(detectors)})
    path = write_enmap(folder, cube)
    lists = iter([",".join(map(str, range(1, 92))), ",".join(map(str, range(92, 225)))])
    (file,) = path.glob("*METADATA.XML")
    changed = re.sub(
        r"(<expectedChannelsList>)[^<]*", lambda m: m[1] + next(lists), file.read_text()
    )
    file.write_text(changed)
    return path, data


KEPT = {
    "swir_only": lambda vnir, swir: (vnir[vnir < swir[0]], swir),
    "vnir_only": lambda vnir, swir: (vnir, swir[swir > vnir[-1]]),
    "no water vapour": lambda vnir, swir: (vnir, swir[(swir < 1358) | (swir > 1453)]),
    "all": lambda vnir, swir: (vnir, swir),
}


@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize("by_wavelength", [False, True], ids=["detectors", "wavelengths"])
def test_detectors_of_cubes_written_anew_are_told_by_wavelength(tmp_path, kept, by_wavelength):
    centres = np.array(load("ENMAP").bands.centres)
    vnir, swir = KEPT[kept](centres[:91], centres[91:])
    centres = np.r_[vnir, swir]
    detectors = np.array(["VNIR"] * len(vnir) + ["SWIR"] * len(swir))
    if by_wavelength:
        order = np.argsort(centres)
        centres, detectors = centres[order], detectors[order]
    path, data = _as_enpt_writes(tmp_path, centres, detectors)
    with open_enmap(path) as source:
        assert source.meta["detectors"] == list(detectors)
        notes = [n for n in source.meta["notes"] if "told by the wavelengths" in n]
        assert len(notes) == (0 if kept == "all" and not by_wavelength else 1)
        assert np.abs(source.read().data - data).max() < 6e-5
