"""All measures at once, and their table."""

import json
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from trifuse import metrics
from trifuse.core import BandSet, DataError

BANDS = ("Oa03", "Oa17", "S5", "S6")


def test_score_is_the_single_measures(images):
    valid = np.ones(images[0].shape[1:], bool)
    valid[:4] = False
    s = metrics.score(*images, valid, ratio=10, bands=BandSet.of(BANDS))
    for name in (
        "rmse",
        "psnr",
        "sam",
        "ssim",
        "uiqi",
        "cc",
        "jsd",
        "jsd_spectra",
        "cosine",
        "euclidean",
    ):
        assert getattr(s, name) == getattr(metrics, name)(*images, valid), name
    assert s.ergas == metrics.ergas(*images, valid, ratio=10)
    worst = metrics.psnr_bands(*images, valid)
    assert (s.worst_psnr, s.worst_band) == (worst.min(), BANDS[worst.argmin()])
    assert s.psnr_bands == tuple(worst) and s.bands == BANDS
    assert (s.pixels, s.of) == (36 * 36, 40 * 36)
    with pytest.raises(FrozenInstanceError):
        s.psnr = 1.0


def test_a_band_without_values_is_not_the_worst(images):
    truth, estimate = images
    truth[2] = np.nan
    assert metrics.score(truth, estimate, ratio=10).worst_band != "3"


def test_json_holds_no_infinity(images):
    s = metrics.score(images[0], images[0], ratio=10)
    back = json.loads(json.dumps(s.to_json(), allow_nan=False))
    assert back["psnr"] is None and back["rmse"] == 0 and back["psnr_bands"] == [None] * 4
    assert back["bands"] == ["1", "2", "3", "4"]


def test_the_table_is_aligned(images):
    rows = {
        "bicubic": metrics.score(*images, ratio=10, bands=BANDS),
        "truth": metrics.score(images[0], images[0], ratio=10, bands=BANDS),
    }
    lines = metrics.format_table(rows).splitlines()
    assert [line.split()[0] for line in lines] == ["PSNR", "bicubic", "truth"]
    assert len({len(line) for line in lines}) == 1 and len(lines[0]) <= 100
    assert f"{rows['bicubic'].psnr:.2f}" in lines[1]
    worst = rows["bicubic"]
    assert [f"{worst.worst_psnr:.2f}", worst.worst_band] == lines[1].split()[2:4]
    assert "∞" in lines[2]

    lines = metrics.format_bands(rows).splitlines()
    assert [line.split()[0] for line in lines] == ["PSNR", *BANDS]
    assert lines[1].split()[1] == f"{rows['bicubic'].psnr_bands[0]:.2f}"


def test_tables_and_names_that_do_not_fit(images):
    with pytest.raises(DataError, match="2 band names for 4 bands"):
        metrics.score(*images, ratio=10, bands=["a", "b"])
    rows = {
        "a": metrics.score(*images, ratio=10, bands=BANDS),
        "b": metrics.score(*images, ratio=10),
    }
    with pytest.raises(DataError, match="different bands"):
        metrics.format_bands(rows)
