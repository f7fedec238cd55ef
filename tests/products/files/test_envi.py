"""ENVI cubes against ``spectral``'s own reader and writer."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from spectral.io import envi

from trifuse.core import BandError, MetadataError, ProductError, Window
from trifuse.products import inspect_product, open_cube, open_envi


@pytest.fixture
def counts() -> np.ndarray:
    """(y, x, band), as spectral has it."""
    data = np.random.default_rng(2).integers(-100, 9000, (12, 9, 5)).astype(np.int16)
    data[2, 3] = -99
    data[4, 5, 1] = -99
    return data


META = {
    "wavelength": [0.443, 0.49, 0.56, 0.665, 0.865],
    "wavelength units": "Micrometers",
    "fwhm": [0.02, 0.066, 0.036, 0.031, 0.021],
    "band names": ["B1", "B2", "B3", "B4", "B8A"],
    "data ignore value": -99,
    "bbl": [1, 1, 0, 1, 1],
    "map info": ["UTM", 1, 1, 383472.37, 5818302.35, 30, 30, 33, "North", "WGS-84"],
}


def save(folder: Path, data: np.ndarray, meta: dict | None = None, **options) -> Path:
    path = folder / "cube.hdr"
    envi.save_image(str(path), data, metadata=META if meta is None else meta, **options)
    return path


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
@pytest.mark.parametrize("byteorder", [0, 1])
def test_values_are_those_that_spectral_reads(tmp_path, counts, interleave, byteorder):
    path = save(tmp_path, counts, interleave=interleave, byteorder=byteorder, ext=interleave)
    source = open_envi(path, scale=1e-4)
    cube = source.read()
    expected = np.moveaxis(np.asarray(envi.open(str(path)).load()), 2, 0) * 1e-4
    expected[expected == np.float32(-99) * 1e-4] = np.nan
    np.testing.assert_allclose(cube.data, expected, rtol=1e-6)
    assert not cube.valid[2, 3] and cube.valid[4, 5] and np.isnan(cube.data[1, 4, 5])
    np.testing.assert_array_equal(
        source.read(Window(3, 2, 5, 4), ["B4", "B2"]).data,
        cube.crop(Window(3, 2, 5, 4)).select(["B4", "B2"]).data,
    )
    assert source.bands.names == ("B1", "B2", "B3", "B4", "B8A")
    assert source.bands.centres == (443.0, 490.0, 560.0, 665.0, 865.0)
    assert source.bands.fwhms == (20.0, 66.0, 36.0, 31.0, 21.0)
    assert source.meta["usable"] == [True, True, False, True, True]
    assert source.grid.crs == "EPSG:32633"
    assert source.grid.transform == (30.0, 0.0, 383472.37, 0.0, -30.0, 5818302.35)
    assert open_envi(path.with_suffix("." + interleave), scale=1e-4).grid == source.grid


def test_real_cube_which_is_packed(data_dir):
    folder = data_dir / "1_enmap/berlin_simulated_from_HyMap"
    header = folder / "EnMAP_BerlinUrbanGradient.hdr"
    source = open_cube(header, scale=1e-4)
    cube = source.read()
    with gzip.open(header.with_suffix(".bsq")) as f:
        raw = np.frombuffer(f.read(), "<i2").reshape(244, 80, 60)
    np.testing.assert_allclose(cube.data, raw * 1e-4, rtol=1e-6)
    assert source.grid.shape == (80, 60) and source.grid.crs == "EPSG:32633"
    assert source.bands[0].name == "E001" and source.bands[0].centre == 424.0
    assert source.bands[0].fwhm == 6.9 and source.bands[243].centre == 2446.0
    assert source.meta["calibration"]["nodata"] == -99 and all(source.meta["usable"])
    assert inspect_product(header, scale=1e-4)["valid_share"] == 1.0


def test_scales_of_the_header(tmp_path, counts):
    common = open_envi(save(tmp_path, counts, {**META, "reflectance scale factor": 10000}))
    assert common.meta["calibration"]["scale"] == 1e-4
    assert common.read().data[0, 0, 0] == pytest.approx(counts[0, 0, 0] / 10000)
    own = {**META, "data gain values": [1, 2, 3, 4, 5], "data offset values": [0, 0, 0, 0, 7]}
    (tmp_path / "cube.img").unlink()
    source = open_envi(save(tmp_path, counts, own, force=True))
    assert source.read().data[4, 0, 0] == counts[0, 0, 4] * 5 + 7
    assert (
        open_envi(tmp_path / "cube.hdr", scale=1, offset=0).read().data[4, 0, 0] == counts[0, 0, 4]
    )


def test_names_where_the_header_has_none(tmp_path, counts):
    path = save(tmp_path, counts, {})
    assert open_envi(path).bands.names == tuple(f"band{i}" for i in range(1, 6))
    assert open_envi(path, bands=list("abcde")).bands.names == tuple("abcde")
    with pytest.raises(BandError, match="2 names for 5 bands"):
        open_envi(path, bands=["a", "b"])
    assert open_envi(path).grid.crs == ""


@pytest.mark.parametrize("packed", [False, True])
def test_a_short_file_is_refused_when_it_is_opened(tmp_path, counts, packed):
    path = save(tmp_path, counts)
    data = path.with_suffix(".img")
    content = data.read_bytes()
    if packed:
        content = gzip.compress(content, mtime=0)
        path.write_text(path.read_text() + "file compression = 1\n")
        data.write_bytes(content)
        assert open_envi(path).read().shape == (5, 12, 9)
    data.write_bytes(content[:-40])
    with pytest.raises(
        ProductError, match=r"cube\.img: holds \d+ bytes, and cube\.hdr promises 1080"
    ):
        open_envi(path)


@pytest.mark.parametrize(
    ("line", "kind", "text"),
    [
        ("samples = many", MetadataError, "lacks or garbles"),
        ("lines = -3", ProductError, "promises"),
        ("data type = 6", MetadataError, "lacks or garbles '6'"),
        ("wavelength = {1, 2}", MetadataError, "2 entries for 5 bands"),
        ("wavelength = {a, b, c, d, e}", MetadataError, "something else than numbers"),
        ("reflectance scale factor = 0", MetadataError, "scale factor is 0"),
        ("bbl = {1}", MetadataError, "bbl has 1 entries"),
    ],
)
def test_a_header_that_contradicts_itself(tmp_path, counts, line, kind, text):
    path = save(tmp_path, counts)
    key = line.split("=")[0].strip()
    kept = [row for row in path.read_text().splitlines() if not row.startswith(f"{key} =")]
    path.write_text("\n".join([*kept, line]) + "\n")
    with pytest.raises(kind, match=text) as caught:
        open_envi(path)
    assert "\n" not in str(caught.value) and "cube" in str(caught.value)


def test_pairs_that_are_not_whole(tmp_path, counts):
    path = save(tmp_path, counts)
    data = path.with_suffix(".img")
    path.rename(tmp_path / "elsewhere.hdr")
    with pytest.raises(ProductError, match="no ENVI header"):
        open_envi(data)
    with pytest.raises(ProductError, match="has no image beside it"):
        open_envi(tmp_path / "elsewhere.hdr")
    path.write_text("not a header")
    with pytest.raises(ProductError, match="no ENVI header"):
        open_envi(path)
    path.write_bytes(b"ENVI\n\xff\xfe\x00 = {")
    with pytest.raises((ProductError, MetadataError)):
        open_envi(path)
    with pytest.raises(ProductError, match="does not exist"):
        open_envi(tmp_path / "none.hdr")
