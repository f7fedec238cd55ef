"""trifuse demo: the whole flow on embedded scenes."""

from __future__ import annotations

from pathlib import Path

import click

from trifuse.cli.options import Result, command, output, plain


@click.command()
@output(text="Folder to write.")
@click.option(
    "--size",
    type=click.IntRange(120),
    default=240,
    show_default=True,
    help="Edge of the scenes in pixels of 30 m.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed, another place.")
@click.option(
    "--steps",
    type=click.IntRange(1),
    default=200,
    show_default=True,
    help="Updates of the network.",
)
@command
def demo(output: Path, size: int, seed: int, steps: int, overwrite: bool, dry_run: bool) -> Result:
    """Run the whole flow: scenes, triplets, training, fusion, metrics, NDVI and a picture.

    \b
    trifuse demo -o demo
    """
    from trifuse.flows.demo import run_demo

    if dry_run:
        return Result(
            f"would make scenes of {size}×{size} pixels, train {steps} updates and fuse "
            f"in {output}",
            {"output": str(output), "size": size, "seed": seed, "steps": steps},
        )
    done = run_demo(output, size=size, seed=seed, steps=steps, overwrite=overwrite)
    return Result(done.text, plain(dict(done.record)))
