"""What is written beside a product: a quicklook, a STAC Item, and the sidecar with its record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trifuse.products.files.geotiff import open_geotiff
from trifuse.products.write.quicklook import write_quicklook
from trifuse.products.write.stac import write_stac_item
from trifuse.products.write.writer import write_sidecar


def write_companions(
    path: Path, record: Mapping[str, Any], *, quicklook: bool = True, also: Sequence[Path] = ()
) -> list[Path]:
    """Write what belongs beside a GeoTIFF; the sidecar, last of all, marks it as complete.

    Args:
        path: the GeoTIFF.
        record: plain JSON values for the sidecar.
        quicklook: whether to write ``<path>.png``.
        also: what else was written with it, to be recorded in the sidecar.

    Returns:
        The files written.
    """
    picture = path.with_suffix(".png") if quicklook else None
    with open_geotiff(path) as source:
        if picture is not None:
            write_quicklook(picture, source, overwrite=True)
        item = write_stac_item(path, source, record, quicklook=picture)
    files = [f for f in (picture, item) if f is not None]
    return [*files, write_sidecar(path, record, [*also, *files])]
