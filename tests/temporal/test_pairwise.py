"""Pairwise methods on series: which pairs they see, what fills clouds, and what stays."""

import sys
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from trifuse.core import DataError
from trifuse.stf.methods import PAIRWISE_METHODS
from trifuse.stf.pairwise import Fused, PairwiseOptions
from trifuse.temporal.baselines import interpolate_linear, nearest_clear
from trifuse.temporal.block_images import HALO
from trifuse.temporal.config import LANDSAT, SENTINEL2, SENTINEL3, Sensor
from trifuse.temporal.pairwise import PairwiseSeries
from trifuse.temporal.stack import Stack

NAMES = ("B4", "B8")


def sensor(name, ratio, bands=NAMES):
    count = len(bands)
    return Sensor(
        name, bands, (10.0 * ratio,) * count, (1.0,) * count, ratio, (0.0,) * count, (1.0,) * count
    )


FINE, COARSE = sensor("fine", 1), sensor("coarse", 3)


@dataclass(frozen=True, slots=True)
class Options(PairwiseOptions):
    """As of any method."""

    reach: int | None = None

    @property
    def halo(self):
        """So many pixels."""
        return self.reach


@pytest.fixture
def calls(monkeypatch):
    """A method that hands on its nearest reference plus one, and tells what it saw."""
    seen = []

    def fuse(references, target, options):
        seen.append(([r.day for r in references], target.day, references, target))
        if references[0].day == 30.0:
            raise DataError("too few cells")
        image = references[0].fine
        return Fused(type(image)(image.data + 1, image.valid, image.bands, image.grid))

    monkeypatch.setitem(PAIRWISE_METHODS, "plus", "made_up_pairwise")
    monkeypatch.setitem(
        sys.modules, "made_up_pairwise", SimpleNamespace(fuse=fuse, Options=Options)
    )
    return seen


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    fine = rng.random((4, 2, 12, 12)).astype(np.float32)
    valid = np.ones((4, 12, 12), bool)
    valid[1, :6] = False  # the nearest is half clouded,
    valid[:, 0, 0] = False  # and a corner always
    coarse = rng.random((3, 2, 4, 4)).astype(np.float32)
    return {
        "fine": Stack(fine, valid, np.array([0.0, 10.0, 30.0, 60.0])),
        "coarse": Stack(coarse, np.ones((3, 4, 4), bool), np.array([0.0, 20.0, 60.0])),
    }


def test_clouds_are_filled_from_the_next_reference(calls, images):
    out = PairwiseSeries((FINE, COARSE), "plus").predict(images, {"fine": [12.0]})["fine"][0]
    data = images["fine"].data
    np.testing.assert_array_equal(out[:, 6:], data[1, :, 6:] + 1)
    # Day 0 is next; of day 30 the method could make nothing.
    np.testing.assert_array_equal(out[:, :6].ravel()[1:6], (data[0, :, :6] + 1).ravel()[1:6])
    assert np.isnan(out[:, 0, 0]).all() and np.isfinite(out).sum() == 2 * 143
    assert [c[:2] for c in calls] == [([10.0], 12.0), ([0.0], 12.0)]
    calls.clear()
    out = PairwiseSeries((FINE, COARSE), "plus").predict(images, {"fine": [40.0]})["fine"][0]
    assert [c[0] for c in calls] == [[30.0], [60.0]]
    np.testing.assert_array_equal(out[:, 1:], data[3, :, 1:] + 1)


def test_the_coarse_images_are_interpolated_in_the_fine_bands(calls, images):
    method = PairwiseSeries((FINE, COARSE), "plus", {"pairs": 2})
    method.predict(images, {"fine": [12.0]})
    days, _, references, target = calls[0]
    assert days == [10.0, 0.0]
    coarse = interpolate_linear(images["coarse"], [12.0, 10.0, 0.0])
    np.testing.assert_array_equal(target.coarse.data, coarse[0])
    for pair, wanted in zip(references, coarse[1:], strict=True):
        np.testing.assert_array_equal(pair.coarse.data, wanted)
        assert pair.ratio == 3 and pair.fine.bands.names == NAMES
    assert np.isnan(references[0].fine.data[:, :6]).all(), "clouds are not shown"


def test_what_a_method_cannot_tell_stays_as_it_was(calls, images):
    odd = sensor("coarse", 3, ("B4", "X"))
    out = PairwiseSeries((FINE, odd), "plus").predict(images, {"fine": [12.0]})["fine"]
    near = nearest_clear(images["fine"], [12.0])
    np.testing.assert_array_equal(out[:, 1], near[:, 1])
    assert not np.array_equal(out[:, 0], near[:, 0])
    # No band in common, nothing coarser, no coarse image: the nearest date.
    asked = {"fine": [12.0], "coarse": [12.0]}
    none = images["coarse"].only([])
    cases = [
        ((FINE, sensor("coarse", 3, ("X", "Y"))), images),
        ((FINE,), {"fine": images["fine"]}),
        ((FINE, COARSE), {**images, "coarse": none}),
    ]
    calls.clear()
    for sensors, seen in cases:
        found = PairwiseSeries(sensors, "plus").predict(seen, {"fine": [12.0]})["fine"]
        np.testing.assert_array_equal(found, near)
    found = PairwiseSeries((FINE, COARSE), "plus").predict(images, asked)["coarse"]
    assert calls and all(len(c[2]) for c in calls)
    np.testing.assert_array_equal(found, nearest_clear(images["coarse"], [12.0]))


@pytest.mark.parametrize(
    ("pixels", "sensors", "cells"),
    [
        (None, (LANDSAT, SENTINEL2), None),
        (6, (LANDSAT, SENTINEL2), HALO),
        (75, (LANDSAT, SENTINEL2), 25),
        (75, (LANDSAT, SENTINEL2, SENTINEL3), HALO),  # 75 pixels of Landsat are 7.5 cells
        (301, (LANDSAT, SENTINEL2, SENTINEL3), 31),
        (75, (SENTINEL2,), HALO),
    ],
)
def test_halo_in_cells_of_the_coarsest_sensor(calls, pixels, sensors, cells):
    assert PairwiseSeries(sensors, "plus", {"reach": pixels}).halo == cells
