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

    angle = {
        s: mean(DEFAULT, "real-world", s, "sam") / mean(BEST, "real-world", s, "sam") for s in REAL
    }
    average = np.mean
    lines = [
        Claim(
            "clean: default − regression (GCV), mean",
            gain(DEFAULT, GCV, "clean"),
            0.5,
            over=average,
        ),
        Claim(
            "real-world: default − best fixed ridge + co-registration, mean",
            gain(DEFAULT, BEST, "real-world"),
            8.5,
            over=average,
        ),
        Claim(
            "real-world: SAM of default / that of best fixed ridge, mean",
            angle,
            most=0.6,
            over=average,
        ),
        Claim("clean: chain − regression (GCV), worst scene", gain(CHAIN, GCV, "clean"), -0.3),
        Claim(
            "real-world: chain − best fixed ridge + co-registration, worst scene",
            gain(CHAIN, BEST, "real-world"),
            7.0,
        ),
        Claim("clean: network − chain, worst scene", gain(NETWORK, CHAIN, "clean"), 0.0),
        Claim("real-world: network − chain, worst scene", gain(NETWORK, CHAIN, "real-world"), 0.5),
        Claim(
            "real-world: network − chain, mean",
            gain(NETWORK, CHAIN, "real-world"),
            1.0,
            over=average,
        ),
        Claim(
            "clean: default − Fusformer by the paper, worst scene",
            gain(DEFAULT, PAPER, "clean"),
            15.0,
        ),
        Claim(
            "real-world: default − Fusformer by the paper, worst scene",
            gain(DEFAULT, PAPER, "real-world"),
            8.0,
        ),
        *(
            Claim(
                f"{p}: default − default in real-world, worst scene",
                gain(DEFAULT, DEFAULT, p, "real-world"),
                -1.5,
            )
            for p in MISTOLD
        ),
        Claim(
            "sharp-as-blurred: default − default in clean, worst scene",
            gain(DEFAULT, DEFAULT, "sharp-as-blurred", "clean"),
            -0.3,
        ),
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
