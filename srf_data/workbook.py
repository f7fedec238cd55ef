"""Workbooks in which agencies publish response functions."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError
from zipfile import BadZipFile

from trifuse.core import MissingExtraError, ProductError, TrifuseError

LANDSAT_SHEETS = {
    "CoastalAerosol": "B1",
    "Blue": "B2",
    "Green": "B3",
    "Red": "B4",
    "NIR": "B5",
    "SWIR1": "B6",
    "SWIR2": "B7",
    "Pan": "B8",
    "Cirrus": "B9",
}
"""Band by the sheet that it is published on."""


def open_workbook(path: Path) -> Any:
    """The sheets of a workbook, each read when it is asked for.

    Raises:
        MissingExtraError: if openpyxl is not installed.
    """
    try:
        import openpyxl
    except ImportError:
        raise MissingExtraError(
            "openpyxl is not installed", fix="pip install 'trifuse[tables]'"
        ) from None
    return openpyxl.load_workbook(path, data_only=True, read_only=True)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what the libraries raise over a damaged file into one line that names it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="openpyxl")  # of the charts that it leaves out
        try:
            yield
        except TrifuseError:
            raise
        except (
            OSError,
            LookupError,
            ValueError,
            TypeError,
            AttributeError,
            BadZipFile,
            ParseError,
            zlib.error,
        ) as e:
            raise ProductError(f"cannot be read ({e!r})", where=path) from None
