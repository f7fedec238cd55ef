"""Folders as they grow: reprocessed, of several satellites, over the antimeridian."""

import logging
import shutil
from datetime import UTC, datetime

import numpy as np
import pytest

from trifuse.core import BandSet, ConfigError, Cube, Grid, MetadataError
from trifuse.products import build_series, open_sensors, write_landsat, write_sentinel2_safe
from trifuse.products.landsat.metadata import SR_BANDS
from trifuse.products.series.processing import newest, processing_of
from trifuse.srf_data import S2_L2A

GRID = Grid.from_origin("EPSG:32633", 399960, 5800020, 10, 60, 72)
START = datetime(2022, 6, 1, 10, 20, 31, tzinfo=UTC)


def sentinel2(add=0.0, grid=GRID):
    data = np.full((12, *grid.shape), 0.2 + add, np.float32)
    return Cube(data, np.ones(grid.shape, bool), BandSet.of(S2_L2A), grid)


def landsat(add=0.0):
    grid = Grid.from_origin("EPSG:32633", 399960, 5800020, 30, 20, 24)
    data = np.full((len(SR_BANDS), *grid.shape), 0.2 + add, np.float32)
    return Cube(data, np.ones(grid.shape, bool), BandSet.of(SR_BANDS), grid)


def built(folder, sensor):
    ((_, source),) = list(open_sensors(folder)[sensor])
    return source.read()


def test_of_two_processings_the_newer_is_taken_whole(tmp_path, caplog):
    scl = np.full((30, 36), 4, np.uint8)
    scl[:15] = 9
    write_sentinel2_safe(tmp_path / "s2", sentinel2(), baseline="04.00", start=START, scl=scl)
    write_sentinel2_safe(tmp_path / "s2", sentinel2(0.05), baseline="05.10", start=START, scl=scl)
    write_sentinel2_safe(tmp_path / "s2", sentinel2(0.09), baseline="99.99", start=START)
    with caplog.at_level(logging.WARNING):
        build_series(tmp_path / "out", sentinel2=tmp_path / "s2")
    cube = built(tmp_path / "out", "sentinel2")
    assert np.abs(cube.data - 0.25).max() < 1e-4
    assert not cube.valid[:29].any() and cube.valid[31:].all()
    said = [r.getMessage() for r in caplog.records if "newer processings" in r.getMessage()]
    assert len(said) == 1 and "N0400" in said[0] and "N9999" in said[0] and "N0510" not in said[0]


def test_of_two_processing_dates_of_landsat_the_newer_is_taken(tmp_path):
    made = write_landsat(tmp_path / "in", landsat(), start=START)
    day = made.name.split("_")[4]
    for add, stamp in ((0.05, "20230101"), (0.01, "20220701")):
        place = tmp_path / stamp
        other = write_landsat(place, landsat(add), start=START)
        renamed = tmp_path / "in" / other.name.replace(f"_{day}_02_", f"_{stamp}_02_")
        renamed.mkdir()
        for file in other.iterdir():
            name = file.name.replace(f"_{day}_02_", f"_{stamp}_02_")
            content = file.read_bytes()
            if "MTL" in name:
                content = content.replace(f"_{day}_02_".encode(), f"_{stamp}_02_".encode())
            (renamed / name).write_bytes(content)
    build_series(tmp_path / "out", landsat=tmp_path / "in")
    newer = max(("20230101", 0.05), ("20220701", 0.01), (day, 0.0))[1]
    assert (
        np.abs(built(tmp_path / "out", "landsat").select(SR_BANDS).data - 0.2 - newer).max() < 1e-4
    )


def test_tiles_of_one_date_and_several_baselines_are_said_to_step(tmp_path, caplog):
    west, east = (Grid.from_origin("EPSG:32633", x, 5800020, 10, 60, 60) for x in (399960, 400560))
    write_sentinel2_safe(tmp_path / "s2", sentinel2(0, west), baseline="04.00", start=START)
    write_sentinel2_safe(
        tmp_path / "s2", sentinel2(0, east), baseline="05.10", start=START, tile="33UVU"
    )
    with caplog.at_level(logging.WARNING):
        build_series(tmp_path / "out", sentinel2=tmp_path / "s2")
    assert built(tmp_path / "out", "sentinel2").valid.all()
    said = [r.getMessage() for r in caplog.records if "values may step" in r.getMessage()]
    assert len(said) == 1 and "04.00 and 05.10" in said[0]


@pytest.mark.parametrize(("craft", "code"), [("LANDSAT_5", "LT05"), ("LANDSAT_7", "LE07")])
def test_scenes_of_older_landsats_are_passed_over_with_a_word(tmp_path, caplog, craft, code):
    taken = write_landsat(tmp_path / "in", landsat(0.05), start=START)
    other = write_landsat(tmp_path / "other", landsat(), start=START.replace(day=3))
    name = f"{code}{other.name[4:]}"
    (tmp_path / "in" / name).mkdir()
    for file in other.iterdir():
        content = file.read_bytes()
        if "MTL" in file.name:
            for old in (b"LANDSAT_8", b"LANDSAT_9"):
                content = content.replace(old, craft.encode())
        (tmp_path / "in" / name / file.name.replace(other.name, name)).write_bytes(content)
    with caplog.at_level(logging.WARNING):
        build_series(tmp_path / "out", landsat=tmp_path / "in")
    assert np.abs(built(tmp_path / "out", "landsat").select(SR_BANDS).data - 0.25).max() < 1e-4
    said = [r.getMessage() for r in caplog.records if "other satellites" in r.getMessage()]
    assert len(said) == 1 and name in said[0]
    shutil.rmtree(taken)
    with pytest.raises(MetadataError, match=f"states the satellite '{craft}'"):
        build_series(tmp_path / "alone", landsat=tmp_path / "in")


def test_a_box_may_reach_across_the_antimeridian(tmp_path):
    grid = Grid.from_origin("EPSG:32701", 179220, 8146620, 10, 180, 180)
    write_sentinel2_safe(tmp_path / "s2", sentinel2(0, grid), tile="01KAB", start=START)
    box = (179.995, -16.755, -179.995, -16.745)
    done = build_series(tmp_path / "out", sentinel2=tmp_path / "s2", bbox=box, dry_run=True)
    west, south, east, north = done.sensors["sentinel2"].grid.bounds
    assert grid.bounds[0] < west < east < grid.bounds[2]
    assert abs((east - west) - 0.01 * 111320 * np.cos(np.radians(16.75))) < 60
    assert abs((north - south) - 0.01 * 110650) < 60
    for wrong in ((10, 0, 9, 1), (0, 5, 1, 4), (181, 0, 182, 1)):
        with pytest.raises(ConfigError, match="bbox"):
            build_series(tmp_path / "out", sentinel2=tmp_path / "s2", bbox=wrong)


S2 = "S2A_MSIL2A_20240621T102031_N{}_R122_T33UUU_{}"
SYN = "S3A_SY_2_SYN____20220621T101500_20220621T101800_{}_0180_001_001_0000_LN2_O_{}_002"
OLDER_AND_NEWER = [
    (S2.format("0209", "20240621T000000"), S2.format("0500", "20240622T000000")),
    (S2.format("9999", "20250101T000000"), S2.format("0500", "20240622T000000")),
    ("LC08_L2SP_190024_20220601_20220602_02_RT", "LC08_L2SP_190024_20220601_20220602_02_T1"),
    ("LC08_L2SP_190024_20220601_20220602_02_T1", "LC08_L2SP_190024_20220601_20230101_02_T1"),
    (SYN.format("20220621T120000", "NR"), SYN.format("20220623T120000", "NT")),
    (SYN.format("20220623T120000", "NT"), SYN.format("20240101T120000", "NT")),
]


@pytest.mark.parametrize(("older", "newer"), OLDER_AND_NEWER)
def test_names_tell_which_processing_is_newer(older, newer):
    names = [newer, older, "unknown", "unknown"]
    told = [processing_of(n, {}) for n in names]
    assert newest(names, told, names, "product") == [newer, "unknown", "unknown"]


def test_what_is_another_acquisition_or_a_part_of_the_same_is_kept():
    names = [
        S2.format("0500", "20240622T000000"),
        S2.format("0500", "20240622T010000"),
        S2.format("0400", "20240622T000000").replace("T33UUU", "T33UVU"),
        S2.format("0400", "20240622T000000").replace("R122", "R022"),
        S2.format("0400", "20240622T000000").replace("S2A", "S2B"),
        "LC08_L2SP_190024_20220601_20220602_02_T1",
        "LC08_L2SP_190024_20220617_20220618_02_T1",
        "LC09_L2SP_190024_20220601_20220602_02_T1",
    ]
    assert newest(names, [processing_of(n, {}) for n in names], names, "product") == names
