"""The check of a synthetic view against an observed one."""

import json

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from trifuse.core import BandError, BandSet, Cube, DataError, Grid, GridError
from trifuse.metrics import sam, ssim_bands
from trifuse.simulate.fidelity import fidelity

GRID = Grid.from_origin("EPSG:32633", 300000, 5800000, 10, 40, 50)
NAMES = ("B2", "B4", "B8A")


def make(data, names=NAMES, grid=GRID, valid=None):
    valid = np.ones(grid.shape, bool) if valid is None else valid
    return Cube(np.asarray(data, np.float32), valid, BandSet.of(names), grid)


@pytest.fixture
def observed():
    field = gaussian_filter(np.random.default_rng(2).standard_normal((3, *GRID.shape)), (0, 2, 2))
    return make(np.array([0.1, 0.2, 0.4])[:, None, None] * (1 + field))


def test_an_image_is_faithful_to_itself(observed):
    report = fidelity(observed, observed)
    assert report.flags == () and report.flagged_bands == ()
    assert (report.sam, report.sam_share) == (0, 0)
    assert report.ssim == pytest.approx((1, 1, 1))
    assert report.checked == 1 and report.bands == NAMES and report.left_out == ()


def test_figures_are_those_of_the_metrics(observed):
    noise = 0.01 * np.random.default_rng(0).standard_normal(observed.data.shape)
    report = fidelity(make(observed.data + noise), observed)
    estimate = (observed.data + noise).astype(np.float32)
    assert report.sam == pytest.approx(sam(observed.data, estimate))
    assert report.ssim == tuple(ssim_bands(observed.data, estimate))


def test_a_wrong_spectrum_is_flagged(observed):
    data = observed.data.copy()
    data[2, :8] *= 0.4  # a fifth of the pixels
    report = fidelity(make(data), observed)
    assert report.sam_share == pytest.approx(0.2)
    assert report.sam < np.degrees(0.1) and report.flags == ("SSIM is below 0.8 in B8A 0.796",)
    worse = fidelity(make(observed.data * np.array([3, 1, 1])[:, None, None]), observed)
    assert worse.sam > np.degrees(0.1) and "spectral angle of" in worse.flags[0]


def test_a_wrong_structure_is_flagged_by_band(observed):
    data = observed.data.copy()
    data[1] = data[1, ::-1]
    report = fidelity(make(data), observed)
    assert report.flagged_bands == ("B4",)
    assert report.flags[-1].startswith("SSIM is below 0.8 in B4 ")


def test_bands_are_matched_by_name(observed):
    blue, red, nir = observed.data
    other = make(np.stack([nir, blue, red * 0 + 9]), ("B08A", "b02", "B11"))
    report = fidelity(other, observed)
    assert report.bands == ("B08A", "b02") and report.left_out == ("B11", "B4")
    assert report.sam == 0 and report.flags == ()


def test_masked_and_missing_pixels_do_not_count(observed):
    data, valid = observed.data.copy(), observed.valid.copy()
    valid[:, :5], data[:, :, :5] = False, 7
    data[1, 39, 49] = np.nan
    report = fidelity(make(data, valid=valid), observed)
    assert report.flags == () and report.pixels == 40 * 45 - 1
    assert report.checked == pytest.approx(report.pixels / 2000)


def test_json_is_plain(observed):
    rows = Grid.from_origin("EPSG:32633", 0, 0, 10, 5, 50)  # too low for a window of SSIM
    small = make(observed.data[:, :5], grid=rows)
    plain = json.loads(json.dumps(fidelity(small, small).to_json(), allow_nan=False))
    assert plain["ssim"] == {"B2": None, "B4": None, "B8A": None}
    assert plain["sam"] == 0 and plain["flags"] == []


@pytest.mark.parametrize(
    "grid",
    [
        Grid.from_origin("EPSG:32632", 300000, 5800000, 10, 40, 50),
        Grid.from_origin("EPSG:32633", 300005, 5800000, 10, 40, 50),
        Grid.from_origin("EPSG:32633", 300010, 5800000, 10, 40, 50),
        Grid.from_origin("EPSG:32633", 300000, 5800000, 20, 40, 50),
        Grid.from_origin("EPSG:32633", 300000, 5800000, 10, 39, 50),
    ],
)
def test_grids_must_be_the_same(observed, grid):
    with pytest.raises(GridError, match="grids differ"):
        fidelity(make(np.ones((3, *grid.shape)), grid=grid), observed)


def test_input_that_does_not_fit(observed):
    with pytest.raises(BandError, match="no band is shared: S1, S2, S3 against B2, B4, B8A"):
        fidelity(make(observed.data, ("S1", "S2", "S3")), observed)
    with pytest.raises(DataError, match="no pixel"):
        fidelity(make(observed.data, valid=~observed.valid), observed)
