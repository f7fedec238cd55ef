"""An option that takes fusion methods, and lists them in its help."""

from __future__ import annotations

import click


class MethodOption(click.Option):
    """Its help ends with the names of the methods.

    They are looked up when help is asked for: the registry lies in a room that imports torch,
    which no command should wait for that does not compute.
    """

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """The option and its help, with the names."""
        from trifuse.fusion import METHODS

        record = super().get_help_record(ctx)
        return None if record is None else (record[0], f"{record[1]}  [{', '.join(METHODS)}]")
