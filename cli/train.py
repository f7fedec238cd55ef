"""trifuse train: networks on stores and series."""

from __future__ import annotations

from pathlib import Path

import click

from trifuse.cli.options import PATH, Result, command, output, plain


@click.group()
def train() -> None:
    """Train a network; a run that was stopped goes on where it was."""


@train.command()
@click.argument("store", type=PATH)
@output(text="Folder of the run.")
@click.option("--config", type=PATH, help="YAML file; missing keys keep their defaults.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set one key, e.g. --set optim.lr=1e-4; repeatable.",
)
@click.option(
    "--resume/--no-resume",
    default=True,
    show_default=True,
    help="Go on with the run in the folder.",
)
@command
def fusformer(
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
    from trifuse.train import TrainConfig, load_config, score_table, to_mapping, train_fusion

    settings = load_config(TrainConfig, config, overrides)
    if dry_run:
        import yaml

        from trifuse.simulate import TripletStore

        with_store = TripletStore.open(store)
        text = yaml.safe_dump(to_mapping(settings), sort_keys=False)
        return Result(f"{len(with_store)} triplets\n{text}", plain(to_mapping(settings)))
    done = train_fusion(settings, store, output, resume=resume, overwrite=overwrite)
    lines = [f"{done.stopped} after {done.step} updates, best at {done.best_step}"]
    if done.metrics:
        lines.append(score_table(done.metrics))
    if done.weights is not None:
        lines.append(f"wrote {done.weights}")
    value = {
        "stopped": done.stopped,
        "step": done.step,
        "best_step": done.best_step,
        "metrics": dict(done.metrics),
        "weights": done.weights,
    }
    return Result("\n".join(lines), plain(value))


@train.command()
@click.argument("series", nargs=-1, required=True, type=PATH)
@output(text="Folder of the run.")
@click.option("--val", multiple=True, type=PATH, help="Series to validate on; repeatable.")
@click.option("--config", type=PATH, help="YAML file; missing keys keep their defaults.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set one key, e.g. --set optim.lr=1e-4; repeatable.",
)
@click.option(
    "--resume/--no-resume",
    default=True,
    show_default=True,
    help="Go on with the run in the folder.",
)
@command
def tamrf(
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

    Validation hides dates of the series given by --val and prints the network beside the nearest
    date, linear interpolation and the fine image plus what the coarse sensor saw change.

    \b
    trifuse train tamrf areas/*/ --val test/a --val test/b -o run --set optim.steps=20000
    """
    from trifuse.train import load_config, to_mapping
    from trifuse.train.temporal import TamrfTrainConfig, temporal_table, train_tamrf
    from trifuse.train.temporal_data import SeriesScene

    settings = load_config(TamrfTrainConfig, config, overrides)
    scenes, held_out = ([SeriesScene.open(p) for p in paths] for paths in (series, val))
    if dry_run:
        import yaml

        text = yaml.safe_dump(to_mapping(settings), sort_keys=False)
        return Result(
            f"{len(scenes)} series, {len(held_out)} to validate on\n{text}",
            plain(to_mapping(settings)),
        )
    done = train_tamrf(settings, scenes, held_out, output, resume=resume, overwrite=overwrite)
    lines = [
        f"{done.stopped} after {done.step} updates, best at {done.best_step}",
        temporal_table(done.metrics),
    ]
    if done.weights is not None:
        lines.append(f"wrote {done.weights}")
    value = {
        "stopped": done.stopped,
        "step": done.step,
        "best_step": done.best_step,
        "metrics": dict(done.metrics),
        "weights": done.weights,
    }
    return Result("\n".join(lines), plain(value))


@train.command()
@click.argument("images", nargs=-1, type=PATH)
@output(text="Folder of the run; the scenes lie in it, too.")
@click.option("--config", type=PATH, help="YAML file; missing keys keep their defaults.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set one key, e.g. --set optim.steps=20000; repeatable.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Processes that make the scenes.",
)
@click.option(
    "--resume/--no-resume",
    default=True,
    show_default=True,
    help="Go on with the run in the folder.",
)
@command
def refiner(
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

    IMAGES are real ones to take scenes from too: reflectance in bands named as Sentinel-2's, all
    equally sharp, such as a scene averaged to 60 m. No Sentinel-3 is needed.

    \b
    trifuse train refiner -o run --config bench/refiner.yaml
    """
    from trifuse.products import open_cube
    from trifuse.train import load_config, to_mapping
    from trifuse.train.refining import RefinerTrainConfig, refiner_table, train_refiner

    settings = load_config(RefinerTrainConfig, config, overrides)
    real = [open_cube(p) for p in images]
    if dry_run:
        import yaml

        text = yaml.safe_dump(to_mapping(settings), sort_keys=False)
        return Result(f"{len(real)} real images\n{text}", plain(to_mapping(settings)))
    done = train_refiner(settings, output, real, jobs=jobs, resume=resume, overwrite=overwrite)
    lines = [
        f"{done.stopped} after {done.step} updates, best at {done.best_step}",
        refiner_table(done.metrics),
        f"wrote {done.weights}",
    ]
    value = {
        "stopped": done.stopped,
        "step": done.step,
        "best_step": done.best_step,
        "metrics": dict(done.metrics),
        "weights": done.weights,
    }
    return Result("\n".join(lines), plain(value))
