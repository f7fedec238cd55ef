"""Triplets as tensors, and their augmentation."""

import dataclasses
import multiprocessing
import pickle

import numpy as np
import pytest
import torch
from line_task import read_without_readers
from torch.utils.data import DataLoader

from trifuse.core import PSF, ConfigError, StoreError, degrade
from trifuse.train import (
    Augmentation,
    BatchPlan,
    Chance,
    Dihedral,
    Draw,
    Noise,
    RankBatches,
    Ratio,
    Sample,
    TripletDataset,
)
from trifuse.train.data import to_tensors

EVERYTHING = Augmentation((Dihedral(), Ratio((2, 4, 5)), Noise(0.01, 0.002)))


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def sample(seed=0, size=20, ratio=5, bands=(3, 4)) -> Sample:
    rng = np.random.default_rng(seed)
    hrmsi, hrhsi = (rng.random((n, size, size), np.float32) for n in bands)
    psf = PSF.from_mtf()
    return Sample(hrmsi, degrade(hrhsi, ratio, psf), hrhsi, ratio, psf)


def test_it_is_a_plain_data_set(store):
    data = TripletDataset(store.path)
    assert len(data) == len(store.ids("train")) == 12
    batch = next(iter(DataLoader(data, batch_size=3, shuffle=True)))
    assert {k: tuple(v.shape) for k, v in batch.items()} == {
        "hrmsi": (3, 6, 20, 20),
        "lrhsi": (3, 5, 4, 4),
        "hrhsi": (3, 5, 20, 20),
        "valid": (3, 1, 20, 20),
    }
    assert all(v.dtype == torch.float32 and torch.isfinite(v).all() for v in batch.values())
    assert len(list(data)) == 12  # iteration ends: there is an IndexError
    with pytest.raises(StoreError):
        TripletDataset(store.path / "nothing")
    with pytest.raises(ConfigError, match="split"):
        TripletDataset(store, "training")


def test_items_are_what_the_store_holds(store):
    data = TripletDataset(store, "val")
    for index, number in enumerate(store.ids("val")):
        triplet, item = store.read(number), data[index]
        valid = item["valid"][0].numpy() > 0
        assert np.array_equal(item["hrhsi"].numpy()[:, valid], triplet.hrhsi[:, valid])
        assert np.array_equal(item["hrmsi"].numpy()[:, valid], triplet.hrmsi[:, valid])
        assert np.array_equal(valid, np.isfinite(triplet.hrhsi).all(axis=0))
        assert data.units()[index] == triplet.provenance["unit"]
    holes = [int((item["valid"] == 0).sum()) for item in data]
    assert sum(holes) == 1  # the one pixel of the scene that is not valid


def test_holes_are_bridged_in_the_inputs_and_marked():
    whole = sample()
    hrmsi, lrhsi, hrhsi = whole.hrmsi.copy(), whole.lrhsi.copy(), whole.hrhsi.copy()
    hrmsi[1, 7, 8] = hrhsi[2, 12, 13] = lrhsi[0, 0, 3] = np.nan
    item = to_tensors(dataclasses.replace(whole, hrmsi=hrmsi, lrhsi=lrhsi, hrhsi=hrhsi))
    assert all(torch.isfinite(v).all() for v in item.values())
    expected = np.ones((20, 20))
    expected[7, 8] = expected[12, 13] = 0
    expected[:5, 15:] = 0
    assert np.array_equal(item["valid"][0], expected)
    assert item["hrhsi"][2, 12, 13] == 0
    assert item["lrhsi"][0, 0, 3] in (whole.lrhsi[0, 0, 2], whole.lrhsi[0, 1, 3])
    assert abs(item["hrmsi"][1, 7, 8] - whole.hrmsi[1].mean()) < 0.25
    for name in ("hrmsi", "lrhsi", "hrhsi"):  # nothing else has changed
        bridged, before = item[name].numpy(), getattr(whole, name)
        assert np.count_nonzero(bridged != before) == 1


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_augmentation_does_not_depend_on_the_workers(store, workers):
    data = TripletDataset(store, augment=EVERYTHING, seed=5)
    batches = RankBatches(BatchPlan(len(data), 4, seed=5), 2, 6)
    expected = [[data[draw] for draw in draws] for draws in batches]
    context = multiprocessing.get_context("forkserver") if workers else None
    loader = DataLoader(
        data, batch_sampler=batches, num_workers=workers, multiprocessing_context=context
    )
    found = list(loader)
    assert len(found) == len(expected) == 4
    for batch, items in zip(found, expected, strict=True):
        assert same(batch, torch.utils.data.default_collate(items))
    assert len({batch["lrhsi"].shape[-1] for batch in found}) > 1  # ratios do vary


def test_draws_vary_with_epoch_index_batch_and_seed_alone(store):
    data = TripletDataset(store, augment=EVERYTHING, seed=5)
    first = data[Draw(3, 1, 7)]
    _ = data[Draw(4, 0, 0)]
    assert same(first, data[Draw(3, 1, 7)])
    assert same(first, pickle.loads(pickle.dumps(data))[Draw(3, 1, 7)])
    assert not same(first, data[Draw(3, 2, 7)])
    assert not same(first, TripletDataset(store, augment=EVERYTHING, seed=6)[Draw(3, 1, 7)])
    data.set_epoch(1)
    later = data[3]
    data.set_epoch(2)
    assert not same(later, data[3])


def test_plain_loaders_can_collate_ratios(store):
    data = TripletDataset(store, augment=EVERYTHING)
    sizes = set()
    for epoch in range(16):
        data.set_epoch(epoch)
        for batch in DataLoader(data, batch_size=6):
            sizes.add(batch["lrhsi"].shape[-1])
    assert sizes == {10, 5, 4}


def test_the_eight_turns_are_distinct_equally_likely_and_keep_the_triplet_consistent():
    whole = sample()
    seen: dict[bytes, int] = {}
    for index in range(400):
        turned = Augmentation()(whole, seed=0, draw=Draw(index, 0, 0))
        key = turned.hrmsi.tobytes()
        if key not in seen:
            expected = degrade(turned.hrhsi, 5, whole.psf)
            np.testing.assert_allclose(turned.lrhsi, expected, atol=1e-6)
            assert np.array_equal(np.sort(turned.hrmsi, None), np.sort(whole.hrmsi, None))
        seen[key] = seen.get(key, 0) + 1
    assert len(seen) == 8 and min(seen.values()) > 25
    with pytest.raises(ConfigError, match=r"augment\.flips"):
        Augmentation().check(20, 30)


def test_another_ratio_is_the_degraded_truth_and_the_stores_own_is_kept():
    whole = sample()
    kept = dataclasses.replace(whole, lrhsi=whole.lrhsi + 1)
    ratios = set()
    for batch in range(30):
        made = Augmentation((Ratio((4, 5, 10)),))(kept, seed=0, draw=Draw(0, 0, batch))
        ratios.add(made.ratio)
        if made.ratio == 5:
            assert np.array_equal(made.lrhsi, kept.lrhsi)
        else:
            assert np.array_equal(made.lrhsi, degrade(whole.hrhsi, made.ratio, whole.psf))
        other = Augmentation((Ratio((4, 5, 10)),))(kept, seed=0, draw=Draw(9, 0, batch))
        assert other.ratio == made.ratio
    assert ratios == {4, 5, 10}
    bands = tuple(PSF.from_mtf(m) for m in (0.2, 0.3, 0.4, 0.5))
    per_band = Ratio((10,))(dataclasses.replace(whole, psf=bands), Chance.of(0, Draw(0, 0, 0), 0))
    assert np.array_equal(per_band.lrhsi, degrade(whole.hrhsi, 10, bands))


@pytest.mark.parametrize("ratios", [(3,), (5, 0), ()])
def test_ratios_that_do_not_divide_the_sample_are_refused(store, ratios):
    with pytest.raises(ConfigError, match=r"augment\.ratios.*divisors"):
        TripletDataset(store, augment=Augmentation((Ratio(ratios),)))


def test_noise_has_the_given_strength_and_leaves_truth_and_holes_alone():
    whole = sample(size=100)
    whole.hrmsi[0, 0, 0] = np.nan
    noisy = Augmentation((Noise(0.02, 0.005),))(whole, seed=1, draw=Draw(0, 0, 0))
    assert np.nanstd(noisy.hrmsi - whole.hrmsi) == pytest.approx(0.02, rel=0.02)
    assert np.std(noisy.lrhsi - whole.lrhsi) == pytest.approx(0.005, rel=0.1)
    assert abs(np.nanmean(noisy.hrmsi - whole.hrmsi)) < 5e-4
    assert np.isnan(noisy.hrmsi[0, 0, 0]) and np.isnan(noisy.hrmsi).sum() == 1
    assert noisy.hrhsi is whole.hrhsi and noisy.hrmsi.dtype == np.float32


def test_a_user_can_add_an_effect(store):
    @dataclasses.dataclass(frozen=True)
    class Gain:
        def __call__(self, sample, chance):
            return dataclasses.replace(sample, hrmsi=sample.hrmsi * np.float32(2))

        def check(self, height, width):
            pass

    plain = TripletDataset(store)[0]
    louder = TripletDataset(store, augment=Augmentation((Gain(),)))[0]
    assert torch.equal(louder["hrmsi"], plain["hrmsi"] * 2)


def test_it_imports_and_reads_without_rasterio_and_spectral(store):
    """In a process whose only imports are the server's, trifuse.train among them."""
    process = multiprocessing.get_context("forkserver").Process(
        target=read_without_readers, args=(str(store.path),)
    )
    process.start()
    process.join(60)
    assert process.exitcode == 0
