"""ATPRK, CNMF and the subspace method: invariants, gains, and their solvers against dense ones."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter
from scipy.optimize import nnls
from skimage.restoration import denoise_tv_chambolle

from trifuse.core import (
    BandSet,
    ConfigError,
    Cube,
    DataError,
    Grid,
    MemorySource,
    Window,
    degrade,
    upsample,
)
from trifuse.core.resample import degrade_matrix
from trifuse.fusion import fuse_cube, get_method
from trifuse.fusion.classical import hysure
from trifuse.fusion.classical.atprk import Atprk
from trifuse.fusion.classical.cnmf import Cnmf, couple
from trifuse.fusion.classical.hysure import HySure
from trifuse.fusion.classical.unmixing import (
    successive_projections,
    update_abundances,
    update_endmembers,
    with_sum,
)
from trifuse.fusion.classical.variation import CellSolve, divergence, gradient, solve_block
from trifuse.metrics import psnr, sam

HR = BandSet.of(["B2", "B3", "B4", "B8A"], [490, 560, 665, 865], [66, 36, 31, 21])
LR = BandSet.of(
    ["Oa04", "Oa06", "Oa08", "Oa12", "Oa16", "Oa17"], [490, 560, 665, 754, 779, 865], [10] * 6
)
SHORT = {"cnmf": Cnmf(rounds=2, iterations=30), "hysure": HySure(iterations=15), "atprk": Atprk()}
MIXING = ["cnmf", "hysure"]


def scene(height=80, width=100, ratio=10, shift=(0.0, 0.0)):
    """S2 and S3 of one truth: mixtures of four materials with their own texture and shade."""
    rng = np.random.default_rng(5)
    spectra = rng.uniform(0.03, 0.6, (4, len(LR)))
    fields = [gaussian_filter(rng.standard_normal((height, width)), s) * s for s in (1, 2, 3, 5)]
    share = np.exp(6 * np.stack(fields))
    share /= share.sum(axis=0)
    truth = np.tensordot(spectra.T, share, 1) * (1 + 0.2 * fields[2])
    truth = (truth + 0.02 * truth[::-1] * fields[0]).clip(0.01, 1).astype(np.float32)
    response = np.zeros((len(HR), len(LR)))
    response[0, :2], response[1, 1:3], response[2, 2], response[3, 3:] = 0.5, 0.5, 1, 1 / 3
    return *images(
        np.tensordot(response, truth, 1), degrade(truth, ratio, shift=shift), ratio
    ), truth


def images(sharp, coarse, ratio):
    grid = Grid.from_origin("EPSG:32633", 600_000, 5_800_000, 10, *sharp.shape[1:])
    s2 = Cube(sharp.astype(np.float32), np.ones(grid.shape, bool), HR, grid)
    there = np.ones(coarse.shape[1:], bool)
    s3 = Cube(coarse.astype(np.float32), there, LR, grid.zoom_out(ratio))
    return MemorySource(s2, "s2"), MemorySource(s3, "s3")


def run(method, s2, s3, **options):
    return fuse_cube(s2, s3, method=method, device="cpu", **options)[0]


@pytest.mark.parametrize("name", SHORT)
def test_it_beats_interpolation_by_far(name):
    s2, s3, truth = scene()
    fused = run(name, s2, s3).data
    plain = upsample(s3.read().data, 10)
    assert psnr(truth, fused) > psnr(truth, plain) + 10
    assert sam(truth, fused) < 0.5 * sam(truth, plain)
    # What S3 sees of the result is S3.
    assert np.abs(degrade(fused, 10) - s3.read().data).mean() < 5e-3


@pytest.mark.parametrize("name", SHORT)
def test_a_displacement_is_heeded(name):
    shift = (3.4, -4.0)
    s2, s3, truth = scene(shift=shift)
    inner = np.s_[:, 10:-10, 10:-10]
    told = run(name, s2, s3, shift=shift).data[inner]
    untold = run(name, s2, s3).data[inner]
    assert psnr(truth[inner], told) > psnr(truth[inner], untold) + 3


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.parametrize(("ratio", "shape"), [(2, (20, 24)), (5, (45, 50)), (15, (90, 120))])
def test_any_ratio(name, ratio, shape):
    s2, s3, truth = scene(*shape, ratio)
    fused = run(SHORT[name], s2, s3).data
    assert psnr(truth, fused) > psnr(truth, upsample(s3.read().data, ratio)) + 3


@pytest.mark.parametrize("name", SHORT)
def test_constants_stay(name):
    spectrum = np.linspace(0.1, 0.5, len(LR))[:, None, None]
    s2, s3 = images(np.full((4, 40, 50), 0.2), spectrum * np.ones((1, 8, 10)), 5)
    fused = run(SHORT[name], s2, s3).data
    np.testing.assert_allclose(fused, np.broadcast_to(spectrum, fused.shape), atol=2e-5)


@pytest.mark.parametrize("name", SHORT)
def test_order_of_bands(name):
    s2, s3, _ = scene(60, 60)
    fused = run(SHORT[name], s2, s3).data
    turned = [
        MemorySource(replace(c, data=c.data[::-1].copy(), bands=c.bands.select(range(n)[::-1])))
        for c, n in ((s2.read(), len(HR)), (s3.read(), len(LR)))
    ]
    np.testing.assert_allclose(run(SHORT[name], *turned).data[::-1], fused, atol=2e-4)


@pytest.mark.parametrize("name", SHORT)
def test_tiles_equal_the_whole(name, monkeypatch):
    monkeypatch.setattr(hysure, "BLOCK", 30)
    method = SHORT[name]
    s2, s3, _ = scene(60, 100, 5)
    s2 = holes(s2, Window(30, 33, 9, 14))
    s3 = holes(s3, Window(2, 13, 2, 2))
    whole = run(method, s2, s3, tile=10_000)
    for tile in (23, 37, 90):
        part, result = fuse_cube(s2, s3, method=method, device="cpu", tile=tile)
        assert len(result.plan) > 1
        np.testing.assert_array_equal(part.valid, whole.valid)
        np.testing.assert_allclose(part.data, whole.data, rtol=0, atol=1e-5, equal_nan=True)


def holes(source, window):
    cube = source.read()
    rows, cols = window.slices
    data, valid = cube.data.copy(), cube.valid.copy()
    data[:, rows, cols], valid[rows, cols] = np.float32(1e30), False
    return MemorySource(replace(cube, data=data, valid=valid), source.name)


@pytest.mark.parametrize("name", SHORT)
def test_holes_stay_and_hardly_matter_elsewhere(name):
    s2, s3, truth = scene(80, 80, 5)
    sharp, coarse = Window(31, 42, 7, 5), Window(3, 4, 1, 2)
    cube = run(SHORT[name], holes(s2, sharp), holes(s3, coarse))
    expected = np.ones(cube.valid.shape, bool)
    expected[31:38, 42:47] = expected[15:20, 20:30] = False
    np.testing.assert_array_equal(cube.valid, expected)
    full = run(SHORT[name], s2, s3).data
    there = [psnr(truth, image, expected) for image in (cube.data, full)]
    assert there[0] > min(there[1] - 1.5, 50)


@pytest.mark.parametrize("name", SHORT)
def test_one_missing_band(name):
    s2, s3, _ = scene(40, 40, 5)
    cube = s3.read()
    data = cube.data.copy()
    data[2, 3, 4] = np.nan
    fused = run(SHORT[name], s2, MemorySource(replace(cube, data=data))).data
    cell = np.zeros((40, 40), bool)
    cell[15:20, 20:25] = True
    for k in range(len(LR)):
        missing = cell if k == 2 or name in MIXING else np.zeros_like(cell)
        np.testing.assert_array_equal(np.isnan(fused[k]), missing)


@pytest.mark.parametrize("name", MIXING)
def test_too_few_cells(name):
    s2, s3, _ = scene(10, 10)
    with pytest.raises(DataError, match="needed"):
        run(SHORT[name], s2, s3)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("cnmf", {"endmembers": 0}),
        ("cnmf", {"rounds": 0}),
        ("hysure", {"rank": 0}),
        ("hysure", {"penalty": 0.0}),
        ("hysure", {"variation": -1.0}),
        ("atprk", {"lags": 0}),
        ("atprk", {"back_projection": -1}),
    ],
)
def test_bad_options(name, option):
    with pytest.raises(ConfigError):
        get_method(name, **option)


def test_back_projection_agrees_better():
    s2, s3, _ = scene()

    def missed(steps):
        fused = run(Atprk(ridge=1.0, back_projection=steps), s2, s3).data
        return np.abs(degrade(fused, 10) - s3.read().data).max()

    assert missed(3) < 0.4 * missed(0)


# --- Factors -----------------------------------------------------------------------------------


def test_projections_find_the_pure_pixels():
    rng = np.random.default_rng(0)
    pure = rng.random((8, 4))
    shares = np.concatenate([np.eye(4), rng.dirichlet(np.ones(4), 50).T], axis=1)
    order = rng.permutation(54)
    found = successive_projections((pure @ shares)[:, order], 9)
    assert sorted(order[found]) == [0, 1, 2, 3]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), bands=st.integers(2, 8), count=st.integers(1, 6))
def test_updates_never_raise_the_misfit(seed, bands, count):
    rng = np.random.default_rng(seed)
    spectra, members = rng.random((bands, 12)), rng.random((bands, count))
    shares = rng.random((count, 12))

    def misfit():
        return ((spectra - members @ shares) ** 2).sum()

    before = misfit()
    for _ in range(5):
        shares = update_abundances(spectra, members, shares)
        assert misfit() <= before + 1e-7
        before = misfit()
        members = update_endmembers(spectra, members, shares)
        assert misfit() <= before + 1e-7
        before = misfit()


def test_abundances_tend_to_the_non_negative_least_squares():
    rng = np.random.default_rng(1)
    members, spectra = rng.random((7, 3)), rng.random((7, 20))
    found = update_abundances(with_sum(spectra), with_sum(members), np.full((3, 20), 0.3), 5000)
    exact = [nnls(with_sum(members), column)[0] for column in with_sum(spectra).T]
    np.testing.assert_allclose(found.T, exact, atol=1e-3)


def test_coupling_finds_the_response_and_doubts_a_band_beside_it():
    rng = np.random.default_rng(2)
    spectra = rng.random((5, 60))
    response = np.array([[0.5, 0.5, 0, 0, 0], [0, 0, 0, 0.3, 0.7]])
    sharp = np.concatenate([response @ spectra, rng.random((1, 60))])
    found, trust = couple(sharp, spectra)
    np.testing.assert_allclose(found[:2], response, atol=1e-9)
    np.testing.assert_array_equal(trust[:2], 1)
    assert trust[2] < 0.05


# --- The solver of the subspace method -----------------------------------------------------------


def kron(along_y, along_x):
    return sparse.kron(along_y, along_x).toarray()


def differences(n):
    d = np.diff(np.eye(n), axis=0)
    return np.concatenate([d, np.zeros((1, n))])


def quadratic(n_y, n_x):
    """1 + ∇ᵀ∇ as a dense matrix."""
    down = np.kron(differences(n_y), np.eye(n_x))
    right = np.kron(np.eye(n_y), differences(n_x))
    return np.eye(n_y * n_x) + down.T @ down + right.T @ right


@pytest.mark.parametrize(("ratio", "shift"), [(3, (0.0, 0.0)), (4, (1.3, -0.7))])
def test_the_direct_solve_equals_a_dense_one(ratio, shift):
    rng = np.random.default_rng(0)
    n_y, n_x, penalty = 4 * ratio, 3 * ratio, 0.07
    along = [degrade_matrix(n, ratio, 1.5, s) for n, s in zip((n_y, n_x), shift, strict=True)]
    there = rng.random((4, 3)) > 0.3
    degradation = kron(*along)[there.ravel()]
    dense = degradation.T @ degradation + penalty * quadratic(n_y, n_x)
    right, cells = rng.random((2, n_y, n_x)), rng.random((2, 4, 3)).astype(np.float32)
    solver = CellSolve(*along, there, penalty)
    basis = dctn(right, axes=(1, 2), norm="ortho").astype(np.float32)
    found = solver(solver.back(cells) + basis)
    for k in range(2):
        expected = degradation.T @ cells[k][there] + right[k].ravel()
        np.testing.assert_allclose(
            found[k].ravel(), np.linalg.solve(dense, expected), rtol=1e-4, atol=1e-4
        )


def test_without_variation_it_is_least_squares():
    rng = np.random.default_rng(3)
    n_y, n_x, planes, bands = 9, 12, 2, 3
    along = [degrade_matrix(n, 3, 1.5) for n in (n_y, n_x)]
    cells = rng.standard_normal((planes, 3, 4)).astype(np.float32)
    mix, sharp = rng.standard_normal((bands, planes)), rng.standard_normal((bands, n_y, n_x))
    found = solve_block(
        np.zeros((planes, n_y, n_x), np.float32),
        cells,
        CellSolve(*along, np.ones((3, 4), bool), 0.5),
        np.tensordot(mix.T, sharp, 1).astype(np.float32),
        mix.T @ mix,
        penalty=0.5,
        variation=0.0,
        iterations=600,
    )
    degradation = np.kron(np.eye(planes), kron(*along))
    view = np.kron(mix, np.eye(n_y * n_x))
    dense = degradation.T @ degradation + view.T @ view
    expected = np.linalg.solve(dense, degradation.T @ cells.ravel() + view.T @ sharp.ravel())
    np.testing.assert_allclose(found.ravel(), expected, atol=2e-4)


def test_with_one_plane_and_no_cells_it_is_the_denoising_of_scikit_image():
    rng = np.random.default_rng(4)
    image = np.kron(rng.random((4, 5)), np.ones((8, 8))) + 0.1 * rng.standard_normal((32, 40))
    along = [sparse.csr_matrix((0, n)) for n in image.shape]
    found = solve_block(
        np.zeros((1, 32, 40), np.float32),
        np.zeros((1, 0, 0), np.float32),
        CellSolve(*along, np.zeros((0, 0), bool), 1.0),
        image[None].astype(np.float32),
        np.eye(1),
        penalty=1.0,
        variation=0.1,
        iterations=400,
    )[0]
    other = denoise_tv_chambolle(image, weight=0.1, eps=1e-12, max_num_iter=4000)

    def objective(u):
        down, right = gradient(u)
        return ((u - image) ** 2).sum() / 2 + 0.1 * np.sqrt(down**2 + right**2).sum()

    assert objective(found) == pytest.approx(objective(other), rel=1e-3)
    assert np.abs(found - other).max() < 5e-3
    assert np.abs(found - image).max() > 0.1


@settings(max_examples=20, deadline=None)
@given(shape=st.tuples(*[st.integers(1, 6)] * 2), seed=st.integers(0, 9))
def test_divergence_is_the_transpose_of_the_gradient(shape, seed):
    rng = np.random.default_rng(seed)
    image, down, right = rng.standard_normal((3, 2, *shape))
    gradients = gradient(image)
    forward = (gradients[0] * down + gradients[1] * right).sum()
    assert forward == pytest.approx((image * divergence(down, right)).sum(), abs=1e-9)


def test_each_block_is_solved_once_and_few_are_kept(monkeypatch):
    solved = []

    def counted(start, *rest, **options):
        solved.append(start.shape)
        return solve_block(start, *rest, **options)

    monkeypatch.setattr(hysure, "solve_block", counted)
    monkeypatch.setattr(hysure, "BLOCK", 40)
    s2, s3, _ = scene(80, 120, 5)
    whole = run(SHORT["hysure"], s2, s3, tile=25).data
    assert len(solved) == 6
    monkeypatch.setattr(hysure, "KEPT", 1)  # a single block
    solved.clear()
    np.testing.assert_allclose(run(SHORT["hysure"], s2, s3, tile=25).data, whole, atol=1e-6)
    assert len(solved) > 6


def test_the_lattice_hardly_changes_the_solution(monkeypatch):
    s2, s3, truth = scene(120, 120, 5)
    whole = run(HySure(iterations=40), s2, s3, tile=1000).data
    monkeypatch.setattr(hysure, "BLOCK", 40)
    blocks = run(HySure(iterations=40), s2, s3, tile=1000).data
    difference = np.abs(blocks - whole)
    assert 0 < difference.max() < 0.1 * np.abs(whole - truth).max()
    assert np.sqrt((difference**2).mean()) < 0.1 * np.sqrt(((whole - truth) ** 2).mean())
