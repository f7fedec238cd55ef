"""Spectral convolution and triplet generation: time, peak memory, and ratios to what they rest on.

    python bench/simulate.py                # 1000×1000 pixels, 224 bands
    python bench/simulate.py --size 300

Every figure is measured in a process of its own, so that peak memory is its own. The scene is a
mixture of smooth spectra with noise of a few counts, and lies on disk as an EnMAP delivery.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from trifuse.core import Cube, CubeSource, Grid, Window
from trifuse.simulate import SimulateConfig, scene_views, simulate_store
from trifuse.simulate.spectral import band_product, row_blocks
from trifuse.simulate.views import view_operators
from trifuse.srf_data import load

sys.path.insert(0, str(Path(__file__).parent))

from _child import call, measured, peak_mb

BANDS = load("ENMAP").bands


def scene(size: int) -> np.ndarray:
    """(224, size, size) int16 counts of 1e-4."""
    rng = np.random.default_rng(0)
    spectra = gaussian_filter(rng.random((6, len(BANDS))), (0, 8)).astype(np.float32)
    shares = gaussian_filter(rng.random((6, size, size), np.float32), (0, 4, 4))
    out = np.empty((len(BANDS), size, size), np.int16)
    for plane, spectrum in zip(out, spectra.T, strict=True):
        noise = rng.normal(0, 15, (size, size)).astype(np.float32)
        plane[:] = np.rint(np.tensordot(spectrum, shares, 1) * 2000 + noise)
    return out


class Counts(CubeSource):
    """int16 counts in memory."""

    def __init__(self, counts: np.ndarray) -> None:
        self.counts = counts
        self.name, self.bands, self.meta = "counts", BANDS, {}
        self.grid = Grid.from_origin("EPSG:32633", 3e5, 5.8e6, 30, *counts.shape[1:])

    def read(self, window: Window | None = None, bands: Iterable[str] | None = None) -> Cube:
        window = self.grid.whole if window is None else window
        numbers = range(len(BANDS)) if bands is None else BANDS.indices(bands)
        data = np.empty((len(numbers), *window.shape), np.float32)
        for plane, number in zip(data, numbers, strict=True):
            np.multiply(self.counts[number][window.slices], np.float32(1e-4), out=plane)
        valid = np.ones(window.shape, bool)
        return Cube(data, valid, BANDS.select(numbers), self.grid.window(window))


def matrix() -> np.ndarray:
    to_s2, to_s3 = view_operators(BANDS, {})
    return np.concatenate([to_s2.matrix, to_s3.matrix])


# --- what is measured: prepare(size, folder) -> the work


def bare(size: int, folder: Path) -> Callable[[], object]:
    """All bands to float32 and one product: no streaming, no missing values."""
    counts, weights = scene(size), matrix().astype(np.float32)

    def work() -> object:
        pixels = counts.reshape(len(BANDS), -1).astype(np.float32)
        pixels *= np.float32(1e-4)
        return weights @ pixels

    return work


def ours(size: int, folder: Path) -> Callable[[], object]:
    source, weights = Counts(scene(size)), matrix()
    return lambda: band_product(source, weights, source.grid.whole)


def band_resampler() -> Callable[[np.ndarray], np.ndarray]:
    from spectral import BandResampler

    to_s2, to_s3 = view_operators(BANDS, {})
    targets = [*to_s2.bands, *to_s3.bands]
    centres, widths = [b.centre for b in targets], [b.fwhm for b in targets]
    return BandResampler(list(BANDS.centres), centres, list(BANDS.fwhms), widths)


def resampler(size: int, folder: Path) -> Callable[[], object]:
    """``spectral.BandResampler`` as it is documented: a spectrum at a time, on a 100×100 crop."""
    pixels = scene(100).reshape(len(BANDS), -1).T * 1e-4
    made = band_resampler()
    return lambda: np.array([made(spectrum) for spectrum in pixels])


def resampler_image(size: int, folder: Path) -> Callable[[], object]:
    """Its matrix on a whole image at once, which its interface allows."""
    counts, made = scene(size), band_resampler()
    return lambda: made(counts.reshape(len(BANDS), -1) * 1e-4)


def delivery(folder: Path) -> Path:
    return next(folder.glob("ENMAP01*"))


def read_file(size: int, folder: Path) -> Callable[[], object]:
    """Every stored value of the file through rasterio, by blocks of rows: no calibration."""
    import rasterio

    path = next(delivery(folder).glob("*SPECTRAL_IMAGE.TIF"))

    def work() -> object:
        with rasterio.open(path) as d:
            for top in range(0, size, 256):
                d.read(window=rasterio.windows.Window(0, top, size, min(256, size - top)))
        return None

    return work


def read_source(size: int, folder: Path) -> Callable[[], object]:
    """All bands as calibrated reflectance with the mask, by blocks of rows."""
    from trifuse.products import open_cube

    source = open_cube(delivery(folder))

    def work() -> object:
        for window in row_blocks(source.grid.whole, len(source.bands)):
            source.read(window)
        source.close()  # with it goes what the file library has cached
        return None

    return work


def views(size: int, folder: Path) -> Callable[[], object]:
    """The three views of the scene, in memory."""
    from trifuse.products import open_cube

    def work() -> object:
        with open_cube(delivery(folder)) as source:
            return scene_views(source)

    return work


def triplets(size: int, folder: Path) -> Callable[[], object]:
    """From the file to a finished store with every triplet of the scene."""
    patch = min(150, size // 20 * 10)

    def work() -> object:
        with tempfile.TemporaryDirectory(dir=folder) as out:
            store = simulate_store(delivery(folder), Path(out) / "s", SimulateConfig(patch=patch))
            return len(store)

    return work


CASES = (bare, ours, resampler, resampler_image, read_file, read_source, views, triplets)


def measure(case: str, size: int, folder: Path, repeat: int) -> dict[str, float]:
    """Seconds (best of ``repeat``), and memory before and at the peak, in MB."""
    work = next(c for c in CASES if c.__name__ == case)(size, folder)
    before = peak_mb()
    seconds, cpu = [], []
    for _ in range(repeat):
        start, start_cpu = time.perf_counter(), time.process_time()
        work()
        seconds.append(time.perf_counter() - start)
        cpu.append(time.process_time() - start_cpu)
    peak = peak_mb()
    return {"seconds": min(seconds), "cpu_seconds": min(cpu), "before_mb": before, "peak_mb": peak}


def write_delivery(size: int, folder: Path) -> None:
    from trifuse.products import write_enmap_l2a

    write_enmap_l2a(folder, Counts(scene(size)).read())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1000, help="edge of the scene in pixels")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--cases", nargs="+", default=[c.__name__ for c in CASES])
    parser.add_argument("--json", action="store_true", help="only JSON, one line")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case == "delivery":
        write_delivery(options.size, options.folder)
        return
    if options.case:
        print(json.dumps(measure(options.case, options.size, options.folder, options.repeat)))
        return
    with tempfile.TemporaryDirectory() as folder:
        common = {"folder": folder, "size": options.size, "repeat": options.repeat}
        call(__file__, case="delivery", **common)
        found = {case: measured(__file__, case=case, **common) for case in options.cases}
    if "resampler" in found:
        found["resampler"]["seconds"] *= options.size**2 / 100**2
    if options.json:
        print(json.dumps(found))
        return
    print(f"{options.size}×{options.size} pixels, {len(BANDS)} bands of int16\n")
    for name, f in found.items():
        print(
            f"{name:16} {f['seconds']:8.2f} s   peak {f['peak_mb']:6.0f} MB "
            f"(before the work {f['before_mb']:.0f} MB)"
        )
    print()
    for a, b in (
        ("ours", "bare"),
        ("resampler", "ours"),
        ("resampler_image", "ours"),
        ("views", "read_file"),
        ("triplets", "read_file"),
        ("triplets", "read_source"),
    ):
        if a in found and b in found:
            print(f"{a} / {b}: {found[a]['seconds'] / found[b]['seconds']:.2f}")


if __name__ == "__main__":
    main()
