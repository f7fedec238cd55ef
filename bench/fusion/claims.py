"""The lines that the methods are held to, on the real scenes at ratio 10, and whether they are met.

Each line is computed from the same records as the tables, and left out where some are missing.
``chain`` is the closed form, ``network`` what refines it, ``default`` what users get.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.fusion.methods import BEST
from bench.fusion.scenes import REAL
from bench.fusion.tables import Results, align

RATIO = 10
DEFAULT, CHAIN, NETWORK, PAPER = "default", "physics", "default", "fusformer-paper"
GCV = "regression@coregister=off"
"""On clean pairs there is nothing to register."""

MISTOLD = ("mtf20", "mtf45", "noise-half", "noise-double")


@dataclass(frozen=True, slots=True)
class Claim:
    """One line: values by scene (dB unless said), and what they must reach."""

    what: str
    values: dict[str, float]
    least: float | None = None
    most: float | None = None
    over: Callable[[Sequence[float]], float] = min

    @property
    def value(self) -> float:
        return float(self.over(list(self.values.values())))

    @property
    def met(self) -> bool:
        enough = self.least is None or self.value >= self.least
        return enough and (self.most is None or self.value <= self.most)


def claims(found: Results) -> list[Claim]:
    """All lines that there are records for."""

    def mean(method: str, protocol: str, scene: str, field: str = "psnr") -> float:
        draws = found.draws(scene, RATIO, protocol, method)
        return float(np.mean([getattr(r, field) for r in draws])) if draws else np.nan

    def gain(first: str, second: str, protocol: str, other: str | None = None) -> dict[str, float]:
        return {s: mean(first, protocol, s) - mean(second, other or protocol, s) for s in REAL}

    def worst(
        what: str, least: float, first: str, second: str, protocol: str, other: str | None = None
    ) -> Claim:
        values = gain(first, second, protocol, other)
        return Claim(f"{protocol}: {what}, worst scene", values, least)

    def average(what: str, least: float, first: str, second: str, protocol: str) -> Claim:
        values = gain(first, second, protocol)
        return Claim(f"{protocol}: {what}, mean", values, least, over=np.mean)

    real = "real-world"
    angle = {s: mean(DEFAULT, real, s, "sam") / mean(BEST, real, s, "sam") for s in REAL}
    narrow = f"{real}: SAM of default / that of best fixed ridge, mean"
    ridge = "best fixed ridge + co-registration"
    paper = "default − Fusformer by the paper"
    lines = [
        average("default − regression (GCV)", 0.5, DEFAULT, GCV, "clean"),
        average(f"default − {ridge}", 8.5, DEFAULT, BEST, real),
        Claim(narrow, angle, most=0.6, over=np.mean),
        worst("chain − regression (GCV)", -0.3, CHAIN, GCV, "clean"),
        worst(f"chain − {ridge}", 7.0, CHAIN, BEST, real),
        worst("network − chain", 0.0, NETWORK, CHAIN, "clean"),
        worst("network − chain", 0.5, NETWORK, CHAIN, real),
        average("network − chain", 1.0, NETWORK, CHAIN, real),
        worst(paper, 15.0, DEFAULT, PAPER, "clean"),
        worst(paper, 8.0, DEFAULT, PAPER, real),
        *(worst(f"default − default in {real}", -1.5, DEFAULT, DEFAULT, p, real) for p in MISTOLD),
        worst("default − default in clean", -0.3, DEFAULT, DEFAULT, "sharp-as-blurred", "clean"),
    ]
    return [c for c in lines if np.isfinite(list(c.values.values())).all()]


def format_claims(found: Results) -> str:
    """The lines as a table; empty if there are records for none."""
    lines = [
        [
            c.what,
            *(f"{c.values[s]:+.2f}" for s in REAL),
            f"{c.value:+.2f}",
            f"≥ {c.least:g}" if c.least is not None else f"≤ {c.most:g}",
            "met" if c.met else "MISSED",
        ]
        for c in claims(found)
    ]
    return align([["ratio 10, real scenes", *REAL, "counts", "asked", ""], *lines]) if lines else ""
