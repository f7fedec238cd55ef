"""Draws by hash: one salt a draw, distributions, and the values of the recorded algorithm."""

import ast
import zlib
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from trifuse.simulate import procedural_layers, procedural_series
from trifuse.simulate.ground import draws
from trifuse.simulate.ground.draws import Salt, choose, normal, normals, renumber, uniform

IDS = np.arange(20_000, dtype=np.uint32)
DRAWING = {"uniform", "normal", "normals", "renumber"}


@pytest.fixture(scope="module")
def calls(repository):
    """(file, name of the function, its arguments) of all calls in ground and seasons."""
    found = []
    for room in ("ground", "seasons"):
        for path in sorted((repository / "simulate" / room).glob("*.py")):
            if path.name == "draws.py":
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    found.append((path.name, node.func.id, node.args))
    assert len(found) > 300
    return found


def test_no_two_draws_share_a_salt():
    salts = [salt.first + k for salt in Salt for k in range(salt.count)]
    assert 1 <= min(salts) and max(salts) <= 999
    # A normal draw is made of four uniform ones, and any member may be drawn either way.
    hashed = salts + [1000 * s + k for s in salts for k in range(4)]
    assert [s for s, count in Counter(hashed).items() if count > 1] == []


def test_each_salt_is_drawn_in_one_place(calls):
    used = Counter()
    for file, name, arguments in calls:
        if name in DRAWING:
            salt = arguments[1]
            assert isinstance(salt, ast.Attribute) and salt.value.id == "Salt", f"{file}: {name}"
            used[salt.attr] += 1
    assert used == Counter(salt.name for salt in Salt)


def test_only_districts_are_hashed_without_a_name(calls):
    plain = [(file, len(arguments)) for file, name, arguments in calls if name == "scramble"]
    assert plain == [("parcels.py", 2)] * 2, "a district by its scene, a border by its districts"


def test_streams_are_named_apart(monkeypatch):
    """No part of a scene, and no pass over it, shares its random stream with another."""
    seen = Counter()
    make = np.random.default_rng

    def spy(key):
        seen[tuple(key)] += 1
        return make(key)

    monkeypatch.setattr(draws.np.random, "default_rng", spy)
    procedural_layers(16, 3, clouds=True)
    assert len(seen) > 20
    assert set(seen.values()) == {1}
    seen.clear()
    made = procedural_series(12, 3, sensors=("sentinel2", "landsat"), min_clear=0.0)
    twice = {key for key, count in seen.items() if count > 1}
    both = np.intersect1d(*(images.days for images in made.images.values()))
    assert len(both) > 0, "on some day both pass, under one sky"
    assert twice == {(3, zlib.crc32(f"sky 2022 {day}".encode())) for day in both}


def murmur(number, salt):
    """The finaliser in plain integers."""
    x = number ^ (salt * 0x9E3779B1 & 0xFFFFFFFF)
    x = (x ^ x >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    x = (x ^ x >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return x ^ x >> 16


@pytest.mark.parametrize("salt", [Salt.PIT, Salt.DROUGHT, Salt.SPLIT_SHARE])
def test_draws_are_those_of_the_algorithm_to_the_bit(salt):
    ids = np.array([0, 1, 77, 2**31, 2**32 - 1], np.uint32)
    plain = [(murmur(int(i), salt.first) >> 8) / 2**24 for i in ids]
    np.testing.assert_array_equal(uniform(ids, salt), np.array(plain, np.float32))
    four = [[(murmur(int(i), 1000 * salt.first + k) >> 8) / 2**24 for k in range(4)] for i in ids]
    wanted = (np.sum(four, axis=1) - 2) * np.sqrt(3)
    np.testing.assert_allclose(normal(ids, salt), wanted, rtol=0, atol=1e-6)
    halves = renumber(ids, Salt.SPLIT_HALVES, np.array([0, 1, 0, 1, 1]))
    wanted = [murmur(int(i), 11 + k) for i, k in zip(ids, [0, 1, 0, 1, 1], strict=True)]
    np.testing.assert_array_equal(halves, np.array(wanted, np.uint32))


def test_draws_are_distributed_as_they_say():
    assert stats.kstest(uniform(IDS, Salt.PIT), "uniform").pvalue > 1e-3
    drawn = normals(IDS, Salt.CANOPY)
    assert drawn.shape == (len(IDS), Salt.CANOPY.count) and drawn.dtype == np.float32
    np.testing.assert_allclose(drawn.mean(axis=0), 0, atol=0.03)
    np.testing.assert_allclose(drawn.std(axis=0), 1, atol=0.03)
    assert np.abs(drawn).max() <= 2 * np.sqrt(3)
    np.testing.assert_allclose(np.corrcoef(drawn.T), np.eye(drawn.shape[1]), atol=0.04)
    np.testing.assert_array_equal(drawn[:, 0], normal(IDS, Salt.CANOPY))


def test_choices_have_their_shares():
    shares = np.array([0.5, 0.0, 1.5, 2.0])
    found = choose(shares, uniform(IDS, Salt.CROP_KIND))
    np.testing.assert_allclose(np.bincount(found, minlength=4) / len(IDS), shares / 4, atol=0.015)
    np.testing.assert_array_equal(
        choose(shares, np.array([0.0, 0.124, 0.126, 0.9999])), [0, 0, 2, 3]
    )
