"""The factors of the calibration, fitted on procedural validation scenes.

Each scene counts half as a whole and half with two blocks of the size of the real ones, one of them
partly water: statistics and maps that few pixels and cells made are off by more.
Every draw has other errors. A factor is such that 68.3 % and 95 % of the errors lie within 1 and
1.96 deviations, as nearly as one factor can make it (the geometric mean of both), and the mean of
its logarithm over the draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from bench.uncertainty.draws import Draw, blocks, draw

WITHIN = (1.0, 1.96)
SHARES = (0.683, 0.95)
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "restoration": ("physics", {}),
    "local": ("refined", {"network": "none"}),
    "refined": ("refined", {}),
}
"""Factors, and the methods whose restored bands they are of."""

LEVELS = np.array([0.25, 0.5, 1, 2, 4, 8, 16, 32, np.inf])
"""Distances between which pixels are taken together, and the fewest of them."""

FEWEST = 60

CERTAIN = 0.2
"""Share of what is left of the cells above which it counts as known what of it is no noise."""

STEPS = 10
"""Of the search for what the map leaves beside the uncertainty of its numbers."""

FACTORS = np.arange(1.0, 3.05, 0.1)
"""Candidates of the map's factor."""


def fit(names: Sequence[str]) -> dict[str, Any]:
    """All factors, from scenes of these names."""
    where: list[tuple[str, int, Any]] = []
    for i, name in enumerate(names):
        where += [(name, i + 100 * k, b) for k, b in enumerate((None, *blocks(name)))]
    weights = [2.0 if b is None else 1.0 for *_, b in where]

    def typical(logarithms: list[np.ndarray]) -> np.ndarray:
        values = np.ma.masked_invalid(np.array(logarithms))
        return np.asarray(np.exp(np.ma.average(values, axis=0, weights=weights)))

    clean = [draw(n, "clean", s, "physics", b) for n, s, b in where]
    fine, coarse = clean[0].seen.hrmsi.bands.names, clean[0].seen.truth.bands.names
    growth = growth_of(clean)
    usual, finer = [], []
    for each in clean:
        chain = each.chain
        sigma = beyond_numbers(each, growth)
        usual.append(np.log(sigma / chain.universal.error))
        known = (chain.telling > CERTAIN) & (chain.model > 0)
        finer.append(np.log(np.where(known, sigma / np.maximum(chain.model, 1e-9), np.nan)))
    found = {"usual": typical(usual), "finer": typical(finer)}
    own = {}
    for kind, (method, options) in KINDS.items():
        restored = [draw(n, "real-world", s, method, b, **options) for n, s, b in where]
        own[kind] = typical([np.log(restored_scale(d)) for d in restored])
    return {
        **{k: by_band(fine, v) for k, v in own.items()},
        "map": map_factor(restored, growth, found["usual"]),
        "growth": by_band(coarse, growth),
        **{k: by_band(coarse, v, 3) for k, v in found.items()},
        "source": f"{names[0]} to {names[-1]}, and two blocks of each",
    }


def growth_of(draws: Sequence[Draw]) -> np.ndarray:
    """By band, how errors of the map grow with the distance: slope of logarithms, all draws."""
    above: Any = 0.0
    below = 0.0
    for each in draws:
        distance = each.chain.map_errors.ground.distance(each.pixels).ravel()
        off = np.abs(flat(each.left))
        at, sizes, counts = [], [], []
        for low, high in pairwise(LEVELS):
            there = (distance >= low) & (distance < high)
            if there.sum() > FEWEST:
                at.append(np.log(1 + distance[there]).mean())
                sizes.append(np.log(np.quantile(off[:, there], SHARES[0], axis=1)))
                counts.append(there.sum())
        weight = np.sqrt(counts)
        x = at - np.average(at, weights=weight)
        y = sizes - np.average(sizes, axis=0, weights=weight)
        above = above + (weight * x) @ y
        below += (weight * x) @ x
    return np.clip(above / below, 0, None)


def grown(each: Draw, growth: np.ndarray) -> np.ndarray:
    """(L, n) by how much the map's errors at each pixel exceed those near the cells' spectra."""
    distance = each.chain.map_errors.ground.distance(each.pixels).ravel()
    return np.asarray(((1 + distance) / 2) ** growth[:, None])


def beyond_numbers(each: Draw, growth: np.ndarray) -> np.ndarray:
    """(L,) what the map leaves near the cells' spectra, beside the uncertainty of its numbers."""
    off, more = flat(each.left), grown(each, growth)
    numbers = flat(each.chain.fit.variance(each.pixels))
    sigma = whole = scale(off / more)
    for _ in range(STEPS):
        told = np.sqrt((sigma[:, None] * more) ** 2 + numbers)
        sigma = np.clip(sigma * scale(off / told), whole / 3, whole)
    return np.asarray(sigma)


def restored_scale(each: Draw) -> np.ndarray:
    """(l,) of the errors of the restored bands over what the closed form says."""
    scene = each.chain.scene
    return scale(flat(each.unrestored / scene.view.deviations(each.whole, scene.s2.bands.names)))


def map_factor(draws: Sequence[Draw], growth: np.ndarray, usual: np.ndarray) -> float:
    """By how much the map's numbers are farther off than their posterior says."""
    found = []
    for each in draws:
        chain = each.chain
        off = flat(each.left) - chain.fit.spectral.matrix @ flat(each.unrestored)
        numbers = flat(chain.fit.variance(each.pixels))
        beyond = ((usual * chain.universal.error)[:, None] * grown(each, growth)) ** 2
        found.append([np.log(scale(off / np.sqrt(f**2 * numbers + beyond))) for f in FACTORS])
    return round(float(FACTORS[np.abs(np.mean(found, axis=(0, 2))).argmin()]), 2)


def scale(ratios: np.ndarray) -> np.ndarray:
    """(k,) deviation of (k, n) errors over the one told, by how many are how large."""
    sizes = np.nanquantile(np.abs(ratios), SHARES, axis=1)
    return np.asarray(np.sqrt((sizes / np.array(WITHIN)[:, None]).prod(axis=0)))


def flat(planes: np.ndarray) -> np.ndarray:
    return planes.reshape(len(planes), -1)


def by_band(names: Sequence[str], values: np.ndarray, digits: int = 2) -> dict[str, float]:
    return {n: round(float(v), digits) for n, v in zip(names, values, strict=True)}
