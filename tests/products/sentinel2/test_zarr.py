"""Sentinel-2 in Zarr form: stores made after the published layout; no real product was at hand."""

import json
import pickle
import shutil
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from trifuse.core import (
    BandSet,
    Cube,
    DataError,
    Grid,
    MetadataError,
    MissingExtraError,
    ProductError,
    TrifuseError,
    Window,
)
from trifuse.products.sentinel2.factory import write_sentinel2_safe
from trifuse.products.sentinel2.levels import NATIVE
from trifuse.products.sentinel2.reader import is_sentinel2, open_sentinel2
from trifuse.srf_data import S2_L2A, load

pytest.importorskip("zarr", reason="the extra zarr is not installed")

import zarr

from trifuse.products.sentinel2.factory_zarr import write_sentinel2_zarr
from trifuse.products.sentinel2.zarr import SCL, array_path
from trifuse.products.write.stac import stac_item

H, W = 48, 36
GRID = Grid.from_origin("EPSG:32633", 300000, 5800020, 10, H, W)
B04 = "measurements/reflectance/r10m/b04"


def scene() -> Cube:
    rng = np.random.default_rng(0)
    data = np.empty((12, H, W), np.float32)
    for plane, band in zip(data, S2_L2A, strict=True):
        k = NATIVE[band] // 10
        plane[:] = np.kron(rng.uniform(0.001, 0.9, (H // k, W // k)), np.ones((k, k)))
    data[:, :6, :6] = np.nan
    valid = np.ones((H, W), bool)
    valid[20:26, 10:14] = False
    return Cube(data, valid, BandSet.of(S2_L2A), GRID)


CUBE = scene()


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    return write_sentinel2_zarr(tmp_path_factory.mktemp("zarr"), CUBE)


@pytest.fixture
def store(original, tmp_path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(original, tmp_path / original.name))


def one_line(path: Path, kind=TrifuseError, match: str | None = None, **options) -> None:
    with pytest.raises(kind, match=match) as caught:
        open_sentinel2(path, **options).read()
    text = str(caught.value)
    assert "\n" not in text and 10 < len(text) < 700


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(("dtype", "error"), [("uint16", 5.01e-5), ("float32", 1e-7)])
def test_reader_gives_back_what_was_made(tmp_path, zarr_format, dtype, error):
    path = write_sentinel2_zarr(
        tmp_path, CUBE, zarr_format=zarr_format, dtype=dtype, platform="S2C"
    )
    assert is_sentinel2(path)
    source = pickle.loads(pickle.dumps(open_sentinel2(path, upsampling="nearest")))
    cube = source.read()
    assert source.grid == GRID and source.bands == load("S2C_MSI").select(S2_L2A).bands
    assert (np.isnan(cube.data) == np.isnan(CUBE.data)).all()
    assert np.nanmax(np.abs(cube.data - CUBE.data)) < error
    assert (cube.valid == (CUBE.valid & np.isfinite(CUBE.data[0]))).all()
    meta = source.meta
    assert meta["kind"] == "Sentinel-2 L2A (Zarr)" and meta["tile"] == "33UUU"
    assert meta["baseline"] == "05.11" and meta["start_time"] == "2024-06-21T10:20:31+00:00"
    assert meta["calibration"]["offset"] == (-0.1 if dtype == "uint16" else 0)
    json.dumps(meta, allow_nan=False)
    assert not list(tmp_path.glob(".*")), "nothing temporary is left"


def test_it_is_read_as_the_safe_product_is(original, tmp_path):
    safe = open_sentinel2(write_sentinel2_safe(tmp_path, CUBE))
    store = open_sentinel2(original)
    for window in (None, Window(7, 5, 20, 21)):
        a, b = safe.read(window), store.read(window)
        np.testing.assert_allclose(a.data, b.data, atol=1e-7)
        assert (a.valid == b.valid).all()
    small = store.read_small(24, ["B4"])
    assert small.shape == (1, 24, 18) and small.grid.bounds == GRID.bounds


def test_all_that_is_missing_is_named_at_once(store):
    shutil.rmtree(store / "measurements/reflectance/r20m/b05")
    shutil.rmtree(store / "conditions")
    with pytest.raises(ProductError, match=r"lacks .*r20m/b05, .*/scl"):
        open_sentinel2(store)
    assert open_sentinel2(store, bands=["B4"], mask="none").read().data.shape == (1, H, W)


def edit(path: Path, **changes) -> None:
    value = json.loads(path.read_text())
    path.write_text(json.dumps({**value, **changes}))


@pytest.mark.parametrize(
    ("file", "changes", "kind", "match"),
    [
        (f"{B04}/.zarray", {"filters": [{"id": "pickle", "protocol": 5}]}, ProductError, "pickle"),
        (f"{B04}/.zarray", {"dtype": "|O"}, ProductError, "no numbers"),
        (f"{B04}/.zarray", {"shape": [1, 2, 3]}, ProductError, "2 dimensions"),
        (f"{B04}/.zarray", {"chunks": [60000, 60000]}, ProductError, "chunks"),
        (f"{B04}/.zarray", {"shape": [H, W + 1]}, MetadataError, "no x of 37"),
        (f"{B04}/.zattrs", {"scale_factor": None}, MetadataError, "no scale_factor"),
        (f"{B04}/.zattrs", {"scale_factor": 1e9}, MetadataError, "scale and offset"),
        (f"{B04}/.zattrs", {"add_offset": "-0.1"}, MetadataError, "a number is needed"),
        (f"{B04}/.zattrs", {"_FillValue": 7}, MetadataError, "several fill values"),
        (
            ".zattrs",
            {"stac_discovery": 1, "other_metadata": []},
            MetadataError,
            "coordinate system",
        ),
        (".zattrs", {"stac_discovery": {"id": "x"}}, MetadataError, "platform"),
    ],
)
def test_stores_that_are_not_to_be_trusted_or_do_not_tell(store, file, changes, kind, match):
    edit(store / file, **changes)
    one_line(store, kind, match)


def test_damaged_chunks_are_named(store):
    chunk = store / B04 / "1.1"
    chunk.write_bytes(chunk.read_bytes()[:9])
    source = open_sentinel2(store, mask="none")
    assert source.read(Window(0, 0, 16, 16)).data.shape == (12, 16, 16)
    with pytest.raises(ProductError, match="b04: cannot be read"):
        source.read()
    with pytest.raises(DataError, match="leaves an image"):
        source.read(Window(0, 0, H + 1, 2))


def test_without_the_package_the_extra_is_named(original, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(MissingExtraError, match=r"trifuse\[zarr\]"):
        open_sentinel2(original)
    with pytest.raises(MissingExtraError, match=r"trifuse\[zarr\]"):
        write_sentinel2_zarr(tmp_path, CUBE)
    assert not list(tmp_path.iterdir())


def _attributes(store, change):
    group = zarr.open_group(str(store), mode="r+")
    places = [(array_path(b), NATIVE[b]) for b in NATIVE] + [(SCL, 20)]
    for path, gsd in places:
        change(group, path, gsd)


@pytest.mark.parametrize("version", [2, 3])
def test_coordinates_count_where_attributes_are_of_the_whole_tile(tmp_path, version):
    store = write_sentinel2_zarr(tmp_path, CUBE, zarr_format=version)
    west, north = CUBE.grid.bounds[0] - 6000, CUBE.grid.bounds[3] + 9000

    def whole(group, path, gsd):
        transform = [float(gsd), 0.0, west, 0.0, -float(gsd), north, 0.0, 0.0, 1.0]
        size = [109800 // gsd] * 2
        group[path].attrs.update({"proj:transform": transform, "proj:shape": size})

    _attributes(store, whole)
    with open_sentinel2(store) as source:
        assert source.grid == CUBE.grid
        (note,) = source.meta["notes"]
        assert note.endswith("the coordinates count (likewise 2 other samplings)")
        assert f"starts at {west:.0f}, {north:.0f}, the coordinates at 300000, 5800020" in note


def test_a_transform_of_pixel_centres_is_told_by_the_coordinates(tmp_path):
    store = write_sentinel2_zarr(tmp_path, CUBE, zarr_format=3, dtype="float32")
    group = zarr.open_group(str(store), mode="r+")
    for gsd in (10, 20, 60):
        place = group[f"measurements/reflectance/r{gsd}m"]
        x, y = float(place["x"][0]), float(place["y"][0])
        place.attrs["spatial:transform"] = [float(gsd), 0.0, x, 0.0, -float(gsd), y]
    with open_sentinel2(store) as source:
        assert source.grid == CUBE.grid


def test_a_transform_of_another_size_without_coordinates_is_refused(tmp_path):
    store = write_sentinel2_zarr(tmp_path, CUBE)
    west, north = CUBE.grid.bounds[0], CUBE.grid.bounds[3]

    def place(group, path, gsd):
        transform = [float(gsd), 0.0, float(west), 0.0, -float(gsd), float(north)]
        group[path].attrs.update({"proj:transform": transform})

    _attributes(store, place)
    for axis in "xy":
        for folder in store.rglob(axis):
            shutil.rmtree(folder)
    with open_sentinel2(store) as source:
        assert source.grid == CUBE.grid and source.meta["notes"] == []
    _attributes(store, lambda g, p, gsd: g[p].attrs.update({"proj:shape": [109800 // gsd] * 2}))
    with pytest.raises(MetadataError, match="no coordinates beside it tell which part"):
        open_sentinel2(store)


def test_a_store_with_empty_root_attributes_tells_its_time_by_its_name(tmp_path):
    store = write_sentinel2_zarr(tmp_path, CUBE, start=datetime(2024, 6, 21, 10, 20, 31))
    group = zarr.open_group(str(store), mode="r+")
    group.attrs.clear()
    _attributes(store, lambda g, p, gsd: g[p].attrs.update({"proj:epsg": 32633}))
    with open_sentinel2(store) as source:
        assert source.meta["start_time"] == "2024-06-21T10:20:31Z"
        assert stac_item(tmp_path / "x.tif", source, {})["properties"]["datetime"] == (
            "2024-06-21T10:20:31Z"
        )
