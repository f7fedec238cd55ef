"""Configurations: every key known, every value of its type."""

from dataclasses import dataclass, field, replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trifuse.core import ConfigError
from trifuse.train import (
    EngineConfig,
    OptimConfig,
    from_mapping,
    load_config,
    save_config,
    to_mapping,
)


@dataclass(frozen=True, slots=True)
class Inner:
    number: float = 1.0
    pair: tuple[float, float] = (0.0, 1.0)
    many: tuple[int, ...] = ()
    name: str | None = None
    kind: Literal["a", "b"] = "a"
    flag: bool = False


@dataclass(frozen=True, slots=True)
class Outer(EngineConfig):
    inner: Inner = field(default_factory=Inner)


def test_a_file_and_overrides_in_order(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("seed: 5\noptim: {lr: 1e-4, steps: 50, warmup: 5}\ninner:\n  many: [1, 2]\n")
    config = load_config(
        Outer,
        path,
        [
            "optim.steps=70",
            "inner.kind=b",
            "optim.steps=80",
            "inner.name=deep",
            "inner.pair=[1, 2.5]",
        ],
    )
    assert config.seed == 5
    assert config.optim == OptimConfig(lr=1e-4, steps=80, warmup=5)
    assert config.inner == Inner(many=(1, 2), kind="b", name="deep", pair=(1.0, 2.5))
    assert load_config(Outer) == Outer()


def test_what_is_saved_is_what_is_read(tmp_path):
    config = Outer(seed=7, inner=Inner(many=(3, 4), name="x", number=1e-7))
    save_config(tmp_path / "c.yaml", config)
    assert load_config(Outer, tmp_path / "c.yaml") == config
    assert from_mapping(Outer, to_mapping(config)) == config


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.lrr=1", r"unknown key optim\.lrr; did you mean optim\.lr\?"),
        ("optm.lr=1", r"unknown key optm; did you mean optim\?"),
        ("inner.zzzzz=1", r"unknown key inner\.zzzzz; keys: number, pair"),
        ("optim.lr=fast", r"optim\.lr is 'fast'; give a finite number"),
        ("optim.lr=.inf", r"optim\.lr is inf; give a finite number"),
        ("optim.lr=true", r"optim\.lr is True; give a finite number"),
        ("optim.lr=-1", r"optim\.lr: is -1; give a positive number"),
        ("optim.steps=2.5", r"optim\.steps is 2\.5; give a whole number"),
        ("optim.steps=true", r"optim\.steps is True; give a whole number"),
        ("optim.steps=", r"optim\.steps is None"),
        ("optim.steps=0", r"optim\.steps: is 0; give 1 or more"),
        ("optim=3", r"optim is 3; give a section of keys"),
        ("optim.lr.x=3", r"optim\.lr is \{'x': 3\}; give a finite number"),
        ("inner.kind=c", r"inner\.kind is 'c'; give one of a, b"),
        ("inner.pair=[1]", r"inner\.pair is \[1\]; give a list"),
        ("inner.many=[1, x]", r"inner\.many\[1\] is 'x'; give a whole number"),
        ("inner.many=4", r"inner\.many is 4; give a list"),
        ("inner.name=3", r"inner\.name is 3; give text"),
        ("inner.flag=1", r"inner\.flag is 1; give true or false"),
        ("inner.flag", r"--set 'inner\.flag'; write it as section\.key=value"),
        ("=3", r"--set '=3'"),
        ("inner.flag=[", r"inner\.flag: is no YAML"),
        ("inner.name=!!python/name:os.system", r"inner\.name: is no YAML"),
    ],
)
def test_what_does_not_fit_is_one_line_that_names_the_key(override, message):
    with pytest.raises(ConfigError, match=message) as error:
        load_config(Outer, overrides=[override])
    assert "\n" not in str(error.value)


def test_a_value_is_not_a_section_and_the_file_is_named(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("optim: 3\n")
    with pytest.raises(ConfigError, match=r"optim is a value, not a section"):
        load_config(Outer, path, ["optim.lr=1"])
    for text in ("- a\n", "optim: [", "\x00", "oops: 1\n"):
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"c\.yaml: "):
            load_config(Outer, path)
    path.write_bytes(b"seed: \xff\n")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(Outer, path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(Outer, tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("key", "value"),
    [("lr", 0), ("min_lr", 1), ("warmup", 9999), ("ema", 1), ("clip", -1), ("batch", 0)],
)
def test_values_out_of_range_are_refused(key, value):
    with pytest.raises(ConfigError, match=rf"optim\.{key}: "):
        OptimConfig(**{key: value})


@given(st.floats(allow_nan=False, allow_infinity=False), st.lists(st.integers()), st.booleans())
def test_plain_values_survive_the_round_trip(number, many, flag):
    config = replace(Outer(), inner=Inner(number=number, many=tuple(many), flag=flag))
    assert from_mapping(Outer, to_mapping(config)) == config
