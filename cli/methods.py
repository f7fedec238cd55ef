"""Options that take a name of a registry, and list what it has in their help."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

import click


class _NameOption(click.Option):
    """Its help ends with the names of a registry.

    They are looked up when help is asked for: registries lie in rooms that import torch, which no
    command should wait for that does not compute.
    """

    @abstractmethod
    def names(self) -> Iterable[str]:
        """Of the registry."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """The option and its help, with the names."""
        record = super().get_help_record(ctx)
        return None if record is None else (record[0], f"{record[1]}  [{', '.join(self.names())}]")


class MethodOption(_NameOption):
    """Takes a fusion method."""

    def names(self) -> Iterable[str]:
        """See :data:`trifuse.fusion.METHODS`."""
        from trifuse.fusion import METHODS

        return METHODS


class SeriesMethodOption(_NameOption):
    """Takes a method that predicts from series."""

    def names(self) -> Iterable[str]:
        """See :data:`trifuse.temporal.SERIES_METHODS`."""
        from trifuse.temporal import SERIES_METHODS

        return SERIES_METHODS


class SharpenerOption(_NameOption):
    """Takes a way to sharpen."""

    def names(self) -> Iterable[str]:
        """See :data:`trifuse.restore.SHARPENERS`."""
        from trifuse.restore import SHARPENERS

        return SHARPENERS
