import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trifuse.core import BandError, BandSet, canonical_name

names = st.lists(st.text("ABCSO", min_size=1, max_size=3), unique_by=canonical_name, max_size=8)


@pytest.mark.parametrize("spelling", ["B8A", "b8a", "B08A", " B8A "])
def test_spellings_of_one_band(spelling):
    assert BandSet.of(["B4", "B8A"]).index(spelling) == 1


def test_names_that_differ_stay_apart():
    assert len({canonical_name(n) for n in ("B8", "B8A", "B80", "S1", "S10", "Oa08", "Oa18")}) == 7
    assert canonical_name("VV") == "VV"
    assert canonical_name("B00") == "B0"


def test_all_missing_bands_are_named_at_once():
    with pytest.raises(BandError, match="B9, B12 are missing among B1, B2"):
        BandSet.of(["B1", "B2"]).indices(["B9", "B1", "B12"])


def test_doubled_names_are_refused():
    with pytest.raises(BandError, match="twice: B1"):
        BandSet.of(["B1", "B1"])


@given(names)
def test_json_round_trip(band_names):
    bands = BandSet.of(band_names, range(len(band_names)), [math.nan] * len(band_names))
    again = BandSet.from_json(bands.to_json())
    assert again.names == bands.names
    assert again.centres == bands.centres
    assert all(map(math.isnan, again.fwhms))


@pytest.mark.parametrize("rows", [[{}], [{"name": "B1", "centre_nm": "red"}], [3], 5])
def test_bad_json_is_a_band_error(rows):
    with pytest.raises(BandError):
        BandSet.from_json(rows)


def test_nearest_and_its_tolerance():
    bands = BandSet.of(["a", "b", "c"], [490, 665, math.nan])
    assert bands.nearest(670) == 1
    with pytest.raises(BandError, match="within 10 nm of 865"):
        bands.nearest(865, tolerance=10)
    for nm in (math.nan, math.inf):
        with pytest.raises(BandError):
            bands.nearest(nm)
    with pytest.raises(BandError):
        BandSet.of(["a"]).nearest(500)


def test_differences_name_the_band():
    ours = BandSet.of(["B01", "B2"], [443, 492])
    assert ours.differences(BandSet.of(["B1", "B02"], [442, 496])) == []
    assert ours.differences(BandSet.of(["B1", "B2"], [443, 500])) == [
        "B2 is centred at 492.0 against 500.0 nm"
    ]
    assert "band 2 is B2 against B3" in ours.differences(BandSet.of(["B1", "B3"], [443, 492]))
    assert "2 bands" in ours.differences(BandSet.of(["B1"]))[0]
