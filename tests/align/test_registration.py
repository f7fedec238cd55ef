"""Planted shifts are found; nothing is found where there is nothing."""

from functools import lru_cache

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from trifuse.align import register, register_arrays
from trifuse.align.registration import EDGE, INSIGNIFICANT
from trifuse.core import PSF, ConfigError, Cube, CubeSource, DataError, MemorySource, blur, degrade

S2_BANDS, S3_BANDS, MARGIN = 6, 9, 3
BLUR = (0, 0, 0, 1, 1, 3)
"""Standard deviation of each S2 band's own blur in pixels: native 10, 20 and 60 m."""


@lru_cache(maxsize=2)
def landscape(cells, ratio, seed=0):
    """Fields, relief and texture: sharp S2 and the true S3 bands, with a margin of cells."""
    rng = np.random.default_rng(seed)
    n = (cells + 2 * MARGIN) * ratio
    at = rng.uniform(0, n, (2, max(60, (n // 14) ** 2)))
    y, x = np.mgrid[:n:2, :n:2]
    nearest = cKDTree(at.T).query(np.stack([y, x], -1))[1]
    cover = np.kron(nearest % 11, np.ones((2, 2), int))[:n, :n]
    spectra = rng.uniform(0.03, 0.45, (11, S2_BANDS))
    light = 1 + 0.15 * gaussian_filter(rng.standard_normal((n, n)), 6) * 6
    s2 = spectra[cover].transpose(2, 0, 1) * light
    mix = rng.uniform(-0.2, 0.6, (S3_BANDS, S2_BANDS))
    return s2, np.tensordot(mix, s2, 1) + 0.2 * s2[:1] * s2[3:4]


def planted(cells, ratio, shift, *, seed=0, noise=0.003, clouds=0.0, psf=None, sharp=False):
    """S2 and S3 arrays whose cells lie ``shift`` cells beside their grid; beyond is true ground."""
    rng = np.random.default_rng([seed, 1])
    scene, truth = landscape(cells, ratio, seed)
    coarse = degrade(truth, ratio, psf, shift=(shift[0] * ratio, shift[1] * ratio))
    coarse = coarse[:, MARGIN : MARGIN + cells, MARGIN : MARGIN + cells]
    inner = slice(MARGIN * ratio, (MARGIN + cells) * ratio)
    fine = np.stack(
        [blur(b, s) if s and not sharp else b for b, s in zip(scene, BLUR, strict=True)]
    )
    fine = fine[:, inner, inner] * 1.02 + 0.004 + noise * rng.standard_normal((S2_BANDS, 1, 1))
    fine = fine + noise * rng.standard_normal(fine.shape)
    coarse = coarse + noise / 3 * rng.standard_normal(coarse.shape)
    if clouds:
        field = gaussian_filter(rng.standard_normal(fine.shape[1:]), 2 * ratio)
        fine[:, field > np.quantile(field, 1 - clouds)] = np.nan
        field = gaussian_filter(rng.standard_normal(coarse.shape[1:]), 1.5)
        coarse[:, field > np.quantile(field, 1 - clouds / 2)] = np.nan
    return fine.astype(np.float32), coarse.astype(np.float32)


def off(found, shift):
    return np.hypot(*(np.array(found.shift) / found.ratio - shift))


@pytest.mark.parametrize(
    ("ratio", "shift"),
    [(5, (1.5, -1.5)), (5, (-0.31, 0.07)), (6, (0.9, 1.2)), (3, (-1.1, 0.45)), (10, (-1.5, 0.5))],
)
def test_planted_shifts_are_found_in_noise_and_clouds(ratio, shift):
    found = register_arrays(*planted(30, ratio, shift, clouds=0.3))
    assert found.reliable and found.significant
    assert off(found, shift) < 0.05
    assert off(found, shift) < 4 * found.error / ratio + 0.01
    assert found.after < found.before
    np.testing.assert_array_equal(found.applied, found.shift)


def test_the_width_of_the_psf_is_found_with_the_shift():
    wide = PSF(1.2 * PSF.from_mtf().sigma)
    found = register_arrays(*planted(30, 5, (0.4, -0.6), psf=wide, sharp=True))
    assert found.psf.sigma == pytest.approx(wide.sigma, rel=0.06)
    assert off(found, (0.4, -0.6)) < 0.03


def test_without_a_shift_none_is_applied():
    for seed in range(3):
        found = register_arrays(*planted(20, 5, (0.0, 0.0), seed=seed, clouds=0.2))
        assert found.reliable and not found.significant
        assert found.length < INSIGNIFICANT
        assert found.applied == (0.0, 0.0)
    found = register_arrays(*planted(20, 5, (0.03, 0.0)))
    assert found.applied == (0.0, 0.0)  # found well, but too small to matter
    assert off(found, (0.03, 0.0)) < 0.02


def test_unmasked_clouds_in_one_image_do_not_lead_astray():
    fine, coarse = planted(30, 5, (-0.7, 1.1))
    coarse[:, 5:9, 20:26] = 0.9
    fine[:, 90:110, 30:60] = 0.8
    found = register_arrays(fine, coarse)
    assert found.reliable
    assert off(found, (-0.7, 1.1)) < 0.05


def test_nothing_to_see_is_not_trusted():
    rng = np.random.default_rng(2)
    fine = 0.2 + 0.003 * rng.standard_normal((S2_BANDS, 100, 100)).astype(np.float32)
    coarse = 0.2 + 0.001 * rng.standard_normal((S3_BANDS, 20, 20)).astype(np.float32)
    found = register_arrays(fine, coarse)
    assert not found.reliable
    assert "explains too little" in found.reason
    assert found.applied == (0.0, 0.0)


@pytest.mark.parametrize("which", ["few", "none", "all clouds", "constant"])
def test_too_little_data_ends_in_an_answer(which):
    fine, coarse = planted(20, 5, (0.5, 0.5))
    if which == "few":
        fine, coarse = fine[:, :20, :20], coarse[:, :4, :4]
    elif which == "none":
        coarse[:] = np.nan
    elif which == "all clouds":
        fine[:] = np.nan
    else:
        fine[:], coarse[:] = 0.3, 0.1
    found = register_arrays(fine, coarse)
    assert not found.reliable
    assert found.applied == (0.0, 0.0)
    assert found.to_json()["reason"]


def test_a_shift_beyond_the_search_is_not_trusted():
    found = register_arrays(*planted(24, 5, (2.4, 0.0)), search=1.0)
    assert not found.reliable
    assert "within 1 cells" in found.reason


def as_cubes(make_cube, fine, coarse, ratio):
    from trifuse.core import Grid

    grid = Grid.from_origin("EPSG:32633", 300000, 5800000, 10, *fine.shape[1:])
    return make_cube(fine, grid, "B"), make_cube(coarse, grid.zoom_out(ratio), "Oa")


def test_cubes_and_metres(make_cube):
    s2, s3 = as_cubes(make_cube, *planted(24, 5, (0.6, -0.4)), 5)
    found = register(s2, s3)
    east, north = found.metres
    # Cells of 50 m that lie lower and to the left: S3 is to be moved south and west.
    assert east == pytest.approx(-0.4 * 50, abs=1.5)
    assert north == pytest.approx(-0.6 * 50, abs=1.5)
    plain = found.to_json()
    assert plain["shift_metres"] == {"east": round(east, 3), "north": round(north, 3)}
    assert plain["significant"] is True


def test_it_does_not_matter_where_the_images_are_cut(make_cube):
    """S2 around the cells is used where there is any, so the outer cells count too."""
    fine, coarse = planted(24, 5, (1.2, 1.2))
    s2, s3 = as_cubes(make_cube, fine, coarse, 5)
    from trifuse.core import Window

    inner = s3.crop(Window(4, 4, 16, 16))
    assert off(register(s2, inner), (1.2, 1.2)) < 0.03
    assert register(s2, inner).cells > 250  # of 256, for S2 reaches beyond them


class Watched(CubeSource):
    """Counts the pixels that are held at once."""

    def __init__(self, source):
        self._source, self.largest = source, 0
        self.name, self.grid, self.bands, self.meta = "watched", source.grid, source.bands, {}

    def read(self, window=None, bands=None):
        self.largest = max(self.largest, window.height * window.width)
        return self._source.read(window, bands)


def test_of_a_large_scene_a_part_is_read_in_strips(make_cube):
    cells, ratio = 120, 10
    assert cells > EDGE
    fine, coarse = planted(cells, ratio, (0.3, 0.8), seed=4)
    fine[:, :, : 50 * ratio] = np.nan
    coarse[:, 70:, 60:] = np.nan
    s2, s3 = as_cubes(make_cube, fine, coarse, ratio)
    watched = Watched(MemorySource(s2))
    found = register(watched, s3)
    assert found.reliable
    assert off(found, (0.3, 0.8)) < 0.02
    assert watched.largest <= 512 * 1200


def test_bad_input():
    fine, coarse = np.zeros((2, 10, 10), np.float32), np.zeros((2, 3, 3), np.float32)
    with pytest.raises(DataError, match="cells"):
        register_arrays(fine, coarse)
    with pytest.raises(ConfigError, match="search"):
        register_arrays(fine, coarse[:, :2, :2], search=0)


def test_the_fusion_with_the_shift_found_is_as_good_as_without_a_shift(make_cube):
    """What the shift costs, the co-registration gives back; no image is resampled."""
    from tests.reference import regression_fit

    ratio, inner = 5, np.s_[:, 20:-20, 20:-20]
    errors = {}
    for shift in ((0.0, 0.0), (0.3, 0.3)):
        fine, coarse = planted(24, ratio, shift, noise=1e-4)
        truth = landscape(24, ratio)[1]
        cut = slice(MARGIN * ratio, -MARGIN * ratio)
        truth = truth[:, cut, cut]
        s2, s3 = as_cubes(make_cube, fine, coarse, ratio)
        found = register(s2, s3)
        for name, moved in (("off", (0.0, 0.0)), ("auto", found.applied)):
            made = regression_fit(s2, s3, shift=moved).predict()
            errors[shift, name] = float(np.sqrt(np.mean((made - truth)[inner] ** 2)))
    none, planted_shift = (0.0, 0.0), (0.3, 0.3)
    assert errors[none, "auto"] == errors[none, "off"]
    assert errors[planted_shift, "off"] > 1.5 * errors[none, "off"]
    assert errors[planted_shift, "auto"] < 1.1 * errors[none, "off"]
    assert isinstance(s2, Cube)
