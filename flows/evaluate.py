"""How good is a fused cube: against a truth, or against the Sentinel-3 image it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trifuse.core import PSF, BandError, Cube, CubeSource, DataError, DegradeAccumulator, Window
from trifuse.core.resample import NO_SHIFT
from trifuse.flows.cells import cell_psf, open_on_cells, whole_cells
from trifuse.flows.fuse_record import selfcheck_text
from trifuse.flows.inputs import Image, as_source
from trifuse.fusion import Method, SelfCheck, fuse_cube, get_method
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
        s3: the coarse input, for the baselines and the self-check; a .SEN3 product is brought
            onto the cells that :func:`trifuse.flows.fuse.fuse` saw.
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
    with ExitStack() as opened:
        images = _open(opened, fused, truth, s2, s3)
        psf, shift = _seen_through(images, mtf)
        cubes, ratio = _baselines(images, methods, psf, shift)
        cubes |= dict(extra or {})
        check = None
        if images.fused is not None:
            name = str(images.fused.meta.get("method", "fused"))
            ratio = float(images.fused.meta.get("ratio", ratio))
            cube = cubes[name if name not in cubes else "fused"] = images.fused.read()
            if images.s3 is not None:
                check, ratio = _selfcheck(cube, images.s3, psf, shift)
        scores = {}
        if images.truth is not None:
            scores = {n: _score(c, images.truth, ratio, margin) for n, c in cubes.items()}
    record = {
        "scores": {n: s.to_json() for n, s in scores.items()},
        "selfcheck": None if check is None else check.to_json(),
        "ratio": ratio,
        "margin": margin,
    }
    return Evaluation(scores, check, record)


@dataclass(frozen=True, slots=True)
class _Images:
    """What an evaluation looks at, opened; S3 on the cells that the fusion saw."""

    fused: CubeSource | None
    truth: CubeSource | None
    s2: CubeSource | None
    s3: CubeSource | None


def _open(
    opened: ExitStack, fused: Image | None, truth: Image | None, s2: Image | None, s3: Image | None
) -> _Images:
    def source(image: Image | None) -> CubeSource | None:
        return None if image is None else opened.enter_context(as_source(image))

    made, true = source(fused), source(truth)
    sharp = source(s2) if truth is not None and s3 is not None else None
    # A fused image starts at a corner of the cells it was made from, its S2 may start elsewhere.
    fine = sharp if made is None else whole_cells(made)
    coarse = None
    if s3 is not None and fine is not None:
        coarse = opened.enter_context(open_on_cells(s3, fine))
    return _Images(made, true, sharp, coarse)


def _baselines(
    images: _Images, methods: Sequence[Method], psf: PSF, shift: tuple[float, float]
) -> tuple[dict[str, Cube], float]:
    """Cubes of simpler methods, and their ratio; none and 1 without a truth and both inputs."""
    cubes, ratio = {}, 1.0
    if images.truth is not None and images.s2 is not None and images.s3 is not None:
        for method in methods:
            cubes[method.name], result = fuse_cube(
                images.s2, images.s3, method=method, psf=psf, shift=shift
            )
            ratio = float(result.ratio)
    return cubes, ratio


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


def _seen_through(images: _Images, mtf: float) -> tuple[PSF, tuple[float, float]]:
    """PSF and shift of the coarse cells: what the fused image tells, else what is nominal."""
    about: Mapping[str, Any] = {} if images.fused is None else images.fused.meta
    registration = about.get("registration")
    moved = registration.get("shift_pixels") if isinstance(registration, Mapping) else None
    shift = (float(moved[0]), float(moved[1])) if moved else NO_SHIFT
    if (width := about.get("psf_sigma_cells")) is not None:
        return PSF(float(width)), shift
    return (PSF.from_mtf(mtf) if images.s3 is None else cell_psf(images.s3, mtf)), shift


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
