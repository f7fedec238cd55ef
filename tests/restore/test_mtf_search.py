"""The blur of the 20 m and 60 m bands, found in the pixels."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from trifuse.core import MemorySource
from trifuse.core.resample import upsample_matrix
from trifuse.restore import Sharpness, learn, sharpness_of
from trifuse.restore.mtf_search import estimate_mtf
from trifuse.restore.pixel_evidence import search_blocks
from trifuse.simulate import procedural_scene, scene_views
from trifuse.simulate.observation import PROTOCOLS, Observed, observe


@lru_cache(maxsize=8)
def seen(protocol: str, size: int = 120) -> Observed:
    s2, _, s3 = scene_views(MemorySource(procedural_scene(size, 11, gsd=20.0)))
    return observe(s2, s3, 10, PROTOCOLS[protocol], seed=2)


def told(source: MemorySource, mtf: float = 0.3) -> Sharpness:
    sharpness = sharpness_of(source, mtf=mtf)
    assert sharpness is not None
    return sharpness


def found(source: MemorySource, sharpness: Sharpness) -> dict[int, float]:
    """By ratio."""
    made = estimate_mtf(search_blocks(source, sharpness), sharpness)
    assert all(
        len({m for m, s in zip(made, sharpness.ratio, strict=True) if s == r}) == 1
        for r in sharpness.ratios
    )
    return dict(zip(sharpness.ratio, made, strict=True))


@pytest.mark.parametrize(("protocol", "true"), [("mtf20", 0.2), ("mtf45", 0.45)])
@pytest.mark.parametrize("assumed", [0.3, 0.6, 1.0])
def test_it_is_found_whatever_is_told(protocol: str, true: float, assumed: float) -> None:
    source = MemorySource(seen(protocol).hrmsi)
    mtf = found(source, told(source, assumed))
    assert mtf[1] == assumed  # sharp bands have none to find
    assert mtf[2] == pytest.approx(true, abs=0.02) and mtf[6] == pytest.approx(true, abs=0.02)


@pytest.mark.parametrize("protocol", ["real-world", "native-noise"])
def test_what_is_told_stays_where_it_is_right(protocol: str) -> None:
    source = MemorySource(seen(protocol).hrmsi)
    assert set(found(source, told(source)).values()) == {0.3}


def test_samples_that_are_means_of_pixels() -> None:
    cube = seen("mtf45").sharp
    sharpness = told(MemorySource(seen("mtf45").hrmsi))
    data = cube.data.copy()
    for plane, ratio in zip(data, sharpness.ratio, strict=True):
        if ratio > 1:
            rows, cols = (n // ratio for n in plane.shape)
            means = plane.reshape(rows, ratio, cols, ratio).mean(axis=(1, 3))
            up_y, up_x = (upsample_matrix(n, ratio) for n in means.shape)
            plane[:] = up_y @ (up_x @ means.T).T
    mtf = dict(zip(sharpness.ratio, estimate_mtf([data], sharpness), strict=True))
    # Sharper pixels are averaged in pairs at even ratios; six of them in a row transfer sinc(½).
    assert mtf[2] > 0.9 and mtf[6] == pytest.approx(0.64, abs=0.05)


def test_holes_and_the_order_of_bands_do_not_matter() -> None:
    cube = seen("mtf45").hrmsi
    source = MemorySource(cube)
    sharpness = told(source)
    whole = estimate_mtf(search_blocks(source, sharpness), sharpness)
    order = np.random.default_rng(0).permutation(12)
    block = search_blocks(source, sharpness)[0]
    turned = estimate_mtf([block[order]], sharpness.select(order))
    np.testing.assert_allclose(turned, np.array(whole)[order], atol=1e-4)
    holed = block.copy()
    holed[:, 30:50, 60:90] = np.nan
    np.testing.assert_allclose(estimate_mtf([holed], sharpness), whole, atol=0.02)


def test_without_enough_cells_or_without_detail_what_is_told_stays() -> None:
    cube = seen("mtf45").hrmsi
    sharpness = told(MemorySource(cube))
    few = estimate_mtf([cube.data[:, :24, :24]], sharpness)
    assert few[0] == 0.3  # 16 cells of 60 m for ten bands
    flat = np.full((12, 60, 60), 0.2, np.float32)
    assert estimate_mtf([flat], sharpness) == sharpness.mtf
    assert estimate_mtf([], sharpness) == sharpness.mtf


def test_learning_heeds_it_unless_told_not_to() -> None:
    source = MemorySource(seen("mtf45").hrmsi)
    sharpness = told(source)
    assert learn(source, sharpness)[0].mtf[4] == pytest.approx(0.45, abs=0.02)
    assert learn(source, sharpness, find_mtf=False)[0].mtf == sharpness.mtf
    assert learn(source, sharpness, force=True)[0].mtf == sharpness.mtf


def test_sharp_bands_are_left_to_the_check() -> None:
    source = MemorySource(seen("sharp-as-blurred").hrmsi)
    sharpness, _, check = learn(source, told(source))
    assert len(check.sharp) == 8 and not sharpness.blurred
    assert set(replace(sharpness, ratio=(1,) * 12).mtf) == {0.3}
