import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_erosion

from tests.reference import regression_fit
from trifuse.core import BandSet, ConfigError, MemorySource
from trifuse.metrics import psnr
from trifuse.simulate import procedural_layers, procedural_scene, scene_views
from trifuse.simulate.ground.landuse import Landcover

WATER, FOREST, BUILT = Landcover.WATER, Landcover.FOREST, Landcover.BUILT


def plane(cube, nm):
    """The VNIR plane nearest to a wavelength."""
    return cube.data[BandSet(cube.bands.bands[:91]).nearest(nm)]


def ndvi(cube):
    red, nir = plane(cube, 665), plane(cube, 865)
    return (nir - red) / (nir + red)


def inner(scene, code):
    """Pixels of a class whose neighbours are of the class too: pure ones."""
    return binary_erosion(scene.landcover == code, np.ones((3, 3)))


@pytest.fixture(scope="module")
def hills():
    return procedural_layers(200, 1)


@pytest.fixture(scope="module")
def lakes():
    return procedural_layers((120, 160), 7)


def test_bands_are_those_of_flight_products(hills):
    cube, meta = hills.cube, hills.cube.meta
    centres = np.array(cube.bands.centres)
    assert cube.shape == (224, 200, 200)
    assert meta["detectors"] == ["VNIR"] * 91 + ["SWIR"] * 133
    assert centres[90] > centres[91]
    assert [k for k, u in enumerate(meta["usable"], start=1) if not u] == list(range(130, 136))
    assert np.array_equal(np.isnan(cube.data).any(axis=(1, 2)), ~np.array(meta["usable"]))
    assert cube.valid.all()
    assert cube.grid.crs == "EPSG:32633"
    assert cube.grid.gsd == (30.0, 30.0)


def test_reflectance_is_in_range_and_in_the_steps_of_the_product(hills, lakes):
    for scene in (hills, lakes):
        data = scene.cube.data[list(scene.cube.meta["usable"])]
        assert np.isfinite(data).all()
        low, high = np.percentile(data, [0.1, 99.99])
        assert -0.02 < low
        assert high < 1.2
        counts = data / np.float32(1e-4)
        assert np.abs(counts - np.rint(counts)).max() < 2e-3
        assert np.abs(np.rint(counts)).max() < 32767


def test_ndvi_tells_water_from_vegetation(hills, lakes):
    values = ndvi(lakes.cube)
    assert (values[inner(lakes, WATER)] < 0).mean() > 0.8
    assert (values[inner(lakes, FOREST)] > 0.6).mean() > 0.8
    assert (values > 0.6).mean() > 0.2
    values = ndvi(hills.cube)
    assert np.median(values[hills.landcover == BUILT]) < 0.45
    assert np.ptp(np.percentile(values, [5, 95])) > 0.5


def test_spectra_have_the_features_of_their_materials(hills, lakes):
    mean = lakes.cube.data[:, inner(lakes, FOREST)].mean(axis=1)
    wet = lakes.cube.data[:, inner(lakes, WATER)].mean(axis=1)
    at = lakes.cube.bands.nearest
    assert mean[at(560)] > 1.3 * max(mean[at(490)], mean[at(670)])  # chlorophyll
    assert mean[at(780)] > 4 * mean[at(670)]  # red edge
    assert mean[at(1450)] < 0.6 * mean[at(1650)]  # leaf water
    assert wet[at(1650)] < 0.04 < 0.12 < mean[at(1650)]
    assert wet[at(560)] > wet[at(860)]
    roofs = hills.cube.data[:, hills.landcover == BUILT].mean(axis=1)
    assert 0.6 < roofs[at(1650)] / roofs[at(865)] < 1.4


def test_there_is_detail_at_every_scale(hills):
    """The power spectrum falls like that of real land: by about a power of two to three."""
    nir = plane(hills.cube, 865)
    power = np.abs(np.fft.fft2(nir - nir.mean())) ** 2
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(200), np.fft.fftfreq(200), indexing="ij"))
    bins = np.geomspace(0.02, 0.4, 9)
    which = np.digitize(f, bins)
    level = np.array([power[which == k].mean() for k in range(1, len(bins))])
    slope = np.polyfit(np.log(np.sqrt(bins[1:] * bins[:-1])), np.log(level), 1)[0]
    assert -3.5 < slope < -1.2


@pytest.mark.parametrize("kind", ["hills", "lakes"])
def test_it_is_as_hard_for_the_regression_as_real_land(kind, request):
    s2, s3, truth = scene_views(MemorySource(request.getfixturevalue(kind).cube))
    estimate = regression_fit(s2, s3).predict()
    score = psnr(truth.data, estimate)
    assert 52 < score < 63


def test_spectral_dimensions_are_those_of_real_land(hills, data_dir):
    """Eigenvalues of the covariance against the real block, within a factor on each side."""
    rasterio = pytest.importorskip("rasterio")
    tiles = sorted((data_dir / "1_enmap/potsdam_L2A_real/tiles").glob("*.tif"))
    if not tiles:
        pytest.skip("the real EnMAP tiles are not there")
    real = []
    for tile in tiles:
        with rasterio.open(tile) as image:
            real.append(image.read().reshape(224, -1) * 1e-4)
    pixels = np.concatenate(real, axis=1)
    centres = np.array(hills.cube.bands.centres)
    use = np.array(hills.cube.meta["usable"]) & (pixels > -1).all(axis=1)
    use &= ((np.arange(224) < 85) | (centres > 985)) & (centres < 2350)
    use &= ~((centres > 1300) & (centres < 1500)) & ~((centres > 1750) & (centres < 2030))

    def spread(x):
        x = x[use] - x[use].mean(axis=1, keepdims=True)
        return np.sqrt(np.linalg.eigvalsh(x @ x.T / x.shape[1])[::-1])

    ours, theirs = spread(hills.cube.data.reshape(224, -1).astype(float)), spread(pixels)
    ratio = ours[:30] / theirs[:30]
    assert (ratio > 0.3).all()
    assert (ratio < 3).all()


def test_clouds_are_masked_with_their_shadows():
    clear, cloudy = procedural_layers(100, 1), procedural_layers(100, 1, clouds=True)
    assert not clear.cloud.any()
    assert not clear.shadow.any()
    assert 0.05 < cloudy.cloud.mean() < 0.45
    assert 0.02 < cloudy.shadow.mean() < 0.45
    assert not (cloudy.cloud & cloudy.shadow).any()
    np.testing.assert_array_equal(cloudy.cube.valid, ~(cloudy.cloud | cloudy.shadow))
    np.testing.assert_array_equal(cloudy.landcover, clear.landcover)
    blue, before = plane(cloudy.cube, 490), plane(clear.cube, 490)
    assert np.median(blue[cloudy.cloud] / before[cloudy.cloud]) > 2
    assert np.median(blue[cloudy.shadow] / before[cloudy.shadow]) < 0.95
    # What is left is lit as before, but for light from the clouds around.
    valid = cloudy.cube.valid
    assert np.median(np.abs(blue - before)[valid]) < 0.02


def test_the_same_seed_gives_the_same_bytes_whatever_the_threads():
    code = (
        "import hashlib; from trifuse.simulate import procedural_scene as p;"
        "print(hashlib.sha256(p((24, 30), 9, clouds=True).data.tobytes()).hexdigest())"
    )
    env = {**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    other = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    here = hashlib.sha256(procedural_scene((24, 30), 9, clouds=True).data.tobytes()).hexdigest()
    assert other.stdout.strip() == here, other.stderr


def test_seeds_differ():
    a, b = (procedural_scene(24, s).data[40] for s in (0, 5))
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] < 0.5


@settings(max_examples=4, deadline=None)
@given(st.integers(8, 50), st.integers(8, 50), st.integers(0, 2**40), st.sampled_from([10, 30, 90]))
def test_any_size_and_pixel(rows, cols, seed, gsd):
    scene = procedural_layers((rows, cols), seed, gsd=gsd, crs="EPSG:32701", west=5e5, north=9e6)
    cube = scene.cube
    assert cube.shape == (224, rows, cols)
    assert cube.grid.bounds == (5e5, 9e6 - rows * gsd, 5e5 + cols * gsd, 9e6)
    assert scene.landcover.max() < len(scene.classes)
    assert scene.landcover.min() >= 1
    assert np.isfinite(cube.data[list(cube.meta["usable"])]).all()


def test_metadata_is_plain_json(hills):
    import json

    assert json.loads(json.dumps(dict(hills.cube.meta))) == dict(hills.cube.meta)


@pytest.mark.parametrize(
    ("size", "seed", "gsd"), [(7, 0, 30.0), ((40, 3), 0, 30.0), (20, -1, 30.0), (20, 0, 0.0)]
)
def test_what_makes_no_scene_is_refused(size, seed, gsd):
    with pytest.raises(ConfigError, match="no scene of"):
        procedural_scene(size, seed, gsd=gsd)
