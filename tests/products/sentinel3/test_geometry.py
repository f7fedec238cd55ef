"""Tie points, meshes and projections."""

from itertools import pairwise

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trifuse.core import GridError, MetadataError, Window
from trifuse.products.files.archive import FileRef
from trifuse.products.sentinel3.area import project
from trifuse.products.sentinel3.delivery import Delivery
from trifuse.products.sentinel3.geometry import (
    Geolocation,
    Mesh,
    _first_known,
    interpolate,
    runs_down,
    tie_points,
    unit_vectors,
)


def swath(rows, cols, lon0=10.0, lat0=50.0, step=(0.0027, 0.24)):
    """Tie points of a descending swath, rows 300 m and columns 19 km apart."""
    i, j = np.mgrid[:rows, :cols]
    lat = lat0 - i * step[0] - j * step[1] * 0.2
    lon = lon0 + j * step[1] / np.cos(np.radians(lat0)) - i * step[0] * 0.3
    return (lon + 180) % 360 - 180, lat


def delivery(tmp_path, lon, lat, dtype="f8", **attributes):
    path = tmp_path / "tiepoints_olci.nc"
    with h5py.File(path, "w") as f:
        f["OLC_TP_lon"], f["OLC_TP_lat"] = lon.astype(dtype), lat.astype(dtype)
        f.attrs.update(attributes)
    made = Delivery(path, str(tmp_path), [FileRef.of(path)])
    return made, [made.variable(path.name, n) for n in ("OLC_TP_lon", "OLC_TP_lat")]


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(3, 60),
    cols=st.integers(2, 9),
    lon0=st.floats(-180, 180),
    lat0=st.floats(-75, 75),
)
def test_the_order_of_a_list_is_told_from_the_places(rows, cols, lon0, lat0):
    lon, lat = swath(rows, cols, lon0, lat0)
    assert runs_down(lon.T.ravel(), lat.T.ravel(), cols=cols)
    assert not runs_down(lon.ravel(), lat.ravel(), cols=cols)


@pytest.mark.parametrize("down", [True, False])
@pytest.mark.parametrize("lon0", [10.0, 179.5])
def test_tie_points_give_the_places_between_them(tmp_path, down, lon0):
    lon, lat = swath(30, 4, lon0)
    listed = (lon.T, lat.T) if down else (lon, lat)
    made, variables = delivery(tmp_path, *(v.ravel() for v in listed))
    ties = tie_points(made, variables, (30, 150), places=True)
    assert ties.shape == (30, 4) and ties.step == (1, 64) and ties.by_column == down
    where = Geolocation((30, 150), None, None, ties)
    mesh = where.mesh(made)
    assert mesh.rows.tolist() == [0, 16, 30] and mesh.cols.tolist() == [0, 32, 64, 96, 128, 150]
    full_lon, full_lat = where.lonlat(made, Window(0, 0, 30, 150))
    assert np.abs((np.diff(full_lon, axis=1) + 180) % 360 - 180).max() < 0.02
    np.testing.assert_allclose(full_lat[:, 32], (lat[:, 0] + lat[:, 1]) / 2, atol=2e-4)
    np.testing.assert_allclose(full_lat[:, 128], lat[:, 2], atol=1e-9)
    turn = (full_lon[:, 128] - lon[:, 2] + 180) % 360 - 180
    np.testing.assert_allclose(turn, 0, atol=1e-9)
    np.testing.assert_allclose(mesh.lat[0], full_lat[8, [16, 48, 80, 112, 139]], atol=1e-9)


def test_steps_are_those_of_the_file_or_follow_from_the_number(tmp_path):
    lon, lat = swath(11, 6)
    made, variables = delivery(
        tmp_path, lon, lat, ac_subsampling_factor=20, al_subsampling_factor=2
    )
    assert tie_points(made, variables, (21, 101)).step == (2, 20)
    for columns, step in ((321, 64), (300, 64), (101, 20), (6, 1)):
        made, variables = delivery(tmp_path, lon, lat)
        assert tie_points(made, variables, (11, columns)).step == (1, step)
    for shape in ((12, 101), (11, 100), (11, 400), (7, 321)):
        with pytest.raises(MetadataError, match="11×6 tie points"):
            tie_points(made, variables, shape)
    made, variables = delivery(tmp_path, lon.ravel(), lat.ravel())
    with pytest.raises(MetadataError, match="66 tie points"):
        tie_points(made, variables, (10, 321))
    made, variables = delivery(tmp_path, lon, lat[:5])
    with pytest.raises(MetadataError, match="different shapes"):
        tie_points(made, variables, (11, 321))


@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(2, 6),
    cols=st.integers(2, 6),
    step_row=st.integers(1, 5),
    step_col=st.integers(1, 70),
    slope=st.tuples(*[st.floats(-3, 3)] * 3),
)
def test_interpolation_keeps_planes_and_nodes(rows, cols, step_row, step_col, slope):
    i, j = np.mgrid[:rows, :cols]
    field = slope[0] + slope[1] * i * step_row + slope[2] * j * step_col
    r, c = np.arange((rows - 1) * step_row + 1), np.arange((cols - 1) * step_col + 1)
    out = interpolate(field, (step_row, step_col), r, c)
    expected = slope[0] + slope[1] * r[:, None] + slope[2] * c[None, :]
    np.testing.assert_allclose(out, expected, atol=1e-9 * (1 + np.abs(expected).max()))
    np.testing.assert_allclose(out[::step_row, ::step_col], field, atol=1e-12)


def test_a_mesh_finds_the_part_over_a_box():
    rows, cols = np.array([0, 16, 32, 40]), np.array([0, 32, 64, 70])
    x, y = np.meshgrid(cols[:-1] * 300.0, -rows[:-1] * 300.0)
    mesh = Mesh(rows, cols, x, y)
    assert mesh.covering(x, y, (-1, -1, 1, 1)) == Window(0, 0, 16, 32)
    assert mesh.covering(x, y, (9000, -1e4, 2e4, 0)) == Window(0, 32, 40, 38)
    assert mesh.covering(x, y, (50_000, -100, 60_000, 0)) is None
    assert mesh.covering(np.where(x > 0, np.nan, x), y, (-1, -1e4, 1e5, 1)) == Window(0, 0, 40, 32)
    assert mesh.covering(np.full_like(x, np.nan), y, (-1, -1e4, 1e5, 1)) is None


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0, 1))
def test_a_block_is_known_if_any_of_its_pixels_is(seed, share):
    rng = np.random.default_rng(seed)
    places = rng.uniform(-80, 80, (2, 5, 23))
    places[:, rng.random((5, 23)) < share] = np.nan
    edges = np.array([0, 8, 16, 23])
    out = _first_known(places, edges)
    for j, (left, right) in enumerate(pairwise(edges)):
        block = places[:, :, left:right].reshape(2, -1)
        known = block[:, np.isfinite(block[0])]
        if known.size:
            assert (known == out[:, j, None]).all(axis=0).any()
        else:
            assert np.isnan(out[:, j]).all()


def test_a_swath_without_tie_points_is_searched_by_its_pixels(tmp_path):
    lon, lat = swath(600, 40, step=(0.0027, 0.004))
    lon[:, :11], lat[:, :11] = np.nan, np.nan
    lon[:3], lat[:3] = np.nan, np.nan
    lon[20:40, 20:], lat[20:40, 20:] = np.nan, np.nan
    path = tmp_path / "geolocation.nc"
    with h5py.File(path, "w") as f:
        f["lon"], f["lat"] = lon, lat
    made = Delivery(path, str(tmp_path), [FileRef.of(path)])
    where = Geolocation(lon.shape, *(made.variable(path.name, n) for n in ("lon", "lat")), None)
    mesh = where.mesh(made)
    assert mesh.lon.shape == (38, 2) and np.isfinite(mesh.lon).all()
    assert mesh.lat[0, 0] == lat[3, 11] and mesh.lat[37, 1] == lat[592, 32]
    out_lon, out_lat = where.outline(made)
    for ours, all_ in ((out_lon, lon), (out_lat, lat)):
        assert ours.min() == np.nanmin(all_) and ours.max() == np.nanmax(all_)


def test_projection_knows_what_is_near():
    lon = np.array([[15.0, 16.0, np.nan], [195.0, 15.0, -100.0]])
    lat = np.array([[50.0, 50.1, 50.0], [50.0, 95.0, 0.0]])
    x, _ = project(lon, lat, "EPSG:32633", (15.0, 50.0))
    assert np.isfinite(x).tolist() == [[True, True, False], [False, False, False]]
    assert x[0, 0] == pytest.approx(500_000, abs=1e-3)
    # the same place by another turn of longitude
    turned, _ = project(lon[:1] - 360, lat[:1], "EPSG:32633", (15.0, 50.0))
    np.testing.assert_allclose(turned, x[:1])
    everywhere = np.meshgrid(np.linspace(9, 21, 61), np.linspace(44, 56, 61))
    box = (450_000, 5_500_000, 560_000, 5_610_000)
    whole, part = (project(*everywhere, "EPSG:32633", (15.0, 50.0), b) for b in (None, box))
    inside = (whole[0] > box[0]) & (whole[0] < box[2]) & (whole[1] > box[1]) & (whole[1] < box[3])
    for all_, some in zip(whole, part, strict=True):
        np.testing.assert_array_equal(all_[inside], some[inside])
    assert inside.sum() <= np.isfinite(part[0]).sum() < 2 * inside.sum()
    with pytest.raises(GridError, match="does not reach"):
        project(np.array([[105.0]]), np.array([[0.0]]), "EPSG:32633", (105.0, 0.0))


def test_unit_vectors_are_of_length_one():
    lon, lat = np.meshgrid(np.linspace(-180, 180, 9), np.linspace(-90, 90, 7))
    assert np.allclose(sum(v**2 for v in unit_vectors(lon, lat)), 1)
