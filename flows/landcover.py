"""A small land-cover classifier of patches, for the inception score of a report.

It was trained on procedural scenes alone and knows their seven classes. Its scores order images of
one ground by how clear they look; they are not comparable with scores of other classifiers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from trifuse.core import BandError, Cube
from trifuse.core.weights import read_arrays

PATCH = 16
"""Edge of a patch in pixels."""

BANDS_NM = (490.0, 560.0, 665.0, 865.0)
"""Blue, green, red and near infrared."""

TOLERANCE_NM = 40.0

CLASSES = ("water", "cropland", "grassland", "bare", "forest", "built", "snow")

WEIGHTS = Path(__file__).with_name("landcover.safetensors")

_ARRAYS = ("mean", "std", "weight0", "bias0", "weight1", "bias1")


@dataclass(frozen=True, slots=True, eq=False)
class Classifier:
    """Two dense layers on standardised features.

    Attributes:
        mean: (f,) of the features.
        std: (f,) of the features.
        layers: pairs of weight (in, out) and bias (out,).
    """

    mean: np.ndarray
    std: np.ndarray
    layers: tuple[tuple[np.ndarray, np.ndarray], ...]

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """(n, f) → (n, classes) probabilities."""
        x = (features - self.mean) / self.std
        for number, (weight, bias) in enumerate(self.layers):
            x = x @ weight + bias
            if number + 1 < len(self.layers):
                x = np.maximum(x, 0)
        x = np.exp(x - x.max(axis=1, keepdims=True))
        out: np.ndarray = x / x.sum(axis=1, keepdims=True)
        return out


def patch_features(cube: Cube) -> np.ndarray:
    """What the classifier sees of each whole patch without a missing pixel.

    Means and deviations of four bands, the deviation of their differences between neighbours, and
    two normalised differences: (n, 14) float64, all features of reflectance.

    Args:
        cube: with bands near 490, 560, 665 and 865 nm.

    Raises:
        BandError: if one of them is missing.
    """
    try:
        index = [cube.bands.nearest(nm, tolerance=TOLERANCE_NM) for nm in BANDS_NM]
    except BandError as e:
        raise BandError(e.what, fix="give an image with blue, green, red and near infrared") from e
    return features_of(cube.masked()[index])


def features_of(planes: np.ndarray) -> np.ndarray:
    """:func:`patch_features` of (4, y, x) planes, NaN where missing."""
    blocks = cut(planes)
    kept = blocks[np.isfinite(blocks).all(axis=(1, 2, 3))].astype(np.float64)
    mean = kept.mean(axis=(2, 3))
    steps = [np.diff(kept, axis=a).std(axis=(2, 3)) for a in (2, 3)]
    _, green, red, nir = mean.T
    indices = [
        (nir - red) / (np.abs(nir) + np.abs(red) + 0.01),
        (green - nir) / (np.abs(green) + np.abs(nir) + 0.01),
    ]
    texture = [np.log(v + 1e-4) for v in (kept.std(axis=(2, 3)), np.mean(steps, axis=0))]
    return np.concatenate([mean, *texture, np.stack(indices, axis=1)], axis=1)


def cut(planes: np.ndarray) -> np.ndarray:
    """Planes (c, y, x) as whole patches in rows: (n, c, PATCH, PATCH)."""
    rows, cols = (n // PATCH for n in planes.shape[1:])
    whole = planes[:, : rows * PATCH, : cols * PATCH]
    split = whole.reshape(len(planes), rows, PATCH, cols, PATCH)
    return split.transpose(1, 3, 0, 2, 4).reshape(-1, len(planes), PATCH, PATCH)


def classify(cube: Cube) -> np.ndarray:
    """Class probabilities of each whole patch without a missing pixel: (n, 7).

    Raises:
        BandError: if a band is missing.
    """
    return load_classifier()(patch_features(cube))


@lru_cache(maxsize=1)
def load_classifier() -> Classifier:
    """The classifier that comes with the package.

    Raises:
        WeightsError: if its file is missing or damaged.
    """
    _, (mean, std, *layers) = read_arrays(WEIGHTS, _ARRAYS)
    return Classifier(mean, std, tuple(zip(layers[::2], layers[1::2], strict=True)))
