"""trifuse scene: a procedural scene as an EnMAP-like delivery."""

from __future__ import annotations

from pathlib import Path

import click

from trifuse.cli.options import Result, command, output


@click.command()
@output(text="Folder to write.")
@click.option(
    "--size",
    type=click.IntRange(20),
    default=300,
    show_default=True,
    help="Edge in pixels of 30 m.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed, another place.")
@click.option(
    "--ratio",
    type=click.IntRange(2),
    default=10,
    show_default=True,
    help="Fine pixels per Sentinel-3 cell.",
)
@click.option("--clouds", is_flag=True, help="With clouds and their shadows.")
@command
def scene(
    output: Path, size: int, seed: int, ratio: int, clouds: bool, overwrite: bool, dry_run: bool
) -> Result:
    """Make a procedural landscape: an EnMAP-like L2A delivery with its S2 and S3 views.

    \b
    trifuse scene -o scene --size 300 --seed 7
    trifuse inspect scene/ENMAP01-*
    """
    from trifuse.simulate import write_scene

    if dry_run:
        return Result(
            f"would write a scene of {size}×{size} pixels to {output}",
            {"output": str(output), "size": size, "seed": seed, "ratio": ratio, "clouds": clouds},
        )
    paths = write_scene(
        output, size=size, seed=seed, ratio=ratio, clouds=clouds, overwrite=overwrite
    )
    files = {"enmap": paths.enmap, "s2": paths.s2, "s3": paths.s3, "truth": paths.truth}
    lines = [f"{name:6} {path}" for name, path in files.items()]
    return Result("\n".join(lines), {name: str(path) for name, path in files.items()})
