"""Numbers without a scale: what can be told of them is taken and said, what cannot stops."""

import logging
import os
import re
from pathlib import Path

import numpy as np
import pytest
import rasterio

from trifuse.core import (
    Band,
    BandSet,
    ConfigError,
    Cube,
    DataError,
    Grid,
    MemorySource,
    MetadataError,
    Reading,
)
from trifuse.products import open_cube
from trifuse.products.reading import open_reading, rescaled
from trifuse.products.scales import as_reflectance, judge, look_at_scale
from trifuse.srf_data import S2_L2A, load

DATA = os.environ.get("TRIFUSE_DATA")
S2 = load("S2A_MSI").select(S2_L2A).bands
NAMES = BandSet(tuple(Band(n) for n in S2.names))
GRID = Grid.from_origin("EPSG:32633", 600000, 5800020, 10, 60, 60)


def scene(bands=S2, grid=GRID):
    """Vegetation, soil and water: (band, y, x) reflectance."""
    rng = np.random.default_rng(2)
    level = np.interp(S2.centres, [400, 700, 800, 1600, 2300], [0.05, 0.08, 0.35, 0.25, 0.15])
    data = level[:, None, None] * rng.uniform(0.4, 1.6, (1, *grid.shape))
    data += rng.normal(0, 0.004, data.shape)
    data[:, :8] = 0.02 + rng.normal(0, 0.003, data[:, :8].shape)
    return data[S2.indices(bands.names)]


def source(data, bands=NAMES, **meta):
    made = Cube(data.astype(np.float32), np.ones(data.shape[1:], bool), bands, GRID, meta)
    return MemorySource(made, "made")


def write(path, stored, names=S2.names, **more):
    profile = {"driver": "GTiff", "crs": GRID.crs, "transform": rasterio.Affine(*GRID.transform)}
    shape = dict(zip(("count", "height", "width"), stored.shape, strict=True))
    with rasterio.open(path, "w", dtype=stored.dtype, **profile, **shape, **more) as sink:
        sink.write(stored)
        for i, name in enumerate(names, start=1):
            sink.set_band_description(i, name)
    return path


@pytest.mark.parametrize(("factor", "words"), [(1e4, "counts of 1e-4"), (100, "in per cent")])
@pytest.mark.parametrize("whole", [True, False], ids=["integers", "floats"])
def test_what_can_be_but_one_thing_is_taken_as_it_and_said(caplog, factor, words, whole):
    data = scene()
    numbers = np.rint(data * factor) if whole else data * factor
    with caplog.at_level(logging.WARNING):
        made = as_reflectance(source(numbers))
    (record,) = caplog.records
    assert words in record.getMessage() and "--scale" in record.getMessage()
    assert np.abs(made.read().data - data).max() <= (0.51 / factor if whole else 1e-6)
    assert words in made.meta["calibration"]["from"]
    with pytest.raises(DataError, match=re.escape(words)):
        as_reflectance(source(numbers), guess=False)


@pytest.mark.parametrize(
    "make",
    [
        lambda d: d,
        lambda d: d + 0.25,
        lambda d: np.where(np.arange(60)[:, None] < 9, d * 5, d),
        lambda d: np.full_like(d, np.nan),
        lambda d: d * 0,
        lambda d: d - 0.06,
    ],
    ids=["as it is", "desert", "snow", "nothing", "zeros", "dark"],
)
def test_reflectance_is_left_alone(caplog, make):
    given = source(make(scene()))
    assert as_reflectance(given) is given and not caplog.records


def test_what_is_told_or_no_reflectance_is_left_alone():
    counts = scene() * 1e4
    told = {"calibration": {"scale": 1.0, "offset": 0.0, "from": "who wrote it"}}
    for given in (
        source(counts, **told),
        source(counts, quantity="radiance"),
        source(counts, BandSet.of(S2.names, [11_000.0] * 12)),
    ):
        assert as_reflectance(given) is given and look_at_scale(given) == ""


STOPPED = {
    "offset left": (lambda d: np.rint(d * 1e4) + 1000, "−1000 .* never applied; give --scale "
                    "0.0001 --offset -0.1"),
    "offset not to be told": (lambda d: np.rint(d * 1e4) + 2500, "cannot be told; give --scale "
                              "0.0001 and --offset 0 or --offset -0.1"),
    "two scales": (lambda d: np.where(np.arange(12)[:, None, None] < 4, d, d * 1e4), "there are "
                   "two scales in it: B1, B2, B3, B4 end at .*a number for each band"),
    "fill": (lambda d: np.where(np.arange(60) < 20, -9999, d), "33 % of the values are -9999.*"
             "--nodata -9999"),
    "fill among counts": (lambda d: np.where(np.arange(60) < 6, -32768, np.rint(d * 1e4)),
                          "--nodata -32768"),
    "Landsat's": (lambda d: (d + 0.2) / 2.75e-5, "--scale 2.75e-5 --offset -0.2"),
    "thousands": (lambda d: d * 1e3, "cannot be told; give --scale"),
    "millions": (lambda d: d * 1e6, "cannot be told; give --scale"),
}  # fmt: skip


@pytest.mark.parametrize("what", STOPPED)
def test_what_cannot_be_told_stops_in_one_line(what):
    change, words = STOPPED[what]
    given = source(change(scene()))
    with pytest.raises(DataError, match=words) as told:
        as_reflectance(given)
    assert told.value.exit_code == 13 and "\n" not in str(told.value)
    assert str(told.value).startswith("made: ") and look_at_scale(given) in str(told.value)
    if what in ("thousands", "millions"):
        assert as_reflectance(given, ratio=True) is given, "a ratio needs no scale"
    else:
        with pytest.raises(DataError):
            as_reflectance(given, ratio=True)


def test_a_scale_without_the_offset_and_an_offset_without_the_scale_stop(tmp_path):
    stored = np.rint(scene() * 1e4 + 1000).astype(np.uint16)
    path = write(tmp_path / "a.tif", stored)
    cube = source(stored).read()
    for image in (path, cube):
        with open_reading(Reading(image, scale=1e-4)) as given:
            with pytest.raises(DataError, match=r"never applied; give --offset -0\.1; if it was"):
                as_reflectance(given)
        with open_reading(Reading(image, offset=-0.1)) as given:
            with pytest.raises(DataError, match=r"an offset is given and no scale: .*--scale"):
                as_reflectance(given)
        for offset in (0, -0.1):
            with open_reading(Reading(image, scale=1e-4, offset=offset)) as given:
                assert as_reflectance(given) is given
    counts = open_reading(Reading(source(scene() * 1e4).read(), offset=0.0))
    with pytest.raises(DataError, match=r"counts of 1e-4; give --scale 0.0001 too"):
        as_reflectance(counts)
    shifted = open_reading(Reading(source(scene() + 0.1).read(), offset=-0.1))
    assert as_reflectance(shifted) is shifted


def test_a_scale_in_the_file_without_the_offset_is_said(tmp_path, caplog):
    path = write(tmp_path / "a.tif", np.rint(scene() * 1e4 + 1000).astype(np.uint16))
    with rasterio.open(path, "r+") as sink:
        sink.scales = [1e-4] * 12
    with open_cube(path) as given:
        assert as_reflectance(given) is given
        assert "never applied, it seems (--offset -0.1)" in caplog.records[-1].getMessage()
        assert look_at_scale(given).endswith("(--offset -0.1)")


def test_classes_beside_bands_are_no_second_scale():
    data = np.concatenate([scene(), np.full((1, 60, 60), 5.0)])
    given = source(data, BandSet((*NAMES, Band("SCL"))))
    assert as_reflectance(given) is given


def test_counts_of_landsat_are_not_asked_for_the_offset_of_sentinel2():
    oli = load("L8_OLI").select(["B2", "B4", "B5"]).bands
    data = scene(NAMES.select(["B2", "B4", "B8"])) * 1e4 + 1500
    assert judge(source(data, oli)).scale == 1e-4
    assert judge(source(data, NAMES.select(["B2", "B4", "B8"]))).stops


def test_an_offset_left_in_what_is_scaled_is_said(caplog):
    given = source(scene() + 0.1)
    assert as_reflectance(given) is given
    assert "never applied, it seems" in caplog.records[0].getMessage()


def test_water_in_per_cent_is_one_scale():
    level = np.interp(S2.centres, [440, 700, 1000], [0.06, 0.02, 0.008])[:, None, None]
    data = level * np.random.default_rng(1).uniform(0.8, 1.2, (12, 60, 60))
    assert judge(source(data * 100)).scale == 0.01
    half = np.where(np.arange(12)[:, None, None] < 4, data * 100, data)
    assert "two scales" in judge(source(half)).text


def test_a_picture_is_no_reflectance(tmp_path):
    path = write(tmp_path / "a.tif", np.clip(scene() * 400, 0, 255).astype(np.uint8))
    with open_cube(path) as given, pytest.raises(DataError, match="8 bits are a picture"):
        as_reflectance(given)


def test_a_few_blocks_of_a_large_image_are_enough():
    grid = Grid.from_origin("EPSG:32633", 600000, 5800020, 10, 700, 500)
    data = (scene(NAMES.select(["B4", "B8"]), grid) * 1e4).astype(np.float32)
    bands = NAMES.select(["B4", "B8"])
    large = MemorySource(Cube(data, np.ones(grid.shape, bool), bands, grid), "large")
    assert judge(large).scale == 1e-4


@pytest.mark.skipif(DATA is None, reason="no real data: TRIFUSE_DATA is not set")
def test_real_images_without_a_scale():
    with open_cube(Path(DATA) / "1_enmap/potsdam_L2A_real/tiles") as told:
        assert as_reflectance(told) is told
    with open_cube(Path(DATA) / "1_enmap/berlin_simulated_from_HyMap" /
                   "EnMAP_BerlinUrbanGradient.hdr") as counts:  # fmt: skip
        assert judge(counts).scale == 1e-4 and not judge(counts).fix


def test_metadata_with_two_scales_are_told(tmp_path):
    path = write(tmp_path / "a.tif", np.rint(scene() * 1e4).astype(np.uint16))
    with rasterio.open(path, "r+") as sink:
        sink.scales = [1e-4] * 8 + [1.0] * 4
    with open_cube(path) as given, pytest.raises(DataError, match="two scales in it"):
        as_reflectance(given)
    with open_cube(path, scale=1e-4) as given:
        assert as_reflectance(given) is given


def test_an_offset_that_cannot_be(tmp_path):
    stored = np.rint(scene() * 1e4 + 1000).astype(np.uint16)
    path = write(tmp_path / "a.tif", stored)
    with open_cube(path, scale=1e-4, offset=-1000) as given:
        with pytest.raises(ConfigError, match=r"an offset of -1000 cannot be .* −0.1") as told:
            as_reflectance(given)
    assert told.value.exit_code == 12
    with rasterio.open(path, "r+") as sink:
        sink.scales, sink.offsets = [1e-4] * 12, [-1000.0] * 12
    with open_cube(path) as given, pytest.raises(MetadataError, match="the file states") as told:
        as_reflectance(given)
    assert told.value.exit_code == 7
    for wrong in ({"scale": 0.0}, {"scale": float("nan")}, {"offset": 1e6}, {"scale": -1e-4}):
        with pytest.raises(ConfigError):
            Reading(path, **wrong)


def test_a_reading_opens_files_sources_and_cubes(tmp_path):
    data = scene()
    stored = np.rint(data * 1e4 + 1000).astype(np.uint16)
    path = write(tmp_path / "a.tif", stored)
    with rasterio.open(path) as raw:
        wanted = raw.read() * 1e-4 - 0.1
    cube = source(stored).read()
    how = {"scale": 1e-4, "offset": -0.1}
    for image in (path, str(path), [path], cube, MemorySource(cube, "made")):
        with open_reading(Reading(image, **how)) as made:
            assert np.abs(made.read().data - wanted).max() < 1e-6
            part = made.read(GRID.whole.pad(-20), ["B8A", "B2"])
            assert np.abs(part.data - wanted[[8, 1], 20:40, 20:40]).max() < 1e-6
            assert made.meta["calibration"]["scale"] == 1e-4
            assert as_reflectance(made) is made
    each = open_reading(Reading(cube, scale=[1e-4] * 12, offset=-0.1))
    assert np.abs(each.read().data - wanted).max() < 1e-6
    for wrong in ({"nodata": 0}, {"wavelengths": [1.0]}, {"scale": [1.0, 2.0]}):
        with pytest.raises(ConfigError):
            open_reading(Reading(cube, **wrong))
    with pytest.raises(ConfigError, match="resolution does not apply to geotiff"):
        open_reading(Reading(path, resolution=10))


def test_a_rescaled_image_keeps_its_sampling():
    first = source(scene(), native_gsd=20)
    made = rescaled(first, 0.5, None, "halved")
    assert made.sampling == first.sampling and made[GRID.whole.pad(-9)].read().shape[0] == 12
    np.testing.assert_allclose(made.read().data, first.read().data / 2, rtol=1e-6)
