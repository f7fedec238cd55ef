import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from trifuse.core import PSF, DataError
from trifuse.metrics import (
    amplitude,
    differing_frequencies,
    inception_score,
    radial_power,
    transfer,
)

RNG = np.random.default_rng(3)


def test_amplitude_keeps_the_energy():
    image = RNG.standard_normal((48, 64)) + 5
    assert (amplitude(image) ** 2).sum() == pytest.approx(1.0, rel=0.1)


def test_power_of_a_wave_lies_at_its_frequency():
    x = np.arange(96)
    wave = np.broadcast_to(np.sin(2 * np.pi * x * 0.2), (96, 96))
    found = radial_power(wave, bins=48)
    assert found.frequency[found.power.argmax()] == pytest.approx(0.2, abs=0.011)


def test_transfer_of_a_blur_is_its_mtf():
    image = RNG.standard_normal((200, 200))
    sigma = PSF.from_mtf(0.3).pixels(2)
    found = transfer(ndimage.gaussian_filter(image, sigma, mode="wrap"), image, bins=20)
    expected = np.exp(-2 * (np.pi * sigma * found.frequency) ** 2)
    near = found.frequency < 0.3
    np.testing.assert_allclose(found.power[near], expected[near], atol=0.03)


@settings(max_examples=20, deadline=None)
@given(st.floats(-3, 3), st.floats(0.1, 4))
def test_offset_and_gain(offset, gain):
    image = np.random.default_rng(0).standard_normal((24, 40))
    np.testing.assert_allclose(
        amplitude(gain * image + offset), gain * amplitude(image), rtol=1e-8, atol=1e-10
    )


def test_missing_pixels_count_as_the_mean():
    image = RNG.standard_normal((64, 64))
    holed = image.copy()
    holed[:4] = np.nan
    assert np.isfinite(amplitude(holed)).all()
    there = np.isfinite(holed)
    np.testing.assert_array_equal(amplitude(holed), amplitude(image, there))


def test_frequencies_that_differ():
    x = np.arange(64)
    wave = np.broadcast_to(np.sin(2 * np.pi * x * 0.25), (64, 64))
    image = RNG.standard_normal((64, 64))
    marked = differing_frequencies(image + 5 * wave, image, share=0.001)
    columns = np.nonzero(marked.any(axis=0))[0]
    assert {16, 48} & set(columns) and marked.sum() <= 6


@pytest.mark.parametrize("image", [np.zeros((3, 9)), np.zeros((2, 9, 9)), np.full((9, 9), np.nan)])
def test_images_without_a_spectrum(image):
    with pytest.raises(DataError):
        amplitude(image)


def test_inception_score():
    sure = np.eye(4)
    assert inception_score(sure) == pytest.approx(4)
    assert inception_score(np.full((5, 4), 0.25)) == pytest.approx(1)
    assert inception_score(sure[[0, 0, 0]]) == pytest.approx(1)
    mixed = RNG.dirichlet(np.ones(6), 50)
    assert 1 < inception_score(mixed) < 6
    assert inception_score(mixed[:, ::-1]) == pytest.approx(inception_score(mixed))
    with pytest.raises(DataError):
        inception_score(np.ones((3, 2)))
