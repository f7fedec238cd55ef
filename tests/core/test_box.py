"""Boxes in degrees: what is one, what is none, and what was meant."""

import pytest

from trifuse.core import ConfigError, checked_box


def test_a_box_is_itself():
    assert checked_box([13, 52.0, 13.5, 53]) == (13.0, 52.0, 13.5, 53.0)
    assert checked_box((-180, -90, 0, 90)) == (-180.0, -90.0, 0.0, 90.0)


def test_across_the_antimeridian_east_goes_on():
    assert checked_box((179.5, -17, -179.5, -16)) == (179.5, -17.0, 180.5, -16.0)


@pytest.mark.parametrize(
    ("bbox", "why"),
    [
        ((13.05, 52.4, 13.03, 52.5), "its west lies east of its east"),
        ((13.03, 52.5, 13.05, 52.4), "its south is not below its north"),
        ((13, 52, 13, 53), "no width"),
        ((52.4, 113.0, 52.5, 113.1), "longitude and latitude swapped"),
        ((152.4, 113.0, 152.5, 113.1), "no latitudes;"),
        ((181, 0, 182, 1), "no longitudes"),
        ((-179.9, -17, 179.9, -16), "antimeridian"),
        ((float("nan"), 0, 1, 1), "bbox of nan"),
        ((13, 52, 13.5), "bbox of 13, 52, 13.5"),
    ],
)
def test_what_is_no_box_is_told_in_one_line(bbox, why):
    with pytest.raises(ConfigError, match="bbox of") as told:
        checked_box(bbox)
    assert why in str(told.value) and "\n" not in str(told.value)
