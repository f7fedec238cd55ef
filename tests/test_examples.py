"""The examples in docstrings are true.

Not by ``--doctest-modules``: it would import each file a second time, under the name of its folder
in the checkout.
"""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = [
    ".".join(("trifuse", *path.relative_to(ROOT).with_suffix("").parts))
    for room in sorted(p.parent for p in ROOT.glob("*/py.typed"))
    for path in sorted(room.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


def test_there_are_examples_in_most_rooms():
    assert len(MODULES) > 20
    assert len({name.split(".")[1] for name in MODULES}) > 8


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_are_true(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert done.attempted > 0  # none is left out
    assert done.failed == 0
