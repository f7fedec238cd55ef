"""What a reader is to the rest: the value by which each product folder hands its own on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trifuse.core import ConfigError, CubeSource, MetadataError


class OtherSensorError(MetadataError):
    """A product of a kind that is read, of a satellite or instrument that is not.

    Folders are searched on past such products.
    """


def _itself(path: Path) -> list[Path]:
    return [path]


@dataclass(frozen=True, slots=True)
class Reader:
    """How deliveries of one kind are told from others and opened.

    Attributes:
        kind: its name, unlike that of any other reader; :func:`trifuse.products.detect` gives it.
        detects: whether a path that exists is a delivery of this kind. Judged by content (names of
            files, first bytes) and quickly, for every reader before it is asked as well; never
            raises. A damaged delivery is one too: ``open`` says what is wrong with it.
        open: opens the one image at a path, with ``options`` by keyword.
        options: names of the keyword arguments of ``open`` that
            :func:`trifuse.products.open_cube` hands on. One named ``grid`` makes the reader one of
            swaths, see :attr:`swath`.
        scenes: opens every scene at a path as a source of spectra, given the path and the mask of
            :class:`trifuse.simulate.SimulateConfig`, for deliveries that may hold several or that
            need options for that. Default: the one that ``open`` opens.
        files: the files of an image that may be several; ``open`` gets the list if it is longer
            than one. Default: the path itself.
    """

    kind: str
    detects: Callable[[Path], bool]
    open: Callable[..., CubeSource]
    options: tuple[str, ...] = ()
    scenes: Callable[[Path, str], Sequence[CubeSource]] | None = None
    files: Callable[[Path], Sequence[Path]] = _itself

    @property
    def swath(self) -> bool:
        """Whether its images lie on no grid of their own and are brought onto the one given."""
        return "grid" in self.options

    def taken(self, options: Mapping[str, Any], where: str) -> dict[str, Any]:
        """The options that are given, which must all be known; None counts as not given.

        Args:
            options: by name.
            where: what is to be opened, for messages.

        Raises:
            ConfigError: if one does not apply.
        """
        given = {k: v for k, v in options.items() if v is not None}
        if wrong := sorted(set(given) - set(self.options)):
            raise ConfigError(
                f"{', '.join(wrong)} does not apply to {self.kind}",
                where=where,
                fix=f"give {', '.join(sorted(self.options))}",
            )
        return given
