"""TAMRF inference against a plain implementation: CPU time, peak memory, agreement.

    python bench/tamrf_cost.py                       # 330² pixels, 64 dates: about ten minutes
    python bench/tamrf_cost.py --dates 16 --size 198 --queries 12
    python bench/tamrf_cost.py --check               # the plain form against published cost only
    python bench/tamrf_cost.py --ours-only --size 990 --queries 24 --bank disk --features float16

The plain form is the network as it stands: tiles of 165 pixels with a margin of 18, every tile
through all stages at once, Landsat's and Sentinel-2's dates decoded by two calls that both make
all channels. Its tiles cost alike, so one is measured and multiplied (--all-tiles measures all).
Each form runs in a process of its own with the same weights and images; CPU time is user and
system time of the work alone, peak memory that of the whole process.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from trifuse.temporal.config import LANDSAT, PUBLISHED, SENTINEL2
from trifuse.temporal.inference import FeatureBank, decode, encode_date
from trifuse.temporal.model import Dates, Tamrf
from trifuse.temporal.observation import reflect

TILE, MARGIN = 165, 18
PUBLISHED_SECONDS = {(8, 99): 6.3, (16, 99): 11.1, (32, 99): 20.8, (16, 165): 33.6, (64, 165): 137}
"""CPU seconds of the original, one thread, by (dates, edge): 12 queries, one decode, no margin."""


def split(dates: int) -> dict[str, list[float]]:
    """Days of each sensor: three in five dates are Sentinel-2's."""
    fine = round(dates * 39 / 64)
    return {
        "landsat": np.linspace(3, 360, dates - fine).round().tolist(),
        "sentinel2": np.linspace(0, 362, fine).round().tolist(),
    }


def image(sensor, size: int, number: int) -> np.ndarray:
    """The same image in every process: (band, y, x) in the network's unit."""
    rng = np.random.default_rng([sensor.ratio, number])
    edge = size // sensor.ratio
    noise = rng.standard_normal((len(sensor.bands), edge, edge), np.float32)
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (sensor.mean, sensor.std))
    return mean + std * noise


def network() -> Tamrf:
    torch.manual_seed(0)
    model = Tamrf(PUBLISHED)
    for p in model.parameters():
        p.data.add_(0.01 * torch.randn_like(p))
    return model.eval()


def queries(count: int) -> list[float]:
    return np.linspace(10, 350, count).tolist()


class Clock:
    """User and system time, and time on the wall."""

    def __init__(self) -> None:
        self.start = self._now()

    @staticmethod
    def _now() -> tuple[float, float]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return used.ru_utime + used.ru_stime, time.perf_counter()

    def read(self) -> dict[str, float]:
        cpu, wall = (b - a for a, b in zip(self.start, self._now(), strict=True))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        return {"cpu_s": cpu, "wall_s": wall, "peak_gb": peak}


@torch.no_grad()
def plain(model: Tamrf, o: argparse.Namespace, *, margin: int, decodes: int, tiles: int) -> dict:
    """The network tile by tile as it stands; returns its measures and the first tile."""
    days = split(o.dates)
    tile = min(TILE, o.size)
    count = math.ceil(o.size / tile) ** 2
    query = torch.tensor([queries(o.queries)])
    first = None
    clock = Clock()
    for number in range(min(tiles, count)):
        row, col = divmod(number, math.ceil(o.size / tile))
        series = {}
        for s in (LANDSAT, SENTINEL2):
            rim, edge = margin // s.ratio, tile // s.ratio
            parts = []
            for i, _ in enumerate(days[s.name]):
                whole = torch.from_numpy(image(s, o.size, i))
                padded = reflect(model.standardise(s, whole), rim)
                top, left = row * edge, col * edge
                parts.append(padded[:, top : top + edge + 2 * rim, left : left + edge + 2 * rim])
            series[s.name] = Dates(torch.stack(parts)[None], torch.tensor([days[s.name]]))
        tokens = model.tokens(series)
        _, _, _, height, width = tokens.shape
        encoded = model.temporal(tokens.permute(0, 3, 4, 1, 2).flatten(0, 2))
        del tokens
        outs = []
        for _ in range(decodes):  # one for each sensor's dates
            asked = model.query_tokens(query)[:, None].expand(-1, height * width, -1, -1)
            maps = model.cross(asked.flatten(0, 1), encoded)
            maps = maps.unflatten(0, (height, width)).permute(2, 3, 0, 1)
            outs.append(model.decoder(maps)[:, :, margin : margin + tile, margin : margin + tile])
        if first is None:
            parts = model.split(outs[-1][None])
            first = torch.cat([parts["landsat"], parts["sentinel2"]], dim=2)[0].numpy()
    measured = clock.read()
    factor = count / min(tiles, count)
    return {**measured, "cpu_s": measured["cpu_s"] * factor, "tiles": count, "first": first}


def ours(model: Tamrf, o: argparse.Namespace) -> dict:
    """The same by features kept per date and a temporal stage in strips."""
    days = split(o.dates)
    device = torch.device(o.device)
    model = model.to(device)
    first = np.empty((o.queries, 18, min(TILE, o.size), min(TILE, o.size)), np.float32)

    def sink(window, values: np.ndarray) -> None:
        stop = min(window.row + window.height, first.shape[2])
        if window.row < stop:
            first[:, :, window.row : stop] = values[:, :, : stop - window.row, : first.shape[3]]

    with tempfile.TemporaryDirectory(dir=o.folder) as folder:
        clock = Clock()
        bank = FeatureBank(
            o.size, o.size, dtype=o.features, folder=Path(folder) if o.bank == "disk" else None
        )
        for s in (LANDSAT, SENTINEL2):
            for i, day in enumerate(days[s.name]):
                encode_date(model, bank, s, image(s, o.size, i), day)
        encoding = clock.read()
        pace = {"strip": 16, "chunk": 8192} if device.type == "cuda" else {}
        decode(model, bank, queries(o.queries), range(18), sink, **pace)
        done = clock.read()
    return {**done, "encode_s": encoding["cpu_s"], "first": first}


def child(o: argparse.Namespace) -> None:
    torch.set_num_threads(o.threads)
    if o.device == "cuda":
        torch.backends.cudnn.allow_tf32 = False
    model = network()
    with torch.no_grad():  # libraries are loaded before the clock starts
        F.conv2d(torch.zeros(1, 8, 8, 8), torch.zeros(8, 8, 3, 3))
    idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if o.form == "ours":
        out = ours(model, o)
    elif o.form == "check":
        o.size = o.check_size
        o.dates = o.check_dates
        out = plain(model, o, margin=0, decodes=1, tiles=1)
    else:
        out = plain(model, o, margin=MARGIN, decodes=2, tiles=10**6 if o.all_tiles else 1)
    first = out.pop("first")
    if o.first:
        np.save(o.first, first)
    print(json.dumps({**out, "idle_gb": idle}))


def measure(form: str, first: Path | None) -> dict:
    arguments = [a for a in sys.argv[1:] if a not in ("--check", "--ours-only")]
    extra = ["--form", form, *(["--first", str(first)] if first else [])]
    done = subprocess.run(
        [sys.executable, __file__, *arguments, *extra], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{form} failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def show(name: str, m: dict) -> None:
    print(
        f"{name:22} {m['cpu_s']:9.1f} CPU s {m['wall_s']:9.1f} s {m['peak_gb']:7.2f} GB peak "
        f"({m['idle_gb']:.2f} before)",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=330, help="edge in pixels of 10 m")
    parser.add_argument("--dates", type=int, default=64)
    parser.add_argument("--queries", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bank", choices=["memory", "disk"], default="memory")
    parser.add_argument("--features", choices=["float32", "float16"], default="float32")
    parser.add_argument("--folder", help="where features go; default: the system's")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--all-tiles", action="store_true")
    parser.add_argument("--check", action="store_true", help="only the plain form's own cost")
    parser.add_argument("--check-dates", type=int, default=16)
    parser.add_argument("--check-size", type=int, default=99)
    parser.add_argument("--ours-only", action="store_true")
    parser.add_argument("--form", choices=["plain", "ours", "check"], help=argparse.SUPPRESS)
    parser.add_argument("--first", help=argparse.SUPPRESS)
    o = parser.parse_args()
    if o.form:
        child(o)
        return
    if o.size % 3 or (o.size > TILE and o.size % TILE and not o.ours_only):
        parser.error("--size must be a multiple of 3, and of 165 above 165")
    if not o.ours_only:
        key = (o.check_dates, o.check_size)
        check = measure("check", None)
        show(f"plain {key[0]} dates, {key[1]}²", check)
        if published := PUBLISHED_SECONDS.get(key):
            ratio = check["cpu_s"] / published
            print(f"  {ratio:.2f} of the {published} CPU s of the original (limit 1.3)")
    if o.check:
        return
    print(f"{o.dates} dates, {o.size}² pixels, {o.queries} queries, {o.threads} threads")
    with tempfile.TemporaryDirectory() as folder:
        firsts = [Path(folder) / f"{n}.npy" for n in ("ours", "plain")]
        mine = measure("ours", firsts[0])
        show(f"ours ({o.bank}, {o.features})", mine)
        if o.ours_only:
            return
        theirs = measure("plain", firsts[1])
        show(f"plain, {theirs['tiles']} tiles", theirs)
        a, b = (np.load(f) for f in firsts)
    std = np.array([*LANDSAT.std, *SENTINEL2.std])[:, None, None]
    # A margin of 18 pixels is less than the reach: tiles of the plain form end too early.
    inner = np.s_[..., 18:-18, 18:-18]
    print(
        f"CPU time {theirs['cpu_s'] / mine['cpu_s']:.2f}×, peak memory "
        f"{theirs['peak_gb'] / mine['peak_gb']:.2f}× less; first tile agrees to "
        f"{np.abs((a - b) / std)[inner].max():.1e} deviations inside"
    )


if __name__ == "__main__":
    main()
