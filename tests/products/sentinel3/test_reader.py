"""SY_2_SYN: bands, flags, places, grids; against the files themselves and known truth."""

import logging
import pickle
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio.warp

from trifuse.align import pair
from trifuse.core import (
    BandError,
    ConfigError,
    Cube,
    DataError,
    Grid,
    GridError,
    MetadataError,
    OverlapError,
    ProductError,
    Window,
)
from trifuse.products import (
    detect,
    inspect_product,
    open_cube,
    open_sentinel3,
    open_syn_swath,
    read_small,
    write_syn,
)
from trifuse.products.sentinel3.area import utm
from trifuse.products.sentinel3.factory import FLAGS, FLAGS_2016
from trifuse.srf_data import S3_SYN, load

GRID = Grid.from_origin("EPSG:32633", 300_000, 5_820_000, 300, 40, 50)
WAVES = ((2.1e-4, 0.4e-4), (-0.9e-4, 2.2e-4), (1.6e-4, -1.7e-4))


def field(x, y, number=0):
    """What a 300 m sensor sees: waves of 4 to 5 km, other phases in each band."""
    waves = [np.sin(2 * np.pi * (a * x + b * y) + number + i) for i, (a, b) in enumerate(WAVES)]
    return 0.3 + 0.05 * sum(waves)


def centres_of(grid):
    a, _, c, _, e, f = grid.transform
    return np.meshgrid(
        c + a * (np.arange(grid.width) + 0.5), f + e * (np.arange(grid.height) + 0.5)
    )


def make_cube(grid=GRID, platform="A", names=S3_SYN):
    x, y = centres_of(grid)
    data = np.stack([field(x, y, S3_SYN.index(n)) for n in names]).astype(np.float32)
    bands = load(f"S3{platform}_SYN").bands.select(names)
    return Cube(data, np.ones(grid.shape, bool), bands, grid)


CUBE = make_cube()
CLOUD = np.zeros(GRID.shape, bool)
CLOUD[8:16, 10:20] = True
WATER = np.zeros(GRID.shape, bool)
WATER[:, 40:] = True


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    """All 21 bands with a cloud and water."""
    return write_syn(tmp_path_factory.mktemp("syn"), CUBE, cloud=CLOUD, water=WATER)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Two bands without clouds, wider than the tie points are apart."""
    cube = make_cube(names=("Oa08", "S3"))
    return write_syn(tmp_path_factory.mktemp("small"), cube, shape=(60, 140))


def leftovers():
    return set(Path(tempfile.gettempdir()).glob("trifuse-*"))


def stored(product, file, name):
    with h5py.File(product / file) as f:
        return f[name][()]


def shift_of(image, number, grid, there):
    """Displacement in metres that explains the difference from the truth, and the scale."""
    x, y = centres_of(grid)
    truth = field(x, y, number)
    slopes = [
        field(x + 1, y, number) - field(x - 1, y, number),
        field(x, y + 1, number) - field(x, y - 1, number),
    ]
    columns = [truth - 0.3, slopes[0] / 2, slopes[1] / 2]
    design = np.stack([c[there] for c in columns], axis=1)
    (gain, *moved), *_ = np.linalg.lstsq(design, (image - 0.3)[there], rcond=None)
    return np.array(moved), gain


def test_bands_are_those_of_the_files(product):
    swath = open_syn_swath(product)
    assert swath.bands.names == S3_SYN and swath.bands == load("S3A_SYN").bands
    assert swath.meta["sensor"] == "S3A_SYN" and swath.meta["quantity"] == "reflectance"
    whole = Window(0, 0, *swath.shape)
    data = swath.read(whole)
    for number, name in enumerate(S3_SYN):
        stem = f"{name}N" if name[0] == "S" else name
        raw = stored(product, f"Syn_{stem}_reflectance.nc", f"SDR_{stem}")
        assert raw.dtype == np.int16
        expected = np.where(raw == -10000, np.nan, raw * 1e-4)
        np.testing.assert_allclose(data[number], expected, atol=1e-7)
    window = Window(5, 7, 11, 13)
    np.testing.assert_array_equal(swath.read(window, ["S6", "Oa01"]), data[[20, 0]][:, 5:16, 7:20])


def test_the_oblique_view_is_left_alone(product):
    swath = open_syn_swath(product)
    for name in ("S1", "S2", "S3", "S5", "S6"):
        oblique = stored(product, f"Syn_{name}O_reflectance.nc", f"SDR_{name}O")
        seen = swath.read(Window(0, 0, *swath.shape), [name])[0]
        both = (oblique != -10000) & np.isfinite(seen)
        assert both.any() and (oblique[both] * 1e-4 > 1.15 * seen[both]).all()


def test_places_are_those_of_the_file(product):
    swath = open_syn_swath(product)
    window = Window(3, 4, 20, 30)
    lon, lat = swath.lonlat(window)
    for ours, name in ((lon, "lon"), (lat, "lat")):
        raw = stored(product, "geolocation.nc", name)
        assert raw.dtype == np.int32
        np.testing.assert_allclose(ours, raw[3:23, 4:34] * 1e-6, rtol=0, atol=1e-12)
    assert swath.meta["geolocation"].startswith("geolocation.nc")


@pytest.mark.parametrize("gsd", [300.0, 250.0])
def test_gridded_values_lie_where_they_belong(product, gsd):
    source = open_sentinel3(product, gsd=gsd, mask="none")
    cube = source.read()
    inside = np.zeros(source.grid.shape, bool)
    x, y = centres_of(source.grid)
    west, south, east, north = GRID.bounds
    inside[(x > west + 900) & (x < east - 900) & (y > south + 900) & (y < north - 900)] = True
    assert cube.valid[inside].all()
    for number in (0, 5, 20):
        moved, gain = shift_of(cube.data[number], number, source.grid, inside)
        assert np.abs(moved).max() < 0.03 * 300 and 0.94 < gain < 1
        error = (cube.data[number] - 0.3) / gain - (field(x, y, number) - 0.3)
        assert np.sqrt(np.mean(error[inside] ** 2)) < 3e-3


def test_default_grid_is_utm_at_multiples_of_its_cells(product):
    source = open_sentinel3(product)
    assert source.grid.crs == "EPSG:32633" and source.grid.gsd == (300.0, 300.0)
    assert all(v % 300 == 0 for v in source.grid.bounds)
    swath = open_syn_swath(product)
    lon, lat = swath.lonlat(Window(0, 0, *swath.shape))
    x, y = rasterio.warp.transform("EPSG:4326", "EPSG:32633", lon.ravel(), lat.ravel())
    west, south, east, north = source.grid.bounds
    assert west <= min(x) < west + 300 and east - 300 < max(x) <= east
    assert south <= min(y) < south + 300 and north - 300 < max(y) <= north


def test_grid_by_crs_and_by_box(product):
    source = open_sentinel3(product, crs="EPSG:3035", gsd=500)
    assert source.grid.crs == "EPSG:3035" and source.grid.gsd == (500.0, 500.0)
    assert source.read(bands=["Oa08"]).valid.any()
    lon, lat = rasterio.warp.transform(
        "EPSG:32633", "EPSG:4326", [303_000, 309_000], [5_811_000, 5_817_000]
    )
    part = open_sentinel3(product, bbox=(min(lon), min(lat), max(lon), max(lat)), mask="none")
    west, south, east, north = part.grid.bounds
    assert west <= 303_000 and east >= 309_000 and south <= 5_811_000 and north >= 5_817_000
    assert part.grid.width < 30 and part.read(bands=["S5"]).valid.all()
    whole = open_sentinel3(product, mask="none")
    window = whole.grid.locate(part.grid)
    np.testing.assert_array_equal(whole.read(window, ["S5"]).data, part.read(bands=["S5"]).data)


def test_nested_in_a_sharp_grid_for_fusion(product):
    sharp = Grid.from_origin("EPSG:32633", 303_010, 5_816_990, 10, 600, 700)
    source = open_sentinel3(product, grid=sharp.zoom_out(30), mask="none")
    assert sharp.nested_ratio(source.grid) == 30
    cube = source.read(bands=["Oa04"])
    assert cube.valid.all()
    fine = Cube(
        np.zeros((1, *sharp.shape), np.float32), np.ones(sharp.shape, bool), cube.bands, sharp
    )
    assert pair(fine, source).overlap == pytest.approx(600 * 690 / (600 * 700))


def test_windows_have_the_values_of_the_whole(product, monkeypatch):
    source = open_sentinel3(product)
    whole = source.read(bands=["Oa02", "S5"])
    monkeypatch.setattr("trifuse.products.sentinel3.grid.BLOCK", 17)
    in_blocks = source.read(bands=["Oa02", "S5"])
    np.testing.assert_array_equal(in_blocks.data, whole.data)
    window = Window(10, 20, 13, 9)
    part = source.read(window, ["Oa02", "S5"])
    np.testing.assert_array_equal(part.data, whole.data[:, 10:23, 20:29])
    np.testing.assert_array_equal(part.valid, whole.valid[10:23, 20:29])
    assert part.grid == source.grid.window(window)
    for bad in (Window(-1, 0, 3, 3), Window(0, 0, 0, 3), Window(0, 0, 10**4, 3)):
        with pytest.raises(DataError, match="leaves a grid"):
            source.read(bad)


def masked_share(product, mask, where):
    cube = open_sentinel3(product, grid=GRID, mask=mask, bands=["Oa08"]).read()
    return 1 - cube.valid[where].mean()


def test_masks(product):
    inner = np.zeros(GRID.shape, bool)
    inner[9:15, 11:19] = True
    rim = np.zeros(GRID.shape, bool)
    rim[7:17, 9:21] = True
    rim[8:16, 10:20] = False
    water = np.zeros(GRID.shape, bool)
    water[2:-2, 41:-1] = True
    clear = np.zeros(GRID.shape, bool)
    clear[20:-2, 2:38] = True
    assert masked_share(product, "default", inner) == 1
    assert masked_share(product, "default", water) == masked_share(product, "default", clear) == 0
    assert masked_share(product, "land", water) == 1 == masked_share(product, "strict", water)
    assert masked_share(product, "land", clear) == 0
    assert masked_share(product, "none", inner | water) == 0
    assert masked_share(product, "default", rim) > 0.9 > 0.5 > masked_share(product, "cloud", rim)
    assert masked_share(product, "margin", inner) < 1
    source = open_sentinel3(product, grid=GRID)
    assert source.meta["mask_flags"]["cloud"] == "CLOUD_flags.cloud"
    with pytest.raises(ConfigError, match="default, land, strict, none"):
        open_sentinel3(product, mask="clouds")


def test_flags_are_found_by_their_meaning_not_by_their_bit(tmp_path, caplog):
    cube = make_cube(names=("Oa08",))
    inner = (slice(9, 15), slice(11, 19))
    turned = {
        "SYN_flags": {m: 1 << 15 - i for i, m in enumerate(FLAGS["SYN_flags"])},
        "CLOUD_flags": {"SNOW_ICE": 1, "CLOUD_MARGIN": 2, "CLOUD": 4, "CLOUD_AMBIGUOUS": 8},
    }
    doubt = np.zeros(GRID.shape, bool)
    doubt[25:32, 5:15] = True
    path = write_syn(
        tmp_path / "turned", cube, cloud=CLOUD, flags=turned, flag_masks={"SYN_too_low": doubt}
    )
    valid = open_sentinel3(path, grid=GRID, mask="cloud,toolow", bands=["Oa08"]).read().valid
    assert not valid[inner].any() and not valid[26:31, 6:14].any() and valid[20, 20]
    # the prefix comes and goes
    path = write_syn(tmp_path / "bare", cube, cloud=CLOUD, flags=FLAGS)
    with h5py.File(path / "flags.nc", "r+") as f:
        meanings = f["SYN_flags"].attrs["flag_meanings"].decode()
        f["SYN_flags"].attrs["flag_meanings"] = np.bytes_(meanings.replace("SYN_", ""))
    source = open_sentinel3(path, grid=GRID, mask="land", bands=["Oa08"])
    assert source.read().valid[20, 20] and source.meta["mask_flags"]["water"] == "SYN_flags.land"
    # without flags of clouds SYN_cloud serves, and what no flag knows is said
    path = write_syn(
        tmp_path / "old", cube, cloud=CLOUD, flags={"SYN_flags": FLAGS_2016["SYN_flags"]}
    )
    with caplog.at_level(logging.WARNING):
        source = open_sentinel3(path, grid=GRID, bands=["Oa08"])
    assert not source.read().valid[inner].any()
    assert source.meta["mask_flags"] == {
        "cloud": "SYN_flags.cloud",
        "ambiguous": "SYN_flags.partly_cloudy",
    }
    assert "know no margin" in source.meta["notes"][0] and "know no margin" in caplog.text


def test_strict_takes_out_doubtful_retrievals(tmp_path):
    cube = make_cube(names=("Oa08",))
    for meaning in ("SYN_too_low", "SYN_high_error", "SYN_AOT_climato", "SNOW_ICE"):
        mask = np.zeros(GRID.shape, bool)
        mask[25:32, 5:15] = True
        path = write_syn(tmp_path / meaning, cube, flag_masks={meaning: mask})
        assert masked_share(path, "strict", np.s_[26:31, 6:14]) == 1
        assert masked_share(path, "land", np.s_[26:31, 6:14]) == 0


def test_a_hole_in_one_band_leaves_the_others(tmp_path):
    cube = make_cube(names=("Oa08", "S3"))
    data = cube.data.copy()
    data[1, 10:16, 10:16] = np.nan
    path = write_syn(tmp_path, Cube(data, cube.valid, cube.bands, GRID), cloud=~cube.valid)
    out = open_sentinel3(path, grid=GRID, bands=["Oa08", "S3"]).read()
    assert (
        np.isnan(out.data[1, 12:14, 12:14]).all() and np.isfinite(out.data[0, 12:14, 12:14]).all()
    )
    assert out.valid[12:14, 12:14].all()
    alone = open_sentinel3(path, grid=GRID, bands=["S3"]).read()
    assert not alone.valid[12:14, 12:14].any()


@pytest.mark.parametrize("platform", ["A", "B"])
def test_the_satellite_chooses_the_response_functions(tmp_path, platform):
    cube = make_cube(platform=platform, names=("Oa08", "S1"))
    path = write_syn(tmp_path, cube, platform=platform)
    source = open_sentinel3(path, bands=["Oa08", "S1"])
    assert source.meta["sensor"] == f"S3{platform}_SYN" and source.bands == cube.bands
    assert load("S3A_SYN").bands[5].centre != load("S3B_SYN").bands[5].centre
    # a folder of any name, told by its files and the manifest
    shutil.copytree(path, tmp_path / "mine")
    assert open_sentinel3(tmp_path / "mine", bands=["S1"]).meta["sensor"] == f"S3{platform}_SYN"
    (tmp_path / "mine" / "xfdumanifest.xml").unlink()
    with pytest.raises(MetadataError, match="which satellite"):
        open_sentinel3(tmp_path / "mine", bands=["S1"])


def test_facts_of_the_product(tmp_path, small, caplog):
    start = datetime(2021, 3, 25, 0, 54, 18, tzinfo=UTC)
    path = write_syn(tmp_path, make_cube(names=("Oa08",)), start=start, baseline="009")
    with caplog.at_level(logging.WARNING):
        meta = open_sentinel3(path, bands=["Oa08"]).meta
    assert meta["start_time"] == "2021-03-25T00:54:18+00:00" and meta["timeliness"] == "NT"
    assert meta["baseline"] == "009" and "baseline 009" in caplog.text
    assert meta["calibration"] == {
        "scale": 1e-4,
        "offset": 0.0,
        "fill": -10000.0,
        "from": "the files",
    }
    assert meta["resampling"]["sigma_m"] == 150.0
    assert open_sentinel3(small, bands=["S3"]).meta["notes"] == []
    bare = tmp_path / small.name
    shutil.copytree(small, bare)
    (bare / "xfdumanifest.xml").unlink()
    without = open_sentinel3(bare, bands=["S3"]).meta
    assert without["product_id"] == small.name[:-5] and "xfdumanifest.xml" in without["notes"][0]
    assert without["start_time"] == "2022-06-21T10:15:00+00:00"


def test_a_satellite_without_tables_is_refused(tmp_path):
    path = write_syn(tmp_path, make_cube(names=("Oa08",)), platform="C")
    with pytest.raises(MetadataError, match="Sentinel-3C"):
        open_sentinel3(path, bands=["Oa08"])


@pytest.mark.parametrize("row_major", [False, True])
def test_tie_points_serve_where_places_are_missing(small, tmp_path, caplog, row_major):
    cube = make_cube(names=("Oa08", "S3"))
    path = write_syn(
        tmp_path, cube, shape=(60, 140), leave_out=("geolocation.nc",), row_major_ties=row_major
    )
    assert stored(path, "tiepoints_olci.nc", "OLC_TP_lat").shape == (60 * 4,)
    with caplog.at_level(logging.WARNING):
        swath = open_syn_swath(path, bands=["Oa08", "S3"])
    assert "tie points serve" in caplog.text and "ellipsoid" in swath.meta["geolocation"]
    window = Window(2, 5, 50, 130)
    lon, lat = swath.lonlat(window)
    true_lon, true_lat = open_syn_swath(small, bands=["S3"]).lonlat(window)
    metres = 111_200 * np.hypot(lat - true_lat, (lon - true_lon) * np.cos(np.radians(lat)))
    assert metres.max() < 5
    whole = open_sentinel3(small, grid=GRID, bands=["S3"]).read()
    tied = open_sentinel3(path, grid=GRID, bands=["S3"]).read()
    both = whole.valid & tied.valid
    assert both.mean() > 0.9
    np.testing.assert_allclose(tied.data[0][both], whole.data[0][both], atol=2e-3)


def test_all_that_is_missing_is_said_at_once(product, tmp_path):
    path = tmp_path / product.name
    shutil.copytree(product, path)
    gone = [
        "Syn_Oa05_reflectance.nc",
        "Syn_S2N_reflectance.nc",
        "geolocation.nc",
        "tiepoints_olci.nc",
        "flags.nc",
    ]
    for name in gone:
        (path / name).unlink()
    whole = (path / "Syn_Oa09_reflectance.nc").read_bytes()
    (path / "Syn_Oa09_reflectance.nc").write_bytes(whole[: len(whole) // 2])
    with h5py.File(path / "Syn_S6N_reflectance.nc", "r+") as f:
        del f["SDR_S6N"]
    with pytest.raises(ProductError) as caught:
        open_sentinel3(path)
    text = str(caught.value)
    for name in [*gone, "Syn_Oa09_reflectance.nc", "Syn_S6N_reflectance.nc", "SDR_S6N"]:
        assert name in text
    assert "\n" not in text and "Oa04" not in text and "S2O" not in text
    shutil.copy(product / "geolocation.nc", path)
    partial = open_sentinel3(path, bands=["Oa04", "Oa17"], mask="none", grid=GRID)
    assert partial.bands.names == ("Oa04", "Oa17") and partial.read().valid.mean() > 0.9
    with pytest.raises(ProductError, match=r"lacks flags\.nc; "):
        open_sentinel3(path, bands=["Oa04"])
    with pytest.raises(BandError):
        open_sentinel3(path, bands=["Oa13"])


def test_products_of_2016_are_refused(tmp_path):
    path = write_syn(tmp_path, make_cube(names=("Oa08", "Oa17")), numbered=True, flags=FLAGS_2016)
    with pytest.raises(ProductError, match=r"2016.*SDR_01"):
        open_sentinel3(path)


def test_other_products_are_named(tmp_path):
    name = "S3A_SY_2_VG1____20210325T005418_20210325T005718_20210325T142858_{}_LN2_O_NT_002.SEN3"
    folder = tmp_path / name.format("EUROPE___________")
    folder.mkdir()
    (folder / "B0.nc").write_bytes(b"CDF")
    for opened in (open_cube, open_sentinel3):
        with pytest.raises(ProductError, match=r"SY_2_VG1.*SY_2_SYN"):
            opened(folder)
    with pytest.raises(ProductError, match="no Sentinel-3 product"):
        open_sentinel3(tmp_path / "..")
    with pytest.raises(ProductError, match="does not exist"):
        open_sentinel3(tmp_path / "none.SEN3")


def test_zips_are_read_like_folders_and_leave_nothing(small, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    before = leftovers()
    cube = make_cube(names=("Oa08", "S3"))
    packed = write_syn(tmp_path, cube, shape=(60, 140), zipped=True)
    assert detect(packed)[0] == "sentinel3"
    whole = open_sentinel3(small, grid=GRID, bands=["Oa08", "S3"]).read()
    source = open_sentinel3(packed, grid=GRID, bands=["Oa08", "S3"])
    np.testing.assert_array_equal(source.read().data, whole.data)
    (folder,) = leftovers() - before
    assert {p.name for p in folder.iterdir()} == {
        "syn_oa08_reflectance.nc",
        "syn_s3n_reflectance.nc",
        "geolocation.nc",
        "tiepoints_olci.nc",
        "flags.nc",
    }
    source.close()
    assert leftovers() == before
    np.testing.assert_array_equal(source.read(bands=["S3"]).data, whole.data[1:])
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(copy.read().data, whole.data)
    del source, copy
    assert leftovers() == before


def test_sources_work_in_other_processes(small):
    source = open_sentinel3(small, grid=GRID, bands=["Oa08", "S3"])
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        there = pool.submit(source.read).result()
    np.testing.assert_array_equal(there.data, source.read().data)


def test_found_by_the_common_door(small, tmp_path):
    for path in (small, small / "xfdumanifest.xml", small / "Syn_Oa08_reflectance.nc"):
        assert detect(path)[0] == "sentinel3"
    source = open_cube(small / "xfdumanifest.xml", bands=["Oa08"], grid=GRID, mask="none")
    assert source.grid == GRID and source.bands.names == ("Oa08",)
    shutil.copytree(small, tmp_path / small.name)
    assert open_cube(tmp_path, bands=["Oa08"]).name == small.name[:-5]
    shutil.copytree(small, tmp_path / small.name.replace("S3A", "S3B"))
    with pytest.raises(ProductError, match="2 Sentinel-3 products"):
        open_sentinel3(tmp_path)
    with pytest.raises(ConfigError, match="scene does not apply"):
        open_cube(small, scene="x")


def test_inspection_says_what_it_is(product):
    facts = inspect_product(product)
    assert facts["kind"] == "SY_2_SYN" and len(facts["bands"]) == 21
    assert facts["calibration"]["scale"] == 1e-4 and 0.2 < facts["valid_share"] < 0.8


def test_a_reduced_image_has_the_mean_of_its_pixels(product):
    source = open_sentinel3(product, mask="none")
    full = source.read(bands=["Oa08"])
    for size in (20, 64, 1000):
        reduced = read_small(source, size, ["Oa08"])
        assert max(reduced.grid.shape) <= size or size == 1000
        assert reduced.grid.bounds[0] == source.grid.bounds[0]
        assert reduced.valid.mean() == pytest.approx(full.valid.mean(), abs=0.12)
        x, y = centres_of(reduced.grid)
        error = (reduced.data[0] - field(x, y, S3_SYN.index("Oa08")))[reduced.valid]
        assert np.sqrt(np.nanmean(error**2)) < 0.03


def test_swaths_cross_the_antimeridian(tmp_path):
    middle = Grid.from_origin("EPSG:32601", 165_000, 1_800_000, 300, 40, 60)
    lon, _ = rasterio.warp.transform(
        middle.crs, "EPSG:4326", [165_000, 183_000], [1_794_000, 1_794_000]
    )
    assert lon[0] > 179 and lon[1] < -179
    cube = make_cube(middle, names=("Oa08",))
    for left_out in ((), ("geolocation.nc",)):
        path = write_syn(tmp_path / str(len(left_out)), cube, leave_out=left_out)
        out = open_sentinel3(path, grid=middle, bands=["Oa08"]).read()
        assert out.valid[2:-2, 2:-2].all()
        moved, _ = shift_of(
            out.data[0], S3_SYN.index("Oa08"), middle, np.pad(np.ones((34, 54), bool), 3)
        )
        assert np.abs(moved).max() < 15
        default = open_sentinel3(path, bands=["Oa08"])
        assert default.grid.crs in ("EPSG:32601", "EPSG:32660") and default.grid.width < 120
        box = open_sentinel3(path, bands=["Oa08"], bbox=(179.96, 16.17, -179.96, 16.19))
        assert box.grid.width < 50 and box.read().valid.mean() > 0.9


def test_utm_zones():
    assert utm(13.0, 52.0) == "EPSG:32633" and utm(-180.0, -1.0) == "EPSG:32701"
    assert utm(180.0, 1.0) == "EPSG:32601" and utm(179.9, 1.0) == "EPSG:32660"
    assert utm(0.0, 85.0) == "EPSG:32661" and utm(0.0, -85.0) == "EPSG:32761"


def test_grids_that_do_not_work_are_named(small):
    far = Grid.from_origin("EPSG:32633", 300_000, 4_000_000, 300, 10, 10)
    with pytest.raises(OverlapError, match=r"does not reach.*° E"):
        open_sentinel3(small, grid=far, bands=["S3"])
    degrees = Grid("EPSG:4326", (0.003, 0, 12, 0, -0.003, 52.5), 10, 10)
    for options in ({"grid": degrees}, {"crs": "EPSG:4326"}, {"crs": "EPSG:2263"}):
        with pytest.raises(GridError, match="not in metres"):
            open_sentinel3(small, bands=["S3"], **options)
    with pytest.raises(GridError, match="names no coordinate system"):
        open_sentinel3(small, bands=["S3"], crs="EPSG:9")
    with pytest.raises(GridError):
        open_sentinel3(small, bands=["S3"], gsd=0.01)
    for options in (
        {"grid": GRID, "crs": "EPSG:32633"},
        {"gsd": -1.0},
        {"bbox": (1, 2, 3)},
        {"bbox": (0, 10, 20, 5)},
        {"sigma": 0.0},
        {"radius": 1e6},
    ):
        with pytest.raises(ConfigError):
            open_sentinel3(small, bands=["S3"], **options)
