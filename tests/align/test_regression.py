"""The regression of a scene: streamed, tiled, with holes."""

import numpy as np
import pytest

from tests.reference import regression_fit
from trifuse.align import cells_inside, coarse_view, fit_cells, fit_map, pair
from trifuse.core import (
    PSF,
    ConfigError,
    DataError,
    Grid,
    MemorySource,
    OverlapError,
    TilePlan,
    Window,
    degrade,
    upsample,
)
from trifuse.metrics import psnr

RATIO = 5


class CountingSource(MemorySource):
    """Remembers what was read of it."""

    def __init__(self, cube, name="sharp.tif"):
        super().__init__(cube, name)
        self.windows = []

    def read(self, window=None, bands=None):
        self.windows.append(window)
        return super().read(window, bands)


def with_holes(s2, s3, make_cube):
    """A cloud and a missing value in S2, a missing cell and a cell missing in one band in S3."""
    sharp, valid = s2.data.copy(), s2.valid.copy()
    valid[20:31, 40:52] = False
    sharp[2, 3, 4] = np.nan
    coarse, there = s3.data.copy(), s3.valid.copy()
    there[1, 2] = False
    coarse[3, 6, 6] = np.nan
    return (make_cube(sharp, s2.grid, "B", valid), make_cube(coarse, s3.grid, "Oa", there))


def test_it_is_the_map_plus_the_upsampled_residual(scene):
    s2, s3, truth = scene
    fit = regression_fit(s2, s3)
    seen = degrade(s2.data, RATIO)
    spectral = fit_map(seen, s3.data)
    expected = spectral.apply(s2.data) + upsample(s3.data - spectral.apply(seen), RATIO)
    np.testing.assert_allclose(fit.predict(), expected, atol=1e-5)
    assert fit.bands == s3.bands
    np.testing.assert_array_equal(
        regression_fit(s2, s3, residual=False).predict(), fit.spectral.apply(s2.data)
    )
    bicubic = psnr(truth, upsample(s3.data, RATIO))
    assert psnr(truth, fit.predict()) > bicubic + 15
    assert psnr(truth, fit.predict()) > psnr(truth, fit.spectral.apply(s2.data))


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("tile", [1, 7, 23, 64, 100])
def test_any_tiling_gives_the_same_bits(scene, make_cube, tile, holes):
    s2, s3, _ = scene
    if holes:
        s2, s3 = with_holes(s2, s3, make_cube)
    fit = regression_fit(s2, s3)
    whole = fit.predict()
    plan = TilePlan(*fit.pair.grid.shape, tile)
    for part in list(plan)[:: max(1, len(plan) // 200)]:
        rows, cols = part.write.slices
        np.testing.assert_array_equal(fit.predict(part.write), whole[:, rows, cols])
        given = fit.predict(part.write, s2.masked()[:, rows, cols])
        np.testing.assert_array_equal(given, whole[:, rows, cols])


@pytest.mark.parametrize("tile", [8, 33])
def test_s2_is_streamed(scene, tile):
    s2, s3, _ = scene
    source = CountingSource(s2)
    fit = regression_fit(source, s3, tile=tile)
    assert max(max(w.shape) for w in source.windows) == tile
    assert sum(w.height * w.width for w in source.windows) == 60 * 85
    np.testing.assert_allclose(fit.predict(), regression_fit(s2, s3).predict(), atol=1e-5)


def test_missing_values_stay_where_they_are(scene, make_cube):
    s2, s3 = with_holes(*scene[:2], make_cube)
    fit = regression_fit(s2, s3)
    found = fit.predict()
    expected = np.zeros(found.shape, bool)
    expected[:, 20:31, 40:52] = expected[:, 3, 4] = True
    expected[:, 5:10, 10:15] = True
    expected[3, 30:35, 30:35] = True
    np.testing.assert_array_equal(np.isnan(found), expected)
    truth = scene[2]
    good = ~expected.any(axis=0)
    assert psnr(truth, found, good) > psnr(truth, regression_fit(*scene[:2]).predict(), good) - 3


def test_values_under_the_mask_do_not_matter(scene, make_cube):
    s2, s3 = with_holes(*scene[:2], make_cube)
    expected = regression_fit(s2, s3).predict()
    s2.data[:, ~s2.valid] = 1e6
    s3.data[:, ~s3.valid] = np.inf
    np.testing.assert_array_equal(regression_fit(s2, s3).predict(), expected)


def test_a_cell_under_cloud_takes_its_residual_from_the_nearest(scene, make_cube):
    s2, s3, _ = scene
    valid = s2.valid.copy()
    valid[:6] = False  # the first row of cells, a part of the second
    cloudy = make_cube(s2.data, s2.grid, "B", valid)
    seen, share = coarse_view(MemorySource(cloudy), pair(s2, s3))
    expected = degrade(valid[None].astype(np.float32), RATIO)[0]
    np.testing.assert_allclose(share, expected, atol=1e-6)
    assert np.isnan(seen[:, 0]).all() and np.isfinite(seen[:, 1:]).all()
    fit = regression_fit(cloudy, s3)
    for row in (0, 1):
        np.testing.assert_array_equal(fit.residual[:, row], fit.residual[:, 2])
    assert not fit.missing.any() and np.isfinite(fit.predict()[:, 6:]).all()


def test_where_every_cell_is_seen_in_part_only_all_of_them_count(scene, make_cube):
    s2, s3, truth = scene
    valid = s2.valid.copy()
    valid[2::5, 2::5] = False
    fused = regression_fit(make_cube(s2.data, s2.grid, "B", valid), s3).predict()
    bicubic = psnr(truth, upsample(s3.data, RATIO))
    assert psnr(truth, fused) > bicubic + 15


def test_outer_cells_see_the_ground_beyond_what_is_shared(scene, make_cube):
    # S3 is made of the whole image, and of it only inner cells are given: with the pixels around
    # them S2 is seen exactly as S3 saw the ground.
    s2, s3, _ = scene
    inner = Window(2, 3, s3.grid.height - 5, s3.grid.width - 4)
    part = s3.crop(inner)
    whole = coarse_view(MemorySource(s2), pair(s2, s3))
    for cube in (s2, s2.crop(Window(RATIO, 2 * RATIO, s2.grid.height - 2 * RATIO, 60))):
        shared = pair(cube, part)
        seen, share = coarse_view(MemorySource(cube), shared)
        assert seen.shape[1:] == shared.s3_window.shape == share.shape
    seen, share = coarse_view(MemorySource(s2), pair(s2, part))
    np.testing.assert_allclose(seen, whole[0][:, *inner.slices], atol=1e-6)
    np.testing.assert_allclose(share, 1, atol=1e-6)


def test_ground_beyond_the_reach_of_the_psf_does_not_count(scene, make_cube):
    s2, s3, _ = scene
    far = 5 * RATIO  # the kernel ends at four standard deviations, two cells
    padded = np.pad(s2.data, ((0, 0), (far, 0), (far, 0)), mode="reflect")
    grid = s2.grid.window(Window(-far, -far, *padded.shape[1:]))
    expected = regression_fit(make_cube(padded, grid, "B"), s3)
    padded[:, : far - 4 * RATIO], padded[:, :, : far - 4 * RATIO] = 9, 9
    fit = regression_fit(make_cube(padded, grid, "B"), s3)
    assert fit.pair.s2_window == Window(far, far, 60, 85) and fit.pair.grid == s2.grid
    np.testing.assert_allclose(fit.predict(), expected.predict(), atol=1e-6)


def test_the_psf_is_used(scene):
    s2, s3, _ = scene
    wide = PSF.from_fwhm(1.6)
    seen, share = coarse_view(MemorySource(s2), pair(s2, s3), psf=wide, tile=30)
    assert (share == 1).all()
    np.testing.assert_allclose(seen, degrade(s2.data, RATIO, wide), atol=1e-6)
    assert not np.allclose(seen, degrade(s2.data, RATIO), atol=1e-3)
    right, wrong = (np.square(regression_fit(s2, s3, psf=p).residual).mean() for p in (None, wide))
    assert right < wrong


def test_input_that_does_not_fit(scene, make_cube):
    s2, s3, _ = scene
    fit = regression_fit(s2, s3)
    with pytest.raises(DataError, match="leaves the shared ground of 60×85"):
        fit.predict(Window(0, 80, 5, 6))
    with pytest.raises(DataError, match=r"\(4, 5, 5\) for a window of \(6, 5\)"):
        fit.predict(Window(0, 0, 6, 5), s2.data[:, :5, :5])
    with pytest.raises(ConfigError, match="ridge"):
        regression_fit(s2, s3, ridge="ols")
    far = Grid.from_origin("EPSG:32633", 0, 0, 50, 12, 17)
    with pytest.raises(OverlapError, match="share no ground"):
        regression_fit(s2, make_cube(s3.data, far, "Oa"))
    clouded = make_cube(s2.data, s2.grid, "B", np.zeros(s2.grid.shape, bool))
    with pytest.raises(DataError, match=r"a\.tif and S3: S3 band 1 has 0 coarse pixels"):
        regression_fit(MemorySource(clouded, "a.tif"), s3)


@pytest.mark.parametrize("margin", [0, 4])
def test_outer_cells_that_saw_beyond_the_edge_of_s2_do_not_spoil_the_fit(margin):
    # S3 is made of a wide landscape and S2 is cut out of it: its outer cells saw other ground.
    from trifuse.simulate import procedural_scene, scene_views

    ratio = 10
    s2, s3, truth = scene_views(MemorySource(procedural_scene(240, seed=9)), ratio=ratio)
    window = Window(20 + margin, 20 + margin, 180 - margin, 180 - margin)
    cut = s2.crop(window)
    shared = pair(cut, s3)
    seen, share = coarse_view(MemorySource(cut), shared)
    observed = s3.crop(shared.s3_window).masked()
    fine = shared.s2_window
    true = truth.crop(window).crop(fine).data

    def quality(inside):
        spectral, left = fit_cells(seen, share, observed, inside=inside)
        return psnr(true, spectral.apply(cut.crop(fine).data) + upsample(left, ratio))

    inside = cells_inside(cut.grid, shared)
    assert quality(inside) > quality(None) + (4 if margin == 0 else 1)
    assert psnr(true, regression_fit(cut, s3).predict()) == pytest.approx(quality(inside), abs=0.01)


def test_where_borders_were_mirrored_they_stay_trusted():
    from trifuse.simulate import procedural_scene, scene_views

    s2, s3, _ = scene_views(MemorySource(procedural_scene(120, seed=9)), ratio=10)
    shared = pair(s2, s3)
    given = (*coarse_view(MemorySource(s2), shared), s3.masked())
    inside = cells_inside(s2.grid, shared)
    assert inside.min() < 0.99 < inside.max()
    for ours, plain in zip(fit_cells(*given, inside=inside), fit_cells(*given), strict=True):
        np.testing.assert_array_equal(
            getattr(ours, "matrix", ours), getattr(plain, "matrix", plain)
        )
