from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trifuse.core import PSF, ConfigError, DataError
from trifuse.simulate import SimulateConfig, assign_splits
from trifuse.simulate.triplets import SPLITS, choose_patches, patch_shares


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(20, 60), st.integers(20, 60)),
    cells=st.integers(1, 4),
    step=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_shares_are_counted_right(shape, cells, step, seed):
    config = SimulateConfig(ratio=5, patch=5 * cells, stride=5 * step)
    valid = np.random.default_rng(seed).random(shape) < 0.8
    size = config.patch
    rows, cols = (range(0, n - size + 1, config.step) for n in shape)
    wanted = [[valid[r : r + size, c : c + size].mean() for c in cols] for r in rows]
    np.testing.assert_allclose(patch_shares(valid, config), wanted)


def test_patches_are_aligned_inside_and_valid():
    valid = np.ones((105, 87), bool)
    valid[:30, :30] = False
    config = SimulateConfig(patch=20, stride=10, min_valid=0.75)
    corners = choose_patches(valid, config, "scene")
    assert corners == sorted(corners)
    assert all(r % 10 == c % 10 == 0 and r + 20 <= 105 and c + 20 <= 87 for r, c in corners)
    assert min(valid[r : r + 20, c : c + 20].mean() for r, c in corners) == 0.75
    rest = {(r, c) for r in range(0, 90, 10) for c in range(0, 70, 10)} - set(corners)
    assert rest == {(0, 0), (0, 10), (10, 0), (10, 10), (0, 20), (20, 0), (10, 20), (20, 10)}


def test_a_larger_count_keeps_what_a_smaller_one_chose():
    valid = np.ones((200, 200), bool)
    few = choose_patches(valid, SimulateConfig(patch=20, count=5), "scene")
    many = choose_patches(valid, SimulateConfig(patch=20, count=50), "scene")
    assert len(few) == 5
    assert len(many) == 50
    assert set(few) < set(many)
    assert few == sorted(few)
    assert few == choose_patches(valid, SimulateConfig(patch=20, count=5), "scene")
    assert few != choose_patches(valid, SimulateConfig(patch=20, count=5), "other")
    assert few != choose_patches(valid, SimulateConfig(patch=20, count=5, seed=1), "scene")
    assert len(choose_patches(valid, SimulateConfig(patch=20, count=999), "scene")) == 100


def test_the_draw_is_the_same_on_every_machine():
    valid = np.ones((60, 60), bool)
    corners = choose_patches(valid, SimulateConfig(patch=20, count=3), "scene")
    assert corners == [(0, 20), (0, 40), (20, 40)]


def test_a_patch_that_does_not_fit():
    with pytest.raises(
        DataError, match="150 pixels does not fit 64×128; give a patch of at most 60"
    ):
        choose_patches(np.ones((64, 128), bool), SimulateConfig(), "scene")


@settings(max_examples=100, deadline=None)
@given(
    count=st.integers(0, 60),
    shares=st.sampled_from(
        [(0.8, 0.1, 0.1), (0.5, 0.25, 0.25), (0.9, 0.1, 0), (1, 0, 0), (0, 0, 1)]
    ),
    seed=st.integers(0, 9),
)
def test_every_split_gets_its_share(count, shares, seed):
    ids = [f"scene {i}" for i in range(count)]
    splits = assign_splits(ids, shares, seed)
    assert sorted(splits) == sorted(ids)
    assert splits == assign_splits(ids[::-1], shares, seed)
    counts = Counter(splits.values())
    wanted = [s for s, share in zip(SPLITS, shares, strict=True) if share > 0]
    assert set(counts) <= set(wanted)
    if count >= len(wanted):
        assert set(counts) == set(wanted)
    for split, share in zip(SPLITS, shares, strict=True):
        assert abs(counts[split] - share * count) < 2 + 1e-9


def test_other_seeds_deal_otherwise():
    ids = [f"scene {i}" for i in range(20)]
    assert len({tuple(sorted(assign_splits(ids, seed=s).items())) for s in range(5)}) == 5
    assert Counter(assign_splits(ids).values()) == {"train": 16, "val": 2, "test": 2}
    assert assign_splits(["only"]) == {"only": "train"}
    assert sorted(assign_splits(["a", "b"]).values()) == ["train", "val"]


def test_the_config_survives_json():
    config = SimulateConfig(
        mtf={"Oa04": 0.25}, patch=40, stride=20, bands=("B4", "Oa04"), split=(0.5, 0.5, 0)
    )
    assert SimulateConfig.from_json(config.to_json()) == config
    assert config.psf == {"Oa04": PSF.from_mtf(0.25)}
    assert SimulateConfig(fwhm=1.0).psf == PSF.from_fwhm(1.0)
    assert SimulateConfig().psf == PSF.from_mtf(0.3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"patch": 155}, "patch: is 155; give a positive multiple of the ratio 10"),
        ({"patch": 0}, "patch: is 0"),
        ({"stride": 5}, "stride: is 5"),
        ({"ratio": 0}, "ratio: is 0"),
        ({"count": 0}, "count: is 0"),
        ({"min_valid": 0}, "min_valid: is 0"),
        ({"min_valid": 1.5}, "min_valid: is 1.5"),
        ({"split": [0.5, 0.4, 0.4]}, "split: is"),
        ({"split": [1.5, -0.5, 0]}, "split: is"),
        ({"dtype": "float64"}, "dtype: is float64"),
        ({"overlap": "both"}, "overlap: is both"),
        ({"bands": "some"}, "bands: is some"),
        ({"mtf": 0}, "MTF"),
        ({"mtf": "sharp"}, "wrong kind"),
        ({"patch": "large"}, "wrong kind"),
        ({"colour": 1}, "unknown keys colour; the keys are s2, s3"),
    ],
)
def test_wrong_values_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        SimulateConfig.from_json(wrong)
