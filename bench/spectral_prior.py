"""The spectra of small scenes that the prior of spectral maps is learnt from, with their card.

    python bench/spectral_prior.py --output fusion/spectral/shipped/spectral_prior.safetensors

Each scene is procedural, of 96 pixels of 10, 20 or 30 m: as little as a scene to fuse may be, and
so with as few kinds of ground. Its spectra are without the errors of any sensor. Of each the mean
and the covariance are kept, along directions that all scenes share. Seeds 1000 and up; no measured
scene is among them. ``--figures`` is a JSON file of what fusion was found to gain, for the card.

The prior is judged on scenes of seeds 900 and up: few cells with noise tell each scene's map, and
what it leaves of the scene's spectra is compared with what a prior leaves that starts from the
universal map and is as wide in all directions.

Takes two minutes on one core.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from spectral_moments import WAVELENGTHS, spectra

from trifuse.core import BandSet
from trifuse.core.card import software
from trifuse.fusion.spectral.empirical_bayes import fit_bayes
from trifuse.fusion.spectral.spectral_prior import (
    CELLS,
    LACKS,
    NOISE,
    STEPS,
    SceneSpectra,
    SpectralPrior,
    spectral_prior,
    write_spectra,
)
from trifuse.fusion.spectral.universal import sensor_responses, universal_map
from trifuse.srf_data import S2_L2A, S3_SYN_19

SIZE, GSDS = 96, (10.0, 20.0, 30.0)
FIRST, JUDGED = 1000, range(900, 920)
JUDGED_CELLS, JUDGED_NOISE = 50, 0.002

LIMITS = (
    "Surface reflectance 0–1 of land and inland water without clouds; sensors between 400 and "
    "2500 nm.",
    "Learnt from models of materials alone: ground that none of them is like is told by its own "
    "cells, or not at all; its strangeness says so.",
    "A start for scenes of few or noisy coarse cells. Where a scene has many thousands, they say "
    "the same without it.",
    "Not for water-leaving reflectance, snow grain size or other maps of single materials: it is "
    "the map of whole scenes.",
)
GOOD_FOR = (
    "The spectral map from any bands of Sentinel-2 to Sentinel-3's SYN bands, or between two other "
    "sensors whose responses are known, in scenes of one coarse cell and up.",
)


def gathered(scenes: int, count: int, directions: int, rank: int) -> tuple[SceneSpectra, float]:
    """Spectra of scenes along shared directions, and the root mean square of what that loses."""
    drawn = [spectra(FIRST + i, count, SIZE, GSDS[i % len(GSDS)]) for i in range(scenes)]
    means = np.array([s.mean(axis=0) for s in drawn])
    spread = np.array([np.cov(s.T, bias=True) for s in drawn])
    whole = spread.mean(axis=0) + means.T @ means / scenes
    basis = np.linalg.eigh(whole)[1][:, -directions:]
    values, vectors = np.linalg.eigh(basis.T @ spread @ basis)
    factor = vectors[..., -rank:] * np.sqrt(values[:, None, -rank:].clip(0))
    lost = np.trace(spread, axis1=1, axis2=2).mean() - np.square(factor).sum() / scenes
    table = SceneSpectra(WAVELENGTHS, basis, means @ basis, factor)
    return table, float(np.sqrt(max(lost, 0) / len(WAVELENGTHS)))


def judged(table: SceneSpectra) -> dict[str, Any]:
    """What the prior leaves of scenes it was not learnt from, beside one as wide everywhere."""
    hr, lr = BandSet.of(S2_L2A), BandSet.of(S3_SYN_19)
    to_s2, to_s3 = sensor_responses(hr, lr, None, None, WAVELENGTHS)
    universal = universal_map(hr, lr)
    before = np.column_stack([universal.matrix, universal.offset])
    wide = SpectralPrior(before, np.zeros((*before.shape, before.shape[1])), universal.error)
    left = []
    for number, seed in enumerate(JUDGED):
        plain = spectra(seed, 2000, SIZE, GSDS[number % len(GSDS)])
        x, y = to_s2 @ plain.T, to_s3 @ plain.T
        rng = np.random.default_rng(seed)
        mixed = rng.integers(0, len(plain), (JUDGED_CELLS, 4))  # half the contrast of pixels
        cells, seen = x[:, mixed].mean(axis=2), y[:, mixed].mean(axis=2)
        seen = seen + JUDGED_NOISE * rng.standard_normal(seen.shape)
        fits = [
            fit_bayes(cells, seen, np.ones(JUDGED_CELLS), prior)
            for prior in (wide, spectral_prior(hr, lr, spectra=table))
        ]
        left.append([((f.spectral.apply(x) - y) ** 2).mean(axis=1) for f in fits])
    before, after = np.moveaxis(left, 1, 0)
    gain = 10 * np.log10(before / after)
    return {
        "scenes": f"procedural {JUDGED[0]} to {JUDGED[-1]}, {JUDGED_CELLS} cells, "
        f"noise {JUDGED_NOISE}",
        "left_if_wide_everywhere": round(float(np.sqrt(before.mean())), 5),
        "left": round(float(np.sqrt(after.mean())), 5),
        "gain_db": round(float(gain.mean()), 2),
        "worst_scene_db": round(float(gain.mean(axis=1).min()), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=120)
    parser.add_argument("--spectra", type=int, default=2000, help="from each scene")
    parser.add_argument("--directions", type=int, default=48, help="that all scenes share")
    parser.add_argument("--rank", type=int, default=24, help="of a scene's covariance")
    parser.add_argument("--figures", type=Path, help="JSON of what fusion gains, for the card")
    options = parser.parse_args()

    table, lost = gathered(options.scenes, options.spectra, options.directions, options.rank)
    metrics = {"held_out": judged(table)}
    if options.figures:
        metrics["fusion"] = json.loads(options.figures.read_text(encoding="utf-8"))
    card = {
        "trained_on": {
            "scenes": f"procedural, seeds {FIRST} to {FIRST + options.scenes - 1}, without clouds",
            "pixels": SIZE,
            "gsd_m": list(GSDS),
            "spectra_per_scene": options.spectra,
            "nm": [float(WAVELENGTHS[0]), float(WAVELENGTHS[-1])],
            "directions": options.directions,
            "rank": options.rank,
            "lost_by_rank": float(f"{lost:.2g}"),
        },
        "learning": {
            "lacks_nm": [list(lack) for lack in LACKS],
            "noise": NOISE,
            "cells": CELLS,
            "steps": STEPS,
        },
        "good_for": list(GOOD_FOR),
        "limits": list(LIMITS),
        "metrics": metrics,
        "software": software(),
    }
    write_spectra(options.output, table, card, overwrite=True)
    print(json.dumps({"lost_by_rank": lost, **metrics}))


if __name__ == "__main__":
    main()
