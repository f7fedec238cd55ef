"""Parts of a benchmark in processes of their own, so that time and peak memory are theirs."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def call(script: Path | str, **options: Any) -> str:
    """What a script prints.

    Args:
        script: its path.
        **options: by name: ``all_bands=True`` is ``--all-bands``, lists are several values, and
            what is None or False is left out.
    """
    arguments: list[str] = []
    for name, value in options.items():
        if value is None or value is False:
            continue
        arguments.append("--" + name.replace("_", "-"))
        if value is not True:
            arguments += map(str, value if isinstance(value, list | tuple) else [value])
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def measured(script: Path | str, **options: Any) -> Any:
    """The JSON in the last line that a script prints; arguments as of :func:`call`."""
    return json.loads(call(script, **options).splitlines()[-1])


def timed(work: Callable[[], T]) -> tuple[T, dict[str, float]]:
    """Result of some work, and the seconds that it took: of the clock, and of all processors."""
    start, before = time.perf_counter(), os.times()
    result = work()
    seconds, after = time.perf_counter() - start, os.times()
    return result, {"seconds": seconds, "cpu_seconds": sum(after[:4]) - sum(before[:4])}


def peak_mb() -> float:
    """Most memory that this process has held so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
