"""The covariance of the detail of Sentinel-2's bands over procedural landscapes, as it is shipped.

    python bench/universal_covariance.py restore/universal_covariance.json

Of every scene the covariance of (m − Gaussian of 2 pixels) over its sharp bands m, divided by its
mean over the 10 m bands, so that every scene counts alike.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from trifuse.core import MemorySource, blur, write_json
from trifuse.simulate import procedural_scene, scene_views
from trifuse.srf_data import S2_L2A

SEEDS, SIZE, SMOOTH = range(1000, 1020), 240, 2.0
TEN = ("B2", "B3", "B4", "B8")


def covariance(seed: int) -> np.ndarray:
    """Of one scene: (12, 12) float64."""
    sharp, _, _ = scene_views(MemorySource(procedural_scene(SIZE, seed, gsd=10.0)))
    data = sharp.select(S2_L2A).data.astype(np.float64)
    detail = (data - blur(data, SMOOTH)).reshape(len(data), -1)
    found = np.cov(detail)
    return np.asarray(found / found.diagonal()[[S2_L2A.index(b) for b in TEN]].mean())


def main() -> None:
    mean = np.mean([covariance(seed) for seed in SEEDS], axis=0)
    about = {
        "bands": list(S2_L2A),
        "covariance": np.round(mean, 5).tolist(),
        "of": f"detail finer than a Gaussian of {SMOOTH:g} pixels of 10 m in {len(SEEDS)} "
        f"procedural scenes of {SIZE} pixels, seeds {SEEDS[0]} to {SEEDS[-1]}; mean variance of "
        "the 10 m bands is 1",
        "made_by": "bench/universal_covariance.py",
    }
    write_json(Path(sys.argv[1]), about, overwrite=True)


if __name__ == "__main__":
    main()
