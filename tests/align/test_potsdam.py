"""The regression on a real EnMAP scene, against the figures of an independent computation."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from tests.reference import regression_fit
from trifuse.align import coarse_view, fit_map, pair
from trifuse.core import BandSet, Cube, Grid, MemorySource, degrade, upsample
from trifuse.metrics import psnr, score
from trifuse.srf_data import S2_L2A, S3_SYN_19, integrate, load

RATIO, HEIGHT, WIDTH = 10, 60, 120
ENMAP_BANDS = 224


@pytest.fixture(scope="module")
def spectral(data_dir):
    """The eight tiles as one block: (224, 64, 128) reflectance, and their bands."""
    rasterio = pytest.importorskip("rasterio")
    files = sorted((data_dir / "1_enmap/potsdam_L2A_real/tiles").glob("*.tif"))
    if not files:
        pytest.skip("the EnMAP tiles of Potsdam are not among the real data")
    tiles = []
    for path in files:
        with rasterio.open(path) as f:
            tags = [f.tags(i) for i in f.indexes]
            values = np.where(f.read() == f.nodata, np.nan, f.read() * f.scales[0])
            tiles.append((f.bounds, values))
    west, north = min(b.left for b, _ in tiles), max(b.top for b, _ in tiles)
    block = np.full((ENMAP_BANDS, 64, 128), np.nan)
    for bounds, values in tiles:
        row, col = round((north - bounds.top) / 30), round((bounds.left - west) / 30)
        block[:, row : row + 32, col : col + 32] = values
    centres, widths = ([float(t[key]) for t in tags] for key in ("wavelength", "fwhm"))
    return block, BandSet.of([f"E{i:03d}" for i in range(1, ENMAP_BANDS + 1)], centres, widths)


@pytest.fixture(scope="module")
def views(spectral):
    """(HrMSI, LrHSI, HrHSI) at ratio 10 over the upper left 60 × 120 pixels."""
    block, bands = spectral
    usable = [bool(np.isfinite(plane).all()) for plane in block]
    grid = Grid.from_origin("EPSG:32633", 0, 0, 30, HEIGHT, WIDTH)

    def view(table, names):
        operator = integrate(load(table).select(names), bands, usable=usable)
        return operator.apply(block)[:, :HEIGHT, :WIDTH], operator.bands

    def cube(data, names, on):
        return Cube(data, np.ones(on.shape, bool), names, on)

    sharp, s2_bands = view("S2A_MSI", S2_L2A)
    truth, s3_bands = view("S3A_SYN", S3_SYN_19)
    return (
        cube(sharp, s2_bands, grid),
        cube(degrade(truth, RATIO), s3_bands, grid.zoom_out(RATIO)),
        truth,
    )


def scored(estimate, views):
    return score(views[2], estimate, ratio=RATIO, bands=views[1].bands)


def test_medians_agree(views):
    s2 = [0.038, 0.047, 0.068, 0.063, 0.099, 0.211, 0.245, 0.252, 0.259, 0.267, 0.186, 0.121]
    s3 = [
        0.038,
        0.045,
        0.049,
        0.069,
        0.069,
        0.065,
        0.063,
        0.062,
        0.062,
        0.064,
        0.111,
        0.236,
        0.244,
        0.259,
        0.259,
        0.259,
        0.279,
        0.187,
        0.117,
    ]
    np.testing.assert_allclose(np.median(views[0].data, axis=(1, 2)), s2, atol=0.002)
    np.testing.assert_allclose(np.median(views[2], axis=(1, 2)), s3, atol=0.002)


def test_bicubic_agrees(views):
    s = scored(upsample(views[1].data, RATIO), views)
    assert s.psnr == pytest.approx(18.9, abs=0.1)
    assert s.sam == pytest.approx(13.9, abs=0.1)


@pytest.mark.parametrize(
    ("ridge", "psnr", "sam"), [("gcv", 56.7, 2.7), (1e-4, 53.6, None)], ids=str
)
def test_regression_with_residual_agrees(views, ridge, psnr, sam):
    s = scored(regression_fit(views[0], views[1], ridge=ridge).predict(), views)
    assert s.psnr == pytest.approx(psnr, abs=0.3)
    if sam is not None:
        assert s.sam == pytest.approx(sam, abs=0.1)


def test_a_strength_per_band_gains_on_clean_data_and_loses_on_noisy(views):
    sharp, coarse, _ = views
    rng = np.random.default_rng(0)
    noise = 0.003 * rng.standard_normal(sharp.data.shape)
    noisy = Cube((sharp.data + noise).astype(np.float32), sharp.valid, sharp.bands, sharp.grid)

    def found(s2, ridge):
        return scored(regression_fit(s2, coarse, ridge=ridge).predict(), views).psnr

    assert found(sharp, "gcv-band") > found(sharp, "gcv") + 0.3
    assert found(noisy, "gcv-band") < found(noisy, "gcv")


def test_cells_that_clouds_hide_in_part_do_not_spoil_the_map(views):
    sharp, coarse, truth = views
    field = gaussian_filter(np.random.default_rng(1).standard_normal(sharp.grid.shape), 6)
    clear = field < np.quantile(field, 0.8)
    clouded = Cube(sharp.data, clear, sharp.bands, sharp.grid)
    found = psnr(truth, regression_fit(clouded, coarse).predict(), clear)
    # The same with every cell that is seen to two thirds as good as a whole one.
    seen, _ = coarse_view(MemorySource(clouded), pair(clouded, coarse))
    naive = psnr(truth, fit_map(seen, coarse.data).apply(sharp.data), clear)
    assert found > naive + 5


def test_the_residual_makes_it_agree_with_the_coarse_image(views):
    sharp, coarse, _ = views
    left = {}
    for residual in (True, False):
        fused = regression_fit(sharp, coarse, residual=residual).predict()
        left[residual] = np.sqrt(np.square(degrade(fused, RATIO) - coarse.data).mean())
    assert left[True] < 0.7 * left[False]
