"""Options that take methods, and list them in their help."""

from __future__ import annotations

from collections.abc import Iterable

import click


class MethodOption(click.Option):
    """Its help ends with the names of the methods.

    They are looked up when help is asked for: the registry lies in a room that imports torch,
    which no command should wait for that does not compute.
    """

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """The option and its help, with the names."""
        record = super().get_help_record(ctx)
        return None if record is None else (record[0], f"{record[1]}  [{', '.join(self.known())}]")

    def known(self) -> Iterable[str]:
        """Names of the methods."""
        from trifuse.fusion import METHODS

        return METHODS


class SeriesMethodOption(MethodOption):
    """The same for methods that predict from series."""

    def known(self) -> Iterable[str]:
        """Names of the methods."""
        from trifuse.temporal import SERIES_METHODS

        return SERIES_METHODS
