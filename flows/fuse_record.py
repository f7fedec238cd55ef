"""What is said of a fusion: in the sidecar, in the image's metadata, and on a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from trifuse.core import PSF, BandSet, CubeSource, Grid
from trifuse.flows.adapt import Adaptation
from trifuse.flows.coregister import registration_text
from trifuse.flows.inputs import Image, provenance
from trifuse.flows.match import Match, other_instrument
from trifuse.fusion import Consistency, Method, SelfCheck
from trifuse.products import Doubt
from trifuse.srf_data import load, names


@dataclass(frozen=True, slots=True)
class PairRecord:
    """How two images go together.

    Attributes:
        facts: overlap, ratio, time apart, hidden ground, warnings; plain JSON values.
        summary: the same in words.
        instrument: warnings of bands that are not those the network was made for.
    """

    facts: Mapping[str, Any]
    summary: str
    instrument: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """One line, and one for each warning."""
        return "\n".join([self.summary, *(f"warning: {w}" for w in self.instrument)])

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**self.facts, "instrument": list(self.instrument)}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a fusion.

    Attributes:
        selfcheck: agreement with the Sentinel-3 input.
        timings: seconds of each step and of all.
        consistency: agreement before and after the projection, if there was one.
        about: what the method found of the scene, in plain JSON values.
    """

    selfcheck: SelfCheck
    timings: Mapping[str, float]
    consistency: Consistency
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """A few lines, from the projection to the time it took."""
        lines = [selfcheck_text(self.selfcheck), f"took {self.timings['total']:.1f} s"]
        exact = self.consistency
        if exact.mode == "exact":
            before, after = exact.rmse_before, exact.rmse_after
            done = f"projected onto Sentinel-3: RMSE {before:.5f} before, {after:.1e} after"
            lines.insert(0, done)
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "selfcheck": self.selfcheck.to_json(),
            "timings": dict(self.timings),
            "consistency": self.consistency.to_json(),
            "about": dict(self.about),
        }


@dataclass(frozen=True, slots=True)
class FusionRecord:
    """What is said of a fusion, planned or done.

    Attributes:
        method: its name.
        settings: its options that are plain values.
        model: card of its network with the digest of the weights; None if it has none.
        grid: of the result.
        cell_origin: (row, column) of the result at which its first coarse cell starts.
        bands: of the result.
        ratio: sharp pixels per coarse cell.
        mtf: modulation transfer of the coarse sensor at its Nyquist frequency, as it was told.
        psf: of the coarse cells: the one fused with; in a plan, as far as it is known.
        pair: how the images go together.
        uncertainty: whether standard deviations are made.
        s2: the sharp input, see :func:`input_record`.
        s3: the coarse input.
        registration: what was done about a shift; plain JSON values.
        adaptation: of the network to the scene; None if none was asked for.
        outcome: None in a plan.
    """

    method: str
    settings: Mapping[str, Any]
    model: Mapping[str, Any] | None
    grid: Grid
    cell_origin: tuple[int, int]
    bands: BandSet
    ratio: int
    mtf: float
    psf: PSF
    pair: PairRecord
    uncertainty: bool
    s2: Mapping[str, Any]
    s3: Mapping[str, Any]
    registration: Mapping[str, Any] = field(default_factory=lambda: {"mode": "not run"})
    adaptation: Adaptation | None = None
    outcome: Outcome | None = None

    @property
    def text(self) -> str:
        """A few lines for a terminal."""
        lines = [
            f"{self.method}: {self.grid.height}×{self.grid.width} pixels, {len(self.bands)} bands, "
            f"ratio {self.ratio}",
            self.pair.text,
            registration_text(self.registration),
        ]
        if self.outcome is not None:
            lines += restoration_text(self.outcome.about.get("restoration"))
        if self.adaptation is not None:
            lines.append(self.adaptation.text)
        ends = "dry run: nothing was written" if self.outcome is None else self.outcome.text
        return "\n".join([*lines, ends])

    def to_json(self) -> dict[str, Any]:
        """Plain values, as the sidecar has them."""
        return {
            "kind": "fused",
            "method": self.method,
            "ratio": self.ratio,
            "mtf_at_nyquist": self.mtf,
            "psf_sigma_cells": self.psf.sigma,
            "pair": self.pair.to_json(),
            "uncertainty": self.uncertainty,
            "settings": dict(self.settings),
            "height": self.grid.height,
            "width": self.grid.width,
            "cell_origin": list(self.cell_origin),
            "crs": self.grid.crs,
            "bands": self.bands.to_json(),
            "inputs": {"s2": dict(self.s2), "s3": dict(self.s3)},
            "model": None if self.model is None else dict(self.model),
            "registration": dict(self.registration),
            **({} if self.adaptation is None else {"adaptation": self.adaptation.to_json()}),
            **({} if self.outcome is None else self.outcome.to_json()),
        }

    def image_meta(self, s2: CubeSource, s3: CubeSource) -> dict[str, Any]:
        """What the fused image says of itself, in plain JSON values.

        Args:
            s2: the sharp image that was fused.
            s3: the coarse one.
        """
        when = s2.meta.get("start_time")
        return {
            "method": self.method,
            "ratio": self.ratio,
            "cell_origin": list(self.cell_origin),
            "s2": s2.name,
            "s3": s3.name,
            "registration": dict(self.registration),
            "psf_sigma_cells": self.psf.sigma,
            **({"start_time": when} if when else {}),
        }


def settings_record(method: Method) -> dict[str, Any]:
    """Options of a method that are plain values."""
    if not is_dataclass(method):
        return {}
    values = ((f.name, getattr(method, f.name)) for f in fields(method) if f.init)
    return {k: v for k, v in values if isinstance(v, str | int | float | None)}


def restoration_text(about: Mapping[str, Any] | None) -> list[str]:
    """What was done to Sentinel-2's bands, in a line or a few."""
    if about is None:
        return []
    if about["restored"]:
        coarse = [n for n, facts in about["bands"].items() if facts["ratio"] > 1]
        blur = {(f["ratio"], f"{f['mtf']:.2f}") for f in about["bands"].values() if f["ratio"] > 1}
        mtf = ", ".join(f"{m} of samples of {r} pixels" for r, m in sorted(blur))
        done = f"restored to the pixels: {', '.join(coarse)}; MTF {mtf}"
    else:
        done = "Sentinel-2 as it is, not restored"
    lines = about.get("sampling", {}).get("lines", ())
    return [done, *lines, *(f"warning: {w}" for w in about.get("warnings", ()))]


def selfcheck_text(check: SelfCheck) -> str:
    """The self-check in one line."""
    ssim = "" if math.isnan(check.ssim) else f", SSIM {check.ssim:.4f}"
    return (
        f"seen by Sentinel-3 again: RMSE {check.rmse:.5f}, Euclidean {check.euclidean:.5f}, "
        f"cosine {check.cosine:.6f}{ssim} over {check.cells} of {check.of} cells"
    )


def instrument_warnings(matched: Match, method: Method) -> tuple[str, ...]:
    """Warnings of bands that are not those the network was made for."""
    if method.card is None:
        return ()
    expected = (
        ("Sentinel-2", matched.s2, method.card.hr_bands),
        ("Sentinel-3", matched.s3, method.card.lr_bands),
    )
    texts = (
        other_instrument(source.bands, bands, f"{image}: the network expects")
        for image, source, bands in expected
    )
    return tuple(text for text in texts if text)


def input_record(
    image: Image, source: CubeSource, doubts: Sequence[Doubt], *, content: bool
) -> dict[str, Any]:
    """What a record says of an input.

    Args:
        image: as it was given.
        source: the same, opened.
        doubts: what its pixels say against what is stated.
        content: whether its files are read for their digests, see
            :func:`trifuse.flows.inputs.provenance`.
    """
    sensor = str(source.meta.get("sensor", ""))
    facts = {k: source.meta.get(k) for k in ("start_time", "baseline", "calibration", "mask")}
    return {
        **provenance(image, content=content),
        "product": source.name,
        "sensor": sensor or None,
        "srf_issue": load(sensor).issue if sensor in names() else None,
        **{k: v for k, v in facts.items() if v is not None},
        "doubts": [doubt.to_json() for doubt in doubts],
    }
