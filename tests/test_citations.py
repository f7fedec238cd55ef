"""What docstrings, comments and pages cite is there."""

import ast
import io
import pkgutil
import re
import subprocess
import tokenize
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def tracked(repository):
    """Files of this checkout, and the folders that they lie in."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=repository,
        check=True,
        capture_output=True,
        text=True,
    )
    return [Path(name) for name in listed.stdout.split() if (repository / name).is_file()]


def prose(path):
    """Docstrings and comments of a module, or a page whole."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield text
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.string
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield str(node.value.value)


def exists(cited, names):
    return cited in names or f"{cited}.py" in names


def test_every_path_that_is_cited_exists(repository, tracked):
    names = {str(place) for path in tracked for place in (path, *path.parents)}
    tops = sorted({path.parts[0] for path in tracked if path.parts[1:]} - {".typing", ".ci"})
    path_in_text = re.compile(rf"(?<![\w./-])((?:{'|'.join(tops)})/[\w./*-]*\w)")
    cited, missing = 0, []
    for path in tracked:
        if path.suffix not in (".py", ".md") or (repository / path).is_symlink():
            continue
        for text in prose(repository / path):
            for found in path_in_text.findall(text):
                cited += 1
                if not exists(found, names):
                    missing.append(f"{path} cites {found}")
    assert cited > 60
    assert missing == []


def test_every_path_in_the_plan_of_the_house_is_the_end_of_one_that_exists(repository, tracked):
    """There a path may leave out the room that the text is about."""
    ends = {
        "/".join(place.parts[start:])
        for path in tracked
        for place in (path, path.with_suffix(""), *path.parents)
        for start in range(len(place.parts))
    }
    cited = re.findall(r"`([\w.]+/[\w./]*)`", (repository / "ARCHITECTURE.md").read_text())
    assert len(cited) > 20
    assert [path for path in cited if path.rstrip("/") not in ends] == []


def test_every_name_that_a_docstring_refers_to_exists(repository, tracked):
    role = re.compile(r":(?:mod|class|func|meth|data|attr|exc|obj):`~?(trifuse\.[\w.]+)`")
    cited, missing = 0, []
    for path in tracked:
        if path.suffix != ".py" or (repository / path).is_symlink():
            continue
        for name in role.findall((repository / path).read_text(encoding="utf-8")):
            cited += 1
            try:
                pkgutil.resolve_name(name)
            except (ImportError, AttributeError) as e:
                missing.append(f"{path} refers to {name}: {e}")
    assert cited > 100
    assert missing == []
