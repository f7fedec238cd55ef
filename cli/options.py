"""What all commands share: options, the result on stdout, and errors as one line with a code."""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from trifuse.core import ProductError, set_verbosity


@dataclass(frozen=True, slots=True)
class Result:
    """What a command has to say.

    Attributes:
        text: for people; printed unless ``--json`` or ``--quiet``.
        value: for programs; plain JSON values.
        exit_code: of the command: that of the error which would say the same.
    """

    text: str
    value: dict[str, Any] = field(default_factory=dict)
    exit_code: int = 0


def command(function: Callable[..., Result]) -> Callable[..., None]:
    """Give a command ``--overwrite --dry-run --json -v/-q`` and print what it returns.

    The function receives ``overwrite`` and ``dry_run``; verbosity and output are dealt with here.
    """

    @click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
    @click.option("--dry-run", is_flag=True, help="Check the inputs and say what would be done.")
    @click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
    @click.option("--verify", is_flag=True, help="Compare inputs with their records first.")
    @click.option("-v", "--verbose", count=True, help="Say more on stderr; -vv with tracebacks.")
    @click.option("-q", "--quiet", is_flag=True, help="Only errors.")
    @functools.wraps(function)
    def wrapper(*, as_json: bool, verify: bool, verbose: int, quiet: bool, **options: Any) -> None:
        set_verbosity(-1 if quiet else verbose)
        click.get_current_context().find_root().obj = verbose
        if verify:
            _verify_inputs(options)
        result = function(**options)
        if os.environ.get("TORCHELASTIC_RUN_ID") and os.environ.get("RANK", "0") != "0":
            return  # the first of a launcher's processes says it for all
        if as_json:
            click.echo(json.dumps(result.value, indent=2, ensure_ascii=False, allow_nan=False))
        elif not quiet and result.text:
            click.echo(result.text)
        if result.exit_code:
            click.get_current_context().exit(result.exit_code)

    return wrapper


def _verify_inputs(options: dict[str, Any]) -> None:
    """Compare every input that has a record with it.

    Raises:
        IntegrityError: naming the files that are not as they were written.
    """
    from trifuse.flows.verify import recorded, require_whole, verify

    given = [v for name, v in options.items() if name != "output"]
    paths = [p for v in given for p in (v if isinstance(v, tuple) else (v,)) if isinstance(p, Path)]
    require_whole([verify(p) for p in recorded(paths)])


class _LocalPath(click.Path):
    """A path on this machine; web addresses are refused before :class:`Path` mangles them."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and re.match(r"[A-Za-z][\w+.-]+://", value):
            raise ProductError(
                "is no file on disk", where=value, fix="download it and give its path"
            )
        return super().convert(value, param, ctx)


PATH = _LocalPath(path_type=Path)


def output(required: bool = True, text: str = "Where to write.") -> Callable[..., Any]:
    """The ``-o/--output`` option."""
    return click.option("-o", "--output", type=PATH, required=required, help=text)


def numbers(text: str, count: int, wanted: str) -> tuple[float, ...]:
    """Numbers between commas.

    Raises:
        click.BadParameter: if they are no numbers, or not so many.
    """
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != count:
        raise click.BadParameter(f"{text!r}: give {wanted}")
    return values


def box(_: click.Context, __: click.Parameter, value: str | None) -> Any:
    """Callback of ``--bbox``."""
    return None if value is None else numbers(value, 4, "west,south,east,north in degrees")


def names(_: click.Context, __: click.Parameter, value: str | None) -> list[str] | None:
    """Callback of options that take names between commas."""
    return None if value is None else [n.strip() for n in value.split(",") if n.strip()]


remote = click.option(
    "--remote",
    is_flag=True,
    callback=lambda _, __, value: value or None,
    help="Fetch what STAC Items name on the web, by https; else only files that are here.",
)
"""The ``--remote`` option: True, or None where it is not given."""


def geotiff(path: Path) -> Path:
    """The name of a GeoTIFF to write; others would collide with what is written beside it."""
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise click.BadParameter(f"{path} does not end in .tif", param_hint="'-o'")
    return path


def network_on_series(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options of the commands that let a network see series: its weights and how it sees them."""
    hint = "Of a trained TAMRF, or a published .ckpt; default: those that come along."
    origin = "Day 0 of the network: first, january or a date; default: as trained."
    shown = "Show clouded pixels to the network? auto: as trained."
    for option in (
        click.option(
            "--max-memory",
            type=click.FloatRange(0, min_open=True),
            default=4.0,
            show_default=True,
            help="GB that the work may take.",
        ),
        click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda."),
        click.option(
            "--clouds",
            type=click.Choice(["auto", "show", "withhold"]),
            default="auto",
            show_default=True,
            help=shown,
        ),
        click.option("--days-origin", metavar="WHEN", help=origin),
        click.option("--weights", type=PATH, help=hint),
    ):
        function = option(function)
    return function


def workers(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options of the commands whose work is a list of units: where these are done."""
    where = "Address of a running Dask scheduler (tcp://host:8786) whose workers do the work."
    for option in (
        click.option("--scheduler", metavar="ADDRESS", help=where),
        click.option(
            "-j",
            "--jobs",
            type=click.IntRange(1),
            default=1,
            show_default=True,
            help="Processes of this machine.",
        ),
    ):
        function = option(function)
    return function


def plain(value: Any) -> Any:
    """JSON without NaN: not-a-number becomes null, numpy numbers become Python's."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if isinstance(value, float) and value != value:  # NaN
        return None
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return None
    return str(value) if isinstance(value, Path) else value
