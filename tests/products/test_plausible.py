"""Looks at what is open: each finds what is planted for it, none anything in good data."""

import importlib.util
import itertools
import math
import os
from pathlib import Path

import numpy as np
import pytest

from trifuse.core import BandSet, Cube, CubeSource, DataError, Grid, MemorySource
from trifuse.flows.ndvi import ndvi
from trifuse.flows.sharpen import sharpen
from trifuse.products import inspect_product, open_cube, open_scenes, write_cube
from trifuse.products.plausible import LOOKS, doubts, require_plausible, see
from trifuse.products.plausible.place import scene_centre
from trifuse.products.plausible.seen import _windows
from trifuse.products.sentinel2 import write_sentinel2_safe
from trifuse.srf_data import S2_L2A, load

DATA = os.environ.get("TRIFUSE_DATA")
S2 = load("S2A_MSI").select(S2_L2A).bands
GRID = Grid.from_origin("EPSG:32633", 300000, 5900040, 10, 120, 120)
META = {
    "kind": "Sentinel-2 L2A (COGs)",
    "quantity": "reflectance",
    "product_id": "S2A_MSIL2A_20240621T102031_N0510_R122_T33UUU_20240622T000000",
    "start_time": "2024-06-21T10:20:31Z",
    "baseline": "05.10",
    "tile": "33UUU",
    "calibration": {"offset": 0.0},
    "cloud_cover_pct": 0.0,
}
OLI = load("L8_OLI").select(["B1", "B2", "B3", "B4", "B5", "B6", "B7"]).bands
LANDSAT = {
    "kind": "Landsat Collection 2 Level 2",
    "quantity": "reflectance",
    "product_id": "LC08_L2SP_193024_20220601_20220602_02_T1",
    "start_time": "2022-06-01T10:02:00",
}


def made(bands=S2, meta=META, grid=GRID, change=lambda data, valid: None, **more):
    """Vegetation, soil and water in noise."""
    rng = np.random.default_rng(2)
    level = np.interp(bands.centres, [400, 700, 800, 1600, 2300], [0.04, 0.08, 0.3, 0.25, 0.15])
    data = (level[:, None, None] * rng.uniform(0.4, 1.6, (1, *grid.shape))).astype(np.float32)
    data += rng.normal(0, 0.004, data.shape).astype(np.float32)
    data[:, :20] = 0.02
    valid = np.ones(grid.shape, bool)
    change(data, valid)
    return MemorySource(Cube(data, valid, bands, grid, {**meta, **more}), "made")


def shift(by):
    def change(data, valid):
        data += np.float32(by)

    return change


def times(by):
    def change(data, valid):
        data *= np.float32(by)

    return change


def gone_round(data, valid):
    data[1, 50:60] = 6.4936


def another_band(data, valid):
    data[S2.names.index("B8A")] *= 0.1


def one_value(data, valid):
    data[2] = 0.1


def masked(data, valid):
    valid[:] = False


def empty_middle(data, valid):
    data[:, 400:600, 400:600] = np.nan


WIDE = Grid.from_origin("EPSG:32633", 300000, 5900040, 10, 1000, 1000)
ELSEWHERE = Grid.from_origin("EPSG:32632", 300000, 5900040, 10, 120, 120)
SOUTH = Grid.from_origin("EPSG:32633", 300000, 4900020, 10, 120, 120)
ASIDE = Grid.from_origin("EPSG:32633", 500000, 5900040, 10, 120, 120)
PLANTED = {
    "negative": (lambda: made(change=shift(-0.1)), "offset seems to be taken twice"),
    "unscaled": (lambda: made(change=times(1e4)), "cannot be reflectance"),
    "too small": (lambda: made(change=times(1e-3)), "scale seems to be applied twice"),
    "gone round": (lambda: made(change=gone_round), "of B2) are counts below zero"),
    "offset left": (lambda: made(change=shift(0.1)), "may still be in them"),
    "neighbours": (lambda: made(change=another_band), "B8 and B8A see nearly the same"),
    "constant": (lambda: made(change=one_value), "B3 has one value everywhere"),
    "tile": (lambda: made(grid=ELSEWHERE), "lies in EPSG:32632, its tile 33UUU in EPSG:32633"),
    "row": (
        lambda: made(OLI, LANDSAT | {"product_id": LANDSAT["product_id"].replace("024", "034")}),
        "its path 193 and row 034 at 37",
    ),
    "date": (lambda: made(start_time="2023-06-21T10:20:31Z"), "the name is of 2024-06-21"),
    "clouds": (lambda: made(change=masked), "takes out 100 %"),
    "nodata": (lambda: made(change=empty_middle, grid=WIDE, nodata_pct=0.0), "1 of the places"),
}


@pytest.mark.parametrize("look", [k.name for k in LOOKS])
def test_each_look_finds_what_is_planted_for_it_and_only_it_does(look):
    make, text = PLANTED[look]
    (found,) = doubts(make())
    assert found.look == look and text in found.text and "\n" not in found.text
    assert found.stops == next(k.stops for k in LOOKS if k.name == look)


def test_a_tile_of_another_latitude_or_square_is_found_too():
    (found,) = doubts(made(grid=SOUTH))
    assert found.look == "tile" and "44." in found.text
    (found,) = doubts(made(grid=ASIDE))
    assert found.look == "tile" and "100 km off the square of its tile 33UUU" in found.text
    (found,) = doubts(made(tile="33UAU"))
    assert "33UAU is none of zone 33" in found.text


def test_squares_of_mgrs_lie_where_tiles_of_sentinel2_do():
    """Corners of real tiles; on either side of the equator."""
    for tile, crs, west, north in (
        ("31TCJ", "EPSG:32631", 300000, 4900020),
        ("29RKH", "EPSG:32629", 199980, 2800020),
        ("10SGF", "EPSG:32610", 699960, 4100040),
        ("55GGL", "EPSG:32755", 699960, 5100040),
        ("50HMK", "EPSG:32750", 399960, 6500020),
        ("01GBQ", "EPSG:32701", 199980, 5500020),
    ):
        grid = Grid.from_origin(crs, west, north, 10, 120, 120)
        assert doubts(made(grid=grid, tile=tile)) == []
        far = Grid.from_origin(crs, west, north + 130_000, 10, 120, 120)
        assert [d.look for d in doubts(made(grid=far, tile=tile))] == ["tile"]


def test_paths_and_rows_of_landsat_are_where_they_are():
    """Of a real scene's MTL and of places whose path and row are known, to half a degree."""
    for path, row, lat, lon in (
        (8, 59, 1.44, -75.07),
        (202, 25, 50.1, -1.6),
        (15, 33, 38.9, -76.9),
    ):
        found = scene_centre(path, row)
        assert abs(found[0] - lat) < 0.5 and abs(found[1] - lon) < 0.5


def test_another_path_is_found_and_the_scene_across_the_date_line_is_not():
    (found,) = doubts(
        made(OLI, LANDSAT | {"product_id": LANDSAT["product_id"].replace("193", "189")})
    )
    assert found.look == "row" and "its path 189" in found.text
    fiji = Grid.from_origin("EPSG:32601", 150000, -1_860_000, 30, 120, 120)
    assert (
        doubts(
            made(OLI, {**LANDSAT, "product_id": "LC08_L2SP_074072_20220601_20220602_02_T1"}, fiji)
        )
        == []
    )


def test_a_scene_that_is_all_cloud_by_its_metadata_and_clear_by_its_mask_is_found():
    (found,) = doubts(made(cloud_cover_pct=100.0, mask=["cloud-high"]))
    assert found.look == "clouds" and "takes out 0 %" in found.text
    assert doubts(made(cloud_cover_pct=100.0, mask=[])) == []


HEALTHY = {
    "vegetation": lambda: made(),
    "applied": lambda: made(change=shift(0.02)),
    "over-corrected shadow": lambda: made(change=lambda d, v: d[:4, :40].__isub__(0.07)),
    "desert": lambda: made(change=shift(0.25)),
    "snow and glint": lambda: made(change=lambda d, v: d[:9].__imul__(5)),
    "one value": lambda: made(change=lambda d, v: d.fill(0.2)),
    "clouds as stated": lambda: made(change=masked, cloud_cover_pct=98.0),
    "nothing": lambda: made(change=lambda d, v: d.fill(np.nan)),
    "half empty": lambda: made(change=lambda d, v: d[:, :, :70].fill(np.nan)),
    "Landsat": lambda: made(OLI, LANDSAT),
    "temperatures": lambda: made(change=times(1e3), quantity="temperature"),
    "unknown bands": lambda: made(BandSet.of([f"x{i}" for i in range(12)], [300.0] * 12), {}),
}


@pytest.mark.parametrize("what", HEALTHY)
def test_no_look_finds_anything_in_what_is_well(what):
    assert doubts(HEALTHY[what]()) == []


def test_no_look_finds_anything_in_what_the_factories_make(tmp_path):
    count = 0
    for module in sorted(Path(__file__).parent.glob("*/deliveries.py")):
        spec = importlib.util.spec_from_file_location(module.parent.name, module)
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        for paths in loaded.deliveries(tmp_path / module.parent.name).values():
            for path in paths:
                for source in open_scenes(path):
                    with source:
                        assert doubts(source) == [], path
                        count += 1
    assert count > 30


REAL = [
    "3_s3_s2/s2_l2a_cog_decimated_29RKH",
    "5_stf/landsat8_l2_decimated",
    "1_enmap/potsdam_L2A_real/tiles",
]


@pytest.mark.skipif(DATA is None, reason="no real data: TRIFUSE_DATA is not set")
@pytest.mark.parametrize("sample", REAL)
def test_no_look_finds_anything_in_real_products(sample):
    path = Path(DATA) / sample
    with open_cube(path) as source:
        assert see(source).spectra and doubts(source) == []


class Counting(CubeSource):
    """A source that counts the values read of it."""

    def __init__(self, source):
        self.source, self.count = source, 0
        self.name, self.grid, self.bands, self.meta = (
            source.name,
            source.grid,
            source.bands,
            source.meta,
        )

    def read(self, window=None, bands=None):
        """See CubeSource."""
        cube = self.source.read(window, bands)
        self.count += cube.data.size
        return cube


@pytest.mark.parametrize("size", [1000, 2400])
def test_the_looks_read_less_than_two_hundredths_of_a_product(size):
    grid = Grid.from_origin("EPSG:32633", 300000, 5900040, 10, size, size)
    source = Counting(made(grid=grid))
    assert doubts(source) == []
    assert 0 < source.count <= 0.02 * 12 * size * size


def test_the_looks_unpack_less_than_two_hundredths_of_a_sentinel2_tile():
    """Stored blocks of JPEG 2000 are unpacked whole: 1024, 640 and 192 pixels at 10, 20, 60 m."""
    grid = Grid.from_origin("EPSG:32633", 300000, 5800020, 10, 10980, 10980)
    windows = list(itertools.islice(_windows(grid), 2))
    unpacked = stored = 0
    for gsd, bands, side in ((10, 4, 1024), (20, 6, 640), (60, 2, 192)):
        k, size = gsd // 10, 109800 // gsd
        rim = 8 if k > 1 else 0
        touched = set()
        for w in windows:
            rows, cols = (
                range((first // k - rim) // side, ((first + 255) // k + rim) // side + 1)
                for first in (w.row, w.col)
            )
            touched |= set(itertools.product(rows, cols))
        pixels = sum(math.prod(min(side, size - side * n) for n in block) for block in touched)
        unpacked, stored = unpacked + bands * pixels, stored + bands * size**2
    assert {w.shape for w in windows} == {(256, 256)}
    assert unpacked <= 0.02 * stored


def test_doubts_are_told_by_inspect_and_stop_what_goes_by_the_values(tmp_path):
    source = made(change=times(1e4))
    with pytest.raises(DataError, match="cannot be reflectance"):
        require_plausible(source)
    cube = source.read()
    path = tmp_path / "integers.tif"
    scene = Cube(np.rint(cube.data), cube.valid, cube.bands, cube.grid)
    write_cube(path, scene, dtype="float32")
    (told,) = inspect_product(path)["doubts"]
    assert told["look"] == "unscaled" and told["stops"]
    unclear = tmp_path / "unclear.tif"
    write_cube(unclear, Cube(cube.data / 10, cube.valid, cube.bands, cube.grid), dtype="float32")
    with pytest.raises(DataError, match=r"unclear: numbers of .* cannot be told; give --scale"):
        sharpen(unclear, tmp_path / "out.tif")
    assert not (tmp_path / "out.tif").exists()


def test_an_offset_taken_twice_by_a_safe_stops_what_goes_by_the_values(tmp_path):
    cube = made(grid=GRID).read()
    path = write_sentinel2_safe(tmp_path, Cube(cube.data, cube.valid, S2, GRID))
    (mtd,) = path.glob("MTD_MSIL2A.xml")
    mtd.write_text(mtd.read_text().replace(">-1000<", ">-2000<"))
    with open_cube(path) as source, pytest.raises(DataError, match="to be taken twice"):
        require_plausible(source)
    with pytest.raises(DataError, match="to be taken twice"):
        ndvi(path, tmp_path / "ndvi.tif")
    assert not (tmp_path / "ndvi.tif").exists()


def test_counts_are_taken_for_a_ratio_and_the_record_says_so(tmp_path):
    cube = made(change=times(1e4)).read()
    path = tmp_path / "integers.tif"
    write_cube(path, Cube(np.rint(cube.data), cube.valid, cube.bands, cube.grid), dtype="float32")
    record = ndvi(path, tmp_path / "ndvi.tif").record
    assert record["doubts"] == [] and "counts of 1e-4" in record["calibration"]["from"]
    assert abs(record["mean"] - np.nanmean(ndvi(made().read()).cube.data)) < 2e-3
