"""Classes of an index against a map of land cover."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import multiclass_confusion_matrix as confusion_matrix
from torchmetrics.functional.classification import multiclass_jaccard_index as jaccard_index

from trifuse import metrics
from trifuse.core import ConfigError, DataError
from trifuse.metrics import agreement as module


def maps(seed, classes=4, shape=(23, 31)):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, shape)
    estimate = np.where(rng.random(shape) < 0.6, truth, rng.integers(0, classes, shape))
    return truth, estimate


def test_scores_equal_those_of_torchmetrics():
    truth, estimate = maps(3)
    valid = np.random.default_rng(5).random(truth.shape) < 0.8
    t, e = (torch.from_numpy(m[valid]) for m in (truth, estimate))
    ours = metrics.class_agreement(truth, estimate, "abcd", valid)
    np.testing.assert_array_equal(ours.counts, confusion_matrix(e, t, num_classes=4))
    by_class = jaccard_index(e, t, num_classes=4, average="none")
    np.testing.assert_allclose(ours.jaccard_classes, by_class, rtol=1e-6)
    assert ours.jaccard == pytest.approx(float(by_class.mean()), rel=1e-6)
    weighted = float(jaccard_index(e, t, num_classes=4, average="weighted"))
    assert ours.jaccard_weighted == pytest.approx(weighted, rel=1e-6)
    assert ours.jaccard == pytest.approx(metrics.jaccard(truth, estimate, valid))
    assert ours.accuracy == (truth == estimate)[valid].mean()
    assert ours.pixels == valid.sum()


@given(st.integers(0, 10**6))
def test_invariants(seed):
    truth, estimate = maps(seed)
    one, other = (
        metrics.class_agreement(a, b, "abcd") for a, b in ((truth, estimate), (estimate, truth))
    )
    np.testing.assert_array_equal(one.jaccard_classes, other.jaccard_classes)
    assert 0 <= one.jaccard <= 1
    assert metrics.class_agreement(truth, truth, "abcd").jaccard == 1
    # What has no class does not count, and neither does a class that neither has.
    hidden = np.where(np.arange(truth.size).reshape(truth.shape) % 3 == 0, module.UNKNOWN, truth)
    part = metrics.class_agreement(hidden, estimate, "abcde")
    assert part.pixels == (hidden >= 0).sum()
    assert part.jaccard == metrics.class_agreement(truth, estimate, "abcd", hidden >= 0).jaccard
    assert np.isnan(part.jaccard_classes[4])
    assert part.to_json()["jaccard_classes"]["e"] is None


def test_classes_by_limits():
    values = np.array([[-1.0, -1e-9, 0.0, 0.3, 0.30001], [1.0, np.nan, 0.1, 0.6, 0.59]])
    np.testing.assert_array_equal(
        metrics.classify(values, (0.0, 0.3, 0.6)), [[0, 0, 1, 2, 2], [3, -1, 1, 3, 2]]
    )
    codes = np.array([[0, 1, 5], [7, 3, 200]], np.uint8)
    found = module.recode(codes, module.LEGENDS["procedural"])
    assert found.tolist() == [[-1, 0, 3], [1, 2, -1]]


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 3))
def test_fitted_limits_are_the_best_there_are(seed, classes):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, (9, 9))
    values = 0.2 * truth + 0.15 * rng.standard_normal((9, 9))
    names = "abc"[:classes]

    def score(limits):
        # The mean over all classes, as one that is given no range counts as missed.
        by_class = metrics.class_agreement(truth, metrics.classify(values, limits), names)
        return np.nan_to_num(by_class.jaccard_classes).sum()

    steps = np.linspace(values.min(), values.max(), module.BINS + 1)[1:-1:9]
    best = max(score(c) for c in itertools.combinations(steps, classes - 1))
    assert score(module.fit_limits(values, truth, classes)) >= best


def test_several_images_on_common_ground():
    rng = np.random.default_rng(2)
    cover = rng.integers(0, 8, (40, 50)).astype(np.uint8)
    level = np.array([np.nan, -0.2, 0.4, 0.4, 0.1, 0.8, 0.1, 0.1])
    clean = np.nan_to_num(level[cover])
    noisy = clean + 0.1 * rng.standard_normal(cover.shape)
    noisy[:5] = np.nan
    found = metrics.index_agreement({"clean": clean, "noisy": noisy}, cover, "procedural")
    assert found.limits == metrics.NDVI_LIMITS
    assert found.images["clean"].jaccard == 1
    assert 0.5 < found.images["noisy"].jaccard < 1
    assert {a.pixels for a in found.images.values()} == {(cover[5:] > 0).sum()}
    fitted = metrics.index_agreement(
        {"clean": clean, "noisy": noisy}, cover, "procedural", limits="noisy"
    )
    assert fitted.images["noisy"].jaccard >= found.images["noisy"].jaccard
    lines = fitted.table().splitlines()
    assert len(lines) == 4
    assert all(f"{v:.3g}" in lines[0] for v in fitted.limits)
    assert fitted.to_json()["images"]["clean"]["pixels"] == found.images["clean"].pixels


def test_chesapeake_tile_sees_leaves(data_dir):
    """Forest in leaf is told from fields by NDVI; without leaves much less."""
    rasterio = pytest.importorskip("rasterio")
    folder = data_dir / "6_chesapeake/calebrob6_landcover_mock/test-test_tiles"
    if not folder.is_dir():
        pytest.skip("no Chesapeake tile")

    def read(name):
        with rasterio.open(folder / f"m_3907833_nw_17_1_{name}.tif") as file:
            return file.read().astype(np.float32)

    planes = {}
    for name in ("landsat-leaf-on", "landsat-leaf-off"):
        image = read(name)
        planes[name] = (image[4] - image[3]) / (image[4] + image[3])
    cover = read("lc")[0].astype(np.uint8)
    for limits in ("landsat-leaf-on", "landsat-leaf-off"):
        found = metrics.index_agreement(planes, cover, "chesapeake", limits=limits).images
        scores = {name: a.jaccard for name, a in found.items()}
        assert max(scores, key=scores.get) == limits
    fitted = [
        metrics.index_agreement(planes, cover, "chesapeake", limits=n).images[n].jaccard
        for n in planes
    ]
    shuffled = np.random.default_rng(0).permutation(cover.ravel()).reshape(cover.shape)
    chance = metrics.index_agreement(planes, shuffled, "chesapeake", limits="landsat-leaf-on")
    assert fitted[0] > fitted[1] > chance.images["landsat-leaf-on"].jaccard


def test_bad_input():
    truth, estimate = maps(1)
    values = np.zeros((3, 4))
    for limits in ((0.2, 0.1), (0.1, 0.1), (np.nan,)):
        with pytest.raises(ConfigError, match="limits"):
            metrics.classify(values, limits)
    with pytest.raises(DataError, match="shape"):
        metrics.class_agreement(truth, estimate[:-1], "abcd")
    with pytest.raises(DataError, match="class maps"):
        metrics.class_agreement(truth.astype(float), estimate, "abcd")
    with pytest.raises(DataError, match="no pixel"):
        metrics.class_agreement(truth, np.full_like(truth, -1), "abcd")
    with pytest.raises(DataError, match="integer codes"):
        metrics.index_agreement({"a": values}, values, "nlcd")
    with pytest.raises(DataError, match="no pixel has a value"):
        metrics.index_agreement({"a": values * np.nan}, values.astype(int), "nlcd", limits="a")
    codes = np.full((3, 4), 11)
    with pytest.raises(ConfigError, match="legend 'corine'"):
        metrics.index_agreement({"a": values}, codes, "corine")
    with pytest.raises(ConfigError, match="name of an image"):
        metrics.index_agreement({"a": values}, codes, "nlcd", limits="b")
    with pytest.raises(ConfigError, match="2 limits between 4"):
        metrics.index_agreement({"a": values}, codes, "nlcd", limits=(0.1, 0.2))
    with pytest.raises(DataError, match="has shape"):
        metrics.index_agreement({"a": values[:2]}, codes, "nlcd")
