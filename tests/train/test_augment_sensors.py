"""Augmentation by the errors of real sensors: those of the protocols, drawn per sample."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from trifuse.core import PSF, ConfigError, degrade
from trifuse.core.native import native_view
from trifuse.simulate import PROTOCOLS
from trifuse.srf_data import S2_L2A
from trifuse.train import (
    Augmentation,
    AugmentConfig,
    Calibration,
    Chance,
    Clouds,
    DataConfig,
    Dihedral,
    Displacement,
    Draw,
    FusionTask,
    NativeSharpness,
    Noise,
    Sample,
    TrainConfig,
    TripletDataset,
    load_config,
    to_mapping,
)

RATIOS = (6, 1, 1, 1, 2, 2, 2, 1, 2, 6, 2, 2)


@pytest.fixture(scope="module")
def sample():
    rng = np.random.default_rng(0)
    hrmsi, hrhsi = (rng.random((n, 60, 60), np.float32) for n in (12, 5))
    psf = PSF.from_mtf()
    return Sample(hrmsi, degrade(hrhsi, 10, psf), hrhsi, 10, psf, tuple(S2_L2A))


def drawn(transform, sample, index=0, seed=0):
    return transform(sample, Chance.of(seed, Draw(index, 0, 0), 0))


EFFECTS = (
    NativeSharpness(),
    Calibration(),
    Displacement(),
    Clouds(0.3, 0.2),
    Noise(0.003, 0.001),
    Noise(0.003, 0.001, spread=1.0, native=1.0),
)


@pytest.mark.parametrize("effect", EFFECTS, ids=str)
def test_effects_are_seeded_and_leave_the_truth_and_what_they_are_given(effect, sample):
    before = [a.copy() for a in (sample.hrmsi, sample.lrhsi, sample.hrhsi)]
    made, again = (drawn(pickle.loads(pickle.dumps(effect)), sample) for _ in range(2))
    other = drawn(effect, sample, index=1)
    assert made.hrmsi.tobytes() + made.lrhsi.tobytes() == (
        again.hrmsi.tobytes() + again.lrhsi.tobytes()
    )
    if not isinstance(effect, NativeSharpness):  # its MTF has one value
        assert made.hrmsi.tobytes() + made.lrhsi.tobytes() != (
            other.hrmsi.tobytes() + other.lrhsi.tobytes()
        )
    assert made.hrhsi is sample.hrhsi
    assert made.hrmsi.dtype == made.lrhsi.dtype == np.float32
    for now, then in zip((sample.hrmsi, sample.lrhsi, sample.hrhsi), before, strict=True):
        assert np.array_equal(now, then)


def test_sharpness_is_that_of_the_bands_names(sample):
    seen = drawn(NativeSharpness(mtf=(0.2, 0.2)), sample)
    assert np.array_equal(seen.hrmsi, native_view(sample.hrmsi, RATIOS, 0.2)) and seen.mtf == 0.2
    mtfs = [drawn(NativeSharpness(mtf=(0.2, 0.45)), sample, i).mtf for i in range(40)]
    assert 0.2 <= min(mtfs) < 0.25 and 0.4 < max(mtfs) <= 0.45
    half = [drawn(NativeSharpness(share=0.5), sample, i) for i in range(40)]
    assert 10 < sum(s.hrmsi is sample.hrmsi for s in half) < 30
    assert all((s.mtf is None) == (s.hrmsi is sample.hrmsi) for s in half)
    for effect in (NativeSharpness(), Noise(0.1, 0.1, native=1.0)):
        with pytest.raises(ConfigError, match="names"):
            drawn(effect, replace(sample, hr_bands=()))


def test_calibration_is_a_gain_and_an_offset_by_band(sample):
    seen = drawn(Calibration(0.1, 0.05), sample)
    for before, after in zip(sample.hrmsi, seen.hrmsi, strict=True):
        gain, offset = np.polyfit(before.ravel(), after.ravel(), 1)
        np.testing.assert_allclose(after, gain * before + offset, atol=1e-5)
        assert 0.6 < gain < 1.4
    assert np.array_equal(seen.lrhsi, sample.lrhsi)


def test_a_displaced_coarse_image_is_the_truth_seen_elsewhere(sample):
    same = drawn(Displacement(0.0, 0.0), sample)
    assert np.array_equal(same.lrhsi, sample.lrhsi)
    bands = tuple(PSF(0.4 + 0.02 * i) for i in range(5))
    for psf in (sample.psf, bands):
        seen = drawn(Displacement(0.5, 0.2), replace(sample, psf=psf))
        assert seen.psf == psf  # what is told
        assert not np.array_equal(seen.lrhsi, sample.lrhsi)
        assert seen.lrhsi.shape == sample.lrhsi.shape


def test_noise_says_how_strong_it_was(sample):
    levels = []
    for index in range(30):
        seen = drawn(Noise(0.003, 0.001, spread=1.0), sample, index)
        assert np.std(seen.hrmsi - sample.hrmsi) == pytest.approx(seen.hr_sigma, rel=0.03)
        assert np.std(seen.lrhsi - sample.lrhsi) == pytest.approx(seen.lr_sigma, rel=0.25)
        levels.append(seen.hr_sigma)
    assert 0.0015 <= min(levels) < 0.002 and 0.0045 < max(levels) <= 0.006
    native = drawn(Noise(0.003, 0.0, native=1.0), sample)
    rough = np.diff(native.hrmsi - sample.hrmsi, axis=2).std(axis=(1, 2))
    assert rough[1] > 1.3 * rough[4] > 1.3 * 1.3 * rough[0]  # 10, 20, 60 m


def test_clouds_are_holes_of_at_most_the_given_share(sample):
    shares = []
    for index in range(20):
        seen = drawn(Clouds(0.3, 0.2), sample, index)
        for image, most in ((seen.hrmsi, 0.3), (seen.lrhsi, 0.2)):
            hidden = np.isnan(image)
            assert (hidden == hidden[:1]).all() and 0 < hidden.mean() <= most + 1 / 36
        shares.append(np.isnan(seen.hrmsi).mean())
    assert max(shares) > 0.2 > 0.1 > min(shares)
    assert drawn(Clouds(0.0, 0.0), sample).hrmsi is sample.hrmsi


def test_a_protocol_makes_the_augmentation_that_draws_it():
    config = AugmentConfig.like(PROTOCOLS["real-world"])
    assert config.build().transforms == (
        Dihedral(),
        Displacement(0.5, 0.2),
        NativeSharpness(1.0, (0.3, 0.3)),
        Calibration(0.02, 0.003),
        Noise(0.003, 0.001),
    )
    assert config.errors().transforms == config.build().transforms[1:]
    clean = AugmentConfig.like(PROTOCOLS["clean"])
    assert clean == AugmentConfig() and clean.build() == Augmentation()
    native = AugmentConfig.like(PROTOCOLS["native-noise"]).build().transforms[-1]
    assert native == Noise(0.003, 0.001, native=1.0)
    assert AugmentConfig.like(PROTOCOLS["cloudy"]).build().transforms[-1] == Clouds(0.0, 0.05)


def test_it_is_configured_like_everything_else():
    made = load_config(AugmentConfig, overrides=["blur=0.7", "mtf=[0.2, 0.4]", "clouds_s3=0.1"])
    assert (made.blur, made.mtf, made.clouds_s3) == (0.7, (0.2, 0.4), 0.1)
    assert to_mapping(made)["mtf"] == [0.2, 0.4]
    for wrong in ("blur=1.5", "mtf=[0.4, 0.2]", "shift=-1", "noise_native=2"):
        with pytest.raises(ConfigError, match=r"augment\."):
            load_config(AugmentConfig, overrides=[wrong])


def test_the_loader_draws_them(store):
    config = AugmentConfig(noise_s2=0.003, noise_s3=0.001, shift=0.5, blur=1.0, clouds_s3=0.2)
    data = TripletDataset(store, "train", config.build(), seed=1)
    plain = TripletDataset(store, "train")
    item, again = data[3], data[3]
    assert all(np.array_equal(item[k], again[k]) for k in item)
    assert 0 < float(item["valid"].mean()) < 1
    assert not np.array_equal(item["lrhsi"], plain[3]["lrhsi"])
    assert np.array_equal(np.sort(item["hrhsi"], None), np.sort(plain[3]["hrhsi"], None))


def test_validation_under_the_errors_is_the_same_every_time_and_harder(store):
    augment = AugmentConfig(noise_s2=0.003, noise_s3=0.02, shift=0.5)

    def validated(asked):
        config = TrainConfig(augment=augment, data=DataConfig(val_errors=asked))
        task = FusionTask(config, store)
        return task.validate(lambda hrmsi, skip: skip, torch.device("cpu"))

    clean, hard = validated(False), validated(True)
    assert hard["bicubic_psnr"] < clean["bicubic_psnr"] - 0.1
    assert hard == validated(True)
