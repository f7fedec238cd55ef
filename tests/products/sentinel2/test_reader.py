"""Sentinel-2 L2A: what is read is what was made, and what an independent read gives by hand."""

import json
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio

from trifuse.core import BandError, BandSet, ConfigError, Cube, DataError, Grid, Window, upsample
from trifuse.products import detect, inspect_product, open_cube, write_quicklook
from trifuse.products.sentinel2.factory import write_sentinel2_cogs, write_sentinel2_safe
from trifuse.products.sentinel2.levels import NATIVE
from trifuse.products.sentinel2.reader import is_sentinel2, open_sentinel2
from trifuse.srf_data import S2_L2A, load

H, W = 48, 36
HALF_COUNT = 5.01e-5  # and the rounding of float32
GRID = Grid.from_origin("EPSG:32633", 300000, 5800020, 10, H, W)
NAME = "S2{}_MSIL2A_20240621T102031_N{}_R122_T33UUU_20240622T000000"


def scene(seed: int = 0) -> Cube:
    """Each band constant over its own cells, so that means over them lose nothing."""
    rng = np.random.default_rng(seed)
    data = np.empty((12, H, W), np.float32)
    for plane, band in zip(data, S2_L2A, strict=True):
        k = NATIVE[band] // 10
        plane[:] = np.kron(rng.uniform(0.001, 0.9, (H // k, W // k)), np.ones((k, k)))
    valid = np.ones((H, W), bool)
    valid[20:26, 10:14] = False
    return Cube(data, valid, BandSet.of(S2_L2A), GRID)


CUBE = scene()
CLOUD = np.zeros((H, W), bool)
CLOUD[0:6, 0:12] = True
SHADOW = np.zeros((H, W), bool)
SHADOW[40:44, 2:8] = True


@pytest.fixture(scope="module")
def safe(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("safe")
    return write_sentinel2_safe(folder, CUBE, cloud=CLOUD, shadow=SHADOW)


@pytest.fixture
def damaged(safe, tmp_path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(safe, tmp_path / safe.name))


def part(safe: Path, pattern: str) -> Path:
    (path,) = safe.rglob(pattern)
    return path


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def counts(path: Path) -> np.ndarray:
    """Counts by rasterio alone."""
    with rasterio.open(path) as image:
        return image.read(1)


@pytest.mark.parametrize("packing", ["folder", "zip"])
@pytest.mark.parametrize(("baseline", "offset"), [("05.10", -0.1), ("02.14", 0.0)])
def test_reader_gives_back_what_was_made(tmp_path, packing, baseline, offset):
    path = write_sentinel2_safe(
        tmp_path, CUBE, baseline=baseline, packing=packing, cloud=CLOUD, shadow=SHADOW
    )
    assert path.name.startswith(NAME.format("A", baseline.replace(".", "")))
    assert is_sentinel2(path) and detect(path)[0] == "sentinel2"
    with open_cube(path, upsampling="nearest") as source:
        cube = source.read()
    assert source.name == NAME.format("A", baseline.replace(".", ""))
    assert source.grid == GRID and source.bands.names == S2_L2A
    assert np.abs(cube.data - CUBE.data).max() < HALF_COUNT
    assert (cube.valid == (CUBE.valid & ~CLOUD & ~SHADOW)).all()
    meta = source.meta
    assert meta["calibration"]["scale"] == 1e-4 and meta["calibration"]["offset"] == offset
    assert (meta["sensor"], meta["tile"], meta["baseline"]) == ("S2A_MSI", "33UUU", baseline)
    assert meta["start_time"] == "2024-06-21T10:20:31.000Z" and meta["sun_elevation_deg"] == 55
    assert meta["native_gsd"] == {b: float(gsd) for b, gsd in NATIVE.items()} and not meta["notes"]
    assert not list(tmp_path.glob(".*")), "nothing temporary is left"


def test_equal_arguments_give_equal_bytes(safe, tmp_path):
    again = write_sentinel2_safe(tmp_path, CUBE, cloud=CLOUD, shadow=SHADOW)
    for path in (p for p in safe.rglob("*") if p.is_file()):
        assert path.read_bytes() == (again / path.relative_to(safe)).read_bytes(), path.name


def test_images_are_lossless_jpeg_2000_with_the_offset(safe):
    path = part(safe, "*_B05_20m.jp2")
    with rasterio.open(path) as image:
        assert image.driver == "JP2OpenJPEG" and image.dtypes == ("uint16",)
        stored = image.read(1)
    plane = CUBE.data[CUBE.bands.index("B5")][::2, ::2].astype(np.float64)
    assert (stored == np.rint(plane * 10000) + 1000).all()


def test_bands_come_from_their_own_sampling_by_the_stated_formula(safe):
    """Against rasterio and the formula of the product specification, by hand."""
    cube = open_sentinel2(safe, mask="none").read()
    for band, k, name in (("B3", 1, "B03_10m"), ("B11", 2, "B11_20m"), ("B9", 6, "B09_60m")):
        own = ((counts(part(safe, f"*_{name}.jp2")).astype(np.float64) - 1000) / 10000).astype("f4")
        by_hand = own if k == 1 else upsample(own, k)
        assert np.abs(cube.select([band]).data[0] - by_hand).max() < 1e-6


@pytest.mark.parametrize("resolution", [20, 60, None])
def test_other_resolutions(safe, resolution):
    source = open_sentinel2(safe, resolution=resolution, bands=["B5", "B9"], mask="none")
    gsd = resolution or 20
    k = gsd // 10
    assert source.grid == GRID.zoom_out(k) and source.meta["resolution"] == gsd
    near = open_sentinel2(safe, resolution=gsd, upsampling="nearest", mask="none").read()
    for band in ("B2", "B5", "B8", "B9"):
        blocks = CUBE.select([band]).data[0].reshape(H // k, k, W // k, k)
        assert np.abs(near.select([band]).data[0] - blocks.mean(axis=(1, 3))).max() < HALF_COUNT


def test_how_bands_were_sampled_goes_along_with_what_is_read(safe):
    source = open_sentinel2(safe, resolution=20, bands=["B2", "B5", "B9"], mask="none")
    assert source.sampling.values("gsd") == (10, 20, 60)
    assert source.sampling.values("kernel") == ("average", None, "bicubic")
    part = source.read(Window(4, 7, 9, 9), ["B9", "B2"])
    assert part.sampling.values("gsd") == (60, 10)
    assert part.sampling.values("origin") == ((-4, -7),) * 2
    assert source[Window(4, 7, 9, 9)].select(["B9", "B2"]).sampling == part.sampling


def test_the_mask_at_other_resolutions_is_the_nearest_class(safe):
    classes = counts(part(safe, "*_SCL_20m.jp2"))
    bad = np.isin(classes, (0, 1, 3, 8, 9, 10))
    assert (open_sentinel2(safe, resolution=20).read().valid == ~bad).all()
    assert (open_sentinel2(safe, resolution=60).read().valid == ~bad[1::3, 1::3]).all()
    whole = open_sentinel2(safe).read().valid
    assert (whole == ~np.kron(bad, np.ones((2, 2), bool))).all()


@pytest.mark.parametrize(
    ("upsampling", "resolution"),
    [("bicubic", 10), ("nearest", 10), ("bicubic", 20), ("nearest", 60)],
)
def test_windows_equal_the_whole_also_beside_gaps(tmp_path, upsampling, resolution):
    cube = scene(3)
    rng = np.random.default_rng(5)
    for band in ("B1", "B5", "B2"):
        k = NATIVE[band] // 10
        holes = np.kron(rng.random((H // k, W // k)) < 0.3, np.ones((k, k))) > 0
        cube.data[cube.bands.index(band)][holes] = np.nan
    path = write_sentinel2_safe(tmp_path, cube)
    source = open_sentinel2(path, resolution=resolution, upsampling=upsampling)
    whole = source.read()
    height, width = source.grid.shape
    for _ in range(12):
        r0, c0 = rng.integers(0, height - 1), rng.integers(0, width - 1)
        window = Window(
            int(r0),
            int(c0),
            int(rng.integers(1, height - r0 + 1)),
            int(rng.integers(1, width - c0 + 1)),
        )
        piece = source.read(window)
        expected = whole.crop(window)
        assert piece.grid == expected.grid and (piece.valid == expected.valid).all()
        np.testing.assert_allclose(piece.data, expected.data, atol=1e-6, equal_nan=True)


def test_special_values_are_told_before_the_offset(tmp_path):
    cube = scene(1)
    cube.data[:, 0:6, 0:6] = np.nan
    cube.data[3, 12:14, 12:14] = np.inf
    cube.data[2, 30, 30] = -0.05
    source = open_sentinel2(write_sentinel2_safe(tmp_path, cube), upsampling="nearest", mask="none")
    read = source.read()
    assert np.isnan(read.data[:, 0:6, 0:6]).all() and not read.valid[0:6, 0:6].any()
    assert np.isnan(read.data[3, 12:14, 12:14]).all() and not read.valid[12:14, 12:14].any()
    assert np.isfinite(np.delete(read.data, 3, axis=0)[:, 12:14, 12:14]).all()
    assert source.read(bands=["B2"]).valid[12:14, 12:14].all(), "B4 alone is saturated"
    assert read.data[2, 30, 30] == pytest.approx(-0.05, abs=HALF_COUNT), "dark pixels stay"
    assert np.nanmin(read.data) > -0.0502, "nodata is not -0.1"


def test_offsets_go_by_the_list_of_bands_not_by_their_names(tmp_path):
    offsets = {band: -1000 + 37 * i for i, band in enumerate(S2_L2A)}
    order = ["B12", "B8A", "B10", "B1", "B9", "B2", "B11", "B3", "B8", "B4", "B7", "B5", "B6"]
    path = write_sentinel2_safe(tmp_path, CUBE, offset=offsets, band_order=order)
    source = open_sentinel2(path, upsampling="nearest", mask="none")
    assert np.abs(source.read().data - CUBE.data).max() < HALF_COUNT
    stated = source.meta["calibration"]["offset"]
    assert stated == pytest.approx([offsets[b] / 1e4 for b in S2_L2A])
    assert "BOA_ADD_OFFSET" in source.meta["calibration"]["from"]


def test_the_platform_chooses_the_response_tables(damaged):
    bands, last = {}, "A"
    for platform in ("S2A", "S2B", "S2C"):
        rewrite(damaged / "MTD_MSIL2A.xml", f"Sentinel-2{last}", f"Sentinel-2{platform[2]}")
        last = platform[2]
        source = open_sentinel2(damaged)
        assert source.meta["sensor"] == f"{platform}_MSI"
        assert source.bands == load(f"{platform}_MSI").select(S2_L2A).bands
        bands[platform] = source.bands
    assert abs(bands["S2C"][11].centre - bands["S2A"][11].centre) > 5


def test_early_products_name_their_elements_otherwise(damaged):
    """Before 2018: L2A_ before the names, PRODUCT_URI_2A, no list of offsets."""
    text = (damaged / "MTD_MSIL2A.xml").read_text()
    start, stop = (text.index(t) for t in ("<BOA_ADD_OFFSET_V", "<Spectral_Information_List"))
    text = text[:start] + text[stop:]
    for old, new in (
        ("PRODUCT_URI>", "PRODUCT_URI_2A>"),
        ("05.10", "02.05"),
        ("Product_Info>", "L2A_Product_Info>"),
        ("<BOA_QUANTIFICATION_VALUE", "<L2A_BOA_QUANTIFICATION_VALUE"),
        ("</BOA_QUANTIFICATION_VALUE", "</L2A_BOA_QUANTIFICATION_VALUE"),
    ):
        assert old in text
        text = text.replace(old, new)
    (damaged / "MTD_MSIL2A.xml").write_text(text)
    source = open_sentinel2(damaged)
    assert source.meta["baseline"] == "02.05" and source.meta["calibration"]["offset"] == 0
    assert source.name == NAME.format("A", "0510")


def test_any_case_of_names(damaged):
    for path in sorted(damaged.rglob("*"), reverse=True):
        path.rename(path.with_name(path.name.lower()))
    assert is_sentinel2(damaged)
    cube = open_sentinel2(damaged, upsampling="nearest").read()
    assert np.abs(cube.data - CUBE.data).max() < HALF_COUNT


def test_every_way_to_name_a_product(safe, damaged, tmp_path):
    renamed = damaged.rename(tmp_path / "my product")
    zipped = tmp_path / "x.zip"
    with zipfile.ZipFile(zipped, "w") as archive:  # without the folder, stored
        for path in renamed.rglob("*"):
            archive.write(path, path.relative_to(renamed))
    for path in (safe.parent, safe / "MTD_MSIL2A.xml", safe / "GRANULE", renamed, zipped):
        assert is_sentinel2(path), path
        source = open_sentinel2(path, bands=["B4"])
        assert source.name == NAME.format("A", "0510")
        assert source.meta["sensor"] == "S2A_MSI" and source.bands.names == ("B4",)
    assert not is_sentinel2(tmp_path / "none") and not is_sentinel2(safe / "HTML")


@pytest.mark.parametrize(
    ("baseline", "text"),
    [("99.99", "own run of Sen2Cor"), ("07.01", "unknown"), ("", "not stated")],
)
def test_baselines_that_are_not_known_warn(damaged, caplog, baseline, text):
    xml = damaged / "MTD_MSIL2A.xml"
    rewrite(xml, "05.10", baseline)
    rewrite(xml, "_N0510_", "_")
    source = open_sentinel2(damaged, upsampling="nearest")
    assert any(text in note for note in source.meta["notes"]) and text in caplog.text
    assert np.abs(source.read().data - CUBE.data).max() < HALF_COUNT, "offsets are as stated"


def test_without_tile_metadata_the_time_is_less_exact(damaged):
    part(damaged, "MTD_TL.xml").unlink()
    source = open_sentinel2(damaged)
    assert (
        source.meta["start_time"] == "2024-06-21T10:20:31.000Z" and source.meta["tile"] == "33UUU"
    )
    assert any("datatake" in note for note in source.meta["notes"])


def test_masks(safe, tmp_path):
    classes = np.resize(np.arange(12, dtype=np.uint8), (H // 2, W // 2))
    path = write_sentinel2_safe(tmp_path, CUBE, scl=classes)

    def left(mask) -> set[int]:
        valid = open_sentinel2(path, bands=["B5"], resolution=20, mask=mask).read().valid
        return set(np.unique(classes[valid]).tolist())

    assert left("default") == {2, 4, 5, 6, 7, 11}
    assert left("none") == set(range(12))
    assert left("strict") == {4, 5, 6}
    assert left("default,snow") == left(["default", "11"]) == {2, 4, 5, 6, 7}
    assert left("water") == set(range(12)) - {6}
    with pytest.raises(ConfigError, match="mask haze is unknown; choose from default, strict"):
        open_sentinel2(path, mask="haze")


@pytest.mark.parametrize("applied", [True, False, None])
@pytest.mark.parametrize("baseline", ["05.10", "02.14"])
def test_cogs_never_get_the_offset_twice(tmp_path, applied, baseline):
    path = write_sentinel2_cogs(tmp_path, CUBE, applied=applied, baseline=baseline, platform="S2B")
    assert detect(path)[0] == "sentinel2"
    stored = counts(path / "B02.tif").astype(np.float64)
    held = 1000 if baseline == "05.10" and not applied else 0
    assert (stored == np.rint(CUBE.data[1].astype(np.float64) * 10000) + held).all()
    source = open_sentinel2(path, upsampling="nearest")
    assert np.abs(source.read().data - CUBE.data).max() < HALF_COUNT
    assert (source.read().valid == CUBE.valid).all()
    used = source.meta["calibration"]
    assert used["offset"] == (-0.1 if held else 0)
    reason = "applied already" if applied else "baseline" if not held or applied is None else "-0.1"
    assert reason in used["from"]
    assert source.meta["sensor"] == "S2B_MSI" and source.meta["tile"] == "33UUU"
    assert source.meta["start_time"] == "2024-06-21T10:20:31Z"


def item_of(folder: Path) -> tuple[Path, dict]:
    (path,) = folder.glob("*.json")
    return path, json.loads(path.read_text())


def test_cogs_by_what_the_item_states(tmp_path):
    path = write_sentinel2_cogs(tmp_path, CUBE)
    file, item = item_of(path)

    def offset_with(change) -> object:
        value = json.loads(json.dumps(item))
        change(value["properties"], value["assets"])
        file.write_text(json.dumps(value))
        source = open_sentinel2(path, bands=["B2"])
        return source.meta["calibration"]["offset"], source.meta["notes"]

    def zero(properties, assets):
        del properties["earthsearch:boa_offset_applied"]
        assets["b2"]["raster:bands"][0]["offset"] = 0

    def contradiction(properties, assets):
        assets["b2"]["raster:bands"][0]["offset"] = 0

    def stac_1_1(properties, assets):
        del assets["b2"]["raster:bands"]
        assets["b2"]["bands"] = [{"raster:scale": 1e-4, "raster:offset": -0.1}]
        properties["s2:processing_baseline"] = "02.14"

    offset, notes = offset_with(zero)
    assert offset == 0 and "although the baseline is 05.10" in notes[0]
    assert offset_with(contradiction)[0] == -0.1
    assert offset_with(stac_1_1)[0] == -0.1


def test_cogs_with_the_metadata_of_the_agency_instead_of_an_item(safe, tmp_path):
    path = write_sentinel2_cogs(tmp_path, CUBE)
    item_of(path)[0].unlink()
    shutil.copy(safe / "MTD_MSIL2A.xml", path)
    for file in path.glob("*.tif"):  # as the Planetary Computer names them
        gsd = NATIVE.get(file.stem.replace("B0", "B"), 20)
        file.rename(path / f"T33UUU_20240621T102031_{file.stem}_{gsd}m.tif")
    cube = open_sentinel2(path, upsampling="nearest").read()
    assert np.abs(cube.data - CUBE.data).max() < HALF_COUNT


def test_small_images_and_pictures(safe, tmp_path):
    source = open_sentinel2(safe, upsampling="nearest")
    small = source.read_small(24)
    assert small.grid.bounds == GRID.bounds and small.shape == (12, 24, 18)
    blocks = CUBE.data.reshape(12, 24, 2, 18, 2).mean(axis=(2, 4))
    assert np.abs(small.data[4] - blocks[4]).max() < HALF_COUNT
    assert (small.valid == open_sentinel2(safe, resolution=20).read().valid).all()
    assert source.read_small(48).data.shape == (12, H, W)
    write_quicklook(tmp_path / "q.png", source)
    facts = inspect_product(safe)
    json.dumps(facts, allow_nan=False)
    assert facts["kind"] == "Sentinel-2 L2A (SAFE)" and facts["calibration"]["offset"] == -0.1
    assert facts["calibration"]["saturated"] == 65535


def test_sources_pickle_and_check_what_is_asked(safe):
    source = pickle.loads(pickle.dumps(open_sentinel2(safe)))
    part_of = source.read(Window(3, 4, 5, 6), ["B8A", "b02"])
    assert part_of.bands.names == ("B8A", "B2") and part_of.meta["native_gsd"] == {
        "B8A": 20.0,
        "B2": 10.0,
    }
    with pytest.raises(BandError, match="B10"):
        open_sentinel2(safe, bands=["B2", "B10"])
    with pytest.raises(BandError):
        open_sentinel2(safe, bands=[])
    with pytest.raises(DataError, match="leaves an image"):
        source.read(Window(40, 0, 20, 5))
    for wrong in ({"resolution": 30}, {"upsampling": "cubic"}):
        with pytest.raises(ConfigError):
            open_sentinel2(safe, **wrong)


def test_the_factory_refuses_what_does_not_fit(tmp_path):
    grid = Grid.from_origin("EPSG:32633", 0, 0, 10, 40, 36)
    odd = Cube(np.zeros((12, 40, 36), "f4"), np.ones((40, 36), bool), CUBE.bands, grid)
    with pytest.raises(DataError, match="multiples of 6"):
        write_sentinel2_safe(tmp_path, odd)
    with pytest.raises(BandError, match="B12"):
        write_sentinel2_safe(tmp_path, CUBE.select(S2_L2A[:-1]))
    with pytest.raises(DataError, match="scl is"):
        write_sentinel2_safe(tmp_path, CUBE, scl=np.zeros((H, W), np.uint8))
    assert not list(tmp_path.iterdir())


def test_the_real_cogs_against_rasterio(data_dir):
    """29RKH, 2020: baseline 02.14, no offset; every tenth pixel, so 100, 200 and 600 m."""
    folder = data_dir / "3_s3_s2" / "s2_l2a_cog_decimated_29RKH"
    if not folder.is_dir():
        pytest.skip("the decimated COGs of 29RKH are not among the real data")
    source = open_cube(folder)
    assert source.meta["sensor"] == "S2A_MSI" and source.meta["baseline"] == "02.14"
    assert source.meta["tile"] == "29RKH" and source.meta["calibration"]["offset"] == 0
    assert source.meta["native_gsd"]["B1"] == 600 and source.grid.gsd == (100, 100)
    window = Window(200, 300, 120, 96)
    cube = source.read(window)
    rows, cols = window.slices
    fine = counts(folder / "B08.tif")[rows, cols]
    assert np.abs(cube.select(["B8"]).data[0] - fine / 10000).max() < 1e-6
    coarse = (counts(folder / "B11.tif") / np.float32(10000)).astype("f4")
    assert np.abs(cube.select(["B11"]).data[0] - upsample(coarse, 2)[rows, cols]).max() < 1e-6
    classes = np.kron(counts(folder / "SCL.tif"), np.ones((2, 2), np.uint8))[rows, cols]
    assert (cube.valid == ~np.isin(classes, (0, 1, 3, 8, 9, 10))).all()
    native = open_sentinel2(folder, resolution=60, bands=["B1"]).read().data[0]
    assert np.abs(native - counts(folder / "B01.tif") / 10000).max() < 1e-6
