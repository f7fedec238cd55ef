"""The mean and covariance of spectra that the universal spectral map rests on.

    python bench/spectral_moments.py --output fusion/spectral/moments.npz

Spectra of the ground are drawn from procedural scenes, whose materials follow physical models at
any wavelength, without the errors of any sensor: all kinds of country, seeds 1000 and up, which
serve for training alone. To them come mixtures of two, with shares that favour one of them
(Beta(½, ½)), and of each the brightness varies by ×0.5–1.5. No measured scene is among them.

Takes three minutes on one core.
"""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from trifuse.core import atomic_path
from trifuse.fusion.spectral.universal import Moments, universal_map
from trifuse.simulate.ground.light import build_light
from trifuse.simulate.ground.procedural import mix
from trifuse.simulate.ground.spectra import SpectralLibrary
from trifuse.simulate.ground.surface import surface_at
from trifuse.simulate.ground.world import build_world
from trifuse.srf_data import S2_L2A, S3_SYN, load

WAVELENGTHS = np.r_[380:1000:5, 1000:2511:10].astype(float)
"""Near enough to each other for the narrowest band of SY_2_SYN, in nm."""

SIZE, GSD, ROWS = 300, 30.0, 40
QUANTILE = 0.999
"""Share of the training spectra that are not called strange."""


def spectra(seed: int, count: int, size: int = SIZE, gsd: float = GSD) -> np.ndarray:
    """(about ``count``, wavelength) reflectance of places of one scene, in its light."""
    library = SpectralLibrary.at(WAVELENGTHS)
    world = build_world((size, size), seed, gsd)
    light = build_light(world, clouds=False)
    rng = np.random.default_rng(seed)
    found = []
    for start in range(0, size, ROWS):
        rows = slice(start, min(start + ROWS, size))
        surface = surface_at(world, rows)
        wanted = max(1, count * ROWS // size)
        places = rng.choice(len(surface.share), min(wanted, len(surface.share)), replace=False)
        some = {f.name: getattr(surface, f.name)[places] for f in fields(surface)}
        lit = light.direct[rows].ravel()[places, None] * (1 - library.diffuse)
        lit = lit + light.sky[rows].ravel()[places, None] * library.diffuse
        found.append(mix(library, replace(surface, **some), slice(0, len(places))) * lit)
    return np.concatenate(found).astype(np.float64)


def augmented(plain: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As many mixtures of two again, and all of them brighter or darker."""
    one, other = rng.integers(0, len(plain), (2, len(plain)))
    share = rng.beta(0.5, 0.5, (len(plain), 1))
    both = np.concatenate([plain, share * plain[one] + (1 - share) * plain[other]])
    return np.asarray(both * rng.uniform(0.5, 1.5, (len(both), 1)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=100)
    parser.add_argument("--spectra", type=int, default=400, help="from each scene")
    parser.add_argument("--rank", type=int, default=64, help="directions that are kept")
    options = parser.parse_args()

    seeds = range(1000, 1000 + options.scenes)
    drawn = augmented(
        np.concatenate([spectra(s, options.spectra) for s in seeds]), np.random.default_rng(0)
    )
    mean = drawn.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(drawn.T))
    kept = slice(len(values) - options.rank, None)
    factor = (vectors[:, kept] * np.sqrt(values[kept])).astype(np.float32)
    moments = Moments(WAVELENGTHS, mean.astype(np.float32), factor, 1.0, "")
    made = universal_map(
        load("S2A_MSI").select(S2_L2A).bands,
        load("S3A_SYN").select(S3_SYN).bands,
        s2="S2A_MSI",
        s3="S3A_SYN",
        moments=moments,
    )
    seen = drawn @ made.to_s2.T
    limit = float(np.quantile(made.strangeness(seen.T), QUANTILE))
    source = (
        f"{len(drawn)} spectra of procedural scenes {seeds[0]} to {seeds[-1]}, half of them "
        "mixtures of two, brightness ×0.5–1.5"
    )
    with atomic_path(options.output, overwrite=True) as path:
        np.savez_compressed(
            path,
            nm=WAVELENGTHS.astype(np.float32),
            mean=moments.mean,
            factor=factor,
            limit=np.float64(limit),
            source=source,
        )
    lost = np.sqrt(values[: -options.rank].clip(0).sum() / len(mean))
    print(f"{source}\nlost by the rank: {lost:.2e} reflectance rms; strange beyond {limit:.2f}")


if __name__ == "__main__":
    main()
