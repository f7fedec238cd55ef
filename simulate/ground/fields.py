"""Building blocks of landscapes: 1/f fields on a raster, and lines."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy import fft, ndimage


def fractal(
    rng: np.random.Generator,
    shape: tuple[int, int],
    step: float,
    *,
    beta: float,
    outer: float,
    inner: float = 0.0,
) -> np.ndarray:
    """A Gaussian field of power spectrum (f² + 1/outer²)^(−β/2), of expected variance one.

    It is cut from a field larger by ``outer``, so opposite edges are unrelated and small scenes
    are pieces of large ones.

    Args:
        rng: random stream.
        shape: (rows, columns).
        step: sample distance in metres.
        beta: exponent of the power spectrum; 0 is white, 3–4 is terrain.
        outer: length in metres beyond which the spectrum is flat.
        inner: standard deviation in metres of a Gaussian that smooths the field.

    Returns:
        (rows, columns) float32.
    """
    pad = int(np.ceil(outer / step))
    n_y, n_x = (fft.next_fast_len(n + pad, real=True) for n in shape)
    f_y = np.fft.fftfreq(n_y, step)[:, None].astype(np.float32)
    f_x = np.fft.rfftfreq(n_x, step)[None].astype(np.float32)
    square = f_y**2 + f_x**2
    gain = (square + np.float32(outer**-2)) ** (-beta / 4)
    if inner:
        gain *= np.exp(square * (-2 * (np.pi * inner) ** 2))
    white = rng.standard_normal((n_y, n_x), dtype=np.float32)
    field = fft.irfft2(fft.rfft2(white) * gain, s=(n_y, n_x))
    twice = np.full(gain.shape[1], 2.0)
    twice[0] = 1.0
    twice[-1] = 1.0 if n_x % 2 == 0 else 2.0
    power = float((gain.astype(np.float64) ** 2 @ twice).sum()) / (n_y * n_x)
    return np.asarray(field[: shape[0], : shape[1]] / np.sqrt(power), np.float32)


def smoothstep(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def sample(field: np.ndarray, row: np.ndarray, col: np.ndarray, order: int = 1) -> np.ndarray:
    """Values of a raster at fractional positions; the edge value beyond it."""
    return np.asarray(
        ndimage.map_coordinates(field, np.stack([row, col]), order=order, mode="nearest"),
        np.float32,
    )


def resample_line(points: np.ndarray, step: float) -> np.ndarray:
    """Points (n, k) along a line, first two columns metres, at equal distances of ``step``."""
    length = np.r_[0, np.cumsum(np.hypot(*np.diff(points[:, :2], axis=0).T))]
    at = np.linspace(0, length[-1], max(int(length[-1] / step), 1) + 1)
    return np.stack([np.interp(at, length, column) for column in points.T], axis=1)


def smooth_line(points: np.ndarray, sigma: float) -> np.ndarray:
    """A line (n, k) without its corners; its ends stay."""
    if len(points) < 4:
        return points
    # Reflecting about the ends keeps them in place.
    out = ndimage.gaussian_filter1d(2 * points - points[:1], sigma, axis=0, mode="nearest")
    out = (out + points[:1]) / 2
    fade = np.minimum(np.arange(len(points)), np.arange(len(points))[::-1]) / (2 * sigma)
    weight = np.clip(fade, 0, 1)[:, None]
    return np.asarray(points + (out - points) * weight)


def line_shares(lines: Iterable[np.ndarray], shape: tuple[int, int], gsd: float) -> np.ndarray:
    """Share of each pixel that lines of given width cover.

    Args:
        lines: each (n, 3): y, x and width in metres from the raster's upper left corner.
        shape: (rows, columns).
        gsd: pixel size in metres.

    Returns:
        (rows, columns) float32 in 0–1.
    """
    share = np.zeros(shape, np.float32)
    for line in lines:
        points = resample_line(line, 0.35 * gsd)
        half = points[:, 2] / (2 * gsd)
        row, col = points[:, 0] / gsd - 0.5, points[:, 1] / gsd - 0.5
        reach = int(np.ceil(half.max() + 0.5))
        near = np.all(
            [row > -reach - 1, row < shape[0] + reach, col > -reach - 1, col < shape[1] + reach],
            axis=0,
        )
        row, col, half = row[near], col[near], half[near]
        base_row, base_col = np.rint(row).astype(int), np.rint(col).astype(int)
        for dy in range(-reach, reach + 1):
            for dx in range(-reach, reach + 1):
                r, c = base_row + dy, base_col + dx
                ok = (r >= 0) & (r < shape[0]) & (c >= 0) & (c < shape[1])
                away = np.hypot(r - row, c - col)[ok]
                # A strip seen through a pixel-wide box.
                inside = np.minimum(away + 0.5, half[ok]) - np.maximum(away - 0.5, -half[ok])
                np.maximum.at(share, (r[ok], c[ok]), np.clip(inside, 0, 1).astype(np.float32))
    return share
