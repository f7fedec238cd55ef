"""The universal spectral map, and the scene's map that starts from it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trifuse.align import fit_map
from trifuse.core import BandError, BandSet, DataError
from trifuse.fusformer.prior.empirical_bayes import fit_bayes, fit_bayes_cells
from trifuse.fusformer.prior.universal import training_moments, universal_map
from trifuse.srf_data import S2_L2A, S3_SYN, load

HR, LR = BandSet.of(S2_L2A), BandSet.of(S3_SYN)


def draw_spectra(count, seed=0):
    """Spectra of the training moments, through both sensors: (12, n) and (21, n)."""
    table = training_moments()
    rng = np.random.default_rng(seed)
    shape = table.factor @ rng.standard_normal((table.factor.shape[1], count))
    from trifuse.fusformer.prior.universal import responses

    spectra = table.mean[:, None] + shape
    return (responses(HR, "S2A_MSI", table.nm) @ spectra,
            responses(LR, "S3A_SYN", table.nm) @ spectra)  # fmt: skip


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
        assert (made.error >= whole.error[[20, 0]] - 1e-9).all()
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


class TestEmpiricalBayes:
    prior = universal_map(HR, LR)

    def scene(self, cells, noise=1e-3, seed=0, gain=0.02):
        """Cells whose S2 is miscalibrated, and pixels to judge by."""
        rng = np.random.default_rng(seed)
        x, y = draw_spectra(cells + 2000, seed)
        x = x * (1 + gain * rng.standard_normal((12, 1))) + 0.003 * rng.standard_normal((12, 1))
        seen = y[:, :cells] + noise * rng.standard_normal((21, cells))
        return (x[:, :cells], seen), (x[:, cells:], y[:, cells:])

    def test_beats_both_the_universal_map_and_the_regression(self):
        for seed in range(3):
            (x, y), (pixels, truth) = self.scene(20, seed=seed)
            fit = fit_bayes(x, y, np.ones(20), self.prior)
            universal = self.prior.matrix @ pixels + self.prior.offset[:, None]
            regression = fit_map(x[..., None], y[..., None]).apply(pixels)
            error = rms(fit.spectral.apply(pixels) - truth)
            assert error < 0.6 * rms(universal - truth)
            assert error < 0.8 * rms(regression - truth)

    def test_one_cell_helps_and_none_leaves_the_universal_map(self):
        better = []
        for seed in range(8):
            (x, y), (pixels, truth) = self.scene(1, seed=seed)
            universal = self.prior.matrix @ pixels + self.prior.offset[:, None]
            one = fit_bayes(x, y, np.ones(1), self.prior).spectral.apply(pixels)
            better.append(rms(one - truth) < rms(universal - truth))
            none = fit_bayes(x, y, np.zeros(1), self.prior).spectral
            np.testing.assert_allclose(none.apply(pixels), universal, atol=1e-5)
        assert np.mean(better) > 0.7

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
            y = self.prior.matrix @ x + self.prior.offset[:, None]
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
        np.testing.assert_array_equal(fit.spectral.matrix[7], self.prior.matrix[7])
        assert not np.array_equal(fit.spectral.matrix[3], whole.spectral.matrix[3])

    def test_posterior_covers_the_truth(self):
        inside = []
        for seed in range(6):
            (x, y), (pixels, _) = self.scene(25, gain=0, seed=seed)
            rng = np.random.default_rng(seed)
            true = self.prior.matrix * (1 + 0.02 * rng.standard_normal((21, 12)))
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
        _, left, weights = fit_bayes_cells(seen, share, y.reshape(21, 6, 8), self.prior,
                                           inside=inside)  # fmt: skip
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
