"""Known values, images that leave no answer, and input that does not fit."""

import numpy as np
import pytest

from trifuse import metrics
from trifuse.core import DataError
from trifuse.metrics import structure


def image(*spectrum, size=12):
    return np.broadcast_to(np.array(spectrum, float)[:, None, None], (len(spectrum), size, size))


def test_sam_of_perpendicular_spectra_is_90_degrees():
    assert metrics.sam(image(1, 0), image(0, 1)) == pytest.approx(90)
    assert metrics.sam_map(image(1, 0), image(1, 1))[0, 0] == pytest.approx(45)


def test_sam_skips_zero_pixels_and_clips_the_cosine():
    truth, estimate = np.array(image(0.1, 0.2)), np.array(image(0.2, 0.1))
    expected = metrics.sam(truth, estimate)
    truth[:, 0, 0] = 0
    estimate[:, 1, 1] = 0
    assert metrics.sam(truth, estimate) == pytest.approx(expected, rel=1e-12)
    assert np.isnan(metrics.sam(image(0, 0), image(0.1, 0.1)))
    # Parallel spectra whose cosine rounds to just above one.
    spectra = np.random.default_rng(0).uniform(0, 1, (19, 40, 40))
    assert metrics.sam(spectra, spectra * 0.3) < 1e-5


def test_psnr_of_a_known_error():
    assert metrics.psnr(image(0.5), image(0.45)) == pytest.approx(20)
    assert np.isnan(metrics.psnr(image(0.0), image(0.1)))


def test_a_nearly_black_band_does_not_decide_ergas():
    truth, estimate = image(0.3, 1e-7), image(0.3, 1e-3)
    assert metrics.ergas(truth, estimate, ratio=10) == pytest.approx(
        10 * np.sqrt((1e-3 / 0.003) ** 2 / 2), rel=1e-3
    )
    assert metrics.ergas(image(0.0), image(0.0), ratio=10) == 0


def test_constant_bands():
    assert np.isnan(metrics.cc(image(0.1), image(0.1)))
    assert metrics.uiqi(image(0.1), image(0.1)) == 1
    assert metrics.uiqi(image(0.1), image(0.3)) == pytest.approx(2 * 0.03 / 0.1)
    assert metrics.uiqi(image(0.0), image(0.0)) == 1
    assert metrics.ssim(image(0.1), image(0.1)) == pytest.approx(1)
    assert metrics.ssim(image(0.0), image(0.3)) < 0.01
    assert metrics.jsd(image(0.1), image(0.1)) == 0
    assert metrics.jsd(image(0.1), image(0.2)) == 1
    assert np.isnan(metrics.jsd_spectra(image(0.0), image(0.2)))


def test_windows_with_a_missing_pixel_are_left_out(images):
    truth, estimate = images
    spoilt = estimate.copy()
    spoilt[:, 20, 18] = 9.0
    valid = np.ones(truth.shape[1:], bool)
    valid[20, 18] = False
    assert metrics.ssim(truth, spoilt, valid) > metrics.ssim(truth, spoilt)
    # What is left is a mean over the windows that do not touch it.
    t, e = truth[0].astype(float), estimate[0].astype(float)
    scores = [
        metrics.uiqi(t[None, r : r + 8, c : c + 8], e[None, r : r + 8, c : c + 8])
        for r in range(33)
        for c in range(29)
        if not (r <= 20 < r + 8 and c <= 18 < c + 8)
    ]
    found = metrics.uiqi(truth[:1], spoilt[:1], valid)
    assert found == pytest.approx(np.mean(scores), rel=1e-9)


def test_no_whole_window_gives_nan():
    small = np.random.default_rng(0).uniform(0, 1, (2, 10, 30))
    assert np.isnan(metrics.ssim(small, small))
    assert metrics.uiqi(small, small) == 1
    holes = np.ones((10, 30), bool)
    holes[4::4, 3::4] = False
    assert np.isnan(metrics.uiqi(small, small, holes))


@pytest.mark.parametrize("pixels", [1, 400, 1 << 20])
def test_strips_do_not_change_the_result(images, monkeypatch, pixels):
    expected = metrics.ssim(*images), metrics.uiqi(*images)
    monkeypatch.setattr(structure, "STRIP_PIXELS", pixels)
    assert (metrics.ssim(*images), metrics.uiqi(*images)) == pytest.approx(expected, rel=1e-12)


def test_jaccard_of_masks_and_classes():
    a = np.array([[True, True, False]])
    b = np.array([[True, False, False]])
    assert metrics.jaccard(a, b) == 0.5
    assert metrics.jaccard(a, b, np.array([[True, False, True]])) == 1
    assert metrics.jaccard(~a & a, ~b & b) == 1
    assert metrics.jaccard(np.array([[0, 1, 7]]), np.array([[0, 7, 7]])) == pytest.approx(0.5)
    with pytest.raises(DataError, match="two masks"):
        metrics.jaccard(a, b.astype(float))
    with pytest.raises(DataError, match="no pixel"):
        metrics.jaccard(a, b, np.zeros((1, 3), bool))


@pytest.mark.parametrize(
    ("truth", "estimate", "valid", "message"),
    [
        ((3, 8, 8), (2, 8, 8), None, r"\(3, 8, 8\).*\(2, 8, 8\)"),
        ((8, 8), (8, 8), None, "band, y, x"),
        ((3, 8, 8), (3, 8, 8), (8, 7), r"valid has shape \(8, 7\)"),
    ],
)
def test_shapes_that_do_not_fit(truth, estimate, valid, message):
    mask = None if valid is None else np.ones(valid, bool)
    for name in ("rmse", "sam", "ssim", "jsd"):
        with pytest.raises(DataError, match=message):
            getattr(metrics, name)(np.ones(truth), np.ones(estimate), mask)


def test_nothing_valid_is_an_error():
    ones = np.ones((2, 12, 12))
    with pytest.raises(DataError, match="no pixel"):
        metrics.psnr(ones, ones, np.zeros((12, 12), bool))
    with pytest.raises(DataError, match="no pixel"):
        metrics.score(ones, ones * np.nan, ratio=10)


def test_options_out_of_range():
    ones = np.ones((2, 12, 12))
    with pytest.raises(DataError, match="ratio of 0"):
        metrics.ergas(ones, ones, ratio=0)
    with pytest.raises(DataError, match="windows of 1"):
        metrics.uiqi(ones, ones, window=1)
