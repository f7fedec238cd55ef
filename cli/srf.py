"""trifuse srf: the response tables."""

from __future__ import annotations

from pathlib import Path

import click

from trifuse.cli.options import PATH, Result, command, output, plain
from trifuse.core import DataError


@click.group()
def srf() -> None:
    """Spectral response functions: list, show, check a table of your own."""


@srf.command("list")
@command
def list_(overwrite: bool, dry_run: bool) -> Result:
    """List the tables."""
    from trifuse.srf_data import load, names

    rows = [load(name) for name in names()]
    text = "\n".join(f"{r.name:10} {len(r.bands):4} bands  {r.source}" for r in rows)
    return Result(text, {"tables": [{"name": r.name, "bands": len(r.bands)} for r in rows]})


@srf.command()
@click.argument("name")
@output(required=False, text="Also draw the curves into this PNG.")
@command
def show(name: str, output: Path | None, overwrite: bool, dry_run: bool) -> Result:
    """Show a table: centre and FWHM of each band, source, issue and date.

    \b
    trifuse srf show S3A_OLCI -o olci.png
    """
    from trifuse.srf_data import load

    table = load(name)
    lines = [f"{table.name}: {table.source}, issue {table.issue}, {table.date}", ""]
    lines += [f"{'band':8} {'centre nm':>10} {'FWHM nm':>9}"]
    lines += [f"{b.name:8} {b.centre:10.2f} {b.fwhm:9.2f}" for b in table.bands]
    if output is not None and not dry_run:
        from trifuse.flows.panels import draw_srf

        draw_srf(table, output, overwrite=overwrite)
        lines += ["", f"curves: {output}"]
    value = {
        "name": table.name,
        "source": table.source,
        "issue": table.issue,
        "date": table.date,
        "bands": table.bands.to_json(),
    }
    return Result("\n".join(lines), plain(value))


@srf.command()
@click.argument("file", type=PATH)
@click.option("--sensor", help="Compare with this table (default: the one with most like bands).")
@command
def check(file: Path, sensor: str | None, overwrite: bool, dry_run: bool) -> Result:
    """Name the bands of FILE that differ from the published tables; exit code 13 if some do.

    FILE is delimited text or a workbook (.xlsx) as agencies publish it. A band differs if its
    centre is off by more than 1 nm or its width by more than 2 nm. Tables of Sentinel-2A from
    before 2018 are wrong in B1, B2 and B8.
    """
    from trifuse.srf_data import check_tables

    checked = check_tables(file, sensor=sensor)
    lines = [line for c in checked for line in (str(c), *map(str, c.differences))]
    value = {
        "file": str(file),
        "tables": [
            {"table": c.table, "sensor": c.sensor, "agreeing": list(c.agreeing)} for c in checked
        ],
        "differences": [str(d) for c in checked for d in c.differences],
    }
    differ = any(c.differences for c in checked)
    return Result("\n".join(lines), value, DataError.exit_code if differ else 0)
