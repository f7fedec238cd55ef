"""The commands by name: ours, each a module of this room, and those that installed packages add.

Another package adds one by an entry point of the group ``trifuse.commands``::

    [project.entry-points."trifuse.commands"]
    hello = "acme.trifuse_commands:hello"

which names a :class:`click.Command`; :func:`trifuse.cli.options.command` gives it the options that
all have in common. Nothing is imported before it is used, and what cannot be imported is warned
of and left out.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

import click

GROUP = "trifuse.commands"
"""Group of entry points by which packages add commands."""

COMMANDS = {
    "demo": "Run the whole flow on embedded scenes.",
    "evaluate": "Score a fused image (the default), or a network on series.",
    "experiment": "Repeat an experiment of Cristille et al.",
    "fidelity": "Is what EnMAP says Sentinel would see what Sentinel saw?",
    "fuse": "Fuse a whole scene, tile by tile, and check it.",
    "inspect": "Say what a product is: bands, grid, calibration, valid share.",
    "interpolate": "Predict cloud-free images at 10 m of any date.",
    "ndvi": "Write the NDVI of an image, or of every date of a series.",
    "report": "Write one page on a fused image, or on a training run.",
    "scene": "Make a procedural landscape, as an EnMAP-like delivery.",
    "series": "Dated images of an area, one folder a sensor, on nested grids.",
    "sharpen": "Bring all bands of a Sentinel-2 product to 10 m.",
    "simulate": "Make triplets (HrMSI, LrHSI, HrHSI) of EnMAP cubes.",
    "srf": "Spectral response functions: list, show, check a table.",
    "store": "Look at stores of triplets, check and merge them.",
    "train": "Train a network; a run that was stopped goes on where it was.",
    "verify": "Say whether a product, store, series or run is whole.",
    "views": "Make a Sentinel-2 and a Sentinel-3 image of a real EnMAP cube.",
}
"""Our commands, each in the module of its name, with its line in ``trifuse -h``."""


class Commands(MutableMapping[str, click.Command]):
    """Commands that are imported when they are first asked for.

    A command of ours is never replaced by another package's; of two packages that add the same
    name, the first by the alphabet is taken.
    """

    def __init__(self) -> None:
        self._loaded: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**COMMANDS, **self.added, **self._loaded})

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @cached_property
    def added(self) -> dict[str, EntryPoint]:
        """Name → entry point of what installed packages add."""
        found: dict[str, EntryPoint] = {}
        for point in sorted(entry_points(group=GROUP), key=distribution):
            if point.name in COMMANDS or point.name in found:
                _warn(point, "has the name of another command")
            else:
                found[point.name] = point
        return found

    def _load(self, name: str) -> click.Command:
        if name in COMMANDS:
            command: click.Command = getattr(import_module(f"trifuse.cli.{name}"), name)
            command.short_help = COMMANDS[name]
            return command
        point = self.added[name]
        try:
            added = point.load()
        except (Exception, SystemExit) as e:  # another package must not take this one down
            self._leave_out(name, f"cannot be imported: {type(e).__name__}: {e}")
        else:
            if isinstance(added, click.Command):
                return added
            self._leave_out(name, f"is no click.Command but {type(added).__name__}")
        raise KeyError(name)

    def _leave_out(self, name: str, why: str) -> None:
        _warn(self.added.pop(name), why)


def distribution(point: EntryPoint) -> str:
    """Name of the distribution that an entry point is of."""
    return point.dist.name if point.dist is not None else "an unknown distribution"


def _warn(point: EntryPoint, why: str) -> None:
    who = f"command {point.name} of {distribution(point)}"
    text = " ".join(f"{who} {why}; update or uninstall {distribution(point)}".split())
    click.echo(f"Warning: {text}", err=True)


class CommandGroup(click.Group):
    """A group whose help needs no command of ours imported."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List our commands, then those that other packages add."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
        others = [name for name in self.list_commands(ctx) if name not in COMMANDS]
        room = formatter.width - 6 - max(map(len, others), default=0)
        rows = []
        for name in others:
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                rows.append((name, command.get_short_help_str(room)))
        if rows:
            with formatter.section("Commands of other packages"):
                formatter.write_dl(rows)
