"""Configurations and plain values: round trips, and one line on what does not fit."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from trifuse.core import BandSet, ConfigError
from trifuse.core.settings import from_mapping, from_plain, require_known, to_mapping


@dataclass(frozen=True, slots=True)
class Leaf:
    number: float = 1.0
    count: int = 2
    flag: bool = True
    name: str | None = None
    kind: Literal["a", "b", 3] = "a"

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ConfigError(f"count is {self.count}", fix="give 0 or more")


@dataclass(frozen=True, slots=True)
class Other(Leaf):
    depth: int = 7


@dataclass(frozen=True, slots=True)
class Tree:
    must: str
    leaf: Leaf = field(default_factory=Leaf)
    leaves: tuple[Leaf, ...] = ()
    pair: tuple[float, int] = (0.0, 1)
    shares: Mapping[str, float] = field(default_factory=dict)
    free: Mapping[str, Any] = field(default_factory=dict)
    bands: BandSet = field(default_factory=lambda: BandSet.of(["B2"], [490], [60]))
    maybe: Leaf | None = None


numbers = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text("ab.é 1", max_size=3)
leaves = st.builds(
    Leaf, numbers, st.integers(0, 9), st.booleans(), st.none() | texts, st.sampled_from(["b", 3])
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | numbers | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
rows = st.lists(st.tuples(texts, numbers, numbers), max_size=2, unique_by=lambda row: row[0])
band_sets = rows.map(lambda r: BandSet.of(*zip(*r, strict=True)) if r else BandSet(()))
trees = st.builds(
    Tree,
    texts,
    leaves,
    st.lists(leaves, max_size=2).map(tuple),
    st.tuples(numbers, st.integers(-9, 9)),
    st.dictionaries(texts, numbers, max_size=2),
    st.dictionaries(texts, json_values, max_size=2),
    band_sets,
    st.none() | leaves,
)
few = settings(deadline=None, max_examples=50)


def places(values, path=()):
    """Path of every value, sections and lists included."""
    inner = values.items() if isinstance(values, dict) else enumerate(values)
    for key, value in inner:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


@few
@given(trees)
def test_json_and_yaml_bring_back_what_was_written(tree):
    values = to_mapping(tree)
    assert from_plain(Tree, json.loads(json.dumps(values))) == tree
    assert from_mapping(Tree, yaml.safe_load(yaml.safe_dump(values))) == tree
    assert to_mapping(from_mapping(Tree, values)) == values


@few
@given(trees, st.data())
def test_a_value_in_the_wrong_place_is_taken_or_named_in_one_line(tree, data):
    values = json.loads(json.dumps(to_mapping(tree)))
    path = data.draw(st.sampled_from(list(places(values))))
    place, (*keys, last) = values, path
    for key in keys:
        place = place[key]
    place[last] = data.draw(json_values)
    try:
        made = from_mapping(Tree, values)
    except ConfigError as e:
        assert "\n" not in str(e) and path[0] in str(e)
    else:
        assert from_plain(Tree, to_mapping(made)) == made


@few
@given(trees, leaves)
def test_missing_keys_are_those_of_the_base(tree, leaf):
    base = replace(tree, leaf=Other(**to_mapping(leaf), depth=5))
    assert from_mapping(Tree, {}, base=base) == base
    made = from_mapping(Tree, {"must": "x", "leaf": {"depth": 1, "count": 3}}, base=base)
    assert made == replace(base, must="x", leaf=replace(base.leaf, depth=1, count=3))
    with pytest.raises(ConfigError, match=r"unknown key leaf\.dept; did you mean leaf\.depth\?"):
        from_mapping(Tree, {"leaf": {"dept": 1}}, base=base)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, r"^c\.yaml: must is missing$"),
        ({"must": "x", "leaves": [{"count": -1}]}, r"^leaves\[0\]: count is -1; give 0 or more$"),
        ({"must": "x", "leaf": {"count": 1.5}}, r"leaf\.count is 1\.5; give a whole number"),
        ({"must": "x", "leaf": {"kind": "c"}}, r"leaf\.kind is 'c'; give one of a, b, 3"),
        ({"must": "x", "leaf": {"kind": True}}, r"leaf\.kind is True"),
        ({"must": "x", "pair": [1, 2, 3]}, r"pair is \[1, 2, 3\]; give a list"),
        ({"must": "x", "shares": {"a": "b"}}, r"shares\.a is 'b'; give a finite number"),
        ({"must": "x", "shares": [1]}, r"shares is \[1\]; give a section of keys"),
        ({"must": "x", "bands": [{"nm": 3}]}, r"bands: not a list of bands"),
        ({"must": "x", "bands": 3}, r"bands: "),
        ({"must": "x", "maybe": 3}, r"maybe is 3; give a section of keys"),
        ({"must": 3}, r"^c\.yaml: must is 3; give text$"),
    ],
)
def test_messages_name_the_key(values, message):
    with pytest.raises(ConfigError, match=message) as e:
        from_mapping(Tree, values, where="c.yaml")
    assert "\n" not in str(e.value)


def test_keys_of_another_version_are_all_named():
    with pytest.raises(ConfigError, match=r"card: unknown keys colour, size; the keys are number"):
        from_plain(Leaf, {"size": 1, "colour": 2, "count": 3}, where="card")
    require_known(Leaf, ["count", "name"])
