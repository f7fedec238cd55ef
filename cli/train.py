"""trifuse train: networks on stores, images and series. Which there are, their registry says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trifuse.cli.options import PATH, Result, command, output, plain

if TYPE_CHECKING:
    from trifuse.train import FitResult
    from trifuse.train.networks import Trainable


class Networks(click.Group):
    """One command for each network; the registry is imported when one is asked for."""

    @property
    def commands(self) -> MutableMapping[str, click.Command]:
        """Name → the command that trains it."""
        from trifuse.train.networks import NETWORKS

        on = {"store": on_store, "series": on_series, "images": on_images}
        return {name: click.command(name)(on[n.data](n)) for name, n in NETWORKS.items()}

    @commands.setter
    def commands(self, _: MutableMapping[str, click.Command]) -> None:
        """Nothing: the registry alone says which there are."""


@click.group(cls=Networks)
def train() -> None:
    """Train a network; a run that was stopped goes on where it was."""


def run_options(
    text: str = "Folder of the run.",
) -> Callable[[Callable[..., Result]], Callable[..., None]]:
    """Options of every training run."""

    def add(function: Callable[..., Result]) -> Callable[..., None]:
        done = command(function)
        for option in (
            click.option(
                "--resume/--no-resume",
                default=True,
                show_default=True,
                help="Go on with the run in the folder.",
            ),
            click.option(
                "--set",
                "overrides",
                multiple=True,
                metavar="KEY=VALUE",
                help="Set one key, e.g. --set optim.lr=1e-4; repeatable.",
            ),
            click.option(
                "--config", type=PATH, help="YAML file; missing keys keep their defaults."
            ),
            output(text=text),
        ):
            done = option(done)
        return done

    return add


def on_store(network: Trainable) -> Callable[..., None]:
    """The command of a network that fuses."""

    @click.argument("store", type=PATH)
    @run_options()
    def fusing(
        store: Path,
        output: Path,
        config: Path | None,
        overrides: tuple[str, ...],
        resume: bool,
        overwrite: bool,
        dry_run: bool,
    ) -> Result:
        """Train a Sentinel-2 and Sentinel-3 fusion network on the triplets of STORE.

        Validation scores are printed beside bicubic and the per-scene regression. Several GPUs:
        torchrun --nproc-per-node N -m trifuse.cli train fusformer …

        \b
        trifuse train fusformer store -o run --set optim.steps=2000 --set model.mixer=dwconv
        """
        from trifuse.train.fusion import train_fusion

        settings = network.load_settings(config, overrides)
        if dry_run:
            from trifuse.simulate import TripletStore

            return planned(f"{len(TripletStore.open(store))} triplets", settings)
        done = train_fusion(settings, store, output, resume=resume, overwrite=overwrite)
        return finished(done, network.table(done.metrics) if done.metrics else "")

    return fusing


def on_series(network: Trainable) -> Callable[..., None]:
    """The command of a network that sees series."""

    @click.argument("series", nargs=-1, required=True, type=PATH)
    @click.option("--val", multiple=True, type=PATH, help="Series to validate on; repeatable.")
    @run_options()
    def seeing(
        series: tuple[Path, ...],
        output: Path,
        val: tuple[Path, ...],
        config: Path | None,
        overrides: tuple[str, ...],
        resume: bool,
        overwrite: bool,
        dry_run: bool,
    ) -> Result:
        """Train a TAMRF network on SERIES, folders of `trifuse series build` or areas of LS2S2.

        Validation hides dates of the series given by --val and prints the network beside the
        nearest date, linear interpolation and the fine image plus what the coarse sensor saw
        change.

        \b
        trifuse train tamrf areas/*/ --val test/a --val test/b -o run --set optim.steps=20000
        """
        from trifuse.train.temporal import train_tamrf
        from trifuse.train.temporal_data import SeriesScene

        settings = network.load_settings(config, overrides)
        scenes, held_out = ([SeriesScene.open(p) for p in paths] for paths in (series, val))
        if dry_run:
            return planned(f"{len(scenes)} series, {len(held_out)} to validate on", settings)
        done = train_tamrf(settings, scenes, held_out, output, resume=resume, overwrite=overwrite)
        return finished(done, network.table(done.metrics))

    return seeing


def on_images(network: Trainable) -> Callable[..., None]:
    """The command of a network that refines restored bands."""

    @click.argument("images", nargs=-1, type=PATH)
    @click.option(
        "--jobs",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="Processes that make the scenes.",
    )
    @run_options("Folder of the run; the scenes lie in it, too.")
    def refining(
        images: tuple[Path, ...],
        output: Path,
        config: Path | None,
        overrides: tuple[str, ...],
        jobs: int,
        resume: bool,
        overwrite: bool,
        dry_run: bool,
    ) -> Result:
        """Train the network that refines restored Sentinel-2 bands, on scenes made for it.

        IMAGES are real ones to take scenes from too: reflectance in bands named as Sentinel-2's,
        all equally sharp, such as a scene averaged to 60 m. No Sentinel-3 is needed.

        \b
        trifuse train refiner -o run --config bench/refiner.yaml
        """
        from trifuse.products import open_cube
        from trifuse.train.refining import train_refiner

        settings = network.load_settings(config, overrides)
        real = [open_cube(p) for p in images]
        if dry_run:
            return planned(f"{len(real)} real images", settings)
        done = train_refiner(settings, output, real, jobs=jobs, resume=resume, overwrite=overwrite)
        return finished(done, network.table(done.metrics))

    return refining


def planned(data: str, settings: Any) -> Result:
    """What would be trained, and on what."""
    import yaml

    from trifuse.train import to_mapping

    values: Mapping[str, Any] = to_mapping(settings)
    return Result(f"{data}\n{yaml.safe_dump(values, sort_keys=False)}", plain(values))


def finished(done: FitResult, table: str) -> Result:
    """How a run ended."""
    lines = [f"{done.stopped} after {done.step} updates, best at {done.best_step}", table]
    value = {
        "stopped": done.stopped,
        "step": done.step,
        "best_step": done.best_step,
        "metrics": dict(done.metrics),
        "weights": done.weights,
    }
    return Result("\n".join([*filter(None, lines), f"wrote {done.weights}"]), plain(value))
