"""How well series are filled and fused: a TAMRF network, its prior, and what needs neither.

    python bench/tamrf_accuracy.py [WEIGHTS] [--scenes 12] [--data DIR] [--json OUT]

Synthetic scenes are of seeds that no training or validation uses. Gaps and fusion are judged by
what the sensor saw on clear pixels of the hidden dates (with its noise and haze); sharpening on
dates that are seen, against the truth at 10 m on clear ground; and ``truth`` is the middles of the
gaps against the truth at 10 m. Real series (a folder with 5_stf of the samples) have their clear
dates hidden, a third at a time. RMSE in reflectance, of temperatures in kelvin; mean and standard
deviation over scenes of the mean over dates and bands. Without WEIGHTS the shipped ones are taken.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from trifuse.simulate import procedural_series
from trifuse.temporal.baselines import fine_plus_change, interpolate_linear, nearest_clear
from trifuse.temporal.config import Sensor
from trifuse.temporal.contract import Forecast
from trifuse.temporal.forecast import forecast_by
from trifuse.temporal.methods import get_series_method
from trifuse.temporal.metrics import date_errors
from trifuse.temporal.model import Tamrf
from trifuse.temporal.networks import SHIPPED, load_weights
from trifuse.temporal.prior import prior_forecast, seen_by
from trifuse.temporal.scoring import as_seen, images_seen, score_hidden
from trifuse.temporal.stack import Stack, upsampled
from trifuse.temporal.strategies import hide_gaps, task
from trifuse.train.temporal_data import to_network

METHODS = ("nearest", "linear", "change", "prior", "network")
FIRST = 2000
"""Seed of the first scene: none that training or validation uses."""
RIM = 6
"""Target pixels left out at each edge."""
Rows = dict[str, dict[str, list[float]]]


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
    sensors, forecast = net.config.sensors, forecast_by(net, blank=True)
    for seed in range(FIRST, FIRST + count):
        made = procedural_series(size, seed, year=2017 + seed % 7)
        images = stacks(made)
        days = {k: v.days.tolist() for k, v in images.items()}
        for name in ("gap-filling", "fusion"):
            chosen = task(name, days, "landsat", "sentinel2")
            scores = score_hidden(forecast, sensors, images, chosen, margin=10.0 * RIM)
            for sensor in sensors:
                for method in METHODS if sensor.name in scores else ():
                    found = scores[sensor.name]
                    add(rows, name, sensor, method, found[f"{method}/rmse"])
                    sam = np.nanmean(found[f"{method}/sam"])
                    rows[f"{name} · {sensor.name} SAM (°)"][method].append(float(sam))
        methods = {"prior": prior_forecast(sensors), "network": forecast}
        against_truth(rows, made, images, methods, sensors, days)
        sharpening(rows, made, images, methods, sensors)
        print(seed, flush=True)
    return rows


def truths(made, sensor: Sensor, query: Sequence[float]) -> np.ndarray:
    """(Q, band, H, W) in the network's unit."""
    wanted = np.stack([made.truth(day)[sensor.name] for day in query])
    wanted[:, [b in sensor.thermal for b in sensor.bands]] /= 1000
    return wanted


def plain(method: str, sensor: Sensor, sensors, seen, query) -> np.ndarray:
    """A baseline on the target grid, interpolated if its pixels are larger."""
    found = images_seen(get_series_method(method, sensors=sensors), sensor, seen, query)
    return upsampled(found, sensor.ratio) if sensor.ratio > 1 else found


def against_truth(rows, made, images, methods: Mapping[str, Forecast], sensors, days) -> None:
    """The middles of the gaps at 10 m, for all bands."""
    chosen = hide_gaps(days, 30)
    seen = {k: images[k].only(chosen.visible[k]) for k in images}
    query = [45.0 + 60 * i for i in range(6)]
    made_by = {name: run(seen, query) for name, run in methods.items()}
    for sensor in sensors:
        wanted = truths(made, sensor, query)
        found = {m: plain(m, sensor, sensors, seen, query) for m in ("nearest", "linear", "change")}
        found |= {name: images_of[sensor.name] for name, images_of in made_by.items()}
        compare(rows, "truth at 10 m in gaps", sensor, wanted, found)


def sharpening(rows, made, images, methods: Mapping[str, Forecast], sensors) -> None:
    """Seen dates at 10 m: bands of 20 m, and temperatures."""
    for sensor, name in ((sensors[1], "band-sharpening"), (sensors[0], "thermal")):
        hot = [i for i, b in enumerate(sensor.bands) if b in sensor.thermal]
        soft = [i for i, r in enumerate(sensor.resolution) if r > 10] if not hot else hot
        every = images[sensor.name]
        clear = np.flatnonzero(every.valid.mean(axis=(1, 2)) > 0.9)
        query = every.days[clear[:: max(1, len(clear) // 6)]].tolist()
        seen = {s.name: images[s.name] for s in sensors}
        if name == "band-sharpening":
            seen = {k: v if k == sensor.name else v.only([]) for k, v in seen.items()}
        wanted = truths(made, sensor, query)
        found = {m: plain(m, sensor, sensors, seen, query) for m in ("nearest", "linear")}
        found["change"] = found["nearest"]
        found |= {m: run(seen, query)[sensor.name] for m, run in methods.items()}
        some = replace(
            sensor,
            thermal=sensor.thermal if hot else (),
            **{
                k: tuple(getattr(sensor, k)[i] for i in soft)
                for k in ("bands", "resolution", "mtf", "mean", "std")
            },
        )
        clear_ground = every.only(query).valid.repeat(sensor.ratio, 1).repeat(sensor.ratio, 2)
        compare(
            rows,
            name,
            some,
            wanted[:, soft],
            {m: f[:, soft] for m, f in found.items()},
            clear_ground,
        )


def compare(rows, name, sensor, wanted, found, clear=None) -> None:
    inner = np.s_[..., RIM:-RIM, RIM:-RIM]
    there = np.all([np.isfinite(f).all(axis=1) for f in found.values()], axis=0)
    there = there if clear is None else there & clear
    for method, images in found.items():
        errors = date_errors(wanted[inner], images[inner], there[inner])[0]
        add(rows, name, sensor, method, errors)


def fusets(folder: Path, net: Tamrf) -> Rows:
    """Sentinel-2 red and near infrared with gaps: each third of the clearest dates is hidden.

    The other bands are missing, so that the network sees two of its ten.
    """
    import h5py

    rows: Rows = defaultdict(lambda: defaultdict(list))
    sensors, forecast = net.config.sensors, forecast_by(net, blank=True)
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
        empty = Stack(
            np.zeros((0, 8, edge[0] // 3, edge[1] // 3), np.float32),
            np.zeros((0, edge[0] // 3, edge[1] // 3), bool),
            np.zeros(0),
        )
        images = {"landsat": empty, "sentinel2": Stack(data, valid, days)}
        clear = np.flatnonzero(valid.sum(axis=(1, 2)) > 0.8 * valid.sum(axis=(1, 2)).max())
        for first in range(3):
            hidden = days[clear[first::3]].tolist()
            seen = {
                "landsat": empty,
                "sentinel2": images["sentinel2"].only(
                    [d for d in days.tolist() if d not in hidden]
                ),
            }
            target = images["sentinel2"].only(hidden)
            plainer = [get_series_method(m, sensors=sensors) for m in METHODS[:4]]
            made = {m.name: images_seen(m, s2, seen, hidden) for m in plainer}
            made["network"] = as_seen(forecast(seen, hidden)["sentinel2"], s2)
            for method, found in made.items():
                mask = target.valid & np.isfinite(found[:, at]).all(axis=1)
                errors = date_errors(target.data[:, at], found[:, at], mask)[0]
                rows[f"real S2 {path.stem[:22]} · B4 B8"][method].append(float(np.nanmean(errors)))
    return rows


def kranj(folder: Path, net: Tamrf) -> Rows:
    """Four Landsat dates; the inner ones are hidden in turn. In fusion MODIS is seen on all days.

    The network knows no MODIS: in fusion it is left out.
    """
    import rasterio

    rows: Rows = defaultdict(lambda: defaultdict(list))
    forecast = forecast_by(net, blank=True)
    ls = net.config.sensor("landsat")
    names = ("B2", "B3", "B4", "B5", "B6", "B7")
    order = [ls.bands.index(b) for b in names]

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
    eight = np.full((len(fine.days), len(ls.bands), *shape), np.nan, np.float32)
    eight[:, order] = fine.data
    everything = Stack(eight, fine.valid, fine.days)
    none = Stack(
        np.zeros((0, 10, shape[0] * 3, shape[1] * 3), np.float32),
        np.zeros((0, shape[0] * 3, shape[1] * 3), bool),
        np.zeros(0),
    )
    # On its own grid Landsat is the fine sensor, and MODIS, resampled to it, the coarse one.
    six = [
        Sensor(n, names, (30.0,) * 6, (1.0,) * 6, 1, (0.0,) * 6, (1.0,) * 6)
        for n in ("landsat", "modis")
    ]
    for hidden in fine.days[1:3].tolist():
        others = [d for d in fine.days.tolist() if d != hidden]
        seen = {"landsat": fine.only(others), "modis": coarse}
        alone = {"landsat": everything.only(others), "sentinel2": none}
        target = fine.only([hidden])
        known = seen["landsat"]
        made = {
            "nearest": nearest_clear(known, [hidden]),
            "linear": interpolate_linear(known, [hidden]),
            "change": fine_plus_change(known, coarse, [hidden], 1, list(range(6))),
            "prior": seen_by(six[0], six, seen, [hidden])[0],
        }
        gap = {
            **made,
            "change": made["nearest"],
            "prior": seen_by(six[0], six[:1], seen, [hidden])[0],
            "network": as_seen(forecast(alone, [hidden])["landsat"], ls)[:, order],
        }
        for name, methods in (("fusion with MODIS", made), ("gap filling", gap)):
            for method, found in methods.items():
                mask = target.valid & np.isfinite(found).all(axis=1)
                errors = date_errors(target.data, found, mask)[0]
                rows[f"real Landsat Kranj · {name}"][method].append(float(np.nanmean(errors)))
    return rows


def table(rows: Rows) -> str:
    width = 46
    lines = [
        f"{'':<{width}}"
        + "".join(f"{m:>18}" for m in METHODS)
        + "   prior, network: in scenes better than linear, than change"
    ]
    for name, row in rows.items():
        line = f"{name:<{width}}"
        for m in METHODS:
            cell = f"{np.nanmean(row[m]):.4f}±{np.nanstd(row[m]):.4f}" if row.get(m) else "–"
            line += f"{cell:>18}"
        for ours in ("prior", "network"):
            for theirs in ("linear", "change"):
                if row.get(ours):
                    won = sum(a < b for a, b in zip(row[ours], row[theirs], strict=True))
                    line += f"   {won}/{len(row[ours])}"
        lines.append(line)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path, nargs="?", default=SHIPPED)
    parser.add_argument("--size", type=int, default=48)
    parser.add_argument("--scenes", type=int, default=12)
    parser.add_argument("--data", type=Path, help="folder of real samples")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    net, _ = load_weights(args.weights)
    rows = dict(synthetic(net, args.size, args.scenes)) if args.scenes else {}
    if args.data:
        stf = args.data / "5_stf"
        rows |= fusets(stf / "fusets_s2_timeseries", net)
        rows |= kranj(stf / "imagefusion_landsat_modis", net)
    print(table(rows))
    if args.json:
        digits = {
            name: {method: [float(f"{v:.4g}") for v in values] for method, values in row.items()}
            for name, row in rows.items()
        }
        args.json.write_text(json.dumps(digits, ensure_ascii=False).replace("}, ", "},\n") + "\n")


if __name__ == "__main__":
    main()
