"""Tables of the records: mean ± standard deviation over draws, paired differences, bands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from bench.fusion.methods import BEST, FIXED
from bench.fusion.results import Record

Setting = tuple[str, int, str]  # kind, ratio, protocol


@dataclass(frozen=True, slots=True)
class Cell:
    """One method on one scene (or the mean over scenes) over the draws."""

    psnr: float
    psnr_sd: float
    sam: float
    sam_sd: float
    draws: int
    seconds: float
    finite: float

    @classmethod
    def of(cls, records: Sequence[Record]) -> Cell:
        psnr, sam = (np.array([getattr(r, k) for r in records]) for k in ("psnr", "sam"))
        return cls(
            psnr=float(psnr.mean()),
            psnr_sd=float(psnr.std()),
            sam=float(sam.mean()),
            sam_sd=float(sam.std()),
            draws=len(records),
            seconds=float(np.median([r.seconds for r in records])),
            finite=min(r.finite for r in records),
        )

    def __str__(self) -> str:
        star = "" if self.finite > 0.999 else "*"
        if self.draws == 1:
            return f"{self.psnr:.2f} / {self.sam:.2f}{star}"
        return f"{self.psnr:.2f}±{self.psnr_sd:.2f} / {self.sam:.2f}±{self.sam_sd:.2f}{star}"


class Results:
    """Records, looked up by scene, ratio, protocol and method."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._draws: dict[tuple[str, int, str, str], list[Record]] = {}
        for r in sorted(records, key=lambda r: r.seed):
            self._draws.setdefault((r.scene, r.ratio, r.protocol, r.method), []).append(r)
        for scene, ratio, protocol in {k[:3] for k in self._draws}:
            best = self._best_ridge(scene, ratio, protocol)
            if best:
                self._draws[scene, ratio, protocol, BEST] = best

    def _best_ridge(self, scene: str, ratio: int, protocol: str) -> list[Record]:
        tried = [self._draws.get((scene, ratio, protocol, m), []) for m in FIXED]
        if not all(tried):
            return []
        best = max(tried, key=lambda records: float(np.mean([r.psnr for r in records])))
        return [replace(r, method=BEST) for r in best]

    def draws(self, scene: str, ratio: int, protocol: str, method: str) -> list[Record]:
        return self._draws.get((scene, ratio, protocol, method), [])

    def settings(self) -> list[tuple[Setting, list[str], list[str]]]:
        """((kind, ratio, protocol), scenes, methods), in the order of the records."""
        found: dict[Setting, tuple[dict[str, None], dict[str, None]]] = {}
        for scene, ratio, protocol, method in self._draws:
            kind = "procedural" if scene.startswith("procedural") else "real"
            scenes, methods = found.setdefault((kind, ratio, protocol), ({}, {}))
            scenes[scene] = methods[method] = None
        return [(k, list(s), list(m)) for k, (s, m) in found.items()]

    def mean(self, scenes: Sequence[str], ratio: int, protocol: str, method: str) -> Cell | None:
        """The mean over scenes of their means; its spread is that of draws over scene means."""
        cells = [self.draws(s, ratio, protocol, method) for s in scenes]
        if not cells or not all(cells):
            return None
        parts = [Cell.of(c) for c in cells]
        draws = min(map(len, cells))
        by_draw = np.array([[(r.psnr, r.sam) for r in c[:draws]] for c in cells]).mean(axis=0)
        return Cell(
            psnr=float(np.mean([p.psnr for p in parts])),
            psnr_sd=float(by_draw[:, 0].std()),
            sam=float(np.mean([p.sam for p in parts])),
            sam_sd=float(by_draw[:, 1].std()),
            draws=draws,
            seconds=float(np.mean([p.seconds for p in parts])),
            finite=min(p.finite for p in parts),
        )

    def paired(
        self, scene: str, ratio: int, protocol: str, first: str, second: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Differences first − second over the draws that both have: (PSNR, SAM)."""
        a, b = ({r.seed: r for r in self.draws(scene, ratio, protocol, m)} for m in (first, second))
        both = sorted(a.keys() & b.keys())
        return tuple(  # type: ignore[return-value]
            np.array([getattr(a[s], k) - getattr(b[s], k) for s in both]) for k in ("psnr", "sam")
        )


def format_results(
    results: Results, pairs: Sequence[tuple[str, str]] = (), per_band: bool = False
) -> str:
    """All tables as text, real scenes first."""
    parts = []
    for (kind, ratio, protocol), scenes, methods in _ordered(results):
        head = f"{kind} scenes, ratio {ratio}, protocol {protocol}: PSNR dB / SAM °"
        lines = [["", *scenes, *(["mean"] if len(scenes) > 1 else []), "s"]]
        for method in methods:
            cells: list[str] = []
            for scene in scenes:
                records = results.draws(scene, ratio, protocol, method)
                cells.append(str(Cell.of(records)) if records else "–")
            overall = results.mean(scenes, ratio, protocol, method)
            if len(scenes) > 1:
                cells.append(str(overall) if overall else "–")
            taken = [r.seconds for s in scenes for r in results.draws(s, ratio, protocol, method)]
            lines.append([method, *cells, f"{np.median(taken):.2f}"])
        parts.append(f"{head}\n{align(lines)}")
        if differences := _pairs(results, scenes, ratio, protocol, pairs):
            parts.append(differences)
        if per_band:
            parts += [_bands(results, s, ratio, protocol, methods) for s in scenes]
    return "\n\n".join(parts)


def to_json(results: Results, pairs: Sequence[tuple[str, str]] = ()) -> list[dict[str, Any]]:
    """The tables as plain values."""
    rows: list[dict[str, Any]] = []
    for (kind, ratio, protocol), scenes, methods in _ordered(results):
        setting = {"kind": kind, "ratio": ratio, "protocol": protocol}
        for method in methods:
            for scene in scenes:
                if records := results.draws(scene, ratio, protocol, method):
                    rows.append({**setting, "scene": scene, "method": method, **_scores(records)})
        for first, second in pairs:
            for scene in scenes:
                psnr, sam = results.paired(scene, ratio, protocol, first, second)
                if psnr.size:
                    about = {**setting, "scene": scene, "difference": [first, second]}
                    rows.append({**about, **_difference(psnr, sam)})
    return rows


def _scores(records: Sequence[Record]) -> dict[str, Any]:
    """One method on one scene as plain values."""
    bands = np.mean([r.psnr_bands for r in records], axis=0)
    return {
        **asdict(Cell.of(records)),
        "shift_error": float(np.mean([r.shift_error for r in records])),
        "psnr_bands": dict(zip(records[0].bands, bands.round(3), strict=True)),
        "code": sorted({r.code for r in records}),
    }


def _difference(psnr: np.ndarray, sam: np.ndarray) -> dict[str, Any]:
    """Differences over draws as plain values."""
    return {
        "psnr": float(psnr.mean()),
        "psnr_sd": float(psnr.std()),
        "psnr_min": float(psnr.min()),
        "sam": float(sam.mean()),
        "sam_sd": float(sam.std()),
        "draws": int(psnr.size),
    }


def align(lines: Sequence[Sequence[str]]) -> str:
    """First column left, the others right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = []
    for first, *others in lines:
        right = [c.rjust(w) for c, w in zip(others, widths[1:], strict=True)]
        texts.append("  ".join([first.ljust(widths[0]), *right]).rstrip())
    return "\n".join(texts)


def _ordered(results: Results) -> list[tuple[Setting, list[str], list[str]]]:
    return sorted(results.settings(), key=lambda s: (s[0][0] != "real", s[0][1]))


def _pairs(
    results: Results,
    scenes: Sequence[str],
    ratio: int,
    protocol: str,
    pairs: Sequence[tuple[str, str]],
) -> str:
    lines = []
    for first, second in pairs:
        cells = []
        for scene in scenes:
            psnr, sam = results.paired(scene, ratio, protocol, first, second)
            cells.append(_spread(psnr, sam) if psnr.size else "–")
        if any(c != "–" for c in cells):
            lines.append([f"{first} − {second}", *cells])
    return align([["paired", *scenes], *lines]) if lines else ""


def _spread(psnr: np.ndarray, sam: np.ndarray) -> str:
    least = f"(min {psnr.min():+.2f})"
    return f"{psnr.mean():+.2f}±{psnr.std():.2f} {least} / {sam.mean():+.2f}"


def _bands(results: Results, scene: str, ratio: int, protocol: str, methods: Sequence[str]) -> str:
    columns = {m: d for m in methods if (d := results.draws(scene, ratio, protocol, m))}
    names = next(iter(columns.values()))[0].bands if columns else ()
    lines = [[scene, *columns]]
    for i, name in enumerate(names):
        means = (np.mean([r.psnr_bands[i] for r in d]) for d in columns.values())
        lines.append([name, *(f"{m:.2f}" for m in means)])
    return align(lines)
