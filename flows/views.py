"""A spectral cube as Sentinel-2 and Sentinel-3 would see it, as GeoTIFFs that can be fused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from trifuse.core import PSF, ConfigError, Cube, refuse_existing, writes
from trifuse.flows.inputs import Image, as_source, provenance
from trifuse.products import require_plausible, write_cube
from trifuse.products.write.writer import write_sidecar
from trifuse.simulate import PROTOCOLS, observe, scene_views
from trifuse.simulate.views import Bands
from trifuse.srf_data import Overlap

NAMES = ("S2_HrMSI.tif", "S3_LrHSI.tif", "truth_HrHSI.tif")
"""Of the sharp image, the coarse one, and what fusing the two should return."""


@dataclass(frozen=True, slots=True)
class Views:
    """Both views of a scene, and the truth.

    Attributes:
        s2: (l, y, x) as Sentinel-2 would see it, on the pixels of the scene.
        s3: (L, y // ratio, x // ratio) as Sentinel-3 would.
        truth: (L, y, x) what fusing the two should return.
        record: inputs, tables, and the errors drawn; plain JSON values.
        files: that were written, in the same order; empty if none were.
    """

    s2: Cube
    s3: Cube
    truth: Cube
    record: Mapping[str, Any]
    files: tuple[Path, ...] = ()

    @property
    def text(self) -> str:
        """A few lines for a terminal."""
        lines = [
            f"{what}: {len(c.bands)} bands, {c.grid.height}×{c.grid.width} pixels"
            for what, c in (("HrMSI", self.s2), ("LrHSI", self.s3), ("truth", self.truth))
        ]
        lines.append(errors_text(self.record))
        return "\n".join([*lines, *(f"wrote {f}" for f in self.files)])


@writes("enmap", folder=True)
def write_views(
    enmap: Image,
    out: Path | str | None = None,
    *,
    ratio: int = 10,
    errors: str = "clean",
    seed: int = 0,
    mtf: float = 0.3,
    s2: str = "S2A_MSI",
    s3: str = "S3A_SYN",
    bands: Bands = "auto",
    overlap: Overlap = "vnir",
    dtype: Literal["int16", "float32"] = "int16",
    overwrite: bool = False,
) -> Views:
    """Make a pair of images and their truth of a spectral cube, to try fusion on one's own scene.

    Args:
        enmap: reflectance with enough bands: an EnMAP L2A delivery, or any other that
            :func:`trifuse.open_cube` reads.
        out: folder for ``S2_HrMSI.tif``, ``S3_LrHSI.tif`` and ``truth_HrHSI.tif`` with a sidecar
            each; None keeps them in memory.
        ratio: pixels of the scene per Sentinel-3 cell.
        errors: of the sensors, by the name of a protocol of :data:`trifuse.simulate.PROTOCOLS`:
            ``clean``, or ``real-world`` with blurred 20 m and 60 m bands, calibration, noise, a
            displaced Sentinel-3 and another PSF than is told.
        seed: another seed is another draw of the errors.
        mtf: modulation transfer of Sentinel-3 at its Nyquist frequency.
        s2: response table of the sharp sensor.
        s3: response table of the sensor with many bands.
        bands: see :func:`trifuse.simulate.scene_views`.
        overlap: which of EnMAP's detectors counts where two overlap.
        dtype: of the files: ``int16`` in counts of 1e-4, or ``float32``.
        overwrite: replace files that exist.

    Raises:
        ConfigError: if there are no errors of that name.
        OutputExistsError: if one of the files exists and ``overwrite`` is False, or is an input.
        BusyError: if another process is writing there.
        BandError: if the cube does not cover a response.
        GridError: if it is smaller than a cell.
        MetadataError: if its values cannot be reflectance.
        ProductError: if it cannot be read.

    Source: Cristille et al. 2024, doi:10.3390/rs16163107 (the views).
    """
    if errors not in PROTOCOLS:
        raise ConfigError(f"no errors {errors!r}", fix=f"give one of {', '.join(PROTOCOLS)}")
    paths = () if out is None else tuple(Path(out) / name for name in NAMES)
    refuse_existing(*paths, overwrite=overwrite)
    psf = PSF.from_mtf(mtf)
    with as_source(enmap) as source:
        doubts = require_plausible(source)
        sharp, _, truth = scene_views(
            source, ratio=ratio, psf=psf, s2=s2, s3=s3, bands=bands, overlap=overlap
        )
    seen = observe(sharp, truth, ratio, PROTOCOLS[errors], seed, psf=psf)
    drawn = seen.drawn
    record = {
        "kind": "views",
        "input": provenance(enmap),
        "s2": s2,
        "s3": s3,
        "ratio": ratio,
        "mtf_at_nyquist": mtf,
        "errors": errors,
        "seed": seed,
        "drawn": {
            "gain": dict(zip(sharp.bands.names, map(float, drawn.gain), strict=True)),
            "offset": dict(zip(sharp.bands.names, map(float, drawn.offset), strict=True)),
            "shift_pixels": list(map(float, drawn.shift)),
            "psf_width": float(drawn.width),
        },
        "doubts": [doubt.to_json() for doubt in doubts],
    }
    cubes = (seen.hrmsi, seen.lrhsi, seen.truth)
    for path, cube in zip(paths, cubes, strict=bool(paths)):
        write_cube(path, cube, dtype=dtype, overwrite=overwrite)
        about = {**record, "view": path.stem, "bands": cube.bands.to_json()}
        write_sidecar(path, about)
    return Views(*cubes, record, paths)


def errors_text(record: Mapping[str, Any]) -> str:
    """The errors of a pair in one line."""
    if record["errors"] == "clean":
        return "errors: none"
    drawn = record["drawn"]
    rows, cols = drawn["shift_pixels"]
    worst = max(abs(g - 1) for g in drawn["gain"].values())
    return (
        f"errors: {record['errors']}, seed {record['seed']}: Sentinel-3 displaced by {rows:.2f} "
        f"rows and {cols:.2f} columns, its PSF {drawn['psf_width']:.3f} times as wide as told, "
        f"gains of Sentinel-2 within {100 * worst:.1f} %"
    )
