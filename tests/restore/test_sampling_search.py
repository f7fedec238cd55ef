"""Samplings that were planted are found; where none was, none is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from trifuse.core import MemorySource
from trifuse.core.kernels import KERNELS, interpolation_matrix
from trifuse.core.native import native_axis
from trifuse.restore.sampling_search import Given, find_sampling, relative_blur
from trifuse.simulate import procedural_scene, scene_views

GROUPS = [((1, 2, 3, 7), Given(1)), ((4, 5, 6, 8, 10, 11), Given(2)), ((0, 9), Given(6))]
RATIOS = (6, 1, 1, 1, 2, 2, 2, 1, 2, 6, 2, 2)
SHARP = (1, 1, 1)


@pytest.fixture(scope="module")
def sharp():
    """(12, 96, 120) of Sentinel-2's bands, all of them sharp."""
    s2, _, _ = scene_views(MemorySource(procedural_scene(120, 905)), ratio=1)
    return s2.masked()[:, :96]


def sampled(sharp, ratios, kernel):
    """Bands blurred, sampled, and brought back onto the pixels by a kernel."""
    out = sharp.astype(np.float64)
    for plane, ratio in zip(out, ratios, strict=True):
        if ratio > 1:
            down = [native_axis(n, ratio)[0] for n in plane.shape]
            cells = down[1] @ (down[0] @ plane).T
            up = [interpolation_matrix(n // ratio, ratio, kernel) for n in plane.shape]
            plane[:] = up[0] @ cells.T @ up[1].T
    return out


def noisy(image, sigma, seed=0):
    noise = sigma * np.random.default_rng(seed).standard_normal(image.shape)
    # Counts of 1e-4, as files have them.
    return (np.round((image + noise) * 1e4) / 1e4).astype(np.float32)


def agrees(found, ratio, cut, kernel):
    origin = tuple(-c % ratio for c in cut)
    return (
        found.ratio == ratio and found.origin == origin and kernel in (found.kernel, *found.alike)
    )


@pytest.mark.parametrize("sigma", [0.0, 0.003])
@pytest.mark.parametrize("cut", [(0, 0), (3, 0), (2, 5)])
@pytest.mark.parametrize("kernel", KERNELS)
def test_planted_samplings_are_found(sharp, kernel, cut, sigma):
    image = noisy(sampled(sharp, RATIOS, kernel), sigma)[:, cut[0] :, cut[1] :]
    fine, twenty, sixty = find_sampling([(image, (0, 0))], GROUPS)
    assert fine.ratio == 1
    assert agrees(twenty, 2, cut, kernel), twenty
    assert agrees(sixty, 6, cut, kernel) or not sixty.sure, sixty


def test_other_samplings_than_names_tell_are_found(sharp):
    ratios = [3 if r == 2 else r for r in RATIOS]
    image = noisy(sampled(sharp, ratios, "bilinear"), 0)
    twenty = find_sampling([(image, (0, 0))], GROUPS)[1]
    assert (twenty.ratio, twenty.kernel, twenty.sure) == (3, "bilinear", True)
    told_nothing = [(bands, Given()) for bands, _ in GROUPS]
    assert [f.ratio for f in find_sampling([(image, (0, 0))], told_nothing)] == [1, 3, 6]


def changed(sharp, how):
    rng = np.random.default_rng(3)
    smooth = gaussian_filter(sharp, (0, 12, 12))
    return {
        "as it is": sharp,
        "noise": sharp + 0.003 * rng.standard_normal(sharp.shape),
        "haze": 0.2 + 0.3 * sharp + 0.001 * rng.standard_normal(sharp.shape),
        "water": 0.02 + 0.1 * smooth + 0.001 * rng.standard_normal(sharp.shape),
        "still water": 0.02 + 0.1 * smooth,
        "8 bits": np.round(sharp * 255) / 255,
        "constant": 0.3 + 0 * sharp,
        "constant with noise": 0.3 + 0.002 * rng.standard_normal(sharp.shape),
        "all a little blurred": gaussian_filter(sharp, (0, 1, 1)),
    }[how]


@pytest.mark.parametrize(
    "how",
    [
        "as it is",
        "noise",
        "haze",
        "water",
        "still water",
        "8 bits",
        "constant",
        "constant with noise",
        "all a little blurred",
    ],
)
def test_images_that_were_not_interpolated_are_left_alone(sharp, how):
    found = find_sampling([(changed(sharp, how).astype(np.float32), (0, 0))], GROUPS)
    assert tuple(f.ratio for f in found) == SHARP


@settings(max_examples=12, deadline=None)
@given(st.integers(-9, 9), st.integers(-9, 9))
def test_origins_are_those_of_the_image(sharp, row, col):
    image = noisy(sampled(sharp, RATIOS, "nearest"), 0.001)
    for one in find_sampling([(image, (row, col))], GROUPS)[1:]:
        assert one.origin == (row % one.ratio, col % one.ratio)


def test_gaps_do_not_matter(sharp):
    image = noisy(sampled(sharp, RATIOS, "cubic"), 0.001)
    image[:, 20:29, 31:50] = np.nan
    twenty = find_sampling([(image, (0, 0))], GROUPS)[1]
    assert agrees(twenty, 2, (0, 0), "cubic")


def test_an_image_without_a_value_tells_nothing():
    image = np.full((12, 40, 40), np.nan, np.float32)
    assert tuple(f.ratio for f in find_sampling([(image, (0, 0))], GROUPS)) == SHARP


def test_the_order_of_bands_does_not_matter(sharp):
    image = noisy(sampled(sharp, RATIOS, "lanczos"), 0.002)
    order = np.random.default_rng(5).permutation(12)
    where = np.argsort(order)
    turned = [([int(where[b]) for b in bands], r) for bands, r in GROUPS]
    plain = find_sampling([(image, (0, 0))], GROUPS)
    other = find_sampling([(image[order], (0, 0))], turned)
    for a, b in zip(plain, other, strict=True):
        assert (a.ratio, a.origin, a.kernel) == (b.ratio, b.origin, b.kernel)


def test_blur_relative_to_sharp_bands(sharp):
    for ratio, bands in ((2, GROUPS[1][0]), (6, GROUPS[2][0])):
        blurred = noisy(sampled(sharp, RATIOS, "spline"), 0.003)
        gain, sigma = relative_blur([blurred], bands, GROUPS[0][0], ratio)
        assert gain > 0.4
        assert sigma > 0.4 * ratio
        gain, _ = relative_blur([noisy(sharp, 0.003)], bands, GROUPS[0][0], ratio)
        assert gain < 0.05
