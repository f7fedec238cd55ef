"""What a product is, and of a stack of Sentinel-2 how its bands were sampled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trifuse.core import CubeSource, TrifuseError, canonical_name
from trifuse.core.sampling import WORDS
from trifuse.products import inspect_product, inspect_source, is_series, open_cube

_COARSE = frozenset(("B5", "B6", "B7", "B8A", "B11", "B12", "B9"))
"""Bands by which Sentinel-2 is told from sensors that number theirs likewise."""


def inspect(path: Path | str | Sequence[Path | str], **options: Any) -> dict[str, Any]:
    """See :func:`trifuse.products.inspect_product`.

    Of an image of Sentinel-2's bands that somebody has laid onto its pixels, ``sampling`` tells
    what a few blocks show: ``found`` as :meth:`SceneSampling.to_json` has it, ``told`` by band the
    native sampling of the metadata in metres where they tell, and ``lines`` in words.

    Args:
        path: as of :func:`trifuse.products.open_cube`, or a folder with a series.
        options: as of :func:`trifuse.products.open_cube`.

    Raises:
        ProductError: if it cannot be read.
    """
    if isinstance(path, (str, Path)) and is_series(path):
        return inspect_product(path, **options)
    with open_cube(path, **options) as source:
        facts = inspect_source(source)
        if _is_stack(source):
            facts["sampling"] = sampling_facts(source)
        return facts


def _is_stack(source: CubeSource) -> bool:
    """Whether it holds Sentinel-2's bands, and its reader has not laid them itself."""
    sensor = str(source.meta.get("sensor") or "S2")
    names = {canonical_name(n) for n in source.bands.names}
    reader = source.sampling.known and not WORDS.keys() & source.meta.keys()
    return (
        sensor.startswith("S2") and not reader and {"B2", "B4"} <= names and bool(names & _COARSE)
    )


def sampling_facts(source: CubeSource) -> dict[str, Any]:
    """How the bands of an open stack were sampled, by its pixels and by its metadata."""
    # Here, because few products are stacks.
    from trifuse.restore.agreed import told_otherwise
    from trifuse.restore.scene_sampling import scene_sampling

    names = source.bands.names
    told = dict(zip(names, source.sampling.values("gsd"), strict=True))
    told = {n: float(gsd) for n, gsd in told.items() if gsd is not None}
    try:
        found = scene_sampling(source, look=True, blocks=1)
    except TrifuseError as e:
        return {"found": [], "told": told, "lines": [str(e)]}
    lines = [*found.lines]
    if found.sharpness is None and not lines:
        lines.append("no band came from coarser samples, none is blurred beside the others")
    if told:
        lines += told_otherwise(source, found)
    return {**found.to_json(names), "told": told, "lines": lines}
