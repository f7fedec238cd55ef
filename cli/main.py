"""The ``trifuse`` command: a group of thin commands, and errors as one line with an exit code."""

from __future__ import annotations

import platform
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, requires, version

import click

from trifuse.cli.registry import CommandGroup, Commands
from trifuse.core import EXIT_CODES, TrifuseError


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


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; every error is one line on stderr."""
    ctx_obj: list[int] = []
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
        click.echo("Interrupted", err=True)
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output went away; that is its choice
        return 0
    except TrifuseError as e:
        return _complain(str(e), e.exit_code, ctx_obj)
    except OSError as e:  # a full disk, missing rights: the machine's, not ours
        where = f"{e.filename}: " if e.filename else ""
        return _complain(f"{where}{e.strerror or ' '.join(str(e).split())}", 3, ctx_obj)
    except Exception as e:
        what = f"unexpected {type(e).__name__}: {' '.join(str(e).split())}"
        return _complain(f"{what}; run again with -vv and report it", 1, ctx_obj)
    return 0


def _complain(message: str, code: int, verbosity: list[int]) -> int:
    if verbosity and verbosity[0] >= 2:
        traceback.print_exc()
    click.echo(f"Error: {message}", err=True)
    return code


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run())
