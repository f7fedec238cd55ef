"""Progress: a bar on a terminal, a line now and then in a pipe, nothing in a quiet command."""

import logging
import re
import subprocess
import sys

import pytest

from trifuse.core import progress
from trifuse.core.log import progress_bar

CODE = """
import sys, time
from trifuse.core import progress, set_verbosity
from trifuse.core import log
log.LINE_SECONDS = 0.2
{setup}
for _ in progress(range(30), "work", 30):
    time.sleep(0.02)
"""


def said(setup):
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(setup=setup)], capture_output=True, text=True, check=True
    )
    assert not done.stdout
    return done.stderr


def test_a_command_in_a_pipe_says_a_line_now_and_then():
    lines = said("set_verbosity(0)").splitlines()
    assert 1 <= len(lines) <= 4
    assert all(re.fullmatch(r"work: \d+ of 30 after 00:\d\d, 00:\d\d left", n) for n in lines), (
        lines
    )


@pytest.mark.parametrize("setup", ["set_verbosity(-1)", "pass"])
def test_a_quiet_command_and_the_library_say_nothing(setup):
    assert said(setup) == ""


class Terminal:
    """A stderr that says it is a terminal."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def isatty(self):
        return True


def test_a_terminal_gets_a_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert list(progress([1, 2, 3], "work", 3)) == [1, 2, 3]
    assert "work:" in terminal.text and "0/3" in terminal.text


def test_without_stderr_nothing_is_said(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    logging.getLogger("trifuse")
    with progress_bar("work", 2) as bar:
        bar.update()
    assert list(progress([1], "work")) == [1]
