"""NDVI maps of anything that opens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from trifuse.core import Cube, refuse_existing
from trifuse.inputs import Image, as_source, provenance
from trifuse.products import define_ndvi, write_ndvi, write_sidecar
from trifuse.products import ndvi as compute_ndvi


@dataclass(frozen=True, slots=True)
class Mapped:
    """An NDVI map.

    Attributes:
        path: the GeoTIFF; None if it was kept in memory.
        cube: the map, one band; None if it was written.
        record: definition, rules, shares and mean.
        files: everything that was written.
    """

    path: Path | None
    cube: Cube | None
    record: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[Path, ...] = ()

    @property
    def text(self) -> str:
        """A few lines for a terminal."""
        r = self.record
        lines = [f"NDVI ({r['definition']}): {r.get('formula', '')}".rstrip(": ")]
        if r.get("mean") is not None:
            lines.append(f"mean {r['mean']:.3f} over {100 * r['valid_share']:.1f} % of the pixels")
        return "\n".join([*lines, *(f"wrote {f}" for f in self.files)])


def ndvi(
    image: Image,
    out: Path | str | None = None,
    *,
    definition: Literal["s2", "paper", "bands"] = "s2",
    dtype: Literal["float32", "int16"] = "float32",
    overwrite: bool = False,
    dry_run: bool = False,
    **options: Any,
) -> Mapped:
    """NDVI of an image.

    Args:
        image: path, source or cube with the bands of the definition.
        out: GeoTIFF to write (cloud-optimised, with a sidecar); None keeps the map in memory.
        definition: ``s2`` (default): red and near infrared as Sentinel-2's B4 and B8A see the
            spectrum; ``paper``: means of Oa17, S3, Oa18 and of S2, Oa08, Oa09; ``bands``: single
            bands by wavelength (``red_nm``, ``nir_nm``).
        dtype: of the file: ``float32`` with NaN, or ``int16`` in counts of 1e-4.
        overwrite: replace an output that exists.
        dry_run: check the input only.
        options: as of :func:`trifuse.products.define_ndvi`.

    Raises:
        BandError: if the bands do not allow the definition.
        OutputExistsError: if the output exists and ``overwrite`` is False.
        ProductError: if the image cannot be read.
    """
    path = None if out is None else Path(out)
    with as_source(image) as source:
        if path is None:
            cube = compute_ndvi(source.read(), definition, **options)
            return Mapped(None, cube, dict(cube.meta["ndvi"]) | {"definition": definition})
        refuse_existing(path, overwrite=overwrite)
        if dry_run:
            how = define_ndvi(source.bands, definition, **options)
            return Mapped(path, None, how.to_json() | {"definition": definition})
        record = write_ndvi(source, path, definition=definition, dtype=dtype, overwrite=overwrite,
                            **options)  # fmt: skip
    record |= {"kind": "ndvi", "definition": definition, "input": provenance(image)}
    return Mapped(path, None, record, (path, write_sidecar(path, record)))
