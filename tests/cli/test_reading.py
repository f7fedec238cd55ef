"""What users say of their images on the command line, and images that say nothing themselves."""

import json
import re
import shutil

import numpy as np
import pytest
import rasterio

import trifuse as tf
from trifuse.core import BandSet, Cube
from trifuse.products import open_cube, write_sentinel2_safe
from trifuse.srf_data import S2_L2A, load

PIXELS = 48


def plain(path, cube, add=0, names=None, scale=1e4, dtype="uint16"):
    """A GeoTIFF of numbers without a word on what they are."""
    data = np.rint(cube.masked() * scale + add) if dtype != "float32" else cube.data * scale
    profile = {
        "driver": "GTiff",
        "crs": cube.grid.crs,
        "transform": rasterio.Affine(*cube.grid.transform),
        "height": cube.grid.height,
        "width": cube.grid.width,
        "count": len(cube.bands),
        "dtype": dtype,
    }
    with rasterio.open(path, "w", **profile) as sink:
        sink.write(np.nan_to_num(data).astype(dtype))
        for i, name in enumerate(names or cube.bands.names, start=1):
            sink.set_band_description(i, name)
    return path


@pytest.fixture(scope="module")
def images(scene):
    with open_cube(scene.s2) as s2, open_cube(scene.s3) as s3:
        return s2.read(), s3.read()


@pytest.fixture(scope="module")
def safe(tmp_path_factory):
    """A product of vegetation and soil, complete."""
    rng = np.random.default_rng(4)
    bands = load("S2A_MSI").select(S2_L2A).bands
    grid = tf.Grid.from_origin("EPSG:32633", 600000, 5800020, 10, PIXELS, PIXELS)
    level = np.interp(bands.centres, [400, 700, 800, 1600, 2300], [0.04, 0.06, 0.35, 0.25, 0.15])
    data = level[:, None, None] * rng.uniform(0.5, 1.5, (1, *grid.shape))
    cube = Cube(data.astype(np.float32), np.ones(grid.shape, bool), bands, grid)
    return write_sentinel2_safe(tmp_path_factory.mktemp("safe"), cube), cube


def mean_ndvi(path):
    with open_cube(path) as made:
        return float(np.nanmean(made.read().masked()))


def test_ndvi_of_counts_with_the_offset_in_them_stops_and_says_what_to_give(
    trifuse, fails, safe, tmp_path
):
    cube = safe[1]
    counts = plain(tmp_path / "counts.tif", cube, add=1000)
    out = tmp_path / "ndvi.tif"
    said = fails(13, "never applied; give --scale 0.0001 --offset -0.1", "ndvi", counts, "-o", out)
    assert "−1000" in said and not out.exists()
    fails(13, "give --offset -0.1", "ndvi", counts, "-o", out, "--scale", "1e-4")
    options = re.search(r"(--scale \S+) (--offset [-\d.]+)", said)
    words = [w for pair in options.groups() for w in pair.split()]
    code, _, err = trifuse("ndvi", counts, "-o", out, *words)
    assert code == 0 and err == ""
    red, nir = (cube.select([b]).data[0] for b in ("B4", "B8A"))
    truth = float(((nir - red) / (nir + red)).mean())
    assert abs(mean_ndvi(out) - truth) < 5e-4
    wrong = float(((nir - red) / (nir + red + 0.2)).mean())
    assert truth - wrong > 0.2, "what it would have been"
    made = tf.ndvi(tf.Reading(counts, scale=1e-4, offset=-0.1))
    assert abs(float(np.nanmean(made.cube.masked())) - truth) < 5e-4
    record = json.loads((tmp_path / "ndvi.tif.json").read_text())
    assert record["input"]["as_given"] == {"scale": 1e-4, "offset": -0.1}


def test_ndvi_of_counts_is_taken_loudly(trifuse, safe, tmp_path):
    counts = plain(tmp_path / "counts.tif", safe[1], names=[n.lower() for n in S2_L2A])
    code, _, err = trifuse("ndvi", counts, "-o", tmp_path / "a.tif")
    assert code == 0 and len([x for x in err.splitlines() if "can only be counts" in x]) == 1
    share = plain(tmp_path / "share.tif", safe[1], scale=100, dtype="float32")
    code, _, err = trifuse("ndvi", share, "-o", tmp_path / "b.tif")
    assert code == 0 and "can only be reflectance in per cent" in err
    assert abs(mean_ndvi(tmp_path / "a.tif") - mean_ndvi(tmp_path / "b.tif")) < 1e-3


def test_ndvi_by_words_and_wavelengths(trifuse, fails, safe, tmp_path):
    few = safe[1].select(["B4", "B8A"])
    named = plain(tmp_path / "named.tif", few, names=["Red", "NIR08"])
    bare = plain(tmp_path / "bare.tif", few, names=["one", "two"])
    listed = tmp_path / "nm.txt"
    listed.write_text("665\n865\n")
    for i, (path, *more) in enumerate(
        [
            (named,),
            (bare, "--wavelengths", "665,865"),
            (bare, "--wavelengths", listed),
            (bare, "--bands", "red,nir08"),
        ]
    ):
        out = tmp_path / f"{i}.tif"
        assert trifuse("ndvi", path, "-o", out, "--scale", "1e-4", *more)[0] == 0
        assert mean_ndvi(out) == mean_ndvi(tmp_path / "0.tif")
    out = tmp_path / "no.tif"
    either = plain(tmp_path / "either.tif", few, names=["B4", "B5"])
    fails(10, "B5 is Sentinel-2's red edge or Landsat's", "ndvi", either, "-o", out)
    twice = plain(tmp_path / "twice.tif", few, names=["B8", "nir"])
    fails(10, "B8 and nir are both Sentinel-2's B8", "ndvi", twice, "-o", out)
    fails(12, "does not apply to geotiff", "ndvi", bare, "-o", out, "--resolution", "10")
    fails(12, "an offset of -1000 cannot be", "ndvi", named, "-o", out, "--scale", "1e-4",
          "--offset", "-1000")  # fmt: skip
    for words in (["--scale", "x"], ["--wavelengths", "a,b"], ["--resolution", "15"]):
        assert trifuse("ndvi", bare, "-o", out, *words)[0] == 2
    assert trifuse("ndvi", bare, "-o", out, "--scale", "s2=1")[0] == 2
    fails(12, "a scale of 0", "ndvi", bare, "-o", out, "--scale", "0")
    assert not out.exists()


def test_fuse_takes_a_scale_for_either_image(trifuse, fails, images, tmp_path):
    s2 = plain(tmp_path / "s2.tif", images[0], add=1000)
    s3 = plain(tmp_path / "s3.tif", images[1], scale=1e3, dtype="float32")
    good2 = plain(tmp_path / "good2.tif", images[0], scale=1.0, dtype="float32")
    good3 = plain(tmp_path / "good3.tif", images[1], scale=1.0, dtype="float32")
    how = ["--method", "regression", "-t", "float32", "--coregister", "off"]
    out = tmp_path / "out.tif"
    fails(13, "s2: ", "fuse", "--s2", s2, "--s3", good3, "-o", out, *how)
    fails(13, "s3: ", "fuse", "--s2", good2, "--s3", s3, "-o", out, *how)
    assert trifuse("fuse", "--s2", good2, "--s3", good3, "-o", tmp_path / "good.tif", *how)[0] == 0
    said = ["--scale", "s2=1e-4", "--offset", "s2=-0.1", "--scale", "s3=0.001"]
    code, _, err = trifuse("fuse", "--s2", s2, "--s3", s3, "-o", out, *how, *said)
    assert code == 0, err
    with open_cube(out) as made, open_cube(tmp_path / "good.tif") as good:
        assert np.nanmax(np.abs(made.read().data - good.read().data)) < 2e-3
    inputs = json.loads((tmp_path / "out.tif.json").read_text())["inputs"]
    assert inputs["s2"]["as_given"] == {"scale": 1e-4, "offset": -0.1}
    assert inputs["s3"]["as_given"] == {"scale": 0.001} and inputs["s3"]["files"][0]["sha256"]
    fused = tf.fuse(
        tf.Reading(s2, scale=1e-4, offset=-0.1),
        tf.Reading(s3, scale=1e-3),
        method="regression",
        coregister="off",
    )
    with open_cube(out) as made:
        assert np.nanmax(np.abs(made.read().data - fused.cube.data)) < 1e-6


@pytest.mark.parametrize("factor", [1e4, 100.0])
def test_both_images_in_another_scale_give_the_same(images, factor, caplog):
    made = []
    for scale in (1.0, factor):
        both = [Cube(c.data * np.float32(scale), c.valid, c.bands, c.grid) for c in images]
        made.append(tf.fuse(*both, method="regression", coregister="off").cube.data)
    assert np.nanmax(np.abs(made[1] - made[0])) < 1e-4
    assert len([r for r in caplog.records if "can only be" in r.getMessage()]) == 2


def test_simulate_stops_at_integers_without_a_scale(trifuse, fails, tmp_path):
    bands = load("ENMAP").bands
    bands = BandSet(tuple(b for b in bands if b.centre < 2400))
    rng = np.random.default_rng(3)
    grid = tf.Grid.from_origin("EPSG:32633", 600000, 5800020, 30, 60, 60)
    level = np.interp(bands.centres, [400, 700, 800, 1600, 2400], [0.04, 0.08, 0.4, 0.25, 0.1])
    data = (level[:, None, None] * rng.uniform(0.5, 1.5, (1, *grid.shape))).astype(np.float32)
    cube = Cube(data, np.ones(grid.shape, bool), bands, grid)
    path = plain(tmp_path / "cube.tif", cube, names=[f"x{i}" for i in range(len(bands))])
    with rasterio.open(path, "r+") as sink:
        for i, band in enumerate(bands, start=1):
            sink.update_tags(i, wavelength=f"{band.centre}", wavelength_units="nm", fwhm="10")
    out = tmp_path / "store"
    how = ["--patch", "20", "-o", out]
    fails(13, "can only be counts of 1e-4; give --scale 0.0001", "simulate", path, *how)
    fails(13, "give --scale 0.0001", "simulate", path, "--tiles", *how)
    assert not out.exists()
    for more in ([], ["--tiles"]):
        code, _, err = trifuse("simulate", path, *how, "--scale", "1e-4", "--overwrite", *more)
        assert code == 0, err
        store = tf.TripletStore(out)
        assert 0.2 < float(np.nanmax(store.read(0).hrhsi)) < 0.7


def test_inspect_says_what_numbers_look_like(trifuse, safe, tmp_path):
    counts = plain(tmp_path / "counts.tif", safe[1], names=[f"SR_{b}" for b in S2_L2A])
    code, out, _ = trifuse("inspect", counts)
    assert code == 0 and "can only be counts of 1e-4: commands take them times 0.0001" in out
    assert "B4 'SR_B4'" in out
    code, out, _ = trifuse("inspect", counts, "--scale", "1e-4", "--json")
    facts = json.loads(out)
    assert code == 0 and facts["scale"] == "" and facts["percentiles_2_50_98"]["B4"][2] < 0.2


def part_of(folder, path, keep):
    """A copy with some of the folders of images alone."""
    copy = shutil.copytree(path, folder / path.name)
    for place in copy.glob("GRANULE/*/IMG_DATA/R*m"):
        if int(place.name[1:3]) not in keep:
            shutil.rmtree(place)
    return copy


@pytest.mark.parametrize("keep", [(10,), (20,), (60,), (20, 60)])
def test_products_in_part_are_inspected_and_mapped(trifuse, safe, tmp_path, keep):
    path = part_of(tmp_path, safe[0], keep)
    code, _, err = trifuse("inspect", path)
    assert code == 0 and "holds no image of" in err
    code, _, err = trifuse("ndvi", path, "-o", tmp_path / "ndvi.tif")
    assert code == 0, err
    with open_cube(tmp_path / "ndvi.tif") as made:
        assert made.grid.gsd[1] == min(keep)
        values = made.read().masked()
    red, nir = (safe[1].select([b]).data[0] for b in ("B4", "B8" if keep == (10,) else "B8A"))
    k = min(keep) // 10
    red, nir = (p.reshape(PIXELS // k, k, PIXELS // k, k).mean(axis=(1, 3)) for p in (red, nir))
    assert np.nanmax(np.abs(values - (nir - red) / (nir + red))) < 2e-3


def test_the_resolution_can_be_chosen(trifuse, fails, safe, tmp_path):
    out = tmp_path / "a.tif"
    assert trifuse("ndvi", safe[0], "-o", out, "--resolution", "60", "--mask", "none")[0] == 0
    with open_cube(out) as made:
        assert made.grid.gsd[1] == 60
    fails(12, "unknown", "ndvi", safe[0], "-o", tmp_path / "b.tif", "--mask", "no-such-class")


def test_products_in_part_are_sharpened_fused_and_made_a_series(trifuse, fails, safe, tmp_path):
    path = part_of(tmp_path / "in", safe[0], (20, 60))
    how = ["--method", "bicubic", "--force"]  # noise has no detail that bands share
    code, out, err = trifuse("sharpen", path, "-o", tmp_path / "sharp.tif", *how)
    assert code == 0, err
    assert "sharpened B1, B9" in out
    alone = part_of(tmp_path / "alone", safe[0], (10,))
    fails(13, "nothing to sharpen", "sharpen", alone, "-o", tmp_path / "no.tif")
    with open_cube(path) as source:
        cube = source.read()
    s3 = cube.grid.zoom_out(6)
    blocks = cube.data.reshape(len(cube.bands), 4, 6, 4, 6).mean(axis=(2, 4))
    names = ["Oa04", "Oa06", "Oa08", "Oa17"]
    picks = [cube.bands.index(b) for b in ("B2", "B3", "B4", "B8A")]
    coarse = Cube(blocks[picks].astype(np.float32), np.ones((4, 4), bool), BandSet.of(names), s3)
    plain(tmp_path / "s3.tif", coarse, scale=1.0, dtype="float32")
    how = ["--method", "regression", "--coregister", "off", "-o", tmp_path / "fused.tif"]
    code, _, err = trifuse("fuse", "--s2", path, "--s3", tmp_path / "s3.tif", *how)
    assert code == 0, err
    with open_cube(tmp_path / "fused.tif") as made:
        assert made.grid == cube.grid
    code, _, err = trifuse("series", "build", "--s2", tmp_path / "in", "-o", tmp_path / "series")
    assert code == 0 and "no product has B8: left out" in err
    coarse = tmp_path / "coarse"
    where = ["--s2", tmp_path / "in", "-o", coarse, "--resolution", "60"]
    assert trifuse("series", "build", *where)[0] == 0
    (image,) = (tmp_path / "series/sentinel2").glob("*.tif")
    with open_cube(image) as made, open_cube(coarse / "sentinel2" / image.name) as other:
        assert other.grid == made.grid
        assert other.read(bands=["B4"]).data.std() < 0.8 * made.read(bands=["B4"]).data.std()
        assert "B8" not in made.bands.names and made.grid.gsd[1] == 10
        inner = made.read(made.grid.whole.pad(-4), ["B4"])
    with open_cube(safe[0], resolution=20) as whole:
        level = float(whole.read(bands=["B4"]).data.mean())
    assert abs(float(np.nanmean(inner.data)) - level) < 0.004


def test_what_is_said_without_a_name_is_of_all_images_that_are_given(
    trifuse, fails, images, tmp_path
):
    both = [plain(tmp_path / f"{i}.tif", images[1], scale=1e3) for i in range(2)]
    how = ["evaluate", both[0], "--truth", both[1]]
    fails(13, "cannot be told", *how)
    code, out, _ = trifuse(*how, "--scale", "0.001", "--json")
    assert code == 0 and json.loads(out)["scores"]["fused"]["rmse"] == 0
    code, _, err = trifuse(*how, "--scale", "s2=0.001")
    assert code == 2 and "scale is said of s2, which is not given" in err
