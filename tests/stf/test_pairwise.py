"""The contract of pairwise methods, and area-to-point kriging under it."""

from dataclasses import fields
from importlib import import_module

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from trifuse.core import BandSet, ConfigError, Cube, DataError, Grid, GridError
from trifuse.stf import (
    PAIRWISE_METHODS,
    Fused,
    Pair,
    Pairwise,
    PairwiseOptions,
    Target,
    atprk,
    get_pairwise,
)

FINE = Grid.from_origin("EPSG:32633", 0, 300, 10, 30, 40)
BANDS = BandSet.of(("B3", "B8"))


def cube(data, grid):
    data = np.asarray(data, np.float32)
    return Cube(data, np.isfinite(data).all(axis=0), BANDS, grid)


def cells(fine):
    return fine.reshape(len(fine), fine.shape[1] // 5, 5, fine.shape[2] // 5, 5).mean(axis=(2, 4))


@pytest.fixture
def scene():
    """Three days of a ground: two references and the target with its truth."""
    rng = np.random.default_rng(3)
    fields = [gaussian_filter(rng.standard_normal((30, 40)), s) * s for s in (1, 2, 4)]
    base = 0.3 + 0.1 * np.stack(fields[:2])
    days = {0.0: base, 8.0: base + 0.02 * fields[2], 20.0: base * 1.1 + 0.05 * fields[2]}
    pairs = [
        Pair(cube(image, FINE), cube(cells(image), FINE.zoom_out(5)), day)
        for day, image in days.items()
    ]
    return pairs[:2], Target(pairs[2].coarse, 20.0), days[20.0]


@pytest.mark.parametrize("name", PAIRWISE_METHODS)
def test_every_method_keeps_the_contract(name, scene):
    references, target, truth = scene
    module = import_module(PAIRWISE_METHODS[name])
    assert issubclass(module.Options, PairwiseOptions)
    fused = get_pairwise(name)(references, target)
    assert isinstance(fused, Fused)
    assert fused.image.grid == FINE and fused.image.bands == BANDS
    assert fused.deviation is None or fused.deviation.shape == fused.image.shape
    error = np.sqrt(np.mean((fused.image.data - truth) ** 2))
    near = references[1].fine.data
    assert error < np.sqrt(np.mean((near - truth) ** 2)), "better than no change"


@pytest.mark.parametrize("name", PAIRWISE_METHODS)
def test_what_is_missing_stays_local(name, scene):
    references, target, _ = scene
    data = references[1].fine.data.copy()
    data[:, 4:7, 8:12] = np.nan
    holed = Pair(cube(data, FINE), references[1].coarse, 8.0)
    image = get_pairwise(name)([holed], target).image
    assert np.isfinite(image.data[:, 15:, 20:]).all()


def test_atprk_looks_at_the_nearest_fine_image_and_the_coarse_one_of_the_day(scene):
    references, target, _ = scene
    fused = get_pairwise("atprk", scheme="selected")(references, target)
    wanted = atprk(target.coarse.data, references[1].fine.data, scheme="selected")
    np.testing.assert_allclose(fused.image.data, wanted, rtol=1e-6)
    other = [Pair(p.fine, cube(p.coarse.data * 0, p.coarse.grid), p.day) for p in references]
    again = get_pairwise("atprk", scheme="selected")(other, target)
    np.testing.assert_array_equal(fused.image.data, again.image.data)


def test_a_method_gets_the_nearest_references_it_wants(scene):
    references, target, _ = scene
    seen = []

    def spy(pairs, target, options):
        seen.append([p.day for p in pairs])
        return Fused(pairs[0].fine)

    for pairs in (1, 2, 3):
        Pairwise("spy", spy, PairwiseOptions(pairs))(references, target)
    assert seen == [[8.0], [8.0, 0.0], [8.0, 0.0]]


def test_ratio_of_a_pair(scene):
    assert scene[0][0].ratio == 5


class TestBadInput:
    def test_no_reference(self, scene):
        with pytest.raises(DataError, match="no reference"):
            get_pairwise("atprk")([], scene[1])

    def test_bands_that_one_sensor_lacks(self, scene):
        (first, _), target, _ = scene
        fewer = Pair(first.fine.select(["B3"]), first.coarse, 0.0)
        with pytest.raises(DataError, match="day 0: 1 fine bands, 2 coarse ones"):
            get_pairwise("atprk")([fewer], target)

    def test_grids(self, scene):
        (first, second), target, _ = scene
        cut = Pair(first.fine.crop(Grid.from_origin("", 0, 0, 1, 25, 40).whole), first.coarse, 0.0)
        with pytest.raises(GridError, match="day 0: another grid"):
            get_pairwise("atprk")([second, cut], target)
        with pytest.raises(GridError, match="crop both to the same ground"):
            get_pairwise("atprk")([cut], target)
        aside = Grid.from_origin("EPSG:32633", 3, 300, 50, 6, 8)
        off = Target(cube(target.coarse.data, aside), 20.0)
        with pytest.raises(GridError, match="another grid"):
            get_pairwise("atprk")([first], off)
        moved = [Pair(first.fine, off.coarse, 0.0)]
        with pytest.raises(GridError, match="no whole number of pixels"):
            get_pairwise("atprk")(moved, off)

    def test_names_and_options(self):
        with pytest.raises(ConfigError, match=r"method 'magic'; give one of .*atprk"):
            get_pairwise("magic")
        with pytest.raises(ConfigError, match="'atprk' takes no colour"):
            get_pairwise("atprk", colour="red")
        known = {f.name for f in fields(get_pairwise("atprk").options)}
        assert {"pairs", "scheme", "psf"} <= known
