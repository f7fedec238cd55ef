"""NDVI: definitions, bounds, and what is missing stays missing."""

import subprocess
import sys

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trifuse.core import (
    BandError,
    BandSet,
    ConfigError,
    Cube,
    Grid,
    MemorySource,
    OutputExistsError,
)
from trifuse.products import define_ndvi, ndvi, open_geotiff, write_ndvi
from trifuse.srf_data import S3_SYN_19, integrate, load

SYN = load("S3A_SYN").select(S3_SYN_19).bands
S2 = load("S2A_MSI").bands.select(["B2", "B3", "B4", "B8", "B8A"])


def cube_of(data, bands: BandSet, valid=None) -> Cube:
    data = np.asarray(data, np.float32)
    grid = Grid.from_origin("EPSG:32633", 600000, 5800000, 10, *data.shape[1:])
    there = np.isfinite(data).any(axis=0) if valid is None else valid
    return Cube(data, there, bands, grid, {"level": "L2A"})


def fused(height: int = 40, width: int = 50, seed: int = 0) -> Cube:
    """Leaves over soil in changing shares, with a hole."""
    rng = np.random.default_rng(seed)
    centre = np.array(SYN.centres)
    leaf = 0.05 + 0.45 / (1 + np.exp(-(centre - 715) / 12))
    soil = 0.05 + 0.0002 * (centre - 440)
    share = rng.random((height, width))
    data = leaf[:, None, None] * share + soil[:, None, None] * (1 - share)
    data[:, 5:8, 9:13] = np.nan
    return cube_of(data, SYN)


def red_nir(red, nir) -> Cube:
    bands = BandSet.of(["B4", "B8A"], [665, 865], [31, 21])
    return cube_of([np.atleast_2d(red), np.atleast_2d(nir)], bands)


def test_known_values_and_rules():
    out = ndvi(red_nir([0.1, 0.0, -0.01, 0.3, 1e-5, np.nan], [0.3, 0.2, 0.4, 0.1, 2e-5, 0.5]))
    np.testing.assert_allclose(out.data[0, 0, :4], [0.5, 1.0, 1.0, -0.5], rtol=1e-6)
    assert np.isnan(out.data[0, 0, 4:]).all()
    assert out.valid.tolist() == [[True] * 4 + [False] * 2]
    assert out.bands.names == ("NDVI",) and out.meta["ndvi"]["definition"] == "s2"
    assert out.meta["ndvi"]["formula"] == "NDVI = (NIR - red) / (NIR + red); NIR = B8A; red = B4"


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.just(2), st.integers(1, 5), st.integers(1, 5)),
        elements=st.floats(-2, 4, width=32) | st.just(np.nan),
    ),
    st.integers(0, 2**25 - 1),
)
def test_bounds_and_missing_pixels(data, bits):
    height, width = data.shape[1:]
    valid = np.array([bits >> i & 1 for i in range(height * width)], bool).reshape(height, width)
    out = ndvi(cube_of(data, BandSet.of(["B4", "B8A"], [665, 865]), valid))
    red, nir = data.astype(np.float64)
    expected = valid & np.isfinite(data).all(axis=0) & (data[0] + data[1] > 1e-4)
    np.testing.assert_array_equal(out.valid, expected)
    np.testing.assert_array_equal(np.isfinite(out.data[0]), expected)
    assert (np.abs(out.data[0][expected]) <= 1).all()
    with np.errstate(invalid="ignore", divide="ignore"):
        true = np.clip((nir - red) / (nir + red), -1, 1)[expected]
    np.testing.assert_allclose(out.data[0][expected], true, rtol=1e-3, atol=1e-5)


def test_s2_from_sentinel_3_bands_matches_b4_and_b8a_on_real_spectra(data_dir):
    source = open_geotiff(sorted((data_dir / "1_enmap/potsdam_L2A_real/tiles").glob("*.tif")))
    cube = source.read()
    how = {"usable": source.meta["usable"], "detectors": source.meta["detectors"]}

    def seen(sensor: str, names) -> Cube:
        made = integrate(load(sensor).select(names), cube.bands, bands="all", **how)
        return cube_of(made.apply(cube.data), made.bands)

    s3, s2 = seen("S3A_SYN", S3_SYN_19), seen("S2A_MSI", ["B4", "B8A"])
    truth = ndvi(s2).data[0]
    assert ndvi(s2).meta["ndvi"]["red"] == {"B4": 1.0}
    bright = s2.data.sum(axis=0) > 0.02

    def error(made: Cube) -> float:
        return float(np.sqrt(np.nanmean((made.data[0] - truth)[bright] ** 2)))

    # the matched weights: better than single bands and than the paper's means, by far
    assert error(ndvi(s3)) < 0.0005
    assert error(ndvi(s3, "bands")) > 0.002 and error(ndvi(s3, "paper")) > 0.002
    # of the hyperspectral cube itself, integration gives exactly the bands of Sentinel-2
    np.testing.assert_allclose(ndvi(cube).data[0], truth, atol=1e-4)


def test_weights_of_the_default_definition():
    how = define_ndvi(SYN)
    for part, nm, span in ((how.red, 664.6, (640, 690)), (how.nir, 864.7, (845, 890))):
        assert sum(w for _, w in part) == pytest.approx(1) and all(w > 0 for _, w in part)
        assert all(span[0] < SYN[SYN.index(n)].centre < span[1] for n, _ in part)
        mean = sum(w * SYN[SYN.index(n)].centre for n, w in part)
        assert mean == pytest.approx(nm, abs=1.0)
    assert how.red_nm == pytest.approx(664.6, abs=1) and "match" in how.how
    nameless = BandSet.of(SYN.names)  # a stack whose file says nothing but names
    assert dict(define_ndvi(nameless).red).keys() == dict(how.red).keys()


def test_paper_takes_means_of_three():
    cube = fused()
    by = {n: cube.data[SYN.index(n)] for n in SYN.names}
    nir, red = (by["Oa17"] + by["S3"] + by["Oa18"]) / 3, (by["S2"] + by["Oa08"] + by["Oa09"]) / 3
    np.testing.assert_allclose(ndvi(cube, "paper").data[0], (nir - red) / (nir + red), rtol=1e-5)
    with pytest.raises(BandError, match=r"Oa08.*missing"):
        ndvi(cube.select(["Oa04", "Oa17", "S2"]), "paper")


def test_single_bands_by_wavelength_or_name():
    how = define_ndvi(SYN, "bands", red_nm=681, nir_nm=885)
    assert how.red == (("Oa10", 1.0),) and how.nir == (("Oa18", 1.0),)
    assert define_ndvi(SYN, "bands", red="Oa07", nir="Oa12").bands == ("Oa07", "Oa12")
    with pytest.raises(BandError, match="no band within 25 nm of 1300"):
        define_ndvi(SYN, "bands", nir_nm=1300)
    with pytest.raises(BandError, match="one band"):
        define_ndvi(SYN, "bands", nir_nm=666)
    with pytest.raises(ConfigError, match="give s2, paper or bands"):
        define_ndvi(SYN, "evi")


def test_sentinel_2_uses_its_own_bands_and_landsat_its_own():
    assert define_ndvi(S2).bands == ("B4", "B8A")
    assert define_ndvi(S2.select(["B2", "B3", "B4", "B8"])).bands == ("B4", "B8")
    assert define_ndvi(BandSet.of(["B04", "B8A"])).bands == ("B04", "B8A")
    oli = load("L8_OLI").select(["B1", "B2", "B3", "B4", "B5", "B6", "B7"])
    assert define_ndvi(oli.bands).bands == ("B4", "B5")
    with pytest.raises(BandError, match="less than 70 %"):
        define_ndvi(oli.bands.select(["B1", "B2", "B3", "B4"]))
    with pytest.raises(BandError, match="FWHM in the band tags"):
        define_ndvi(BandSet.of(["x", "y"], [665, 865]))


@pytest.mark.parametrize("dtype", ["float32", "int16"])
@pytest.mark.parametrize("definition", ["s2", "paper", "bands"])
def test_the_map_is_the_cube_s_ndvi_with_its_rules_in_the_tags(tmp_path, dtype, definition):
    cube = fused(530, 40)
    path = tmp_path / "n.tif"
    record = write_ndvi(MemorySource(cube, "scene"), path, definition=definition, dtype=dtype)
    expected, back = ndvi(cube, definition), open_geotiff(path).read()
    np.testing.assert_array_equal(back.valid, expected.valid)
    assert back.grid == cube.grid and back.bands.names == ("NDVI",)
    if dtype == "float32":
        np.testing.assert_array_equal(back.data, expected.data)
    else:
        assert np.nanmax(np.abs(back.data - expected.data)) <= 5.01e-5
    assert record["valid_share"] == expected.valid.mean()
    assert record["mean"] == pytest.approx(float(np.nanmean(expected.data)), rel=1e-5)
    with rasterio.open(path) as d:
        assert d.count == 1 and d.dtypes == (dtype,) and d.descriptions == ("NDVI",)
        np.testing.assert_array_equal(d.dataset_mask() > 0, expected.valid)
        raw = d.read(1)
        empty = np.isnan(raw) if dtype == "float32" else raw == -32768
        np.testing.assert_array_equal(~empty, expected.valid)
        tags, band = d.tags(), d.tags(1)
        assert d.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    assert tags["definition"] == definition and tags["SOURCE"] == "scene"
    assert "(NIR - red) / (NIR + red)" in tags["formula"] and "0.0001" in tags["valid_rule"]
    assert "after masking" in band["clipping"]
    assert band["standard_name"] == "normalized_difference_vegetation_index"
    assert float(band["wavelength_red_nm"]) == pytest.approx(665, abs=3)
    assert float(band["wavelength_nir_nm"]) == pytest.approx(865, abs=9)


def test_nothing_is_written_where_it_cannot_be_right(tmp_path):
    source = MemorySource(fused().select(["Oa04", "Oa06"]))
    with pytest.raises(BandError):
        write_ndvi(source, tmp_path / "n.tif")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "n.tif").write_bytes(b"mine")
    with pytest.raises(OutputExistsError):
        write_ndvi(MemorySource(fused()), tmp_path / "n.tif")


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 39), st.integers(0, 49), st.integers(1, 40), st.integers(1, 50))
def test_a_window_s_ndvi_is_the_window_of_the_ndvi(row, col, height, width):
    from trifuse.core import Window

    cube = fused()
    window = Window(row, col, height, width).clip(40, 50)
    np.testing.assert_array_equal(ndvi(cube.crop(window)).data, ndvi(cube).crop(window).data)


def test_torch_is_not_imported(tmp_path):
    code = (
        "import sys\n"
        "from trifuse.products import open_cube, write_ndvi, inspect_product, write_quicklook\n"
        f"write_ndvi(open_cube({str(tmp_path / 'f.tif')!r}), {str(tmp_path / 'n.tif')!r})\n"
        "assert 'torch' not in sys.modules\n"
    )
    from trifuse.products import write_cube

    write_cube(tmp_path / "f.tif", fused())
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "n.tif").exists()
