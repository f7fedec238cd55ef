"""Kernels against their definitions, libraries that apply them, and what all have in common."""

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from trifuse.core import ConfigError, upsample
from trifuse.core.kernels import KERNELS, interpolation_matrix, kernel_matrix, kernel_of

NAMES = st.sampled_from(list(KERNELS))


@given(NAMES, st.integers(2, 7), st.integers(3, 12))
def test_constants_stay_constant(name, ratio, cells):
    matrix = interpolation_matrix(cells, ratio, name)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)
    cut = kernel_matrix(cells * ratio - 1, ratio, name, ratio // 2)
    np.testing.assert_allclose(cut.sum(axis=1), 1, atol=1e-12)


@given(NAMES, st.integers(2, 6), st.integers(-20, 20))
def test_a_lattice_repeats_after_its_ratio(name, ratio, origin):
    np.testing.assert_allclose(
        kernel_matrix(30, ratio, name, origin), kernel_matrix(30, ratio, name, origin % ratio)
    )


@given(NAMES, st.integers(2, 6), st.integers(0, 5))
def test_what_is_cut_from_an_interpolated_axis_lies_in_the_range_of_the_cut_lattice(
    name, ratio, first
):
    values = interpolation_matrix(12, ratio, name) @ np.sin(np.arange(12.0) ** 2)
    # Away from the ends, beyond which samples are repeated.
    start = 4 * ratio + first
    part = values[start : 8 * ratio]
    matrix = kernel_matrix(len(part), ratio, name, -start)
    fitted = matrix @ np.linalg.lstsq(matrix, part, rcond=None)[0]
    np.testing.assert_allclose(fitted, part, atol=1e-9)


def test_bicubic_is_the_upsampling_of_this_house():
    cells = np.random.default_rng(0).random((1, 7, 9))
    y, x = (interpolation_matrix(n, 3, "bicubic") for n in (7, 9))
    np.testing.assert_allclose(y @ cells[0] @ x.T, upsample(cells, 3)[0], atol=1e-7)


@pytest.mark.parametrize(
    ("name", "gdal"),
    [
        ("nearest", "nearest"),
        ("bilinear", "bilinear"),
        ("cubic", "cubic"),
        ("spline", "cubic_spline"),
        ("lanczos", "lanczos"),
    ],
)
@pytest.mark.parametrize("ratio", [2, 3, 6])
def test_gdal_warps_by_these_kernels(name, gdal, ratio):
    from rasterio.warp import Resampling, reproject

    cells = np.random.default_rng(1).random((16, 16)).astype(np.float64)
    warped = np.zeros((16 * ratio, 16 * ratio))
    reproject(
        cells,
        warped,
        src_transform=Affine(10.0 * ratio, 0, 0, 0, -10.0 * ratio, 0),
        dst_transform=Affine(10, 0, 0, 0, -10, 0),
        src_crs="EPSG:32633",
        dst_crs="EPSG:32633",
        resampling=getattr(Resampling, gdal),
        tolerance=0,
    )
    matrix = interpolation_matrix(16, ratio, name)
    inner = np.s_[4 * ratio : -4 * ratio, 4 * ratio : -4 * ratio]
    np.testing.assert_allclose((matrix @ cells @ matrix.T)[inner], warped[inner], atol=2e-5)


def test_an_unknown_kernel_is_told():
    with pytest.raises(ConfigError, match="give one of nearest, bilinear"):
        kernel_of("sinc")
