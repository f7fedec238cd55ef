"""The walk-throughs run as they stand."""

import re
import shlex

import pytest

from trifuse.cli.main import run


def blocks(text):
    return re.findall(r"```(sh|python)\n(.*?)```", text, re.DOTALL)


def play(text, folder, monkeypatch):
    """Run every block in order, in an empty folder; globs as a shell would expand them."""
    monkeypatch.chdir(folder)
    for language, code in blocks(text):
        if language == "python":
            exec(compile(code, "walk-through", "exec"), {})
            continue
        for line in code.splitlines():
            command, *words = shlex.split(line)
            assert command == "trifuse", line
            arguments = []
            for word in words:
                found = sorted(map(str, folder.glob(word))) if "*" in word else []
                arguments += found or [word]
            assert run(arguments) == 0, line


@pytest.mark.parametrize("reader", ["analyst"])
def test_every_command_of_a_walk_through_runs(repository, tmp_path, monkeypatch, capsys, reader):
    play((repository / "docs" / f"walkthrough-{reader}.md").read_text(), tmp_path, monkeypatch)
    out = capsys.readouterr().out
    assert "co-registration" in out and "seen by Sentinel-3 again" in out
    table = (tmp_path / "ndvi-series" / "timeseries.csv").read_text().splitlines()
    assert len(table) == 1 + 2 * 2
    for name in ("fused.tif", "fused.png", "fused.tif.stac.json", "fused.tif.json", "ndvi.tif"):
        assert (tmp_path / name).is_file()


def test_a_year_of_clouds_to_any_date(repository, tmp_path, monkeypatch, capsys):
    play((repository / "docs" / "walkthrough-series.md").read_text(), tmp_path, monkeypatch)
    out = capsys.readouterr().out
    assert "gap-filling: sentinel2" in out and "100% known" in out
    assert len(list((tmp_path / "monthly").glob("2022-??-15.tif"))) == 9
    table = (tmp_path / "ndvi" / "timeseries.csv").read_text().splitlines()
    assert len(table) == 1 + 2 * 9


@pytest.mark.parametrize(
    "page",
    [
        "walkthrough-analyst",
        "walkthrough-researcher",
        "walkthrough-data-engineer",
        "walkthrough-series",
        "scale",
    ],
)
def test_commands_and_options_exist(repository, page):
    """Also where a walk-through is too long to be run here."""
    from trifuse.cli.main import cli

    text = (repository / "docs" / f"{page}.md").read_text()
    lines = [line for kind, code in blocks(text) if kind == "sh" for line in code.splitlines()]
    assert len(lines) > 4
    for line in lines:
        _, *words = shlex.split(line)
        found = cli.commands[words[0]]
        if hasattr(found, "commands"):
            # `evaluate` takes what is no name of a command for an image.
            found = found.commands.get(words[1]) or found.commands["fused"]
        options = {o for p in found.params for o in (*p.opts, *p.secondary_opts)}
        given = {w.split("=")[0] for w in words if re.match(r"--?[a-z]", w)}
        assert given <= options, line
