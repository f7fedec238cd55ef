"""Coverage of the told standard deviations: how often the truth lies within one and two of them.

    python -m bench uncertainty                       # on scenes that nothing was fitted on
    python -m bench.uncertainty --scenes jasper berlin --protocols clean real-world --method physics
    python -m bench.uncertainty --fit fusformer/prior/calibration.json

The factors of the calibration are fitted on procedural validation scenes: by S2 band, the error of
the restoration over its posterior deviation (protocol real-world), for ``physics`` and, place by
place, for ``refined``; by S3 band, what the map leaves
on the pixels over what it leaves in the cells, and how large that gets at most (protocol clean).
A normal distribution covers
68.3 % and 95.0 % within 1 and 1.96 deviations.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from bench.fusion import scenes
from trifuse.align import register
from trifuse.core import MemorySource, write_json
from trifuse.fusformer import Runtime, get_method
from trifuse.fusformer.physics import placed
from trifuse.fusformer.prior.calibration import calibration
from trifuse.fusformer.prior.chain import ChainRun
from trifuse.fusformer.scene import Scene
from trifuse.simulate import PROTOCOLS, Observed, observe

WITHIN = (1.0, 1.96)
KINDS = {"physics": "restoration", "refined": "local"}
"""Methods, and what their factors are called."""

CACHE = Path("out/uncertainty/scenes")


def fused(
    scene: str, protocol: str, seed: int, method: str
) -> tuple[Observed, ChainRun, np.ndarray]:
    """A draw, the fitted chain and the restored pixels."""
    how: Any = get_method(method)
    views = scenes.load_views(scene, CACHE)
    seen = observe(views.s2, views.s3, 10, PROTOCOLS[protocol], seed)
    view = how.view(MemorySource(seen.hrmsi, scene), Runtime("cpu"))
    coarse = MemorySource(seen.lrhsi, "coarse")
    shift, psf = placed(register(view, coarse, psf=seen.psf), seen.psf)
    both = Scene(view, coarse, view.bands.names, coarse.bands.names, psf, shift)
    chain = how.prepare(both, Runtime("cpu")).chain
    return seen, chain, both.read_filled(both.grid.whole)[0]


def fit(names: list[str]) -> dict[str, Any]:
    """Medians over scenes, and of ``most`` the largest."""
    of_map, most = [], []
    restored: dict[str, list[np.ndarray]] = {m: [] for m in KINDS}
    for name in names:
        seen, chain, pixels = fused(name, "clean", 0, "physics")
        off = rms(left(seen, chain, pixels))
        of_map.append(off / np.maximum(chain.model, 1e-6))
        most.append(np.maximum(off / chain.universal.error, 1))
        for method, errors in restored.items():
            seen, chain, pixels = fused(name, "real-world", 0, method)
            told = chain.scene.s2.meta["restoration"]["deviation"]
            own = np.array([told[n] for n in seen.hrmsi.bands.names])
            errors.append(rms(seen.sharp.masked() - pixels) / own)
    fine, coarse = seen.hrmsi.bands.names, seen.truth.bands.names
    return {
        **{KINDS[m]: by_band(fine, np.median(e, axis=0)) for m, e in restored.items()},
        "map": by_band(coarse, np.median(of_map, axis=0)),
        "most": by_band(coarse, np.max(most, axis=0)),
        "source": f"{len(names)} procedural scenes, {names[0]} to {names[-1]}",
    }  # fmt: skip


def by_band(names: tuple[str, ...], values: np.ndarray) -> dict[str, float]:
    return {n: round(float(v), 2) for n, v in zip(names, values, strict=True)}


def left(seen: Observed, chain: ChainRun, pixels: np.ndarray) -> np.ndarray:
    """Truth less the result: (L, y, x)."""
    return np.asarray(seen.truth.masked() - chain(chain.scene.grid.whole, pixels))


def rms(values: np.ndarray) -> np.ndarray:
    """Over the pixels of each band."""
    return np.asarray(np.sqrt(np.nanmean(np.square(values), axis=(1, 2))))


def covered(
    scene: str, protocol: str, seed: int, method: str
) -> tuple[np.ndarray, float, tuple[str, ...]]:
    """(2, L) share of the pixels within 1 and 1.96 deviations, and the share called strange."""
    seen, chain, pixels = fused(scene, protocol, seed, method)
    told = chain.deviation(pixels)
    off = np.abs(left(seen, chain, pixels)) / told[:-1]
    known = np.isfinite(off)
    shares = [np.where(known, off <= w, 0).sum(axis=(1, 2)) / known.sum(axis=(1, 2))
              for w in WITHIN]  # fmt: skip
    return np.array(shares), float((told[-1] > 1).mean()), seen.truth.bands.names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fit", type=Path, help="write the factors here, and measure nothing")
    test = [f"procedural-{s}x240" for s in scenes.TEST[:5]]
    parser.add_argument("--scenes", nargs="+", default=[*scenes.REAL, *test])
    parser.add_argument("--protocols", nargs="+", default=["clean", "real-world", "native-noise"])
    parser.add_argument("--method", default="refined", choices=KINDS)
    parser.add_argument("--json", type=Path, help="also write the shares here")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--per-band", action="store_true")
    options = parser.parse_args()
    if options.fit:
        value = fit([f"procedural-{s}x240" for s in scenes.VALIDATION[:10]])
        write_json(options.fit, value, overwrite=True)
        print(json.dumps(value, indent=1))
        return
    print(f"calibrated on {calibration().source}")
    print(
        f"{'scene':24} {'protocol':14} within 1: mean (bands)    within 1.96: mean (bands) strange"
    )
    rows: list[dict[str, Any]] = []
    for scene in options.scenes:
        for protocol in options.protocols:
            silent = protocol in ("clean", "sharp-as-blurred")
            draws = [
                covered(scene, protocol, s, options.method)
                for s in range(1 if silent else options.seeds)
            ]
            shares = 100 * np.mean([d[0] for d in draws], axis=0)
            parts = [f"{s.mean():5.1f} ({s.min():5.1f}–{s.max():5.1f})" for s in shares]
            rows.append({"scene": scene, "protocol": protocol, "method": options.method,
                         **{f"within_{w:g}": by_band(draws[0][2], s)
                            for w, s in zip(WITHIN, shares, strict=True)}})  # fmt: skip
            strange = 100 * np.mean([d[1] for d in draws])
            print(f"{scene:24} {protocol:14} {parts[0]:>22} {parts[1]:>28} {strange:7.2f} %",
                  flush=True)  # fmt: skip
            if options.per_band:
                for name, one, two in zip(draws[0][2], *shares, strict=True):
                    print(f"    {name:6} {one:5.1f} {two:5.1f}")
    if options.json:
        write_json(options.json, rows, overwrite=True)


if __name__ == "__main__":
    main()
