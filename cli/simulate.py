"""trifuse simulate: EnMAP cubes to a store of triplets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from trifuse.cli.options import PATH, Result, command, output, plain, workers
from trifuse.cli.reading import reading
from trifuse.core import Reading


def _bands(_: click.Context, __: click.Parameter, value: str) -> Any:
    return value if value in ("auto", "all") else tuple(b.strip() for b in value.split(","))


def _split(_: click.Context, __: click.Parameter, value: str) -> tuple[float, ...]:
    try:
        return tuple(float(v) for v in value.split(","))
    except ValueError:
        raise click.BadParameter("give three shares, e.g. 0.8,0.1,0.1") from None


def _one_scene(tiles: tuple[Any, ...]) -> Reading:
    """Files that are the tiles of one scene, with what is said of them all."""
    first = tiles[0]
    if isinstance(first, Reading):
        return replace(first, image=[tile.image for tile in tiles])
    return Reading(list(tiles))


@click.command()
@click.argument("enmap", nargs=-1, required=True, type=PATH)
@output(text="Folder of the store.")
@click.option("--s2", default="S2A_MSI", show_default=True, help="Response table of HrMSI.")
@click.option("--s3", default="S3A_SYN", show_default=True, help="Response table of LrHSI.")
@click.option(
    "--ratio",
    type=click.IntRange(2),
    default=10,
    show_default=True,
    help="Fine pixels per coarse cell.",
)
@click.option(
    "--mtf",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.3,
    show_default=True,
    help="Modulation transfer at Nyquist.",
)
@click.option(
    "--fwhm",
    type=click.FloatRange(0, min_open=True),
    help="Width of the PSF in coarse cells, in place of --mtf.",
)
@click.option(
    "--patch",
    type=click.IntRange(2),
    default=150,
    show_default=True,
    help="Edge of a triplet in fine pixels.",
)
@click.option("--stride", type=click.IntRange(1), help="Step between triplets; default: --patch.")
@click.option("--count", type=click.IntRange(1), help="Triplets per scene at most.")
@click.option(
    "--min-valid",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.95,
    show_default=True,
    help="Valid share that a triplet must have.",
)
@click.option(
    "--split",
    callback=_split,
    default="0.8,0.1,0.1",
    show_default=True,
    help="Shares of scenes for training, validation, test; those of one ground stay together.",
)
@click.option(
    "--bands", callback=_bands, default="auto", show_default=True, help="auto, all, or names."
)
@click.option(
    "--overlap",
    type=click.Choice(["vnir", "swir", "all"]),
    default="vnir",
    show_default=True,
    help="EnMAP detector that counts in the overlap.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "-t", "--dtype", type=click.Choice(["int16", "float32"]), default="int16", show_default=True
)
@workers
@click.option("--tiles", is_flag=True, help="The files given are the tiles of one scene.")
@command
@reading("enmap")
def simulate(
    enmap: tuple[Any, ...],
    output: Path,
    tiles: bool,
    jobs: int,
    scheduler: str | None,
    overwrite: bool,
    dry_run: bool,
    **options: Any,
) -> Result:
    """Make triplets (HrMSI, LrHSI, HrHSI) of EnMAP cubes or CAVE images; run it again to resume.

    \b
    trifuse simulate ENMAP01-….ZIP ENMAP01-….tar.gz -o store
    trifuse simulate tiles/*.tif --tiles --patch 60 -o store
    trifuse simulate CAVE/*_ms --ratio 15 -o cave_store   # extended by splines, not physical
    """
    from trifuse.simulate import SimulateConfig, plan_store, simulate_store

    config = SimulateConfig(**options)
    scenes: Any = [_one_scene(enmap)] if tiles else list(enmap)
    if dry_run:
        plan = plan_store(scenes, config)
        lines = [
            f"{u.id}: {plan.splits[u.id]}, at most {plan.candidates[u.id]} triplets"
            for u in plan.units
        ]
        lines += plan.remarks
        lines.append(f"HrMSI {' '.join(plan.hr_bands.names)}")
        lines.append(f"LrHSI {' '.join(plan.lr_bands.names)}")
        return Result("\n".join(lines), plain(plan.to_json()))
    store = simulate_store(
        scenes, output, config, overwrite=overwrite, jobs=jobs, scheduler=scheduler
    )
    counts = {split: len(store.ids(split)) for split in ("train", "val", "test")}
    text = (
        f"{len(store)} triplets of {config.patch}×{config.patch} pixels "
        f"({', '.join(f'{n} {k}' for k, n in counts.items())})\n"
        f"HrMSI {' '.join(store.hr_bands.names)}\nLrHSI {' '.join(store.lr_bands.names)}\n"
        f"wrote {output}"
    )
    return Result(
        text,
        {
            "store": str(output),
            "hash": store.hash,
            "triplets": counts,
            "hr_bands": store.hr_bands.to_json(),
            "lr_bands": store.lr_bands.to_json(),
        },
    )
