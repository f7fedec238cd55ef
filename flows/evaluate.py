"""How good is a fused cube: against a truth, or against the Sentinel-3 image it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trifuse.core import PSF, BandError, Cube, CubeSource, DataError, DegradeAccumulator, Window
from trifuse.core.resample import NO_SHIFT
from trifuse.flows.fuse import selfcheck_text
from trifuse.flows.inputs import Image, as_source
from trifuse.fusion import SelfCheck, fuse_cube, get_method
from trifuse.fusion.selfcheck import MIN_SHARE, compare
from trifuse.metrics import Scores, format_bands, format_table, score

BASELINES = ("bicubic", "regression")
"""What stands beside an evaluated image unless other methods are named."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of a fused cube.

    Attributes:
        scores: method → scores against the truth; empty without a truth.
        selfcheck: agreement with the Sentinel-3 image; None without one.
        record: both as plain JSON values.
    """

    scores: Mapping[str, Scores]
    selfcheck: SelfCheck | None
    record: Mapping[str, Any] = field(default_factory=dict)

    def table(self, *, per_band: bool = False) -> str:
        """Aligned text for a terminal."""
        parts = []
        if self.scores:
            parts.append(format_table(self.scores))
        if self.scores and per_band:
            parts.append(format_bands(self.scores))
        if self.selfcheck is not None:
            parts.append(selfcheck_text(self.selfcheck))
        return "\n\n".join(parts)


def evaluate(
    fused: Image | None = None,
    *,
    truth: Image | None = None,
    s2: Image | None = None,
    s3: Image | None = None,
    mtf: float = 0.3,
    margin: int = 0,
    baselines: Sequence[str] | None = None,
    extra: Mapping[str, Cube] | None = None,
) -> Evaluation:
    """Score a fused cube.

    With a truth, image quality against it; with ``s2`` and ``s3`` also of the baselines: bicubic
    and the per-scene regression with residual correction, which any method must beat, or those
    that are named. With ``s3``, the paper's self-check: the cube degraded to Sentinel-3's cells
    against what Sentinel-3 saw.

    Args:
        fused: the cube to judge; None prints the baselines alone.
        truth: HrHSI on the same pixels (it may cover more ground).
        s2: the sharp input, for the baselines.
        s3: the coarse input, for the baselines and the self-check.
        mtf: modulation transfer of the coarse sensor at its Nyquist frequency, for a fused cube
            that does not tell what it was made with.
        margin: pixels left out at each edge of the image.
        baselines: methods without weights, by the names of :data:`trifuse.fusion.METHODS`;
            default: :data:`BASELINES`, where the inputs for them are given.
        extra: further cubes to put into the table, by name.

    Raises:
        DataError: if there is nothing to compare with, or baselines are named without the
            images that they need.
        GridError: if the images do not lie on one grid.
        BandError: if they share no bands.
        ConfigError: if a baseline is no known method.
    """
    if baselines is not None and (truth is None or s2 is None or s3 is None):
        raise DataError("baselines without their images", fix="give a truth, S2 and S3")
    methods = [get_method(n) for n in dict.fromkeys(BASELINES if baselines is None else baselines)]
    if truth is None and (s3 is None or fused is None):
        raise DataError("nothing to compare with", fix="give a truth, or a fused cube and its S3")
    psf, shift = PSF.from_mtf(mtf), NO_SHIFT
    if fused is not None:
        with as_source(fused) as source:
            psf, shift = _seen_by(source, psf)
    cubes: dict[str, Cube] = {}
    ratio = 1.0
    if truth is not None and s2 is not None and s3 is not None:
        with as_source(s2) as sharp, as_source(s3) as coarse:
            for method in methods:
                cubes[method.name], result = fuse_cube(
                    sharp, coarse, method=method, psf=psf, shift=shift
                )
                ratio = float(result.ratio)
    cubes |= dict(extra or {})
    check = None
    if fused is not None:
        with as_source(fused) as source:
            name = str(source.meta.get("method", "fused"))
            ratio = float(source.meta.get("ratio", ratio))
            cubes[name if name not in cubes else "fused"] = source.read()
            if s3 is not None:
                with as_source(s3) as coarse:
                    check, ratio = _selfcheck(source.read(), coarse, psf, shift)
    scores = {}
    if truth is not None:
        with as_source(truth) as reference:
            scores = {n: _score(c, reference, ratio, margin) for n, c in cubes.items()}
    record = {
        "scores": {n: s.to_json() for n, s in scores.items()},
        "selfcheck": None if check is None else check.to_json(),
        "ratio": ratio,
        "margin": margin,
    }
    return Evaluation(scores, check, record)


def _score(cube: Cube, reference: CubeSource, ratio: float, margin: int) -> Scores:
    shared = [b for b in cube.bands.names if b in set(reference.bands.names)]
    if not shared:
        raise BandError(
            f"the truth has none of the bands {', '.join(cube.bands.names)}", where=reference.name
        )
    window = reference.grid.locate(cube.grid)
    inside = window.clip(*reference.grid.shape)
    if inside != window:
        raise DataError("the truth does not cover the cube", where=reference.name)
    true = reference.read(window, shared)
    part = cube.select(shared)
    valid = true.valid & part.valid
    if margin:
        edge = np.zeros_like(valid)
        edge[margin:-margin, margin:-margin] = True
        valid = valid & edge
    if not valid.any():
        raise DataError("no valid pixel to compare", where=reference.name)
    return score(true.data, part.data, valid, ratio=ratio, bands=part.bands)


def _seen_by(fused: CubeSource, psf: PSF) -> tuple[PSF, tuple[float, float]]:
    """PSF and shift of the coarse cells that a fused image was made with, as far as it tells."""
    width = fused.meta.get("psf_sigma_cells")
    registration = fused.meta.get("registration")
    moved = registration.get("shift_pixels") if isinstance(registration, Mapping) else None
    shift = (float(moved[0]), float(moved[1])) if moved else NO_SHIFT
    return (PSF(float(width)) if width is not None else psf), shift


def _selfcheck(
    cube: Cube, coarse: CubeSource, psf: PSF, shift: tuple[float, float]
) -> tuple[SelfCheck, float]:
    fine, cells, ratio = cube.grid.common(coarse.grid)
    names = [b for b in cube.bands.names if b in set(coarse.bands.names)]
    if not names:
        raise BandError("S3 has none of the cube's bands", where=coarse.name)
    seen = DegradeAccumulator(len(names), fine.height, fine.width, ratio, psf, shift=shift)
    seen.add(Window(0, 0, *fine.shape), cube.crop(fine).select(names).masked())
    return compare(coarse.read(cells, names).masked(), seen.result(MIN_SHARE)), float(ratio)
