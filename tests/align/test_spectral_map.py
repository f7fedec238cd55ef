"""The ridge regression against direct solutions, and what must hold for any data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trifuse.align import fit_map
from trifuse.align.spectral_map import CANDIDATES, CHUNK, SpectralMap
from trifuse.core import ConfigError, DataError

quick = settings(max_examples=20, deadline=None)
seeds = st.integers(0, 2**32 - 1)
ridges = pytest.mark.parametrize("ridge", ["gcv", "gcv-band", 1e-2, 0.0])


def draw(seed, inputs=3, outputs=2, noise=0.01):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.01, 0.5, (inputs, 6, 7)) * rng.uniform(0.1, 2, (inputs, 1, 1))
    matrix, offset = rng.normal(0, 1, (outputs, inputs)), rng.normal(0, 0.1, outputs)
    y = np.tensordot(matrix, x, 1) + offset[:, None, None]
    return x, y + noise * rng.standard_normal(y.shape), matrix, offset


def direct(x, y, strength):
    """The normal equations with the offset as an unpenalised column."""
    columns = np.vstack([x.reshape(len(x), -1), np.ones(x[0].size)])
    penalty = np.diag([*(strength * x[0].size * x.var(axis=(1, 2))), 0.0])
    solved = np.linalg.solve(columns @ columns.T + penalty, columns @ y.reshape(len(y), -1).T)
    return solved[:-1].T, solved[-1]


def direct_gcv(x, y, strength):
    """Golub, Heath, Wahba: n · |(I − A) y|² / trace(I − A)² with the hat matrix written out."""
    columns = np.vstack([x.reshape(len(x), -1), np.ones(x[0].size)])
    penalty = np.diag([*(strength * x[0].size * x.var(axis=(1, 2))), 0.0])
    hat = columns.T @ np.linalg.solve(columns @ columns.T + penalty, columns)
    rest = np.eye(len(hat)) - hat
    flat = y.reshape(len(y), -1).T
    return len(hat) * np.square(rest @ flat).sum(axis=0) / np.trace(rest) ** 2


@quick
@given(seed=seeds, strength=st.floats(1e-8, 10))
def test_a_fixed_strength_solves_the_normal_equations(seed, strength):
    x, y, *_ = draw(seed)
    found = fit_map(x, y, ridge=strength)
    matrix, offset = direct(x, y, strength)
    np.testing.assert_allclose(found.matrix, matrix, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.offset, offset, rtol=1e-6, atol=1e-9)
    assert (found.ridge == strength).all()


@settings(max_examples=5, deadline=None)
@given(seed=seeds, noise=st.sampled_from([0.01, 0.1, 1.0]))
def test_cross_validation_takes_the_lowest_score(seed, noise):
    x, y, *_ = draw(seed, noise=noise)
    scores = np.array([direct_gcv(x, y, c) for c in CANDIDATES])
    mean = (scores / y.var(axis=(1, 2))).mean(axis=1)

    def at(strength):
        return np.abs(CANDIDATES / strength - 1).argmin()

    by_band = [at(c) for c in fit_map(x, y, ridge="gcv-band").ridge]
    assert scores[by_band, [0, 1]] == pytest.approx(scores.min(axis=0), rel=1e-6)
    (shared,) = set(fit_map(x, y, ridge="gcv").ridge)
    assert mean[at(shared)] == pytest.approx(mean.min(), rel=1e-6)


@quick
@given(seed=seeds)
def test_an_exact_map_is_found(seed):
    x, y, matrix, offset = draw(seed, noise=0)
    found = fit_map(x, y)
    np.testing.assert_allclose(found.matrix, matrix, atol=1e-5)
    np.testing.assert_allclose(found.apply(x), y, atol=1e-5)
    np.testing.assert_allclose(found.offset, offset, atol=1e-5)


@ridges
@quick
@given(seed=seeds, gain=st.floats(0.1, 10), shift=st.floats(-1, 1))
def test_gain_and_offset_of_the_inputs_change_nothing(ridge, seed, gain, shift):
    x, y, *_ = draw(seed)
    gains = np.array([gain, 1 / gain, 1])[:, None, None]
    expected = fit_map(x, y, ridge=ridge).apply(x)
    moved = gains * x + shift
    np.testing.assert_allclose(fit_map(moved, y, ridge=ridge).apply(moved), expected, atol=2e-5)


@ridges
@pytest.mark.parametrize("hole", ["nan in S2", "nan in S3", "valid", "weights"])
def test_pixels_left_out_do_not_matter(ridge, hole):
    x, y, *_ = draw(1)
    expected = fit_map(x[:, :, 1:], y[:, :, 1:], ridge=ridge)
    out = np.zeros(x.shape[1:], bool)
    out[:, 0] = True
    options = {}
    if hole == "nan in S2":
        x[1, out] = np.nan
    elif hole == "nan in S3":
        y[:, out] = np.nan
    else:
        x[:, out], y[:, out] = 77.0, np.inf
        options[hole] = ~out if hole == "valid" else (~out).astype(float)
    found = fit_map(x, y, ridge=ridge, **options)
    np.testing.assert_allclose(found.matrix, expected.matrix, rtol=1e-9)
    np.testing.assert_allclose(found.offset, expected.offset, rtol=1e-9)


@pytest.mark.parametrize("ridge", ["gcv-band", 1e-3])
def test_a_pixel_missing_in_one_s3_band_counts_for_the_others(ridge):
    x, y, *_ = draw(2, outputs=3)
    whole = fit_map(x, y, ridge=ridge)
    y[1, 2, 3] = np.nan
    found = fit_map(x, y, ridge=ridge)
    np.testing.assert_allclose(found.matrix[[0, 2]], whole.matrix[[0, 2]], rtol=1e-9)
    assert not np.allclose(found.matrix[1], whole.matrix[1], rtol=1e-9)


def test_a_weight_of_two_is_the_pixel_twice():
    x, y, *_ = draw(3)
    weights = np.ones(x.shape[1:])
    weights[:, -1] = 2
    twice = [np.concatenate([a, a[:, :, -1:]], axis=2) for a in (x, y)]
    weighted = fit_map(x, y, ridge=0.01, weights=weights)
    np.testing.assert_allclose(weighted.matrix, fit_map(*twice, ridge=0.01).matrix, rtol=1e-9)


def test_pixels_of_hardly_any_weight_do_not_loosen_the_ridge():
    x, y, *_ = draw(12, inputs=10, outputs=3, noise=0.1)
    few = np.zeros(x.shape[1:], bool)
    few.flat[:16] = True
    expected = fit_map(x, y, valid=few).ridge[0]
    faint = fit_map(x, y, weights=np.where(few, 1, 1e-6)).ridge[0]
    assert faint == pytest.approx(expected)


def test_bands_without_variance_have_no_say():
    x, y, *_ = draw(4)
    expected = fit_map(x[:2], y)
    x[2] = np.float32(0.1)
    y = np.concatenate([y, np.full((1, 6, 7), 0.3)])
    found = fit_map(x, y)
    np.testing.assert_allclose(found.matrix[:2, :2], expected.matrix, rtol=0.05)
    assert (found.matrix[:, 2] == 0).all()
    np.testing.assert_allclose(found.matrix[2], 0, atol=1e-12)
    assert found.offset[2] == pytest.approx(0.3)


@ridges
def test_equal_bands_and_as_few_pixels_as_coefficients(ridge):
    x, y, *_ = draw(5)
    x = np.concatenate([x, x[:1]])
    few = np.s_[:, :1, :5]  # 5 pixels for 4 bands and the offset
    for found in (fit_map(x, y, ridge=ridge), fit_map(x[few], y[few], ridge=ridge)):
        assert np.isfinite(found.matrix).all() and np.abs(found.matrix).max() < 1e3
        assert found.matrix[:, 0] == pytest.approx(found.matrix[:, 3])


def test_cross_validation_resists_noise():
    errors = {"gcv": [], "gcv-band": [], 0.0: []}
    for seed in range(10):
        rng = np.random.default_rng(seed)
        # Twelve bands of three materials, as alike as those of a sensor.
        mix = rng.uniform(0, 0.5, (12, 3))
        x = np.tensordot(mix, rng.random((3, 26, 40)), 1) + 0.003 * rng.standard_normal(
            (12, 26, 40)
        )
        truth = np.tensordot(rng.uniform(0, 0.5, (4, 12)), x, 1)
        noisy = truth + 0.05 * rng.standard_normal(truth.shape)
        for ridge, found in errors.items():
            fitted = fit_map(x[:, :1], noisy[:, :1], ridge=ridge).apply(x)
            found.append(np.square(fitted - truth).mean())
    assert np.mean(errors["gcv"]) < 0.7 * np.mean(errors[0.0])
    assert np.mean(errors["gcv-band"]) < 0.7 * np.mean(errors[0.0])


def test_apply_gives_the_same_bits_whatever_comes_along():
    rng = np.random.default_rng(7)
    spectral = SpectralMap(rng.normal(size=(5, 4)), rng.normal(size=5), np.zeros(5))
    x = rng.random((4, 300, CHUNK // 256), dtype=np.float32)
    x[2, 10, 10] = np.nan
    whole = spectral.apply(x)
    assert whole.dtype == np.float32 and np.isnan(whole[:, 10, 10]).all()
    assert np.isnan(whole).sum() == 5
    for part in (np.s_[:, 7:8, 9:10], np.s_[:, 3:40, 1:130], np.s_[:, ::3, ::-1]):
        np.testing.assert_array_equal(spectral.apply(x[part]), whole[part])
    exact = np.tensordot(spectral.matrix, x.astype(float), 1) + spectral.offset[:, None, None]
    np.testing.assert_allclose(whole, exact, atol=1e-6)


def test_input_that_does_not_fit():
    x, y, *_ = draw(8)
    with pytest.raises(DataError, match=r"3 coarse pixels .* 4 coefficients; give a larger"):
        fit_map(x[:, :1, :3], y[:, :1, :3])
    y[1] = np.nan
    with pytest.raises(DataError, match="S3 band 2 has 0 coarse pixels"):
        fit_map(x, y)
    with pytest.raises(DataError, match=r"\(3, 6, 7\).*\(2, 6, 6\)"):
        fit_map(x, y[..., 1:])
    with pytest.raises(DataError, match="valid of shape"):
        fit_map(x, y, valid=np.ones((6, 6), bool))
    with pytest.raises(DataError, match="negative"):
        fit_map(x, y, weights=-np.ones((6, 7)))
    for ridge in ("cgv", -1.0, np.nan):
        with pytest.raises(ConfigError, match="give gcv"):
            fit_map(x, y, ridge=ridge)
    with pytest.raises(DataError, match="2 bands given to a map from 3"):
        fit_map(x, draw(8)[1]).apply(x[:2])
