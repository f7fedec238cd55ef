"""Synthetic against observed, on grids that are not nested; what is wrong is flagged."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from trifuse.cli.main import run
from trifuse.core import PSF, BandSet, Cube, Grid, Window, degrade
from trifuse.core.errors import ConfigError, DataError, GridError, OverlapError
from trifuse.flows.fidelity import check_fidelity
from trifuse.products import write_cube, write_sentinel2_safe, write_syn
from trifuse.srf_data import S2_L2A, load

START = datetime(2024, 6, 21, 10, 20, 31, tzinfo=UTC)
FACTOR, SIZE = 6, 120
"""Pixels of 5 m per EnMAP pixel; EnMAP pixels a side."""


@pytest.fixture(scope="module")
def ground():
    """What lies there, in pixels of 5 m: (weights of two spectra, (2, y, x))."""
    rng = np.random.default_rng(8)
    field = gaussian_filter(rng.standard_normal((SIZE * FACTOR,) * 2), 25)
    share = np.clip(0.5 + 12 * field, 0, 1)
    return np.stack([share, 1 - share])


def soil(nm):
    return 0.08 + 0.25 * np.clip((np.asarray(nm) - 400) / 1800, 0, 1)


def leaf(nm):
    nm = np.asarray(nm, float)
    return 0.05 + 0.4 / (1 + np.exp(-(nm - 715) / 15)) * np.exp(-np.clip(nm - 1300, 0, None) / 900)


def spectra(bands, usable=None):
    """Two spectra as a sensor's bands see them, (band, 2)."""
    out = []
    for band in bands:
        nm = band.centre + np.linspace(-1, 1, 41) * band.fwhm
        weight = np.exp(-4 * np.log(2) * ((nm - band.centre) / band.fwhm) ** 2)
        out.append([np.average(s(nm), weights=weight) for s in (soil, leaf)])
    return np.array(out)


def cube(data, bands, grid, **meta):
    data = np.asarray(data, np.float32)
    return Cube(data, np.isfinite(data).all(axis=0), bands, grid, meta)


@pytest.fixture(scope="module")
def enmap(ground):
    """EnMAP of 30 m: 60 bands from 418 to 2445 nm, wide enough to leave no gap."""
    nm = np.linspace(418, 2445, 200)
    bands = BandSet.of([f"E{i:03d}" for i in range(200)], nm, np.full(200, 14.0))
    seen = degrade(ground, FACTOR, PSF.from_mtf(0.3))
    grid = Grid.from_origin("EPSG:32633", 300_000.0, 5_800_000.0, 30, SIZE, SIZE)
    return cube(np.tensordot(spectra(bands), seen, 1), bands, grid, start_time=START.isoformat())


@pytest.fixture(scope="module")
def s2(ground):
    """Sentinel-2 of 10 m over a part, its pixels a third and a half of one beside EnMAP's."""
    bands = load("S2A_MSI").select(S2_L2A).bands
    fine = degrade(ground, 2, PSF.from_mtf(0.3))[:, 31:331, 43:331]
    grid = Grid.from_origin("EPSG:32633", 300_430.0, 5_799_690.0, 10, 300, 288)
    return cube(np.tensordot(spectra(bands), fine, 1), bands, grid)


@pytest.fixture(scope="module")
def s3(ground):
    bands = load("S3A_SYN").bands
    cells = degrade(ground, 60, PSF.from_mtf(0.3))
    grid = Grid.from_origin("EPSG:32633", 300_000.0, 5_800_000.0, 300, 12, 12)
    return cube(np.tensordot(spectra(bands), cells, 1), bands, grid)


def test_an_honest_sentinel_2_passes(enmap, s2):
    done = check_fidelity(enmap, s2=s2)
    report = done.report
    assert report.flags == ()
    assert len(report.bands) == 12 and report.sam < np.degrees(0.01)
    assert min(report.ssim) > 0.98
    # Only EnMAP pixels that lie wholly on the observed image count.
    assert report.of == 99 * 95 == report.pixels
    assert done.record["table"] == "S2A_MSI" and "no flags" in done.text


def test_half_a_pixel_beside_is_seen(enmap, s2):
    """The comparison knows where pixels lie: moved ones agree less."""
    a, b, c, d, e, f = s2.grid.transform
    beside = Cube(
        s2.data, s2.valid, s2.bands, Grid(s2.grid.crs, (a, b, c + 45, d, e, f + 45), *s2.grid.shape)
    )
    honest, moved = (check_fidelity(enmap, s2=x).report for x in (s2, beside))
    assert np.mean(moved.ssim) < np.mean(honest.ssim) - 0.01
    assert moved.sam > 2 * honest.sam


def test_a_forgotten_offset_is_flagged(enmap, s2):
    wrong = Cube(s2.data + np.float32(0.1), s2.valid, s2.bands, s2.grid)
    report = check_fidelity(enmap, s2=wrong).report
    assert any("spectral angle" in flag for flag in report.flags)


def test_clouds_are_left_out(enmap, s2):
    cloudy = Cube(s2.data.copy(), s2.valid.copy(), s2.bands, s2.grid)
    cloudy.data[:, 30:60, 30:60], cloudy.valid[30:60, 30:60] = 0.8, False
    report = check_fidelity(enmap, s2=cloudy).report
    assert report.flags == ()
    assert 99 * 95 - 13 * 13 <= report.pixels <= 99 * 95 - 100
    nothing = Cube(s2.data, np.zeros_like(s2.valid), s2.bands, s2.grid)
    with pytest.raises(DataError):
        check_fidelity(enmap, s2=nothing)


def test_sentinel_3_on_cells_anywhere(enmap, s3, ground):
    assert check_fidelity(enmap, s3=s3).report.flags == ()
    fine = ground[:, 26:, 40:]
    cells = degrade(fine, 60, PSF.from_mtf(0.3))
    grid = Grid.from_origin("EPSG:32633", 300_200.0, 5_799_870.0, 300, *cells.shape[1:])
    beside = cube(np.tensordot(spectra(s3.bands), cells, 1), s3.bands, grid)
    report = check_fidelity(enmap, s3=beside).report
    assert report.flags == () and report.sam < np.degrees(0.01)
    assert report.of == 11 * 11


def test_products_as_delivered(enmap, s2, s3, tmp_path, capsys):
    write_cube(tmp_path / "enmap.tif", enmap, dtype="float32")
    inner = s2.crop(Window(0, 0, 300, 288))
    safe = write_sentinel2_safe(tmp_path, inner, platform="S2B", start=START + timedelta(days=4))
    sen3 = write_syn(tmp_path, s3, platform="A", start=START + timedelta(minutes=9))
    assert run(["fidelity", "--enmap", str(tmp_path / "enmap.tif"), "--s2", str(safe)]) == 0
    out = capsys.readouterr().out
    assert "synthetic S2B_MSI" in out and "no flags" in out
    assert "4 days apart: the ground may have changed" in out
    done = check_fidelity(tmp_path / "enmap.tif", s3=sen3)
    assert done.record["table"] == "S3A_SYN"
    assert done.record["minutes_apart"] == pytest.approx(9, abs=0.2)
    assert done.record["psf_sigma_cells"] > PSF.from_mtf(0.3).sigma
    assert done.report.sam < np.degrees(0.02)


def test_the_table_of_another_satellite_is_warned_of(enmap, s3):
    done = check_fidelity(enmap, s3=s3, table="S3B_SYN")
    assert "table S3B_SYN holds other response functions" in done.text
    assert "S1 (" in done.record["warnings"][0]


def test_bad_pairs(enmap, s2, s3):
    with pytest.raises(ConfigError, match="one observed"):
        check_fidelity(enmap)
    with pytest.raises(ConfigError, match="one observed"):
        check_fidelity(enmap, s2=s2, s3=s3)
    far = cube(s2.data, s2.bands, Grid.from_origin("EPSG:32633", 5e5, 5e6, 10, *s2.grid.shape))
    with pytest.raises(OverlapError):
        check_fidelity(enmap, s2=far)
    other = cube(s2.data, s2.bands, Grid.from_origin("EPSG:32632", 3e5, 58e5, 10, *s2.grid.shape))
    with pytest.raises(GridError, match="coordinate systems"):
        check_fidelity(enmap, s2=other)
    large = Grid.from_origin("EPSG:32633", 300_000.0, 5_800_000.0, 60, *s2.grid.shape)
    with pytest.raises(GridError, match="its own resolution"):
        check_fidelity(enmap, s2=cube(s2.data, s2.bands, large))
