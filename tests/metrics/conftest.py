"""Images that look like reflectance, with the errors of a fusion."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter


@pytest.fixture
def images():
    """(truth, estimate): (4, 40, 36) float32 in about 0–0.5."""
    rng = np.random.default_rng(7)
    ground = gaussian_filter(rng.standard_normal((40, 36)), 2)
    gain = np.array([0.05, 0.1, 0.4, 0.2])[:, None, None]
    truth = gain * (1 + 0.5 * ground) + 0.02 * gaussian_filter(
        rng.standard_normal((4, 40, 36)), (0, 1, 1)
    )
    estimate = 0.97 * truth + 0.01 * rng.standard_normal(truth.shape)
    return np.abs(truth).astype(np.float32), np.abs(estimate).astype(np.float32)
