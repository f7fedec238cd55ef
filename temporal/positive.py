"""Reflectance stays positive: a link that changes nothing of what is plausible.

Extrapolated, sharpened or corrected, an estimate can fall below zero where everything that was
seen is above. Below half of a reference (what was seen there, or what a correction starts from) it
then approaches a small share of it exponentially instead; down to that half it is left as it is,
and value and slope go over into each other. Where the reference itself is not positive, as over
dark water in real products, nothing is changed.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

LEAST = 0.05
"""Share of half a reference that nothing falls below."""

DARK = 1e-6
"""Reflectance down to which a reference counts as not positive: a hundredth of a stored count."""


def kept_positive(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Values above zero wherever a reference is; broadcast against each other.

    >>> kept_positive(np.array([0.3, 0.05, -0.1]), np.array(0.1)).round(3).tolist()
    [0.3, 0.05, 0.005]
    """
    with np.errstate(invalid="ignore"):
        half = np.where(reference > DARK, reference / 2, 1)
        fall = np.exp(np.minimum(values / half - 1, 0) / (1 - LEAST))
        low = half * (LEAST + (1 - LEAST) * fall)
        change = (reference > DARK) & (values < half)
    return np.where(change, low, values).astype(values.dtype, copy=False)


def kept_positive_tensor(values: Tensor, reference: Tensor) -> Tensor:
    """The same of tensors."""
    half = torch.where(reference > DARK, reference / 2, 1.0)
    fall = torch.exp((values / half - 1).clamp(max=0) / (1 - LEAST))
    low = half * (LEAST + (1 - LEAST) * fall)
    return torch.where((reference > DARK) & (values < half), low, values)
