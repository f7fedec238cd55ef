"""Do the standard deviations of `trifuse interpolate` hold? Coverage by days to a clear image.

    python bench/series_uncertainty.py [--fit] [--scenes 5] [--json OUT]

Made series of three years, whose truth at 10 m is known on every day. Around a day all images
within so many days are hidden, of one sensor alone or of both; then the share of pixels whose
truth lies within one and two (1.96) deviations of the prior's image is counted, by kind of band
and by days to the nearest clear image of the pixel. With --fit, other series are made first and
the factors by which the model's deviations are multiplied are fitted to them and written to
temporal/shipped/deviation.json. Those of the prior serve the network, which adds to it, too: it is
scored (--methods prior,tamrf) within a year of both sensors. What was found is in
bench/series_uncertainty.json, of 12 scenes by the prior and 4 by the network. Errors have long
tails, of snow that no image has told of: where 68 % lie within one deviation, 5 % to 10 % lie
beyond two.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from trifuse.simulate import procedural_series
from trifuse.temporal.config import LANDSAT, SENTINEL2
from trifuse.temporal.deviation import BINS, FILE, deviations, doubts, fit_factors, kind_of_band
from trifuse.temporal.forecast import forecast_by
from trifuse.temporal.networks import SHIPPED, load_weights
from trifuse.temporal.prior import prior_forecast
from trifuse.temporal.stack import Stack
from trifuse.train.temporal_data import to_network

PAIR = (LANDSAT, SENTINEL2)
SCORED, FITTED = 3000, 3500
"""Seeds of the first scenes: none that training, validation or other benches use."""
SIZE = 18
RIM = 3
"""Target pixels left out at each edge."""
GAPS = (3, 8, 15, 30, 60, 120, 220, 380)
YEAR = 365.0
DAYS = 3
"""Days asked for in each gap of a scene."""
KEEP = 20
"""Pixels of each image and band that count, so that a scene fits into memory."""
SEEN = {"one": [("sentinel2",), ("landsat",)], "two": [("sentinel2", "landsat")]}


def three_years(seed: int):
    made = [procedural_series(SIZE, seed, year=2016 + seed % 5 + k) for k in range(3)]
    stacks = {}
    for name in made[0].images:
        parts = [m.images[name] for m in made]
        data = np.concatenate([to_network(p.data, p.bands) for p in parts])
        valid = np.concatenate([p.valid for p in parts])
        days = np.concatenate([p.days + YEAR * k for k, p in enumerate(parts)])
        stacks[name] = Stack(data, valid, days.astype(float))

    def truth(day: float) -> dict[str, np.ndarray]:
        year = min(int(day // YEAR), 2)
        images = made[year].truth(day - YEAR * year)
        images["landsat"] = images["landsat"].copy()
        images["landsat"][-1] /= 1000
        return images

    return stacks, truth


def samples(method: str, seeds, net=None) -> dict[str, np.ndarray]:
    """Errors and what is told of them, pixel by pixel: arrays of one length."""
    rows: dict[str, list[np.ndarray]] = {}
    for seed in seeds:
        rng = np.random.default_rng(seed)
        stacks, truth = three_years(seed)
        for sensors, choices in SEEN.items():
            if method == "tamrf" and sensors == "one":
                continue
            for gap in GAPS:
                if method == "tamrf" and gap > 150:
                    continue
                low, high = (YEAR, 2 * YEAR) if method == "tamrf" else (max(YEAR, gap), 730.0)
                high = max(low + 1, min(high, 3 * YEAR - gap))
                for shown in choices:
                    for day in rng.uniform(low, high, DAYS):
                        _one(rows, method, net, stacks, truth, shown, sensors, gap, day, rng)
        print(method, seed, flush=True)
    return {k: np.concatenate(v) for k, v in rows.items()}


def _one(rows, method, net, stacks, truth, shown, sensors, gap, day, rng) -> None:
    seen = {}
    for s in PAIR:
        stack = stacks[s.name]
        there = np.abs(stack.days - day) >= gap
        if method == "tamrf":
            there &= (stack.days >= YEAR) & (stack.days < 2 * YEAR)
        seen[s.name] = stack.only(stack.days[there] if s.name in shown else [])
    if not any(len(s.days) for s in seen.values()):
        return
    if method == "tamrf":  # its days count within the year
        seen = {k: Stack(v.data, v.valid, v.days - YEAR) for k, v in seen.items()}
    query = [day - YEAR] if method == "tamrf" else [day]
    made = (forecast_by(net, blank=True) if method == "tamrf" else prior_forecast(PAIR))(
        seen, query
    )
    doubt, wanted = doubts(PAIR, seen, query), truth(day)
    inner = np.s_[RIM:-RIM, RIM:-RIM]
    for s in PAIR:
        if s.name not in shown:
            continue
        for b, band in enumerate(s.bands):
            error = (made[s.name][0, b] - wanted[s.name][b])[inner].ravel()
            d = doubt[s.name]
            parts = {
                "error": error,
                "variance": d.variance[0, b][inner].ravel(),
                "detail": d.detail[0, b][inner].ravel(),
                "days": d.days[0][inner].ravel(),
            }
            good = np.flatnonzero(np.isfinite(parts["variance"]) & np.isfinite(parts["days"]))
            if not len(good):
                continue
            at = rng.choice(good, min(KEEP, len(good)), replace=False)
            kind = kind_of_band(s, band)
            parts["kind"] = np.full(len(error), kind)
            parts["sensors"] = np.full(len(error), sensors)
            for key, value in parts.items():
                rows.setdefault(key, []).append(value[at])


def coverage(found: Mapping[str, np.ndarray], factors, method: str) -> dict:
    """Sensors → bin of days → kind → shares within 1 and 1.96 deviations, and their number."""
    deviation = deviations(found, factors, method)
    ratio = np.abs(found["error"]) / deviation
    out: dict = {}
    for sensors in np.unique(found["sensors"]):
        for low, high in zip((0, *BINS), (*BINS, 1e9), strict=True):
            inside = (found["sensors"] == sensors) & (found["days"] >= low) & (found["days"] < high)
            for kind in ("all", *np.unique(found["kind"])):
                some = ratio[inside & ((found["kind"] == kind) | (kind == "all"))]
                if len(some) < 200:
                    continue
                row = [100 * float((some <= n).mean()) for n in (1.0, 1.96)]
                name = f"{low:g} to {high:g} days" if high < 1e9 else f"{low:g} days and more"
                out.setdefault(str(sensors), {}).setdefault(name, {})[str(kind)] = [
                    round(row[0], 1),
                    round(row[1], 1),
                    len(some),
                ]
    return out


def show(table: dict) -> None:
    for sensors, rows in table.items():
        print(f"{sensors} sensor{'s' if sensors == 'two' else ''}: % within 1 and 1.96 deviations")
        for name, kinds in rows.items():
            cells = "  ".join(f"{k} {v[0]:.0f}/{v[1]:.0f}" for k, v in kinds.items())
            print(f"  {name:22} {cells}  ({kinds.get('all', [0, 0, 0])[2]})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--scenes", type=int, default=12)
    parser.add_argument("--methods", default="prior")
    parser.add_argument("--keep", type=Path, help="Keep the samples here, to look at.")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    net = load_weights(SHIPPED)[0].eval()
    methods = options.methods.split(",")
    if options.fit:
        factors = json.loads(FILE.read_text())["factors"] if FILE.exists() else {}
        for method in methods:
            found = samples(method, range(FITTED, FITTED + options.scenes), net)
            if options.keep:
                np.savez(options.keep.with_name(f"fit-{method}.npz"), **found)
            factors[method] = fit_factors(found)
        about = "multiplies the deviation of the model; made by bench/series_uncertainty.py --fit"
        text = json.dumps({"about": about, "bins": BINS, "factors": factors})
        FILE.write_text(text + "\n")
    record = {}
    for method in methods:
        found = samples(method, range(SCORED, SCORED + options.scenes), net)
        if options.keep:
            np.savez(options.keep.with_name(f"score-{method}.npz"), **found)
        record[method] = coverage(found, None, method)
        print(method)
        show(record[method])
    if options.json:
        options.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
