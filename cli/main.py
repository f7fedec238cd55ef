"""The ``trifuse`` command: a group of thin commands, and errors as one line with an exit code."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, requires, version

import click

from trifuse.cli.registry import CommandGroup, Commands
from trifuse.core import EXIT_CODES
from trifuse.core.failures import understood


def show_versions(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print what a bug report needs."""
    if not wanted or ctx.resilient_parsing:
        return
    click.echo(f"trifuse {version('trifuse')}")
    click.echo(f"python {platform.python_version()} on {platform.platform()}")
    for line in requires("trifuse") or []:
        if "extra ==" in line:
            continue
        name = line.split(">")[0].split("=")[0].strip()
        try:
            click.echo(f"{name} {version(name)}")
        except PackageNotFoundError:
            click.echo(f"{name} is not installed")
    ctx.exit()


EPILOG = "Exit codes:\n\n" + "\n\n".join(f"{code}  {text}" for code, text in EXIT_CODES.items())


@click.group(
    cls=CommandGroup,
    commands=Commands(),
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)
@click.version_option(package_name="trifuse")
@click.option(
    "--show-versions",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=show_versions,
    help="Show the versions of all packages and exit.",
)
def cli() -> None:
    """Simulate, fuse and map: Sentinel-3's spectrum at Sentinel-2's ten metres.

    \b
    trifuse demo -o demo                                  the whole flow on an embedded scene
    trifuse simulate ENMAP... -o STORE                    EnMAP cubes to training triplets
    trifuse train fusformer STORE -o RUN                  a fusion network
    trifuse fuse --s2 A.tif --s3 B.tif -o FUSED.tif       a whole scene
    trifuse sharpen S2.SAFE -o SHARP.tif                  Sentinel-2 with all bands at 10 m
    trifuse ndvi FUSED.tif -o NDVI.tif                    the map
    trifuse series build --s2 DIR --landsat DIR -o SERIES one area, all dates
    trifuse interpolate SERIES --dates ... -o DIR         any date, free of clouds
    """


class Terminated(BaseException):
    """The system asked this process to end: what is open is closed on the way out."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; every error is one line on stderr."""
    ctx_obj: list[int] = []
    with warnings.catch_warnings():
        # Remarks of numpy and GDAL on single numbers: what they mean for the user we say.
        warnings.simplefilter("ignore", RuntimeWarning)
        return _run(arguments, ctx_obj)


def _run(arguments: Sequence[str] | None, ctx_obj: list[int]) -> int:
    try:
        with cli.make_context(
            "trifuse", list(sys.argv[1:] if arguments is None else arguments)
        ) as ctx:
            try:
                cli.invoke(ctx)
            finally:
                ctx_obj.append(ctx.obj or 0)
    except click.exceptions.Exit as e:
        return e.exit_code
    except click.ClickException as e:
        e.show()
        return e.exit_code
    except (KeyboardInterrupt, click.Abort):
        _say("Interrupted")
        return 130
    except Terminated:
        _say("Terminated")
        return 143
    except BrokenPipeError:
        return 0  # the reader of our output went away; that is its choice
    except Exception as e:
        if (known := understood(e)) is not None:
            return _complain(str(known), known.exit_code, ctx_obj)
        what = f"unexpected {type(e).__name__}: {' '.join(str(e).split())}"
        return _complain(f"{what}; run again with -vv and report it", 1, ctx_obj)
    return 0


def _complain(message: str, code: int, verbosity: list[int]) -> int:
    if verbosity and verbosity[0] >= 2:
        with contextlib.suppress(OSError, ValueError):
            traceback.print_exc()
    _say(f"Error: {message}")
    return code


def _say(message: str) -> None:
    """A line on stderr, if that is still there."""
    with contextlib.suppress(OSError, ValueError):
        click.echo(message, err=True)


def main() -> None:
    """Entry point of the console script."""
    _keep_streams()
    signal.signal(signal.SIGTERM, _terminate)
    code = run()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # all is done: there is nothing to stop
    sys.exit(_settled(code))


def _terminate(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: cleaning up is under way
    raise Terminated


def _keep_streams() -> None:
    """Open what the caller closed: else a file that is written gets its number, and messages."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def _settled(code: int) -> int:
    """Flush what was printed; Python itself would end with a code of its own."""
    for stream in (sys.stdout, sys.stderr):
        if stream is None:
            continue
        try:
            stream.flush()
        except (OSError, ValueError) as e:
            with contextlib.suppress(OSError, ValueError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, stream.fileno())
                os.close(null)
            if stream is sys.stdout and code == 0 and not isinstance(e, BrokenPipeError):
                _say(f"Error: the result could not be printed ({e})")
                code = 3
    return code
