"""Methods by name, run through the public ``trifuse.fuse``; and limits that know the truth.

``name@key=value,key=value`` sets fields of a method. ``coregister=off`` does not look for a shift;
``coregister=found`` heeds the shift that is found even where the default would not rely on it.
``limit`` is the best linear map from the observed S2 to the truth, fitted on the truth itself;
``limit-restored`` the same from S2 with its bands restored to 10 m, ``limit-sharp`` from S2 as it
would be with all bands sharp (noise kept).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import trifuse
from bench.fusion.scenes import Views
from trifuse.align import register
from trifuse.core import ConfigError, Cube, MemorySource
from trifuse.flows.fuse import choose_method
from trifuse.fusion import get_method
from trifuse.restore.restoration import restore
from trifuse.restore.scene_statistics import scene_statistics
from trifuse.restore.sharpness_check import sharpness_of
from trifuse.simulate import PROTOCOLS, ObservationErrors, Observed, observe

RIDGES = ("1e-4", "1e-3", "1e-2")
FIXED = tuple(f"regression@ridge={r},coregister=found" for r in RIDGES)
BEST = "regression-best"
"""Made of ``FIXED`` when the table is made: per scene and protocol the one with the best mean."""

GROUPS: dict[str, tuple[str, ...]] = {
    "limits": ("limit", "limit-restored", "limit-sharp"),
    "baselines": ("bicubic", "regression@coregister=off", "regression", *FIXED),
    "classical": ("local-regression", "gsa", "mtf-glp-hs", "sfim", "cnmf", "hysure", "atprk"),
    BEST: FIXED,
}


@dataclass(frozen=True, eq=False)
class Case:
    """One draw of a protocol's errors on a scene."""

    views: Views
    ratio: int
    protocol: str
    seed: int

    @property
    def errors(self) -> ObservationErrors:
        return PROTOCOLS[self.protocol]

    @property
    def silent(self) -> bool:
        """Whether nothing is drawn, so that every seed gives the same."""
        return silent(self.protocol)

    @cached_property
    def seen(self) -> Observed:
        return observe(self.views.s2, self.views.s3, self.ratio, self.errors, self.seed)

    def without_blur(self) -> Observed:
        """The same draw with all sharp bands sharp."""
        errors = replace(self.errors, sharp=replace(self.errors.sharp, blur=False))
        return observe(self.views.s2, self.views.s3, self.ratio, errors, self.seed)


def silent(protocol: str) -> bool:
    """Whether a protocol has no random errors."""
    sharp, coarse = PROTOCOLS[protocol].sharp, PROTOCOLS[protocol].coarse
    return not any(
        (
            sharp.gain,
            sharp.offset,
            sharp.noise,
            sharp.clouds,
            coarse.shift,
            coarse.width,
            coarse.noise,
            coarse.clouds,
        )
    )


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """What a method made of a pair.

    Attributes:
        data: (L, y, x) on the pixels of the shared ground.
        seconds: that it took, co-registration included.
        shift: (rows, columns) in sharp pixels that was heeded.
    """

    data: np.ndarray
    seconds: float
    shift: tuple[float, float]


def expand(names: list[str]) -> list[str]:
    """Groups as their members, each method once."""
    return list(dict.fromkeys(m for n in names for m in GROUPS.get(n, (n,))))


def parse(spec: str) -> tuple[str, dict[str, Any]]:
    """Name and options of ``name@key=value,…``; values are read as YAML, numbers as numbers."""
    name, _, rest = spec.partition("@")
    options = {}
    for part in filter(None, rest.split(",")):
        key, equals, text = part.partition("=")
        if not equals:
            raise SystemExit(f"{spec}: write options as key=value")
        value = yaml.safe_load(text)
        if isinstance(value, str):  # YAML 1.1 takes 1e-4 for text
            try:
                value = float(value)
            except ValueError:
                value = text
        options[key] = value
    return name, options


def run(spec: str, case: Case, weights: Path) -> Made:
    """One method on one observed pair.

    Args:
        spec: see the module.
        case: the pair; methods get ``hrmsi`` and ``lrhsi`` with what their metadata tell.
        weights: folder with ``<protocol>.safetensors`` of ``fusformer-paper``.
    """
    name, options = parse(spec)
    seen = case.seen
    start = time.perf_counter()
    if name in GROUPS["limits"]:
        made = _linear(_sharpened(name, case), seen.truth)
        return Made(made, time.perf_counter() - start, (0.0, 0.0))
    how: dict[str, Any] = {"coregister": options.pop("coregister", "auto")}
    how["coregister"] = _heeded(how["coregister"], seen)
    if name == "fusformer-paper":
        trained = "clean" if case.silent else "real-world"
        how |= {"method": "network", "weights": weights / f"{trained}.safetensors", **options}
    elif name == "network":
        how |= {"method": "network", **options}
    elif name != "default":
        how["method"] = get_method(name, **options) if options else name
    _refuse_seen(how, case.views.name)
    fused = trifuse.fuse(seen.hrmsi, seen.lrhsi, quicklook=False, **how)
    took = time.perf_counter() - start
    assert fused.cube is not None
    shift = tuple(fused.record.get("registration", {}).get("shift_pixels") or (0.0, 0.0))
    return Made(fused.cube.masked(), took, shift)  # type: ignore[arg-type]


def _refuse_seen(how: dict[str, Any], scene: str) -> None:
    """No method is scored on a scene that it was trained on, as far as its card tells."""
    method = how.get("method")
    chosen = choose_method(method, how.get("weights"))
    protocol = getattr(getattr(chosen, "card", None), "protocol", {})
    trained = {str(s) for s in (*getattr(chosen, "trained_on", ()), *protocol.get("scenes", ()))}
    if {scene, scene.partition("-")[0]} & trained:
        raise ConfigError(f"{chosen.name} was trained on {scene}")


def _heeded(coregister: Any, seen: Observed) -> Any:
    """What ``trifuse.fuse`` takes; YAML reads ``off`` as False."""
    if coregister == "found":
        metres = register(seen.hrmsi, seen.lrhsi, psf=seen.psf).to_json()["shift_metres"]
        return metres["east"], metres["north"]
    return "off" if coregister is False else coregister


def _sharpened(limit: str, case: Case) -> Cube:
    """The sharp image that a limit starts from."""
    hrmsi = case.seen.hrmsi
    if limit == "limit-sharp":
        return case.without_blur().hrmsi
    sharpness = sharpness_of(MemorySource(hrmsi))
    if limit == "limit" or sharpness is None or not sharpness.blurred:
        return hrmsi
    statistics = scene_statistics(MemorySource(hrmsi), sharpness)
    return replace(hrmsi, data=restore(hrmsi.data, sharpness, statistics))


def _linear(sharp: Cube, truth: Cube) -> np.ndarray:
    """The affine map with the least squared error, fitted and applied on the sharp pixels."""
    x, y = sharp.masked(), truth.masked()
    good = np.isfinite(x).all(axis=0) & np.isfinite(y).all(axis=0)
    a = np.vstack([x[:, good], np.ones((1, int(good.sum())), np.float32)]).astype(np.float64)
    solution, *_ = np.linalg.lstsq(a.T, y[:, good].T.astype(np.float64), rcond=None)
    out = np.tensordot(solution[:-1].T, x.astype(np.float64), 1) + solution[-1][:, None, None]
    return out.astype(np.float32)
