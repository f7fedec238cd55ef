"""The restoration of Sentinel-2's bands to one sharpness."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trifuse.core import BandSet, Cube, DataError, Grid, MemorySource, Window
from trifuse.core.resample import degrade_matrix, upsample_matrix
from trifuse.restore import (
    RestoredSource,
    Sharpness,
    learn,
    restore,
    restored,
    scene_statistics,
    sharpness_of,
)
from trifuse.restore.blockwise import lattice
from trifuse.restore.restoration import BlockRestorer
from trifuse.restore.scene_statistics import Statistics
from trifuse.restore.sharpness import pixel_noise
from trifuse.restore.spectrum import cosines, frequencies, samples, transfer
from trifuse.simulate import procedural_scene, scene_views
from trifuse.simulate.observation import PROTOCOLS, Observed, observe


@lru_cache(maxsize=1)
def views() -> tuple[Cube, Cube]:
    s2, _, s3 = scene_views(MemorySource(procedural_scene(120, 3, gsd=10.0)))
    return s2, s3


@lru_cache(maxsize=8)
def observed(protocol: str = "real-world") -> Observed:
    return observe(*views(), 10, PROTOCOLS[protocol], seed=3)


def rmse(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(((a - b).astype(np.float64) ** 2).mean(axis=(1, 2))))


@pytest.mark.parametrize(
    ("n", "chain"), [(36, (1, 2, 6)), (24, (2, 6)), (30, (1, 3)), (24, (1, 4))]
)
def test_frequencies_fold(n: int, chain: tuple[int, ...]) -> None:
    assert sorted(frequencies(n, chain)) == list(range(n))
    for ratio in (r for r in chain if r > 1):
        down = degrade_matrix(n, ratio, 0.5 * ratio)
        whole = cosines(n, chain, ratio) @ (down @ cosines(n, chain).T)
        folded = np.zeros_like(whole)
        at = np.tile(np.arange(n // ratio), ratio)
        folded[at, np.arange(n)] = transfer(n, chain, ratio, 0.5 * ratio)
        np.testing.assert_allclose(whole, folded, atol=1e-12)


def test_samples_are_found_again() -> None:
    cells = np.random.default_rng(0).normal(size=9)
    up = upsample_matrix(9, 6) @ cells
    np.testing.assert_allclose(samples(54, 6, "bicubic") @ up, cells, atol=1e-10)


def test_solution_is_that_of_the_normal_equations() -> None:
    # The whole system written down as one dense matrix, and solved.
    rng = np.random.default_rng(1)
    ratios, sigma, n = (1, 6, 2, 2), 0.02, 12
    sharpness = Sharpness(ratios, (0.3, 0.25, 0.3, 0.2), (0.01, sigma, 0.03, sigma))
    root = rng.normal(size=(4, 4))
    statistics = Statistics(
        rng.normal(size=4), np.geomspace(5, 0.01, 40), root @ root.T, np.full(4, np.nan), 100
    )
    native = [rng.normal(size=(n // r, n // r)) for r in ratios]
    up = [upsample_matrix(n // r, r).toarray() if r > 1 else np.eye(n) for r in ratios]
    image = np.stack([u @ y @ u.T for u, y in zip(up, native, strict=True)]).astype(np.float32)
    found = BlockRestorer((n, n), sharpness, statistics)(image)

    d = np.cos(np.pi * np.outer(np.arange(n), np.arange(n) + 0.5) / n) * np.sqrt(2 / n)
    d[0] /= np.sqrt(2)
    f = np.hypot(*np.meshgrid(np.arange(n) / (2 * n), np.arange(n) / (2 * n), indexing="ij"))
    dct = np.kron(d, d)
    field = dct.T @ np.diag(statistics.density(f).ravel()) @ dct
    prior = np.kron(statistics.covariance, field)
    rows, noise, seen = [], [], []
    for b, ratio in enumerate(ratios):
        down = np.eye(n)
        if ratio > 1:
            down = degrade_matrix(n, ratio, sharpness.sigma(b)).toarray()
        pick = np.eye(4)[b : b + 1]
        rows.append(np.kron(pick, np.kron(down, down)))
        noise += [sharpness.noise[b] ** 2] * (n // ratio) ** 2
        seen.append((native[b] - statistics.mean[b]).ravel())
    see = np.concatenate(rows)
    gain = prior @ see.T @ np.linalg.inv(see @ prior @ see.T + np.diag(noise))
    expected = (gain @ np.concatenate(seen)).reshape(4, n, n) + statistics.mean[:, None, None]
    np.testing.assert_allclose(found, expected, atol=2e-5)
    variance = np.diag(prior - gain @ see @ prior).reshape(4, -1).mean(axis=1)
    deviation = BlockRestorer((n, n), sharpness, statistics).deviation
    np.testing.assert_allclose(deviation, np.sqrt(variance), rtol=1e-6)


@pytest.mark.parametrize("protocol", ["real-world", "native-noise"])
def test_restores_far_beyond_what_was_seen(protocol: str) -> None:
    seen = observed(protocol)
    source = MemorySource(seen.hrmsi)
    sharpness = sharpness_of(source)
    assert sharpness is not None and sharpness.ratios == (1, 2, 6)
    statistics = scene_statistics(source, sharpness)
    restored = restore(seen.hrmsi.data, sharpness, statistics)
    before, after = rmse(seen.hrmsi.data, seen.sharp.data), rmse(restored, seen.sharp.data)
    assert (after < before).all()
    blurred = np.array(sharpness.ratio) > 1
    assert np.median(before[blurred] / after[blurred]) > 4
    # What the model says of its own error holds within a factor.
    told = BlockRestorer((120, 120), sharpness, statistics).deviation
    assert (np.abs(np.log(told / after)) < np.log(2)).all()


def test_noise_on_pixels_is_measured_and_told_from_that_of_samples() -> None:
    for protocol, level in (("real-world", 0.003), ("native-noise", 0.0), ("noise-half", 0.003)):
        seen = observed(protocol)
        source = MemorySource(seen.hrmsi)
        sharpness = sharpness_of(source)
        assert sharpness is not None
        statistics = scene_statistics(source, sharpness)
        blurred = np.array(sharpness.ratio) > 1
        np.testing.assert_allclose(statistics.outside[blurred], level, rtol=0.05, atol=1e-4)
        assert np.isnan(statistics.outside[~blurred]).all()
        pixels, _ = pixel_noise(sharpness, statistics.outside)
        assert (pixels[blurred] > 0).all() == (level > 0)


def test_order_of_bands_does_not_matter() -> None:
    cube = observed().hrmsi
    names = cube.bands.names
    turned = cube.select(names[::-1])
    results = []
    for c in (cube, turned):
        source = MemorySource(c)
        sharpness = sharpness_of(source)
        assert sharpness is not None
        results.append(restore(c.data, sharpness, scene_statistics(source, sharpness)))
    np.testing.assert_allclose(results[0][::-1], results[1], atol=1e-6)


@pytest.mark.parametrize(
    "names", [("B2", "B3", "B4", "B8", "B11"), ("B8A", "B11"), ("B4", "B9"), ("B5", "B1")]
)
def test_any_bands(names: tuple[str, ...]) -> None:
    seen = observed()
    cube, truth = seen.hrmsi.select(names), seen.sharp.select(names)
    source = MemorySource(cube)
    sharpness = sharpness_of(source)
    assert sharpness is not None
    restored = restore(cube.data, sharpness, scene_statistics(source, sharpness))
    assert (rmse(restored, truth.data) < rmse(cube.data, truth.data)).all()


def test_sharp_or_unknown_stays_as_it_is() -> None:
    cube = observed("clean").hrmsi
    assert sharpness_of(MemorySource(cube)) is None  # all 1:1
    plain = Cube(cube.data, cube.valid, cube.bands, cube.grid)
    assert sharpness_of(MemorySource(plain)) is None  # nothing is told
    assert (restore(cube.data, None, None) == cube.data).all()


def test_what_is_missing_stays_missing_and_does_not_ring() -> None:
    seen = observed()
    source = MemorySource(seen.hrmsi)
    sharpness = sharpness_of(source)
    assert sharpness is not None
    statistics = scene_statistics(source, sharpness)
    whole = restore(seen.hrmsi.data, sharpness, statistics)
    holed = seen.hrmsi.data.copy()
    holed[:, 50:60, 40:55] = np.nan
    holed[3, 90:93, 20:22] = np.nan
    result = restore(holed, sharpness, statistics)
    assert (np.isnan(result) == np.isnan(holed)).all()
    difference = np.abs(result - whole)
    far = np.ones(whole.shape[1:], bool)
    far[50 - 24 : 60 + 24, 40 - 24 : 55 + 24] = False
    far[90 - 24 : 93 + 24, : 22 + 24] = False
    assert np.sqrt((difference[:, far] ** 2).mean()) < 1e-4 and difference[:, far].max() < 0.004
    assert np.nanmax(difference) < 0.3


def test_too_small_an_image_says_so() -> None:
    bands = BandSet.of(["B2", "B9"])
    grid = Grid.from_origin("EPSG:32633", 0, 0, 10, 18, 18)
    cube = Cube(np.zeros((2, 18, 18), np.float32), np.ones((18, 18), bool), bands, grid)
    with pytest.raises(DataError, match="too few"):
        scene_statistics(MemorySource(cube), Sharpness((1, 6), (0.3, 0.3), (0.003, 0.003)))


def restored_source(cube: Cube, **options: int) -> RestoredSource:
    source = MemorySource(cube)
    sharpness = sharpness_of(source)
    assert sharpness is not None
    return RestoredSource(source, *learn(source, sharpness)[:2], device="cpu", **options)


def test_windows_and_blocks_do_not_change_a_pixel() -> None:
    cube = observed().hrmsi
    holed = cube.data.copy()
    holed[:, 30:34, 90:99] = np.nan
    holed[2, 100:103, 20:25] = np.nan
    valid = np.isfinite(holed).all(axis=0)
    valid[5:9, 7:20] = False
    cube = Cube(holed, valid, cube.bands, cube.grid, cube.meta)
    source = restored_source(cube, block=84, halo=24)
    whole = source.read()
    assert (np.isnan(whole.data) == np.isnan(holed)).all() and (whole.valid == valid).all()
    assert np.isfinite(whole.data[:, 5:9, 7:20]).all()
    again = restored_source(cube, block=84, halo=24)
    rng = np.random.default_rng(0)
    names = cube.bands.names
    for _ in range(12):
        row, col = rng.integers(0, 110, 2)
        window = Window(
            int(row), int(col), int(rng.integers(1, 121 - row)), int(rng.integers(1, 121 - col))
        )
        some = [names[i] for i in rng.permutation(12)[: rng.integers(1, 12)]]
        part = again.read(window, some)
        expected = whole.select(some).crop(window)
        np.testing.assert_array_equal(part.data, expected.data)
        own = MemorySource(cube).read(window, some)
        if len(some) == 12:
            np.testing.assert_array_equal(part.valid, own.valid)
    # Larger blocks and no blocks at all differ by less than a tenth of the noise.
    one = restored_source(cube).read()
    difference = (whole.data - one.data)[np.isfinite(whole.data)]
    assert np.sqrt((difference**2).mean()) < 3e-4


@given(
    st.integers(1, 3000),
    st.sampled_from([2, 3, 6]),
    st.integers(100, 400),
    st.integers(0, 40),
    st.integers(-9, 9),
)
def test_lattice_covers_each_pixel_once(
    n: int, period: int, block: int, halo: int, origin: int
) -> None:
    spans = lattice(n, period, block, halo, origin)
    assert spans[0].first == 0 and spans[-1].stop == n
    for span in spans:
        assert (span.start - origin) % period == 0 and span.size == spans[0].size <= block
        assert span.start <= span.first < span.stop <= span.start + span.size
    for a, b in pairwise(spans):
        assert a.stop == b.first
        assert a.stop + halo <= a.start + a.size and b.start + halo <= b.first


def test_sharp_bands_are_found_out() -> None:
    sharp = observed("sharp-as-blurred").hrmsi
    source = MemorySource(sharp)
    told = sharpness_of(source)
    assert told is not None
    sharpness, _, check = learn(source, told)
    assert set(check.sharp) == {
        n for n, r in zip(sharp.bands.names, told.ratio, strict=True) if r > 1
    }
    assert not sharpness.blurred and restored(source) is source
    assert restored(source, force=True) is not source
    for protocol in ("real-world", "native-noise", "mtf45"):
        source = MemorySource(observed(protocol).hrmsi)
        told = sharpness_of(source)
        assert told is not None
        assert not learn(source, told)[2].sharp


def test_one_sharp_band_among_blurred_ones_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    seen = observed()
    data = seen.hrmsi.data.copy()
    at = seen.hrmsi.bands.index("B11")
    data[at] = seen.sharp.data[at]
    source = MemorySource(
        Cube(data, seen.hrmsi.valid, seen.hrmsi.bands, seen.hrmsi.grid, seen.hrmsi.meta)
    )
    told = sharpness_of(source)
    assert told is not None
    sharpness, statistics, check = learn(source, told)
    assert check.sharp == ("B11",) and sharpness.ratio[at] == 1
    assert "B11" in caplog.text
    result = restore(data, sharpness, statistics)
    # Its noise alone is taken out, by what the other bands tell.
    assert rmse(result, seen.sharp.data)[at] < 0.003


def test_bands_interpolated_otherwise_are_named() -> None:
    seen = observed("native-noise").hrmsi
    data = seen.data.copy()
    at = seen.bands.index("B9")
    data[at] = np.repeat(np.repeat(data[at, 2::6, 2::6], 6, axis=0), 6, axis=1)
    source = MemorySource(Cube(data, seen.valid, seen.bands, seen.grid, seen.meta))
    told = sharpness_of(source)
    assert told is not None
    check = learn(source, told)[2]
    assert check.otherwise == ("B9",) and not check.sharp


def test_a_cut_out_image_keeps_its_native_pixels() -> None:
    seen = observed("native-noise")
    window = Window(9, 14, 101, 95)
    cut = MemorySource(seen.hrmsi)[window]
    result = restored(cut, device="cpu")
    assert isinstance(result, RestoredSource) and result.sharpness.origin == (-9, -14)
    np.testing.assert_allclose(np.nan_to_num(result.statistics.outside), 0, atol=3e-4)
    source = restored_source(seen.hrmsi)
    whole = source.read(window).data
    sharpness = replace(source.sharpness, origin=result.sharpness.origin)
    same = RestoredSource(cut, sharpness, source.statistics, device="cpu").read().data
    inside = np.s_[:, 24:-24, 24:-24]
    # Other borders, but the same native pixels.
    assert rmse(same[inside], whole[inside]).max() < 1e-3


@pytest.mark.parametrize("protocol", ["real-world", "native-noise"])
def test_noise_that_cannot_be_is_taken_for_less(protocol: str) -> None:
    seen = observed(protocol)
    source = MemorySource(seen.hrmsi)
    told = sharpness_of(source)
    assert told is not None
    sharpness, statistics, _ = learn(source, told)
    assert sharpness.noise == told.noise  # it is right
    right = rmse(restore(seen.hrmsi.data, sharpness, statistics), seen.sharp.data)
    wrong = sharpness_of(source, noise=0.012)
    assert wrong is not None
    sharpness, statistics, _ = learn(source, wrong)
    np.testing.assert_allclose(sharpness.noise, 0.003, rtol=0.15)
    found = rmse(restore(seen.hrmsi.data, sharpness, statistics), seen.sharp.data)
    np.testing.assert_allclose(found, right, rtol=0.05)
    forced, _, _ = learn(source, wrong, force=True)
    assert forced.noise == wrong.noise


def test_noise_found_counts_but_noise_given_is_not_raised() -> None:
    source = MemorySource(observed().hrmsi)
    low = sharpness_of(source, noise=0.0015)
    assert low is not None
    np.testing.assert_allclose(learn(source, low)[0].noise, 0.003, rtol=0.15)
    assert learn(source, low, find_noise=False)[0].noise == low.noise
    assert learn(source, low, force=True)[0].noise == low.noise
    # What the pixels cannot hold is not believed in either case.
    high = sharpness_of(source, noise=0.012)
    assert high is not None
    np.testing.assert_allclose(learn(source, high, find_noise=False)[0].noise, 0.003, rtol=0.15)
