"""One page on a fused image: what it looks like, how good it is, what it was made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from trifuse.core import (
    BandError,
    Cube,
    CubeSource,
    DataError,
    GridError,
    OverlapError,
    Reading,
    Window,
    read_json,
    refuse_existing,
    write_bytes,
    write_json,
    writes,
)
from trifuse.core.reading import OPTIONS as READING
from trifuse.flows.cells import whole_cells
from trifuse.flows.evaluate import Evaluation, evaluate
from trifuse.flows.inputs import Image, as_source
from trifuse.flows.landcover import classify as classify_patches
from trifuse.flows.match import match
from trifuse.flows.panels import require_matplotlib
from trifuse.flows.reflectance import open_reflectance
from trifuse.flows.report_figures import Figure, maps, per_band, pictures, spectra, transforms
from trifuse.flows.report_page import page_of, summary_of
from trifuse.metrics import (
    NDVI_CLASSES,
    NDVI_LIMITS,
    classify,
    inception_score,
    index_agreement,
    jaccard,
    psnr_bands,
    rmse_bands,
)
from trifuse.products import ndvi as compute_ndvi
from trifuse.products import require_plausible
from trifuse.products.write.writer import software

SIDE = 900
"""Pixels a side of the part that is shown and scored; the middle of larger images."""


@dataclass(frozen=True, slots=True)
class Report:
    """A page that was written.

    Attributes:
        path: the HTML file; a JSON file of the figures lies beside it.
        record: every figure on the page, plain JSON values.
        files: everything that was written.
    """

    path: Path
    record: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[Path, ...] = ()

    @property
    def text(self) -> str:
        """A few lines for a terminal."""
        return "\n".join([*self.record["summary"], *(f"wrote {f}" for f in self.files)])


@dataclass(frozen=True, slots=True)
class _Part:
    """The images of a report over one ground."""

    fused: Cube
    s2: Cube | None
    s3: Cube | None
    truth: Cube | None
    cover: np.ndarray | None
    legend: str
    ratio: int


def page_files(page: Path, _: Mapping[str, Any]) -> list[Path]:
    """A page and its record."""
    return [page, page.with_suffix(page.suffix + ".json")]


@writes("fused", "s2", "s3", "truth", "landcover", files=page_files)
def report(
    fused: Path | str,
    out: Path | str | None = None,
    *,
    s2: Image | None = None,
    s3: Image | None = None,
    truth: Image | None = None,
    landcover: Image | None = None,
    legend: str = "procedural",
    overwrite: bool = False,
    dry_run: bool = False,
) -> Report:
    """Write one HTML page, which refers to no other file, on a fused image.

    Composites, spectra, Fourier transforms, NDVI with its classes, the self-check, a score of how
    clear the land cover looks, and with a truth the metrics beside the baselines. Of an image
    larger than 900 pixels its middle is shown and scored; the self-check is that of the whole.

    Args:
        fused: GeoTIFF of :func:`trifuse.fuse`.
        out: the page; default: ``<fused>.html``.
        s2: the sharp input; default: what the sidecar names, if it is still there.
        s3: the coarse input; default likewise.
        truth: what the fused image should be, on its pixels or over more ground.
        landcover: map of classes, one band of integers on the same pixels, with which the NDVI
            classes of the fused image and of Sentinel-2 are compared.
        legend: of that map, a name in :data:`trifuse.metrics.LEGENDS`.
        overwrite: replace a page that exists.
        dry_run: open the inputs only.

    Raises:
        OutputExistsError: if the page exists and ``overwrite`` is False.
        MissingExtraError: if matplotlib is not installed.
        GridError, OverlapError, ProductError: if images cannot be read or do not fit.

    Source: Cristille et al. 2024, doi:10.3390/rs16163107, §5 and §6.
    """
    require_matplotlib()
    fused = Path(fused)
    out = fused.with_suffix(".html") if out is None else Path(out)
    beside = out.with_suffix(out.suffix + ".json")
    refuse_existing(out, beside, overwrite=overwrite)
    made_of = _sidecar(fused)
    s2, s3 = s2 or _named(made_of, "s2"), s3 or _named(made_of, "s3")
    part = _open(fused, s2, s3, truth, landcover, legend)
    if dry_run:
        return Report(out, {"summary": ["dry run: nothing was written"]})
    evaluation = _evaluation(part)
    found = _merged([*_looks(part), *_scored(part, evaluation)])
    summary = summary_of(fused, made_of, found.facts)
    record = {
        "kind": "report",
        "fused": fused.name,
        "facts": found.facts,
        "summary": summary,
        "selfcheck": made_of.get("selfcheck"),
        "figures": [f.title for f in found.figures],
    }
    page = page_of(fused.name, summary, evaluation, found.figures, found.facts, made_of)
    write_bytes(out, page.encode("utf-8"), overwrite=overwrite)
    write_json(beside, {"software": software(), **record}, overwrite=overwrite)
    return Report(out, record, (out, beside))


def _sidecar(fused: Path) -> Mapping[str, Any]:
    path = fused.with_name(fused.name + ".json")
    return read_json(path) if path.exists() else {}


def _named(made_of: Mapping[str, Any], which: str) -> Path | Reading | None:
    """The input that a sidecar names, if there is one and it is still there; as it was read."""
    try:
        files = made_of["inputs"][which]["files"]
        paths = [Path(f["path"]) for f in files]
        said = dict(made_of["inputs"][which].get("as_given") or {})
    except (KeyError, TypeError):
        return None
    if len(paths) != 1 or not paths[0].exists():
        return None
    known = {k: v for k, v in said.items() if k in READING}
    return Reading(paths[0], **known) if known else paths[0]


def _open(
    fused: Path,
    s2: Image | None,
    s3: Image | None,
    truth: Image | None,
    landcover: Image | None,
    legend: str,
) -> _Part:
    with ExitStack() as stack:
        source = whole_cells(stack.enter_context(as_source(fused)))
        require_plausible(source, unless=("negative",))  # a poor method's result is shown as it is
        ratio = int(source.meta.get("ratio", 1))
        window = _middle(source, ratio)
        cube = source.read(window)
        sharp = coarse = None
        if s2 is not None and s3 is not None:
            matched = stack.enter_context(match(s2, s3, like=fused))
            for image in (matched.s2, matched.s3):
                _believed(image)
            ratio = matched.pair.ratio
            sharp = _over(matched.s2, cube)
            with suppress(OverlapError):  # smaller than a cell
                coarse = matched.s3.read(cube.grid.common(matched.s3.grid)[1])
        elif s2 is not None:
            sharp = _over(_believed(stack.enter_context(open_reflectance(s2))), cube)
        true = (
            None
            if truth is None
            else _over(_believed(stack.enter_context(open_reflectance(truth))), cube)
        )
        cover = None
        if landcover is not None:
            classes = _over(stack.enter_context(as_source(landcover)), cube)
            cover = np.where(classes.valid, np.nan_to_num(classes.data[0]), 0).astype(np.int64)
        return _Part(cube, sharp, coarse, true, cover, legend, ratio)


def _believed(source: CubeSource) -> CubeSource:
    require_plausible(source)
    return source


def _middle(source: CubeSource, ratio: int) -> Window:
    """The middle of an image, in whole coarse cells."""
    spans = []
    for n in source.grid.shape:
        cells = max(1, n // ratio)
        kept = min(cells, max(1, SIDE // ratio))
        spans.append(((cells - kept) // 2 * ratio, min(kept * ratio, n)))
    return Window(spans[0][0], spans[1][0], spans[0][1], spans[1][1])


def _over(source: CubeSource, cube: Cube) -> Cube:
    """What an image shows over a cube's ground, pixel by pixel."""
    window = source.grid.locate(cube.grid)
    if window.clip(*source.grid.shape) != window:
        raise GridError(
            "does not cover the fused image",
            where=source.name,
            fix="give an image over the same ground",
        )
    return source.read(window)


@dataclass(frozen=True, slots=True)
class _Found:
    """What a look at the images gave.

    Attributes:
        figures: for the page.
        facts: plain JSON values.
        left_out: why there is nothing, if so.
    """

    figures: Sequence[Figure] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    left_out: Sequence[str] = ()


def _merged(looks: Iterable[_Found]) -> _Found:
    """All that was found, in order."""
    figures: list[Figure] = []
    facts: dict[str, Any] = {}
    for look in looks:
        figures += look.figures
        facts |= look.facts
        if look.left_out:
            facts["left_out"] = [*facts.get("left_out", []), *look.left_out]
    return _Found(figures, facts)


def _looks(part: _Part) -> Iterator[_Found]:
    """Every look at the images; one that their bands do not allow says why."""
    images = {
        "Sentinel-2": part.s2,
        "Sentinel-3": part.s3,
        "fused": part.fused,
        "truth": part.truth,
    }
    there = {name: cube for name, cube in images.items() if cube is not None}
    for look in (_composites, _spectra, _transforms, _ndvi, _clarity):
        try:
            yield look(part, there)
        except (BandError, DataError) as e:
            yield _Found(left_out=[str(e)])


def _composites(part: _Part, there: Mapping[str, Cube]) -> _Found:
    return _Found([pictures(there)])


def _spectra(part: _Part, there: Mapping[str, Cube]) -> _Found:
    places = _places(part.fused)
    facts = {"places": {name: list(at) for name, at in places.items()}}
    return _Found([spectra(places, there, part.ratio)], facts)


def _places(cube: Cube) -> dict[str, tuple[int, int]]:
    """Pixels worth a look; each is an extreme or the middle of the valid ones."""
    data = cube.masked()
    there = np.isfinite(data).all(axis=0)
    if not there.any():
        raise DataError("no pixel has all bands")
    level = np.where(there, np.nan_to_num(data).mean(axis=0), np.nan)
    picks = {
        "brightest": np.nanargmax(level),
        "darkest": np.nanargmin(level),
        "median": np.nanargmin(np.abs(level - np.nanmedian(level))),
    }
    try:
        green = np.where(there, compute_ndvi(cube).masked()[0], np.nan)
        picks = {"highest NDVI": np.nanargmax(green), "lowest NDVI": np.nanargmin(green), **picks}
    except (BandError, ValueError):
        pass
    shape = level.shape
    return {n: tuple(int(v) for v in np.unravel_index(i, shape)) for n, i in picks.items()}  # type: ignore[misc]


def _transforms(part: _Part, there: Mapping[str, Cube]) -> _Found:
    if part.s2 is None or part.s3 is None:
        return _Found()
    figure, facts = transforms(part.fused, part.s2, part.s3, part.ratio, part.truth)
    return _Found([figure], {"transforms": facts})


def _ndvi(part: _Part, there: Mapping[str, Cube]) -> _Found:
    planes = {
        name: compute_ndvi(there[name]).masked()[0]
        for name in ("fused", "Sentinel-2", "truth")
        if name in there
    }
    classes = {name: classify(plane, NDVI_LIMITS) for name, plane in planes.items()}
    valid = np.logical_and.reduce([np.isfinite(p) for p in planes.values()])
    about: dict[str, Any] = {"limits": list(NDVI_LIMITS)}
    for name in ("Sentinel-2", "truth"):
        if name in planes:
            about[f"jaccard_fused_{name}"] = jaccard(classes[name], classes["fused"], valid)
    if "truth" in planes and "Sentinel-2" in planes:
        about["jaccard_Sentinel-2_truth"] = jaccard(classes["truth"], classes["Sentinel-2"], valid)
    if part.cover is not None:
        about["landcover"] = index_agreement(planes, part.cover, part.legend, valid=valid).to_json()
    limits = ", ".join(f"{v:g}" for v in NDVI_LIMITS)
    figures = [
        maps(
            planes,
            title="NDVI",
            cmap="RdYlGn",
            limits=(-0.2, 1.0),
            unit="NDVI",
            caption="Red and near infrared as Sentinel-2's B4 and B8A see the spectrum.",
        ),
        maps(
            classes,
            title="NDVI classes",
            cmap="YlGn",
            limits=(0, len(NDVI_LIMITS)),
            unit="class",
            caption=f"{', '.join(NDVI_CLASSES)}; limits between them {limits}.",
        ),
    ]
    return _Found(figures, {"ndvi": about})


def _clarity(part: _Part, there: Mapping[str, Cube]) -> _Found:
    scores = {}
    for name in ("Sentinel-2", "fused", "truth"):
        if name in there and len(probability := classify_patches(there[name])):
            scores[name] = inception_score(probability)
    return _Found(facts={"inception_score": scores} if scores else {})


def _evaluation(part: _Part) -> Evaluation | None:
    """Scores of the shown part; the baselines are made of it alone."""
    if part.truth is None:
        return None
    both = part.s2 is not None and part.s3 is not None
    return evaluate(
        part.fused, truth=part.truth, s2=part.s2 if both else None, s3=part.s3 if both else None
    )


def _scored(part: _Part, evaluation: Evaluation | None) -> Iterator[_Found]:
    """Scores and where the errors are; nothing without a truth."""
    if part.truth is None or evaluation is None:
        return
    shared = [b for b in part.fused.bands.names if b in set(part.truth.bands.names)]
    fused, truth = part.fused.select(shared), part.truth.select(shared)
    valid = fused.valid & truth.valid
    error = np.sqrt(np.nanmean((fused.masked() - truth.masked()) ** 2, axis=0))
    top = float(np.nanpercentile(error, 98))
    scores = {n: s.to_json() for n, s in evaluation.scores.items()}
    by_band = (
        ("PSNR by band", psnr_bands, "dB", "Against the truth; more is better."),
        ("RMSE by band", rmse_bands, "reflectance", "Against the truth."),
    )
    lines = [
        per_band(
            shared,
            {"fused": measure(truth.data, fused.data, valid)},
            title=title,
            unit=unit,
            caption=caption,
        )
        for title, measure, unit, caption in by_band
    ]
    where = maps(
        {"RMS over bands": error},
        title="Where the errors are",
        cmap="magma",
        limits=(0.0, max(top, 1e-6)),
        unit="reflectance",
        caption="Root mean square over bands of fused less truth.",
    )
    yield _Found([*lines, where], {"scores": scores})
