"""Images of any size that are made window by window, so that no measurement holds one whole.

A landscape is a few smooth fields, mixed into bands, with texture from pixel to pixel. A pixel
depends on its place alone: any window is the same whichever way it is read.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from trifuse.core import PSF, Cube, CubeSource, Grid, MemorySource, Window, degrade, upsample
from trifuse.srf_data import S2_L2A, S3_SYN_19, load

HR = load("S2A_MSI").select(list(S2_L2A)).bands
LR = load("S3A_SYN").select(list(S3_SYN_19)).bands
NATIVE = {**dict.fromkeys(("B2", "B3", "B4", "B8"), 1), "B1": 6, "B9": 6}
FIELDS, SPACING = 5, 90
"""Smooth fields, and pixels between the values that make them."""

DEVIATION = 0.003
"""Standard deviation of the noise of each band; Sentinel-3's is a third of it."""

_MARGIN = 24


def _noise(window: Window, seed: int) -> np.ndarray:
    """Uniform −½…½ from a hash of each pixel's place: (y, x) float32."""
    rows = np.arange(window.row, window.row + window.height, dtype=np.uint32)[:, None]
    cols = np.arange(window.col, window.col + window.width, dtype=np.uint32)
    x = (
        rows * np.uint32(0x9E3779B1)
        + cols * np.uint32(0x85EBCA77)
        + np.uint32(seed * 0x27D4EB2F % 2**32)
    )
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x2C1B3C6D)
    x ^= x >> np.uint32(12)
    return x.astype(np.float32) * np.float32(2**-32) - np.float32(0.5)


class Landscape(CubeSource):
    """Sentinel-2-like reflectance.

    Args:
        size: columns, of pixels of 10 m.
        native: whether bands of 20 m and 60 m are as blurred as Sentinel-2's, and say so.
        seed: of the fields.
        rows: of pixels; default: as many as columns.
    """

    def __init__(
        self, size: int, native: bool = False, seed: int = 0, rows: int | None = None
    ) -> None:
        rows = size if rows is None else rows
        self.name = f"landscape-{size}"
        self.bands, self.native, self.seed = HR, native, seed
        self.grid = Grid.from_origin("EPSG:32633", 600_000, 5_800_000, 10, rows, size)
        ratios = [NATIVE.get(b, 2) if native else 1 for b in HR.names]
        self.ratios = np.array(ratios)
        self.meta = {"sensor": "S2A_MSI"}
        if native:
            gsd = dict(zip(HR.names, (10.0 * r for r in ratios), strict=True))
            self.meta |= {"native_gsd": gsd}
        rng = np.random.default_rng(seed)
        cells = size // SPACING + 3
        self.fields = rng.random((FIELDS, cells, cells), np.float32)
        self.spectra = (rng.random((FIELDS, len(HR))) * 0.16).astype(np.float32)

    def latent(self, window: Window) -> np.ndarray:
        """The smooth fields: (FIELDS, y, x)."""
        return upsample(self.fields, SPACING, window)

    def fine(self, window: Window, bands: list[int]) -> np.ndarray:
        """Bands as if all were sharp: (band, y, x)."""
        fields = self.latent(window)
        for i, field in enumerate(fields[:3]):
            field += np.float32(0.25) * _noise(window, self.seed + i)
        out = self.spectra[:, bands].T @ fields.reshape(FIELDS, -1)
        out = (out + np.float32(0.02)).reshape(len(bands), *window.shape)
        for plane, band in zip(out, bands, strict=True):
            plane += np.float32(2 * DEVIATION * 3**0.5) * _noise(window, 100 + band)
        return out

    def read(self, window: Window | None = None, bands: Iterable[str] | None = None) -> Cube:
        window = self.grid.whole if window is None else window
        numbers = list(range(len(HR)) if bands is None else HR.indices(bands))
        data = np.empty((len(numbers), *window.shape), np.float32)
        for ratio in sorted(set(self.ratios[numbers])):
            at = [i for i, n in enumerate(numbers) if self.ratios[n] == ratio]
            data[at] = self._band(window, [numbers[i] for i in at], int(ratio))
        valid = np.ones(window.shape, bool)
        return Cube(data, valid, HR.select(numbers), self.grid.window(window), self.meta)

    def _band(self, window: Window, bands: list[int], ratio: int) -> np.ndarray:
        if ratio == 1:
            return self.fine(window, bands)
        top, left = (max(0, (v - _MARGIN) // ratio * ratio) for v in (window.row, window.col))
        rows, cols = (n // ratio * ratio for n in self.grid.shape)
        bottom = min(rows, -(-(window.row + window.height + _MARGIN) // ratio) * ratio)
        right = min(cols, -(-(window.col + window.width + _MARGIN) // ratio) * ratio)
        around = Window(top, left, bottom - top, right - left)
        native = degrade(self.fine(around, bands), ratio, PSF.from_mtf(0.3))
        return upsample(native, ratio, window.shift(-top, -left))


def coarse(scene: Landscape, ratio: int = 30) -> MemorySource:
    """Sentinel-3 of a landscape: the fields at the middle of its cells, texture averages out."""
    grid = scene.grid.zoom_out(ratio)
    mix = np.random.default_rng(scene.seed + 1).random((len(LR), len(HR))).astype(np.float32)
    mix /= mix.sum(axis=1, keepdims=True)
    data = np.empty((len(LR), *grid.shape), np.float32)
    for row in range(grid.height):
        strip = scene.latent(Window(row * ratio + ratio // 2, 0, 1, grid.width * ratio))
        fields = strip[:, 0, ratio // 2 :: ratio]
        data[:, row] = mix @ (scene.spectra.T @ fields + np.float32(0.02))
    noise = np.random.default_rng(scene.seed + 2).standard_normal(data.shape, np.float32)
    data += np.float32(DEVIATION / 3) * noise
    meta = {"sensor": "S3A_SYN"}
    return MemorySource(Cube(data, np.ones(grid.shape, bool), LR, grid, meta), "coarse")
