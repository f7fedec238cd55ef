"""Errors that a user can act on, each with the exit code of the command line.

Every message is one line: *where: what; what to do*. Classes also inherit the built-in that a
caller would expect, so ``except OSError`` and ``except ValueError`` keep working.
"""

from os import PathLike


class TrifuseError(Exception):
    """Base of all errors that TriFuse raises on purpose.

    Args:
        what: what is wrong, with the values that show it.
        where: the file, band, window or key in question.
        fix: what the user can do about it.
    """

    exit_code = 1

    def __init__(
        self, what: str, *, where: str | PathLike[str] | None = None, fix: str | None = None
    ) -> None:
        self.what, self.where, self.fix = what, where, fix
        message = what if where is None else f"{where}: {what}"
        super().__init__(" ".join((message if fix is None else f"{message}; {fix}").split()))

    def __reduce__(self) -> tuple:
        """Rebuild with keywords, so that worker processes can hand errors back."""
        return _rebuild, (type(self), self.what, self.where, self.fix)


def _rebuild(kind: type[TrifuseError], what: str, where: str | None, fix: str | None) -> Exception:
    return kind(what, where=where, fix=fix)


class ProductError(TrifuseError, OSError):
    """A file cannot be read (missing, truncated, corrupt, of an unknown kind) or written."""

    exit_code = 3

    def __str__(self) -> str:
        """One line, whatever OSError makes of its arguments."""
        return str(self.args[0])


class PartialError(TrifuseError, RuntimeError):
    """The work ended, but some of its units failed."""

    exit_code = 4


class OutputExistsError(TrifuseError, FileExistsError):
    """An output is in the way and ``--overwrite`` was not given."""

    exit_code = 5

    def __str__(self) -> str:
        """One line, whatever OSError makes of its arguments."""
        return str(self.args[0])


class WeightsError(TrifuseError, ValueError):
    """Weights are unreadable, or were made for other bands or another network."""

    exit_code = 6


class MetadataError(TrifuseError, ValueError):
    """A product opens, but its metadata lacks or contradicts what is needed."""

    exit_code = 7


class GridError(TrifuseError, ValueError):
    """Two grids do not fit: another CRS, not nested, not an integer ratio."""

    exit_code = 8


class OverlapError(GridError):
    """Two images share no ground."""

    exit_code = 9


class BandError(TrifuseError, ValueError):
    """A band is missing, unknown, or cannot be made from what is there."""

    exit_code = 10


class StoreError(TrifuseError, ValueError):
    """A triplet store or a manifest is incomplete, damaged or of another configuration."""

    exit_code = 11


class ConfigError(TrifuseError, ValueError):
    """A configuration has an unknown key or a value out of range."""

    exit_code = 12


class DataError(TrifuseError, ValueError):
    """The pixels do not allow the computation: shapes that disagree, nothing valid."""

    exit_code = 13


class MissingExtraError(TrifuseError, ImportError):
    """An optional package is needed and not installed."""

    exit_code = 14


class BusyError(TrifuseError, OSError):
    """Another process is writing the same output."""

    exit_code = 15

    def __str__(self) -> str:
        """One line, whatever OSError makes of its arguments."""
        return str(self.args[0])


class ResourceError(TrifuseError, MemoryError):
    """The machine does not give what the work needs: memory, open files, processes."""

    exit_code = 16


class IntegrityError(TrifuseError, ValueError):
    """What is on disk is not what was written: files are missing, cut short or changed."""

    exit_code = 17


EXIT_CODES: dict[int, str] = {
    0: "done",
    1: "unexpected error (a bug: run again with -vv and report it)",
    2: "wrong usage of the command line",
    **{
        kind.exit_code: (kind.__doc__ or "").splitlines()[0]
        for kind in (
            ProductError,
            PartialError,
            OutputExistsError,
            WeightsError,
            MetadataError,
            GridError,
            OverlapError,
            BandError,
            StoreError,
            ConfigError,
            DataError,
            MissingExtraError,
            BusyError,
            ResourceError,
            IntegrityError,
        )
    },
    130: "interrupted by the user",
    143: "ended by the system (SIGTERM)",
}
"""Meaning of each exit code, for the README and ``trifuse --help``."""
