"""Damaged and hostile files end in one line that says what and where."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trifuse.core import (
    BandSet,
    Cube,
    DataError,
    Grid,
    GridError,
    ProductError,
    TrifuseError,
    Window,
)
from trifuse.products import crs_text, open_geotiff, parse_crs, write_cube
from trifuse.products.files.raster import Raster


def one_line(error: BaseException, *parts: str) -> None:
    text = str(error)
    assert "\n" not in text and text.count("Traceback") == 0
    for part in parts:
        assert part in text, text


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    rng = np.random.default_rng(0)
    grid = Grid.from_origin("EPSG:32633", 600000, 5800000, 10, 600, 500)
    data = rng.random((3, 600, 500), dtype=np.float32)
    path = tmp_path_factory.mktemp("good") / "good.tif"
    write_cube(path, Cube(data, np.ones((600, 500), bool), BandSet.of("abc"), grid), cog=False)
    return path


def test_truncated_names_file_and_window(good, tmp_path):
    cut = tmp_path / "cut.tif"
    cut.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    with pytest.raises(ProductError) as caught:
        open_geotiff(cut).read(Window(512, 256, 80, 100))
    one_line(caught.value, "cut.tif", "rows 512–591", "columns 256–355", "get it again")
    assert caught.value.exit_code == 3 and isinstance(caught.value, OSError)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.floats(0, 1), flip=st.integers(1, 255), keep=st.floats(0, 1), cut=st.booleans())
def test_any_damage_reads_or_ends_in_our_own_error(good, tmp_path, at, flip, keep, cut):
    content = bytearray(good.read_bytes())
    content[min(int(at * 4000), len(content) - 1)] ^= flip  # the header is the tender part
    if cut:
        content = content[: int(keep * len(content))]
    bad = tmp_path / "bad.tif"
    bad.write_bytes(bytes(content))
    try:
        open_geotiff(bad).read(Window(0, 0, 1, 1))
    except TrifuseError as e:
        one_line(e)


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("empty.tif", b"", "empty file"),
        ("text.tif", b"no image at all", "no GeoTIFF"),
        ("stub.tif", b"II*\0\x08\0\0\0", "cannot be opened"),
        ("v.vrt", b"<VRTDataset rasterXSize='1' rasterYSize='1'></VRTDataset>", "no GeoTIFF"),
        ("v.tif", b"<VRTDataset rasterXSize='1' rasterYSize='1'></VRTDataset>", "no GeoTIFF"),
    ],
)
def test_what_is_no_image(tmp_path, name, content, text):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ProductError, match=text) as caught:
        open_geotiff(tmp_path / name)
    one_line(caught.value, name)


@pytest.mark.parametrize(
    "path",
    [
        "/vsicurl/http://localhost/a.tif",
        "https://localhost/a.tif",
        "/vsimem/a.tif",
        "GTIFF_DIR:1:a.tif",
        "NETCDF:a.nc:b",
        "missing.tif",
        ".",
    ],
)
def test_only_files_on_disk(path):
    with pytest.raises(ProductError) as caught:
        Raster(path)
    one_line(caught.value, path.lstrip("."))


def test_zip_members_are_read_in_place_and_cannot_climb(good, tmp_path):
    import zipfile

    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as z:
        z.write(good, "inner/a.tif")
    assert Raster(archive, member="inner/a.tif").read([1], Window(0, 0, 2, 2)).shape == (1, 2, 2)
    for member in ("../a.tif", "/a.tif", "inner/b.tif"):
        with pytest.raises(ProductError):
            Raster(archive, member=member)


def sparse(path: Path, side: int, **profile) -> Path:
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=side,
        height=side,
        count=1,
        dtype="uint8",
        sparse_ok=True,
        bigtiff="yes",
        crs="EPSG:32633",
        transform=rasterio.Affine(2, 0, 0, 0, -2, 0),
        **profile,
    ):
        pass
    assert path.stat().st_size < 64 << 20
    return path


def test_a_claim_of_any_size_is_not_believed(tmp_path):
    big = open_geotiff(
        sparse(tmp_path / "big.tif", 200_000, tiled=True, blockxsize=2048, blockysize=2048)
    )
    with pytest.raises(DataError, match="above the limit of 8 GiB"):
        big.read()
    assert big.read(Window(199_000, 0, 10, 10)).data.shape == (1, 10, 10)
    tiled = {"tiled": True, "blockxsize": 40_960, "blockysize": 40_960}
    with pytest.raises(ProductError, match="stores blocks of 40960×40960"):
        open_geotiff(sparse(tmp_path / "tile.tif", 41_000, **tiled))


def test_coordinate_systems_as_text():
    for text in ("EPSG:32633", "EPSG:3035", ""):
        assert crs_text(parse_crs(text)) == text
    sinusoidal = crs_text(parse_crs("+proj=sinu +R=6371007.181 +units=m"))
    assert sinusoidal.startswith("PROJCS") and parse_crs(sinusoidal) is not None
    for text in ("EPSG:0", "nonsense", "/etc/passwd", "https://localhost/crs"):
        with pytest.raises(GridError, match="coordinate system"):
            parse_crs(text)
