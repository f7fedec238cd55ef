"""trifuse series: series of an area, from products or made up."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import click

from trifuse.cli.options import PATH, Result, box, command, output, remote


def _span(_: click.Context, __: click.Parameter, value: str | None) -> Any:
    """``A:B``; either may be left out."""
    try:
        first, last = ("" if value is None else value).split(":") if value else ("", "")
        return tuple(date.fromisoformat(t) if t else None for t in (first, last))
    except ValueError:
        raise click.BadParameter(f"{value!r}: give 2022-01-01:2022-12-31") from None


@click.group()
def series() -> None:
    """Dated images of an area, one folder a sensor, on nested grids."""


@series.command()
@click.option(
    "--size",
    type=click.IntRange(12),
    default=192,
    show_default=True,
    help="Edge in pixels of 10 m, a multiple of 3 (of 30 with Sentinel-3).",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed, another place.")
@click.option(
    "--year",
    type=click.IntRange(1982, 2100),
    default=2022,
    show_default=True,
    help="Another year, other weather.",
)
@click.option(
    "--sensors",
    default="sentinel2,landsat",
    show_default=True,
    help="Of sentinel2, landsat and sentinel3.",
)
@output(text="Folder that gets one series folder a sensor.")
@command
def make(
    output: Path, size: int, seed: int, year: int, sensors: str, overwrite: bool, dry_run: bool
) -> Result:
    """Make a year of a procedural landscape: what the satellites see of it, clouds and all.

    \b
    trifuse series make -o SERIES --size 192 --seed 7
    """
    from trifuse.simulate import write_series_pair

    names = [s.strip() for s in sensors.split(",") if s.strip()]
    value = {"folder": str(output), "size": size, "seed": seed, "year": year, "sensors": names}
    if dry_run:
        return Result(f"would write {', '.join(names)} of {size}×{size} pixels to {output}", value)
    folders = write_series_pair(output, size, seed, year=year, sensors=names, overwrite=overwrite)
    counts = {name: len(list(folder.glob("*.tif"))) for name, folder in folders.items()}
    lines = [f"{name:10} {count} dates in {folders[name]}" for name, count in counts.items()]
    return Result("\n".join(lines), {**value, "dates": counts})


@series.command()
@click.option("--s2", type=PATH, help="Folder of Sentinel-2 L2A products, or of a series.")
@click.option(
    "--landsat", type=PATH, help="Folder of Landsat Collection 2 Level-2 scenes, or of a series."
)
@click.option("--s3", type=PATH, help="Folder of Sentinel-3 SY_2_SYN products, or of a series.")
@click.option("--ls2s2", type=PATH, help="An area of LS2S2, in place of both.")
@click.option(
    "--bbox",
    callback=box,
    metavar="W,S,E,N",
    help="In degrees; default: the ground that the sensors share.",
)
@click.option("--dates", callback=_span, metavar="FIRST:LAST", help="Take these dates only.")
@click.option(
    "--s2-mask",
    default="default",
    show_default=True,
    help="Classes of Sentinel-2 that are not clear.",
)
@click.option(
    "--landsat-mask",
    default="default",
    show_default=True,
    help="Flags of Landsat that are not clear.",
)
@click.option(
    "--s3-mask",
    default="default",
    show_default=True,
    help="Flags of Sentinel-3 that are not clear.",
)
@click.option(
    "--resolution",
    type=click.Choice(["10", "20", "60"]),
    help="In metres at which Sentinel-2 is opened; default: 10, or the finest there is.",
)
@click.option(
    "--min-clear",
    type=click.FloatRange(0, 1),
    default=0.25,
    show_default=True,
    help="Leave out images with a smaller share of clear pixels.",
)
@remote
@output(text="Folder that gets sentinel2/ and landsat/.")
@command
def build(
    s2: Path | None,
    landsat: Path | None,
    s3: Path | None,
    ls2s2: Path | None,
    bbox: Any,
    dates: Any,
    s2_mask: str,
    landsat_mask: str,
    s3_mask: str,
    resolution: str | None,
    min_clear: float,
    output: Path,
    remote: bool | None,
    overwrite: bool,
    dry_run: bool,
) -> Result:
    """Make series of one area from products; run it again to resume or to add new products.

    Sentinel-2 decides the grid of 10 m; Landsat is warped to cells of 30 m on it, and Sentinel-3
    to cells of 300 m. Clouds stay as they were seen, what is clear is in the mask of each file.
    Products of one date are merged.

    \b
    trifuse series build --s2 s2/ --landsat landsat/ --bbox 13.0,52.3,13.2,52.4 -o SERIES
    trifuse series build --ls2s2 31TCJ_12 -o SERIES
    """
    from trifuse.products.series.build import build_series

    done = build_series(
        output,
        sentinel2=s2,
        landsat=landsat,
        sentinel3=s3,
        ls2s2=ls2s2,
        bbox=bbox,
        first=dates[0],
        last=dates[1],
        sentinel2_mask=s2_mask,
        landsat_mask=landsat_mask,
        sentinel3_mask=s3_mask,
        resolution=None if resolution is None else int(resolution),
        min_clear=min_clear,
        remote=bool(remote),
        overwrite=overwrite,
        dry_run=dry_run,
    )
    end = "dry run: nothing was written" if dry_run else f"wrote {output}"
    return Result(f"{done.text}\n{end}", {"folder": str(output), **done.to_json()})
