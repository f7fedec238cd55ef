"""A series as a moving picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trifuse.core import CubeSource, DataError, MissingExtraError, write_bytes
from trifuse.core.picture import STRETCH, choose_rgb
from trifuse.products.write.quicklook import read_small


def can_animate() -> bool:
    """Whether the package that writes pictures in motion is there."""
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        return False
    return True


def write_animation(
    path: Path | str,
    frames: Sequence[tuple[str, CubeSource]],
    *,
    rgb: Sequence[str] | None = None,
    max_size: int = 512,
    milliseconds: int = 400,
    overwrite: bool = False,
) -> tuple[str, ...]:
    """Write a GIF or WebP (by the name) with one picture a date, all stretched alike.

    Args:
        path: ends in ``.gif`` or ``.webp``.
        frames: (label, image) in order; the label is drawn into the corner.
        rgb: band names of red, green and blue, or one for grey; default: as of
            :func:`trifuse.products.choose_rgb`.
        max_size: longest side in pixels.
        milliseconds: that a picture stays.
        overwrite: replace an existing file.

    Returns:
        The bands shown.

    Raises:
        MissingExtraError: if Pillow is not installed.
        DataError: if there is no frame, or the name has another ending.
        BandError: if a band is missing.
        OutputExistsError: if the file exists and ``overwrite`` is False.
    """
    try:
        from PIL import Image, ImageDraw
    except ImportError:
        raise MissingExtraError(
            "Pillow is not installed", fix="pip install 'trifuse[plot]'"
        ) from None
    path = Path(path)
    if not frames or path.suffix.lower() not in (".gif", ".webp"):
        raise DataError(
            f"{len(frames)} pictures for {path.name}", fix="give some, and .gif or .webp"
        )
    names = tuple(rgb) if rgb is not None else choose_rgb(frames[0][1].bands)
    planes = []
    for _, source in frames:
        cube = read_small(source, max_size, names)
        planes.append(np.where(cube.valid, cube.data, np.nan))
        source.close()
    stack = np.stack(planes)  # (T, band, y, x)
    seen = np.isfinite(stack).all(axis=1, keepdims=True)
    pictures = []
    low, high = _limits(stack, seen)
    scaled = np.clip((stack - low) / (high - low), 0, 1)
    pixels = np.where(seen, np.nan_to_num(scaled) * 255, 0).round().astype(np.uint8)
    for (label, _), image in zip(frames, pixels, strict=True):
        colours = np.repeat(image, 3, axis=0)[:3] if len(image) == 1 else image
        picture = Image.fromarray(np.ascontiguousarray(colours.transpose(1, 2, 0)))
        ImageDraw.Draw(picture).text(
            (4, 3), label, fill="white", stroke_width=1, stroke_fill="black"
        )
        pictures.append(picture)
    content = io.BytesIO()
    pictures[0].save(
        content,
        format=path.suffix[1:].upper(),
        save_all=True,
        append_images=pictures[1:],
        duration=milliseconds,
        loop=0,
    )
    write_bytes(path, content.getvalue(), overwrite=overwrite)
    return names


def _limits(stack: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Black and full colour of each band over all dates: (band, 1, 1) each."""
    low, high = [], []
    for band in range(stack.shape[1]):
        values = stack[:, band][seen[:, 0]]
        a, b = np.percentile(values, STRETCH) if values.size else (0.0, 1.0)
        low.append(a)
        high.append(b if b - a > 1e-9 else a + 1.0)
    return np.array(low)[:, None, None], np.array(high)[:, None, None]
