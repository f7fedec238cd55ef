import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import trapezoid

from trifuse.core import BandError, ConfigError, ProductError
from trifuse.srf_data import (
    S2_L2A,
    S3_SYN,
    S3_SYN_19,
    SensorSRF,
    area,
    centroid,
    fwhm,
    gaussian,
    load,
    names,
)
from trifuse.srf_data.tables import format_table, parse_table

PUBLISHED = {
    "S2A_MSI": "S2A ESA v4.0 xlsx",
    "S2B_MSI": "S2B ESA v4.0 xlsx",
    "S2C_MSI": "S2C ESA v4.0 xlsx",
    "S3A_OLCI": "S3A OLCI ESA nc4",
    "S3B_OLCI": "S3B OLCI ESA nc4",
    "S3A_SLSTR": "S3A SLSTR eradiate raw",
    "S3B_SLSTR": "S3B SLSTR eradiate raw",
    "L8_OLI": "L8 Ball BA xlsx",
    "L9_OLI": "L9 Ball BA xlsx",
}
COUNTS = {"MSI": 13, "OLCI": 21, "SLSTR": 6, "SYN": 21, "OLI": 9, "ENMAP": 224}


def test_the_tables_that_are_promised():
    assert (
        names()
        == (
            "S2A_MSI S2B_MSI S2C_MSI S3A_OLCI S3B_OLCI S3A_SLSTR S3B_SLSTR "
            "S3A_SYN S3B_SYN ENMAP L8_OLI L9_OLI"
        ).split()
    )


@pytest.mark.parametrize("name", names())
def test_every_table_is_whole(name):
    table = load(name)
    assert table.name == name
    assert table.source and table.issue and table.date[:1] in "2OS"
    assert len(table.bands) == COUNTS[name.rpartition("_")[2]]
    for band in table.bands:
        w, r = table.curve(band.name)
        assert (np.diff(w) > 0).all()
        assert r.min() >= 0
        assert 0.98 < r.max() <= 1.0
        assert w[0] < band.centre < w[-1]
        assert 1 < band.fwhm < 200
        assert not w.flags.writeable and not r.flags.writeable


@pytest.mark.parametrize("name", PUBLISHED)
def test_moments_are_the_published_ones(name, data_dir):
    file = data_dir / "2_srf" / "srf_centroid_fwhm_all_sources.json"
    published = json.loads(file.read_text())[PUBLISHED[name]]
    table = load(name)
    if name.endswith("OLCI"):
        published = {f"Oa{int(band[1:]):02d}": v for band, v in published.items()}
    assert set(published) == set(table.bands.names)
    for band in table.bands:
        centre, width = published[band.name][:2]
        assert band.centre == pytest.approx(centre, abs=0.05), band.name
        assert band.fwhm == pytest.approx(width, abs=0.1), band.name


def test_orders_of_the_products():
    assert load("S2A_MSI").select(S2_L2A).bands.names == S2_L2A
    assert len(S2_L2A) == 12 and "B10" not in S2_L2A
    assert S3_SYN_19 == S3_SYN[2:] and len(S3_SYN) == 21
    for name in ("S3A_SYN", "S3B_SYN"):
        table = load(name)
        assert table.bands.names == S3_SYN
        assert list(table.bands.centres) == sorted(table.bands.centres)


def test_enmap_has_both_detectors_in_the_order_of_the_product():
    bands = load("ENMAP").bands
    assert bands.names[0] == "E001" and bands.names[-1] == "E224"
    assert bands[90].centre == pytest.approx(993.338)
    assert bands[91].centre == pytest.approx(901.961)


def test_platforms_differ():
    centre = {n: load(n).bands.centres for n in names()}
    apart = np.abs(np.subtract(centre["S2C_MSI"], centre["S2A_MSI"]))
    assert (apart > 0.5).sum() >= 9 and apart.max() > 10
    s1 = [load(f"S3{p}_SLSTR").bands[0].centre for p in "AB"]
    assert s1[1] - s1[0] == pytest.approx(1.6, abs=0.05)


def test_measured_bands_that_are_not_nominal():
    olci, slstr = load("S3A_OLCI"), load("S3A_SLSTR")
    assert olci.bands[20].centre == pytest.approx(1015.8, abs=0.05)
    assert olci.bands[20].fwhm == pytest.approx(27.0, abs=0.1)
    assert slstr.bands[4].fwhm == pytest.approx(66.7, abs=0.1)


def test_curve_and_select_accept_other_spellings_and_name_what_is_missing():
    table = load("S2A_MSI")
    assert table.curve("b08a") is table.curve("B8A")
    assert table.select(["B4", "B02"]).bands.names == ("B4", "B2")
    with pytest.raises(BandError, match="Oa01, S1 are missing"):
        table.select(["B4", "Oa01", "S1"])


def test_unknown_table():
    with pytest.raises(ConfigError, match=r"S2D_MSI.*S2A_MSI"):
        load("S2D_MSI")


@pytest.mark.parametrize("name", ["S2A_MSI", "S3B_SLSTR", "ENMAP"])
def test_format_round_trip(name):
    table = load(name)
    again = parse_table(format_table(table, as_gaussian=name == "ENMAP"), where="x.csv")
    assert (again.name, again.source, again.issue, again.date) == (
        (table.name, table.source, table.issue, table.date)
    )
    assert again.bands == table.bands
    for ours, theirs in zip(again.curves, table.curves, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("", ProductError, "columns"),
        ("band,wavelength,response\n", ProductError, "no samples"),
        ("band,wavelength,response\nB1,500\n", ProductError, "sample 1 reads 'B1,500'"),
        ("band,wavelength,response\nB1,500,x\n", ProductError, "B1,500,x"),
        ("# unit: um\nband,wavelength,response\nB1,5,1\n", ProductError, "in um"),
        ("band,wavelength,response\nB1,5,1\nB1,6,1\n", BandError, "fewer than three"),
        ("band,wavelength,response\nB1,5,1\nB1,4,1\nB1,6,1\n", BandError, "increase after 5 nm"),
        ("band,wavelength,response\nB1,4,0\nB1,5,0\nB1,6,-1\n", BandError, "zero everywhere"),
        ("band,wavelength,response\nB1,4,0\nB1,5,nan\nB1,6,1\n", BandError, "finite"),
        ("band,centre,fwhm\nE1,500,0\n", BandError, "E1"),
        ("band,centre,fwhm\nE1,500,5\nE1,510,5\n", BandError, "E1"),
    ],
)
def test_damaged_tables_say_where(text, error, words):
    with pytest.raises(error, match=words) as caught:
        parse_table(text, where="mine.csv")
    assert "mine.csv" in str(caught.value) and "\n" not in str(caught.value)


@given(st.floats(400, 2400), st.floats(2, 200))
def test_moments_of_a_gaussian(centre, width):
    curve = gaussian(centre, width)
    assert centroid(curve) == pytest.approx(centre, abs=1e-6)
    assert fwhm(curve) == pytest.approx(width, rel=1e-9)
    assert area(curve) == pytest.approx(width * np.sqrt(np.pi / (4 * np.log(2))), rel=1e-3)


@given(st.lists(st.floats(0, 1), min_size=3, max_size=30).filter(lambda r: max(r) > 0.1))
def test_centroid_is_that_of_a_fine_integral(response):
    w = 500 + np.cumsum(np.linspace(0.5, 2, len(response)))
    fine = np.linspace(w[0], w[-1], 200_001)
    s = np.interp(fine, w, response)
    expected = trapezoid(s * fine, fine) / trapezoid(s, fine)
    assert centroid((w, np.array(response))) == pytest.approx(expected, abs=1e-5)


def test_width_of_a_curve_cut_off_above_half():
    w = np.array([500.0, 501, 502, 503])
    assert fwhm((w, np.array([0.9, 1.0, 0.25, 0.0]))) == pytest.approx(1 + 2 / 3)


def test_tables_made_from_curves_know_their_bands():
    table = SensorSRF.of("mine", {"a": gaussian(500, 10), "b": gaussian(600, 20)})
    assert table.bands.names == ("a", "b")
    assert table.bands.centres == pytest.approx((500, 600))
    assert table.bands.fwhms == pytest.approx((10, 20))
