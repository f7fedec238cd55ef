"""Commands by name: imported when they are used, and open to other packages."""

import subprocess
import sys

import click
import pytest

from trifuse.cli.main import cli
from trifuse.cli.registry import COMMANDS, Commands

SAY_HELLO = '''
import click
from trifuse.cli.options import Result, command

@click.command()
@command
def hello(overwrite, dry_run):
    """Say hello to the world."""
    return Result("hello, world", {"to": "world"})

no_command = 3
'''


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts a distribution that adds commands on the path, as an installer would."""

    def make(name, commands, code):
        module = name.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(code)
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = (f"{command} = {module}:{target}" for command, target in commands.items())
        (info / "entry_points.txt").write_text("[trifuse.commands]\n" + "\n".join(lines) + "\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr(cli, "commands", Commands())
        monkeypatch.delitem(sys.modules, module, raising=False)

    return make


def test_an_installed_package_adds_a_command(install, trifuse):
    install("acme-hello", {"hello": "hello"}, SAY_HELLO)
    code, out, err = trifuse("-h")
    assert code == 0 and err == ""
    ours, _, theirs = out.partition("Commands of other packages:")
    assert "  hello  Say hello to the world." in theirs.splitlines()
    assert all(f"  {name} " in ours for name in COMMANDS)
    assert trifuse("hello") == (0, "hello, world\n", "")
    assert '"to": "world"' in trifuse("hello", "--json")[1]


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("raise RuntimeError('built for\\nanother version')", "RuntimeError: built for another"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("import no_such_module_of_acme", "ModuleNotFoundError: No module named"),
        (SAY_HELLO.replace("def hello", "def other"), "AttributeError"),
        ("hello = 3", "is no click.Command but int"),
    ],
)
def test_one_that_fails_is_warned_of_and_left_out(install, trifuse, code, why):
    install("acme-broken", {"hello": "hello"}, code)
    done, out, err = trifuse("-h")
    assert done == 0
    assert "Commands of other packages" not in out and "  fuse  " in out
    assert len(err.splitlines()) == 1
    assert err.startswith("Warning: command hello of acme-broken ") and why in err
    assert "uninstall acme-broken" in err
    assert trifuse("srf", "list")[::2] == (0, "")
    done, _, err = trifuse("hello")
    assert done == 2 and "No such command" in err


def test_no_package_takes_the_name_of_another_command(install, trifuse):
    install("acme-fuse", {"fuse": "hello", "hello": "hello"}, SAY_HELLO)
    install("beta-hello", {"hello": "no_command"}, SAY_HELLO)
    _, _, err = trifuse("-h")
    assert [line.split(" has ")[0] for line in err.splitlines()] == [
        "Warning: command fuse of acme-fuse",
        "Warning: command hello of beta-hello",
    ]
    assert cli.commands["fuse"].params[0].name == "s2"
    assert trifuse("hello")[1] == "hello, world\n"


def test_commands_behave_as_a_mapping():
    commands = Commands()
    assert set(commands) == set(COMMANDS) and len(commands) == len(COMMANDS)
    with pytest.raises(KeyError):
        commands["no-such"]
    commands["mine"] = click.Command("mine")
    assert "mine" in set(commands)
    del commands["mine"]
    assert "mine" not in commands


def test_the_line_of_a_command_fits_and_is_its_short_help():
    for name, line in COMMANDS.items():
        assert cli.commands[name].short_help == line
        assert cli.commands[name].name == name
        assert len(line) <= 63 and line.endswith((".", "?"))


def test_help_imports_no_command_and_no_command_imports_torch():
    code = f"""
import sys
from trifuse.cli.main import cli, run
assert run(["-h"]) == 0
names = {sorted(COMMANDS)}
loaded = [n for n in names if f"trifuse.cli.{{n}}" in sys.modules]
assert not loaded, loaded
for name in names:
    cli.commands[name]
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
