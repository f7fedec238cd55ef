"""Restoration by the statistics of each place."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import torch

from trifuse.core import BandSet, Cube, Grid, MemorySource, Window
from trifuse.core.resample import blur_matrix
from trifuse.restore import LocallyRestoredSource, RestoredSource, Sharpness, learn, sharpness_of
from trifuse.restore.local import LocalRestorer
from trifuse.restore.places import (
    Covariances,
    average_by_kind,
    ground_kinds,
    invert_,
    products,
    weigh,
)
from trifuse.simulate import procedural_scene, scene_views
from trifuse.simulate.observation import PROTOCOLS, observe


@lru_cache(maxsize=1)
def scene():
    """An observed image, its sharpness and statistics, and what restoration should return."""
    s2, _, s3 = scene_views(MemorySource(procedural_scene((96, 120), 904, gsd=20.0)))
    seen = observe(s2, s3, 8, PROTOCOLS["real-world"], seed=1)
    source = MemorySource(seen.hrmsi)
    sharpness, statistics, _ = learn(source, sharpness_of(source))
    return source, sharpness, statistics, seen.sharp.data


def errors(estimate, truth):
    return np.sqrt(((estimate - truth).astype(np.float64) ** 2).mean(axis=(1, 2)))


def test_places_beat_the_scene_in_every_band():
    source, sharpness, statistics, truth = scene()
    whole = RestoredSource(source, sharpness, statistics, device="cpu").read().data
    local = LocallyRestoredSource(source, sharpness, statistics, device="cpu").read().data
    gain = -20 * np.log10(errors(local, truth) / errors(whole, truth))
    assert gain.min() > -0.1
    assert gain.mean() > 0.3


@pytest.mark.parametrize("ratios", [(1, 2, 6), (1, 3), (1, 6)])
def test_the_same_statistics_everywhere_give_the_solution_of_the_scene(monkeypatch, ratios):
    source, sharpness, statistics, _ = scene()
    pixels = source.read().data
    if ratios == (1, 3):
        sharpness = replace(sharpness, ratio=tuple(1 if r == 1 else 3 for r in sharpness.ratio))
    else:
        own = [i for i, r in enumerate(sharpness.ratio) if r in ratios]
        pixels, sharpness, statistics = pixels[own], sharpness.select(own), statistics.select(own)
    solver = LocalRestorer(pixels.shape[1:], sharpness, statistics)
    first = solver.start(pixels)

    def same(self, found, shares):
        inverse = self._inverse[:, :, None].repeat(1, 1, found[0].numel() // self._cell**2)
        return inverse, [torch.ones(len(w.back_y), len(w.back_x)) for w in self._windows]

    monkeypatch.setattr(LocalRestorer, "_places", same)
    noise = min(sharpness.noise)
    assert errors(solver(pixels), first).max() < 0.1 * noise


def test_planes_of_matrices_are_multiplied_and_inverted_like_matrices():
    torch.manual_seed(0)
    mixed = torch.randn(5000, 7, 7, dtype=torch.float64)
    matrices = mixed @ mixed.mT + torch.eye(7)
    planes, vectors = matrices.permute(1, 2, 0).contiguous(), torch.randn(2, 7, 5000).double()
    found = torch.einsum("nij,kjn->kin", matrices, vectors)
    torch.testing.assert_close(weigh(planes, vectors), found)
    inverse = invert_(planes).permute(2, 0, 1)
    torch.testing.assert_close(inverse, torch.linalg.inv(matrices))


def test_products_are_those_of_pairs_averaged_over_cells():
    planes = torch.randn(3, 4, 6)
    rows, cols = torch.triu_indices(3, 3)
    found = products(planes, 2)
    expected = (planes[rows] * planes[cols]).reshape(6, 2, 2, 3, 2).mean(dim=(2, 4))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kinds", [False, True])
def test_covariances_of_cells_are_those_of_windows_around_them(kinds):
    source, sharpness, *_ = scene()
    image = torch.from_numpy(source.read().data)
    detail = image - image.mean(dim=(1, 2), keepdim=True)
    scene_, added = torch.eye(12), 1e-3 * torch.eye(12)
    found = ground_kinds(source, sharpness) if kinds else None
    shape = image.shape[1:]
    both = [Covariances(shape, c, scene_, added, [1, 2, 3, 7]) for c in (2, 1)]
    cells, pixels = (c(detail, c.shares(image, found)) for c in both)
    rows, cols = (n // 2 for n in shape)
    spread = pixels.reshape(12, 12, rows, 2, cols, 2).mean(dim=(3, 5)).flatten(2)
    assert cells.shape == (12, 12, rows * cols)
    assert ((cells - spread).norm() / spread.norm()) < 0.1


def test_kinds_part_what_differs_and_mix_what_is_alike():
    rng = np.random.default_rng(0)
    image = np.full((3, 24, 30), 0.05, np.float32)
    image[:, :, 15:] = 0.4
    image += rng.normal(0, 0.01, image.shape).astype(np.float32)
    bands = BandSet.of(["B2", "B8", "B11"], [490.0, 840.0, 1610.0], [60.0, 110.0, 90.0])
    grid = Grid.from_origin("EPSG:32633", 0, 0, 10.0, 24, 30)
    source = MemorySource(Cube(image, np.ones(grid.shape, np.bool_), bands, grid))
    kinds = ground_kinds(source, Sharpness((1, 1, 2), (0.3,) * 3, (0.01,) * 3))
    shares = kinds.shares(torch.from_numpy(image))
    torch.testing.assert_close(shares.sum(dim=0), torch.ones(grid.shape))
    dark = kinds.centres.mean(axis=1) < 0.2
    assert dark.any() and not dark.all()
    assert shares[dark][..., :14].sum(dim=0).min() > 0.99
    assert shares[~dark][..., 16:].sum(dim=0).min() > 0.99
    # Averages at the border do not see the other side.
    around = tuple(torch.from_numpy(blur_matrix(n, 4.0).toarray()).float() for n in grid.shape)
    plane = torch.from_numpy(image[:1])
    one = tuple(torch.eye(n) for n in grid.shape)
    mean = average_by_kind(plane, shares, around, one)
    assert mean[0, :, 14].max() < 0.1 and mean[0, :, 15].min() > 0.3
    assert (around[0] @ plane[0] @ around[1].T)[:, 14].min() > 0.15


def test_an_image_without_pixels_has_one_kind():
    source, sharpness, *_ = scene()
    cube = source.read()
    empty = Cube(np.full_like(cube.data, np.nan), np.zeros_like(cube.valid), cube.bands, cube.grid)
    kinds = ground_kinds(MemorySource(empty), sharpness)
    shares = kinds.shares(torch.zeros(12, 4, 5))
    torch.testing.assert_close(shares, torch.ones(1, 4, 5))


def test_windows_and_their_order_change_nothing():
    source, sharpness, statistics, _ = scene()

    def view():
        return LocallyRestoredSource(source, sharpness, statistics, device="cpu", block=84, halo=30)

    whole = view().read().data
    parts = view()
    for window in (Window(60, 70, 36, 50), Window(3, 5, 40, 31), Window(0, 0, 1, 120)):
        rows, cols = window.slices
        np.testing.assert_array_equal(parts.read(window).data, whole[:, rows, cols])


def test_seams_are_far_below_the_noise():
    source, sharpness, statistics, _ = scene()
    whole = LocallyRestoredSource(source, sharpness, statistics, device="cpu").read().data
    cut = LocallyRestoredSource(source, sharpness, statistics, device="cpu", block=90)
    assert len(cut._cols) > 1
    found = errors(cut.read().data, whole) / sharpness.noise
    assert found[np.array(sharpness.ratio) < 6].max() < 0.1
    assert found.max() < 0.2  # a sample of 60 m is as wide as a quarter of the halo


def test_bands_may_be_few_and_in_any_order():
    source, sharpness, statistics, truth = scene()
    names = ["B11", "B2", "B8", "B5", "B4"]
    numbers = source.bands.indices(names)
    few = MemorySource(source.read().select(names))
    local = LocallyRestoredSource(
        few, sharpness.select(numbers), statistics.select(numbers), device="cpu"
    ).read()
    assert local.bands.names == tuple(names)
    assert (errors(local.data, truth[numbers]) < errors(few.read().data, truth[numbers])).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_agrees_with_the_processor():
    source, sharpness, statistics, _ = scene()
    here, there = (
        LocallyRestoredSource(source, sharpness, statistics, device=d).read().data
        for d in ("cpu", "cuda")
    )
    np.testing.assert_allclose(here, there, atol=1e-4)
