"""The universal spectral map, the prior of scenes' maps, and the map that starts from it."""

import json
import pickle
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trifuse.align import fit_map
from trifuse.core import BandError, BandSet, DataError, WeightsError
from trifuse.fusion.refined import SHIPPED as REFINER
from trifuse.fusion.spectral import spectral_prior as learning
from trifuse.fusion.spectral.empirical_bayes import fit_bayes, fit_bayes_cells
from trifuse.fusion.spectral.spectral_prior import (
    SHIPPED,
    SceneSpectra,
    SpectralPrior,
    read_spectra,
    scene_spectra,
    spectral_prior,
    write_spectra,
)
from trifuse.fusion.spectral.universal import NOISE, training_moments, universal_map
from trifuse.srf_data import S2_L2A, S3_SYN, load

HR, LR = BandSet.of(S2_L2A), BandSet.of(S3_SYN)


def draw_spectra(count, seed=0):
    """Spectra of the training moments, through both sensors: (12, n) and (21, n)."""
    table = training_moments()
    rng = np.random.default_rng(seed)
    shape = table.factor @ rng.standard_normal((table.factor.shape[1], count))
    from trifuse.fusion.spectral.universal import responses

    spectra = table.mean[:, None] + shape
    return (
        responses(HR, "S2A_MSI", table.nm) @ spectra,
        responses(LR, "S3A_SYN", table.nm) @ spectra,
    )


def rms(a, axis=None):
    return np.sqrt(np.mean(np.square(a), axis=axis))


class TestUniversal:
    def test_is_the_least_squares_map_of_its_spectra(self):
        x, y = draw_spectra(40_000)
        noisy = x + 0.0015 * np.random.default_rng(1).standard_normal(x.shape)
        a = np.vstack([noisy, np.ones(noisy.shape[1])])
        best = np.linalg.lstsq(a.T, y.T, rcond=None)[0].T
        made = universal_map(HR, LR)
        left = rms(y - made.matrix @ noisy - made.offset[:, None], 1)
        floor = rms(y - best @ a, 1)
        np.testing.assert_allclose(left, floor, rtol=0.02)
        assert (floor < 0.2 * y.std(axis=1)).all()

    @settings(max_examples=20, deadline=None)
    @given(st.sets(st.sampled_from(S2_L2A), min_size=1), st.data())
    def test_any_bands_of_either_sensor(self, chosen, data):
        names = data.draw(st.permutations(sorted(chosen)))
        made = universal_map(HR.select(names), LR.select(["S6", "Oa01"]))
        assert made.matrix.shape == (2, len(names))
        whole = universal_map(HR, LR)
        # A map is the best one under noise: what it leaves and the noise that it passes on, of
        # all bands together never more than of some of them.
        risk, least = (m.error**2 + NOISE**2 * (m.matrix**2).sum(axis=1) for m in (made, whole))
        assert (risk >= least[[20, 0]] * (1 - 1e-9)).all()
        assert made.strangeness(made.centre[:, None])[0] == pytest.approx(0, abs=1e-9)

    def test_satellites_have_their_own_responses(self):
        a, c = (universal_map(HR, LR, s2=s) for s in ("S2A_MSI", "S2C_MSI"))
        assert 1e-3 < np.abs(a.matrix - c.matrix).max() < 1
        landsat = load("L8_OLI").bands
        assert universal_map(landsat[:7], LR, s2="L8_OLI").matrix.shape == (21, 7)

    def test_bands_of_no_table_are_gaussians(self):
        table = load("S2A_MSI").bands
        other = BandSet.of(["green", "red"], [table[2].centre, table[3].centre], [36, 31])
        made = universal_map(other, LR, s2="drone")
        known = universal_map(HR.select(["B3", "B4"]), LR)
        assert np.abs(made.matrix - known.matrix).max() < 0.2
        with pytest.raises(BandError, match="'X1'"):
            universal_map(BandSet.of(["X1"]), LR)

    def test_strange_spectra_are_told(self):
        made = universal_map(HR, LR)
        usual = draw_spectra(2000)[0]
        assert np.mean(made.strangeness(usual) > made.limit) < 0.01
        strange = np.tile([[0.6], [0.05]], (6, 1))
        assert made.strangeness(strange)[0] > made.limit


def wide_everywhere(prior):
    """The same mean, but nothing known of how scenes differ."""
    return SpectralPrior(prior.mean, np.zeros_like(prior.covariance), prior.noise)


def draw_maps(prior, rng):
    """One scene's map of each band: (L, l + 1)."""
    factor = np.linalg.cholesky(prior.covariance)
    return prior.mean + (factor @ rng.standard_normal((*prior.mean.shape, 1)))[..., 0]


def affine(maps, x):
    return maps[:, :-1] @ x + maps[:, -1:]


class TestSpectralPrior:
    def test_finds_the_distribution_that_maps_were_drawn_from(self):
        """Of 500 scenes, of which each shows little of two directions, and noise."""
        rng = np.random.default_rng(0)
        u = np.array([[0.5, -0.2, 0.7, 0.01], [1.0, 0.3, 0.0, -0.02]])
        roots = 0.1 * rng.standard_normal((2, 4, 4))
        maps = u + np.einsum("kij,skj->ski", roots, rng.standard_normal((500, 2, 4)))
        seen = rng.standard_normal((500, 4, 4)) * [0.3, 0.3, 0.05, 0.05]
        gram = np.einsum("sij,smj->sim", seen, seen)
        cross = maps @ gram
        squares = (cross * maps).sum(axis=2) + 1e-4**2
        made = learning._learn(gram, cross, squares)
        np.testing.assert_allclose(made.mean, u, atol=0.03)
        truth = roots @ roots.transpose(0, 2, 1)
        apart = np.linalg.norm(made.covariance - truth, axis=(1, 2))
        assert (apart < 0.15 * np.linalg.norm(truth, axis=(1, 2))).all()
        np.testing.assert_allclose(made.noise, 1e-4, rtol=0.3)

    @settings(max_examples=10, deadline=None)
    @given(st.permutations(S2_L2A), st.integers(1, 12))
    def test_any_bands_in_any_order(self, names, count):
        hr = HR.select(names[:count])
        made = spectral_prior(hr, LR.select(["S6", "Oa01"]))
        ordered = sorted(names[:count], key=S2_L2A.index)
        same = spectral_prior(HR.select(ordered), LR)
        at = [*(ordered.index(n) for n in names[:count]), count]
        np.testing.assert_allclose(made.mean, same.mean[[20, 0]][:, at], atol=1e-6)
        np.testing.assert_allclose(
            made.covariance, same.covariance[[20, 0]][:, at][:, :, at], atol=1e-6
        )
        assert (np.linalg.eigvalsh(made.covariance) > 0).all()

    def test_satellites_have_their_own_and_other_bands_are_gaussians(self):
        a, c = (spectral_prior(HR, LR, s2=s) for s in ("S2A_MSI", "S2C_MSI"))
        assert 1e-3 < np.abs(a.mean - c.mean).max() < 1
        table = load("S2A_MSI").bands
        other = BandSet.of(["green", "red"], [table[2].centre, table[3].centre], [36, 31])
        made, known = spectral_prior(other, LR, s2="drone"), spectral_prior(HR[2:4], LR)
        assert np.abs(made.mean - known.mean).max() < 0.25
        with pytest.raises(BandError, match="'X1'"):
            spectral_prior(BandSet.of(["X1"]), LR)

    def test_is_made_once_and_fast(self):
        nineteen = BandSet.of(S3_SYN[2:])
        start = time.process_time()
        first = spectral_prior(HR, nineteen, s2="S2B_MSI")
        assert time.process_time() - start < 3
        assert spectral_prior(HR, nineteen, s2="S2B_MSI") is first
        again = spectral_prior(HR, nineteen, s2="S2B_MSI", spectra=scene_spectra())
        np.testing.assert_array_equal(again.covariance, first.covariance)

    def test_the_file_has_a_card_and_needs_no_pickle(self, monkeypatch):
        def refuse(*_args, **_kwargs):
            raise AssertionError("unpickled")

        monkeypatch.setattr(pickle, "load", refuse)
        monkeypatch.setattr(pickle, "loads", refuse)
        spectra, card = read_spectra(SHIPPED)
        assert SHIPPED.stat().st_size < 1_000_000
        beside = json.loads(SHIPPED.with_suffix(".json").read_text(encoding="utf-8"))
        assert beside == card
        assert card["trained_on"]["pixels"] and card["good_for"] and card["limits"]
        assert card["metrics"]["held_out"]["gain_db"] > 0
        assert card["learning"] == {
            "lacks_nm": [list(lack) for lack in learning.LACKS],
            "noise": learning.NOISE,
            "cells": learning.CELLS,
            "steps": learning.STEPS,
        }
        means = spectra.mean @ spectra.basis.T
        assert means.shape == (120, len(spectra.nm)) and 0 < means.min() < means.max() < 1

    def test_what_is_written_is_read_and_damage_is_told(self, tmp_path):
        rng = np.random.default_rng(0)
        made = SceneSpectra(
            np.arange(5.0), rng.random((5, 3)), rng.random((4, 3)), rng.random((4, 3, 2))
        )
        path = tmp_path / "a.safetensors"
        write_spectra(path, made, {"limits": ["few"]})
        read, card = read_spectra(path)
        np.testing.assert_allclose(read.factor, made.factor, rtol=1e-6)
        assert card["limits"] == ["few"]
        path.write_bytes(path.read_bytes()[:-10])
        with pytest.raises(WeightsError, match="cannot be read"):
            read_spectra(path)
        with pytest.raises(WeightsError, match="cannot be read"):
            read_spectra(tmp_path / "none.safetensors")
        wrong = SceneSpectra(made.nm, made.basis[:, :2], made.mean, made.factor)
        write_spectra(path, wrong, {}, overwrite=True)
        with pytest.raises(WeightsError, match="do not fit"):
            read_spectra(path)
        with pytest.raises(WeightsError, match="no spectral prior"):
            read_spectra(REFINER)


class TestEmpiricalBayes:
    prior = spectral_prior(HR, LR)

    def scene(self, cells, noise=1e-3, seed=0, gain=0.02):
        """Cells whose S2 is miscalibrated, and pixels to judge by."""
        rng = np.random.default_rng(seed)
        x, y = draw_spectra(cells + 2000, seed)
        x = x * (1 + gain * rng.standard_normal((12, 1))) + 0.003 * rng.standard_normal((12, 1))
        seen = y[:, :cells] + noise * rng.standard_normal((21, cells))
        return (x[:, :cells], seen), (x[:, cells:], y[:, cells:])

    def test_beats_both_the_mean_map_and_the_regression(self):
        for seed in range(3):
            (x, y), (pixels, truth) = self.scene(20, seed=seed)
            fit = fit_bayes(x, y, np.ones(20), self.prior)
            usual = affine(self.prior.mean, pixels)
            regression = fit_map(x[..., None], y[..., None]).apply(pixels)
            error = rms(fit.spectral.apply(pixels) - truth)
            assert error < 0.6 * rms(usual - truth)
            assert error < 0.8 * rms(regression - truth)

    def test_one_cell_helps_and_none_leaves_the_mean_map(self):
        better = []
        for seed in range(8):
            (x, y), (pixels, truth) = self.scene(1, seed=seed)
            usual = affine(self.prior.mean, pixels)
            one = fit_bayes(x, y, np.ones(1), self.prior).spectral.apply(pixels)
            better.append(rms(one - truth) < rms(usual - truth))
            none = fit_bayes(x, y, np.zeros(1), self.prior).spectral
            np.testing.assert_allclose(none.apply(pixels), usual, atol=1e-5)
        assert np.mean(better) > 0.7

    def test_a_scene_of_the_prior_is_told_better_than_by_one_wide_everywhere(self):
        rng, better = np.random.default_rng(0), []
        for seed in range(6):
            maps = draw_maps(self.prior, rng)
            x, _ = draw_spectra(540, seed)
            cells, pixels = x[:, :40], x[:, 40:]
            y = affine(maps, cells) + 2e-3 * rng.standard_normal((21, 40))
            errors = [
                rms(
                    fit_bayes(cells, y, np.ones(40), p).spectral.apply(pixels)
                    - affine(maps, pixels),
                    1,
                )
                for p in (self.prior, wide_everywhere(self.prior))
            ]
            better.append(np.log10(errors[0] / errors[1]))
        ratio = 10 ** np.mean(better, axis=0)
        moving = np.linalg.eigvalsh(self.prior.covariance)[:, -1] > 5e-3
        assert moving.sum() >= 5 and ratio[moving].mean() < 0.85
        assert (ratio < 1.2).all()  # where maps hardly differ, nothing is to be won or lost

    @pytest.mark.parametrize("cells", [0, 1, 30, 2000])
    def test_covariances_have_no_negative_variance(self, cells):
        (x, y), (pixels, _) = self.scene(max(cells, 1))
        fit = fit_bayes(x, y, np.full(max(cells, 1), float(cells > 0)), self.prior)
        values = np.linalg.eigvalsh(fit.covariance)
        assert (values > -1e-9 * values.max(axis=1, keepdims=True)).all()
        assert np.isfinite(fit.variance(pixels)).all() and np.isfinite(fit.evidence)
        assert (fit.scale >= 0.5).all() and (fit.scale <= 4).all()

    def test_order_says_nothing(self):
        (x, y), _ = self.scene(60)
        weights = np.random.default_rng(0).uniform(0.1, 1, 60)
        fit = fit_bayes(x, y, weights, self.prior)
        cells, bands = (np.random.default_rng(1).permutation(n) for n in (60, 12))
        again = fit_bayes(x[:, cells], y[:, cells], weights[cells], self.prior)
        np.testing.assert_allclose(again.spectral.matrix, fit.spectral.matrix, atol=1e-8)
        other = spectral_prior(HR.select([S2_L2A[b] for b in bands]), LR)
        turned = fit_bayes(x[bands], y, weights, other)
        np.testing.assert_allclose(turned.spectral.matrix, fit.spectral.matrix[:, bands], atol=1e-5)
        np.testing.assert_allclose(turned.spectral.offset, fit.spectral.offset, atol=1e-5)

    def test_without_noise_the_map_is_found(self):
        maps = draw_maps(self.prior, np.random.default_rng(3))
        x, _ = draw_spectra(500, 3)
        y = affine(maps, x[:, :100])
        fit = fit_bayes(x[:, :100], y, np.ones(100), self.prior)
        assert rms(fit.spectral.apply(x) - affine(maps, x)) < 2e-5
        assert (fit.noise < 2e-5).all()

    def test_many_cells_make_the_regression(self):
        (x, y), _ = self.scene(20_000)
        fit = fit_bayes(x, y, np.ones(20_000), self.prior)
        a = np.vstack([x, np.ones(x.shape[1])])
        ordinary = np.linalg.lstsq(a.T, y.T, rcond=None)[0].T
        apart = rms((fit.spectral.matrix - ordinary[:, :-1]) @ (x - x.mean(1, keepdims=True)), 1)
        assert (apart < 2e-4).all()
        assert (fit.noise < 4e-3).all()

    def test_evidence_finds_the_noise(self):
        for noise in (1e-4, 1e-3, 1e-2):
            (x, y), _ = self.scene(400, noise, gain=0)
            y = affine(self.prior.mean, x)
            y = y + noise * np.random.default_rng(5).standard_normal(y.shape)
            fit = fit_bayes(x, y, np.ones(400), self.prior)
            np.testing.assert_allclose(fit.noise, noise, rtol=0.25)

    def test_bands_do_not_touch_each_other(self):
        (x, y), _ = self.scene(30)
        holed = y.copy()
        holed[3, :12] = np.nan
        holed[7] = np.nan
        whole, fit = (fit_bayes(x, v, np.ones(30), self.prior) for v in (y, holed))
        same = [k for k in range(21) if k not in (3, 7)]
        np.testing.assert_array_equal(fit.spectral.matrix[same], whole.spectral.matrix[same])
        np.testing.assert_array_equal(fit.spectral.matrix[7], self.prior.mean[7, :-1])
        assert not np.array_equal(fit.spectral.matrix[3], whole.spectral.matrix[3])

    def test_posterior_covers_the_truth(self):
        inside = []
        for seed in range(6):
            (x, y), (pixels, _) = self.scene(25, gain=0, seed=seed)
            rng = np.random.default_rng(seed)
            true = self.prior.mean[:, :-1] * (1 + 0.02 * rng.standard_normal((21, 12)))
            true += 0.03 * rng.standard_normal(true.shape)
            y = true @ x + 1e-3 * rng.standard_normal(y.shape)
            fit = fit_bayes(x, y, np.ones(25), self.prior)
            z = (fit.spectral.apply(pixels) - true @ pixels - 0) / np.sqrt(fit.variance(pixels))
            inside.append(np.mean(np.abs(z) < 2))
        assert 0.85 < np.mean(inside) < 1

    def test_outer_cells_count_if_they_were_mirrored_and_not_if_they_saw_other_ground(self):
        (x, y), (pixels, truth) = self.scene(48, noise=2e-4)
        inside = np.full((6, 8), 0.84)
        inside[1:-1, 1:-1] = 1
        seen, share = x.reshape(12, 6, 8), np.ones((6, 8))
        wrong = y.reshape(21, 6, 8).copy()
        other = draw_spectra(48, 9)[1].reshape(21, 6, 8)
        wrong[:, inside < 1] = (0.84 * wrong + 0.16 * other)[:, inside < 1]
        _, left, weights = fit_bayes_cells(
            seen, share, y.reshape(21, 6, 8), self.prior, inside=inside
        )
        assert weights.min() == 1 and np.isfinite(left).all()
        fit, left, weights = fit_bayes_cells(seen, share, wrong, self.prior, inside=inside)
        assert (weights[inside < 1] < 0.01).all()
        assert np.isnan(left[:, inside < 1]).all() and np.isfinite(left[:, 2:4, 2:4]).all()
        taken_in = fit_bayes(x, wrong.reshape(21, -1), np.ones(48), self.prior)
        error, naive = (rms(f.spectral.apply(pixels) - truth) for f in (fit, taken_in))
        assert error < 0.8 * naive

    def test_shapes_that_disagree_are_refused(self):
        with pytest.raises(DataError, match="S2 has shape"):
            fit_bayes(np.zeros((11, 4)), np.zeros((21, 4)), np.ones(4), self.prior)
