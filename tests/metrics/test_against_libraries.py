"""Every measure equals that of an independent library, or a slow direct form of its formula."""

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from scipy.spatial import distance
from skimage import metrics as skimage
from torchmetrics.functional import image as torchmetrics

from trifuse import metrics


def tensors(images):
    truth, estimate = (torch.from_numpy(i.astype(np.float64))[None] for i in images)
    return estimate, truth  # predictions come first there


def test_sam_equals_torchmetrics(images):
    expected = torchmetrics.spectral_angle_mapper(*tensors(images))
    assert metrics.sam(*images) == pytest.approx(np.degrees(float(expected)), rel=1e-9)


def test_rmse_equals_skimage(images):
    expected = np.sqrt(skimage.mean_squared_error(*images))
    assert metrics.rmse(*images) == pytest.approx(expected, rel=1e-9)


def test_psnr_equals_skimage_with_the_peak_of_each_true_band(images):
    expected = [
        skimage.peak_signal_noise_ratio(t, e, data_range=t.max())
        for t, e in zip(*images, strict=True)
    ]
    np.testing.assert_allclose(metrics.psnr_bands(*images), expected, rtol=1e-6)
    assert metrics.psnr(*images) == pytest.approx(np.mean(expected), rel=1e-6)


def test_ergas_equals_torchmetrics(images):
    expected = torchmetrics.error_relative_global_dimensionless_synthesis(
        *tensors(images), ratio=10
    )
    assert metrics.ergas(*images, ratio=10) == pytest.approx(float(expected), rel=1e-9)


def test_ssim_equals_skimage(images):
    expected = [
        skimage.structural_similarity(
            t,
            e,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=t.max() - t.min(),
        )
        for t, e in zip(*(i.astype(np.float64) for i in images), strict=True)
    ]
    np.testing.assert_allclose(metrics.ssim_bands(*images), expected, rtol=1e-9)


def test_ssim_equals_torchmetrics(images):
    for band in range(len(images[0])):
        one = tuple(i[band : band + 1] for i in images)
        _, full = torchmetrics.structural_similarity_index_measure(
            *tensors(one),
            data_range=float(np.ptp(one[0].astype(np.float64))),
            return_full_image=True,
        )
        # It also counts windows that reach beyond the image, on mirrored pixels.
        expected = full[..., 5:-5, 5:-5].mean()
        assert metrics.ssim(*one) == pytest.approx(float(expected), rel=1e-9)


def test_uiqi_equals_torchmetrics_with_flat_windows(images):
    # A Gaussian far wider than the window has equal weights.
    expected = torchmetrics.universal_image_quality_index(
        *tensors(images), kernel_size=(9, 9), sigma=(1e6, 1e6)
    )
    assert metrics.uiqi(*images, window=9) == pytest.approx(float(expected), rel=1e-6)


def test_uiqi_equals_the_formula_window_by_window(images):
    expected = []
    for t, e in zip(*(i.astype(np.float64) for i in images), strict=True):
        windows = zip(
            *(sliding_window_view(i, (8, 8)).reshape(-1, 64) for i in (t, e)), strict=True
        )
        for x, y in windows:
            cov = np.cov(x, y)
            expected.append(
                4
                * cov[0, 1]
                * x.mean()
                * y.mean()
                / ((cov[0, 0] + cov[1, 1]) * (x.mean() ** 2 + y.mean() ** 2))
            )
    assert metrics.uiqi(*images) == pytest.approx(np.mean(expected), rel=1e-9)


def test_cc_equals_numpy(images):
    expected = [np.corrcoef(t.ravel(), e.ravel())[0, 1] for t, e in zip(*images, strict=True)]
    np.testing.assert_allclose(metrics.cc_bands(*images), expected, rtol=1e-6)
    assert metrics.cc(*images) == pytest.approx(np.mean(expected), rel=1e-6)


def test_jsd_equals_scipy(images):
    expected = []
    for t, e in zip(*images, strict=True):
        edges = np.linspace(min(t.min(), e.min()), max(t.max(), e.max()), 257)
        p, q = (np.histogram(v.astype(np.float64), edges)[0] for v in (t, e))
        expected.append(distance.jensenshannon(p, q, base=2) ** 2)
    np.testing.assert_allclose(metrics.jsd_bands(*images), expected, rtol=1e-9)
    assert metrics.jsd(*images) == pytest.approx(np.mean(expected), rel=1e-9)


def test_jsd_of_spectra_equals_scipy(images):
    p, q = (i.mean(axis=(1, 2), dtype=np.float64) for i in images)
    expected = distance.jensenshannon(p, q, base=2) ** 2
    assert metrics.jsd_spectra(*images) == pytest.approx(expected, rel=1e-6)


def test_cosine_and_euclidean_equal_scipy(images):
    pairs = list(zip(*(i.reshape(len(i), -1).T.astype(np.float64) for i in images), strict=True))
    cosines = [1 - distance.cosine(t, e) for t, e in pairs]
    distances = [distance.euclidean(t, e) for t, e in pairs]
    assert metrics.cosine(*images) == pytest.approx(np.mean(cosines), rel=1e-9)
    assert metrics.euclidean(*images) == pytest.approx(np.mean(distances), rel=1e-9)


def test_jaccard_equals_torchmetrics():
    from torchmetrics.functional.classification import (
        binary_jaccard_index,
        multiclass_jaccard_index,
    )

    rng = np.random.default_rng(0)
    truth, estimate = rng.integers(0, 4, (2, 30, 30))
    t, e = torch.from_numpy(truth), torch.from_numpy(estimate)
    expected = float(multiclass_jaccard_index(e, t, num_classes=4))
    assert metrics.jaccard(truth, estimate) == pytest.approx(expected, rel=1e-6)
    expected = float(binary_jaccard_index((e > 1).int(), (t > 1).int()))
    assert metrics.jaccard(truth > 1, estimate > 1) == pytest.approx(expected, rel=1e-6)
