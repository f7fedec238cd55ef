"""How well a TAMRF network fills gaps and fuses, beside the baselines that need no network.

    python bench/tamrf_accuracy.py WEIGHTS [--data DIR] [--json OUT]

Synthetic scenes are of seeds that no training used; errors there are against what the sensor saw
on clear pixels (with its noise and haze) and against the truth at 10 m. Real series (a folder with
5_stf of the samples) have their clear dates hidden, a third at a time. RMSE in reflectance (LST in
kelvin), SAM in degrees, mean over scenes, dates and bands. ``start`` is the network without its
correction (for a network that starts from the prior: the prior, sharpened), so what is between
the two is what was learnt.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from trifuse.simulate import procedural_series
from trifuse.temporal.baselines import Stack
from trifuse.temporal.config import Sensor
from trifuse.temporal.metrics import date_errors, frequency_restoration
from trifuse.temporal.model import Dates, Tamrf
from trifuse.temporal.prior import prior_forecast, prior_images
from trifuse.temporal.scoring import BASELINES, as_seen, baseline_images, score_hidden
from trifuse.temporal.strategies import hide_gaps, task
from trifuse.temporal.weights import load_weights
from trifuse.train.temporal_data import to_network

METHODS = ("network", "start", *BASELINES)
FIRST = 2000
"""Seed of the first scene: none that training or validation uses."""
Rows = dict[str, dict[str, list[float]]]


def starter(net: Tamrf) -> Callable[..., dict[str, np.ndarray]]:
    """What a network with a skip adds to."""

    def forecast(seen: Mapping[str, Stack], query: Sequence[float]) -> dict[str, np.ndarray]:
        prior = torch.from_numpy(prior_images(net.config.sensors, seen, query))
        return {k: v[0].numpy() for k, v in net.split(prior[None]).items()}

    return forecast


def forecaster(net: Tamrf) -> Callable[..., dict[str, np.ndarray]]:
    """The network as a function of visible images; clouds are withheld from it."""

    def forecast(seen: Mapping[str, Stack], query: Sequence[float]) -> dict[str, np.ndarray]:
        dates = {}
        for s in net.config.sensors:
            stack = seen[s.name]
            data = np.where(stack.valid[:, None], stack.data, np.nan).astype(np.float32)
            doy = torch.from_numpy(stack.doy.astype(np.float32))
            dates[s.name] = Dates(net.standardise(s, torch.from_numpy(data))[None], doy[None])
        parts = []
        with torch.inference_mode():
            for few in np.array_split(np.asarray(query), max(1, len(query) // 16)):
                parts.append(net(dates, torch.from_numpy(few.astype(np.float32))[None])[0])
        out = torch.cat(parts)
        if net.config.skip == "prior":
            prior, weight = map(torch.from_numpy, prior_images(net.config.sensors, seen, query))
            out = prior + weight * out
        return {k: v[0].numpy() for k, v in net.split(out[None]).items()}

    return forecast


def stacks(made) -> dict[str, Stack]:
    return {
        k: Stack(to_network(i.data, i.bands), i.valid, i.days.astype(float))
        for k, i in made.images.items()
    }


def add(rows: Rows, name: str, sensor: Sensor, method: str, errors: np.ndarray) -> None:
    """Mean over dates of the mean over bands, temperatures apart."""
    hot = [i for i, b in enumerate(sensor.bands) if b in sensor.thermal]
    cold = [i for i in range(len(sensor.bands)) if i not in hot]
    for label, bands, unit in ((sensor.name, cold, 1.0), ("LST (K)", hot, 1000.0)):
        if bands and np.isfinite(errors[:, bands]).any():
            value = float(np.nanmean(errors[:, bands])) * unit
            rows[f"{name} · {label}"][method].append(value)


def synthetic(net: Tamrf, size: int, count: int) -> Rows:
    rows: Rows = defaultdict(lambda: defaultdict(list))
    sensors, forecast = net.config.sensors, forecaster(net)
    for seed in range(FIRST, FIRST + count):
        made = procedural_series(size, seed, year=2017 + seed % 7)
        images = stacks(made)
        days = {k: v.doy.tolist() for k, v in images.items()}
        for name in ("gap-filling", "fusion"):
            chosen = task(name, days, "landsat", "sentinel2")
            scores = score_hidden(forecast, sensors, images, chosen, margin=60.0)
            plain = score_hidden(
                starter(net), sensors, images, chosen, margin=60.0, baselines=("prior",)
            )
            for sensor in sensors:
                for key in ("rmse", "sam") if sensor.name in scores else ():
                    scores[sensor.name][f"start/{key}"] = plain[sensor.name][f"network/{key}"]
                for method in METHODS if sensor.name in scores else ():
                    found = scores[sensor.name]
                    add(rows, name, sensor, method, found[f"{method}/rmse"])
                    sam = np.degrees(np.nanmean(found[f"{method}/sam"]))
                    rows[f"{name} · {sensor.name} SAM (°)"][method].append(float(sam))
        against_truth(rows, made, images, {"network": forecast, "start": starter(net)}, sensors,
                      days)  # fmt: skip
    return rows


def against_truth(rows, made, images, forecasts, sensors, days) -> None:
    """Errors and sharpness at 10 m on the middles of the gaps, for all bands."""
    chosen = hide_gaps(days, 30)
    seen = {k: images[k].only(chosen.visible[k]) for k in images}
    query = [45.0 + 60 * i for i in range(6)]
    predicted = {name: forecast(seen, query) for name, forecast in forecasts.items()}
    for method in BASELINES:
        predicted[method] = {
            s.name: baseline_images(method, s, sensors, seen, query) for s in sensors
        }
    truth = [made.truth(day) for day in query]
    rim = np.s_[..., 6:-6, 6:-6]
    for sensor in sensors:
        wanted = np.stack([t[sensor.name] for t in truth])
        if sensor.thermal:
            wanted[:, -1] /= 1000
        for method, images_of in predicted.items():
            found = images_of[sensor.name]
            if found.shape != wanted.shape:
                from trifuse.temporal.baselines import upsampled

                found = upsampled(found, sensor.ratio)
            there = np.isfinite(found).all(axis=1)[rim]
            add(rows, "truth at 10 m", sensor, method,
                date_errors(wanted[rim], found[rim], there)[0])  # fmt: skip
            if np.isfinite(found).all():
                value = float(np.mean(frequency_restoration(wanted[rim], found[rim])))
                rows[f"truth at 10 m · {sensor.name} FR (dB)"][method].append(value)


def fusets(folder: Path, net: Tamrf) -> Rows:
    """Sentinel-2 red and near infrared with gaps: each third of the clearest dates is hidden.

    The other bands are missing, so that the network sees two of its ten.
    """
    import h5py

    rows: Rows = defaultdict(lambda: defaultdict(list))
    sensors, forecast = net.config.sensors, forecaster(net)
    s2 = net.config.sensor("sentinel2")
    at = [s2.bands.index("B4"), s2.bands.index("B8")]
    for path in sorted(folder.glob("*.nc")):
        with h5py.File(path) as f:
            band = np.stack([f["B04"][:], f["B08"][:]], axis=1).astype(np.float32)
            label, days = f["SCL"][:], f["t"][:].astype(float)
        if np.nanmax(band) > 20:
            band /= 10_000
        order = np.argsort(days, kind="stable")
        order = order[np.r_[True, np.diff(days[order]) > 0]]
        band, label, days = band[order], label[order], days[order]
        days -= 365.25 * np.floor(days[0] / 365.25)
        keep = days <= days[0] + 365
        band, label, days = band[keep], label[keep], days[keep]
        edge = [n // 3 * 3 for n in band.shape[2:]]
        band, label = band[..., : edge[0], : edge[1]], label[..., : edge[0], : edge[1]]
        valid = np.isfinite(band).all(axis=1) & ~np.isin(label, (0, 1, 2, 3, 7, 8, 9, 10))
        data = np.full((len(days), len(s2.bands), *edge), np.nan, np.float32)
        data[:, at] = band
        empty = Stack(np.zeros((0, 8, edge[0] // 3, edge[1] // 3), np.float32),
                      np.zeros((0, edge[0] // 3, edge[1] // 3), bool), np.zeros(0))  # fmt: skip
        images = {"landsat": empty, "sentinel2": Stack(data, valid, days)}
        clear = np.flatnonzero(valid.sum(axis=(1, 2)) > 0.8 * valid.sum(axis=(1, 2)).max())
        for first in range(3):
            hidden = days[clear[first::3]].tolist()
            seen = {"landsat": empty, "sentinel2": images["sentinel2"].only(
                [d for d in days.tolist() if d not in hidden])}  # fmt: skip
            target = images["sentinel2"].only(hidden)
            made = {
                "network": as_seen(forecast(seen, hidden)["sentinel2"], s2),
                "start": as_seen(starter(net)(seen, hidden)["sentinel2"], s2),
            }
            for method in BASELINES:
                made[method] = baseline_images(method, s2, sensors, seen, hidden)
            for method, found in made.items():
                mask = target.valid & np.isfinite(found[:, at]).all(axis=1)
                errors = date_errors(target.data[:, at], found[:, at], mask)[0]
                rows[f"real S2 {path.stem[:22]} · B4 B8"][method].append(float(np.nanmean(errors)))
    return rows


def kranj(folder: Path, net: Tamrf) -> Rows:
    """Four Landsat dates; the two inner ones are hidden in turn. Only ``change`` sees MODIS."""
    import rasterio

    rows: Rows = defaultdict(lambda: defaultdict(list))
    sensors, forecast = net.config.sensors, forecaster(net)
    ls = net.config.sensor("landsat")
    order = [ls.bands.index(b) for b in ("B2", "B3", "B4", "B5", "B6", "B7")]

    def read(files: Sequence[Path], scale: float) -> Stack:
        data = []
        for path in files:
            with rasterio.open(path) as d:
                data.append(d.read().astype(np.float32) * scale)
        values = np.stack(data)[:, :, :, :45]
        days = np.array([float(p.name[4:7]) - 1 for p in files])
        valid = (values > -0.1).all(axis=1) & (values < 1.5).all(axis=1)
        return Stack(values, valid, days)

    fine = read(sorted((folder / "landsat" / "filled").glob("*.tif")), 1e-4)
    coarse = read(sorted((folder / "modis" / "filled").glob("*.tif")), 1.0)
    shape = fine.valid.shape[1:]
    eight = np.full((len(fine.doy), len(ls.bands), *shape), np.nan, np.float32)
    eight[:, order] = fine.data
    everything = Stack(eight, fine.valid, fine.doy)
    none = Stack(np.zeros((0, 10, shape[0] * 3, shape[1] * 3), np.float32),
                 np.zeros((0, shape[0] * 3, shape[1] * 3), bool), np.zeros(0))  # fmt: skip
    from trifuse.temporal.baselines import fine_plus_change, interpolate_with_change

    for hidden in fine.doy[1:3].tolist():
        others = [d for d in fine.doy.tolist() if d != hidden]
        seen = {"landsat": everything.only(others), "sentinel2": none}
        target = everything.only([hidden])
        pairs = list(range(6))
        made = {
            "network": as_seen(forecast(seen, [hidden])["landsat"], ls)[:, order],
            "start": as_seen(starter(net)(seen, [hidden])["landsat"], ls)[:, order],
            "nearest": baseline_images("nearest", ls, sensors, seen, [hidden])[:, order],
            "linear": baseline_images("linear", ls, sensors, seen, [hidden])[:, order],
            "change": fine_plus_change(fine.only(others), coarse, [hidden], 1, pairs),
            "prior": interpolate_with_change(fine.only(others), coarse, [hidden], 1, pairs),
        }
        for method, found in made.items():
            mask = target.valid & np.isfinite(found).all(axis=1)
            errors = date_errors(target.data[:, order], found, mask)[0]
            rows["real Landsat Kranj · 6 bands (change and prior see MODIS)"][method].append(
                float(np.nanmean(errors))
            )
    return rows


def table(rows: Rows) -> str:
    lines = [f"{'':<58}" + "".join(f"{m:>10}" for m in METHODS) + "   beats linear"]
    for name, row in rows.items():
        cells = "".join(f"{np.nanmean(row[m]):>10.4f}" if row.get(m) else f"{'':>10}"
                        for m in METHODS)  # fmt: skip
        sign = -1 if name.endswith("(dB)") else 1  # sharpness grows, errors fall
        pairs = zip(row["network"], row["linear"], strict=True)
        won = sum(sign * a < sign * b for a, b in pairs)
        lines.append(f"{name:<58}{cells}   {won}/{len(row['network'])}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--size", type=int, default=48)
    parser.add_argument("--scenes", type=int, default=10)
    parser.add_argument("--data", type=Path, help="folder of real samples")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    net, _ = load_weights(args.weights)
    rows = dict(synthetic(net, args.size, args.scenes))
    if args.data:
        stf = args.data / "5_stf"
        rows |= fusets(stf / "fusets_s2_timeseries", net)
        rows |= kranj(stf / "imagefusion_landsat_modis", net)
    print(table(rows))
    if args.json:
        means = {k: {m: float(np.nanmean(v)) for m, v in r.items()} for k, r in rows.items()}
        args.json.write_text(json.dumps(means, indent=1))


if __name__ == "__main__":
    main()
