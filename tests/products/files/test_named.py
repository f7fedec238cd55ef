"""Files whose bands are named as the libraries of the field name them, against rasterio itself."""

import numpy as np
import pytest
import rasterio
from affine import Affine

from trifuse.core import BandError, ConfigError, GridError, OverlapError
from trifuse.products import define_ndvi, find_reader, inspect_product, open_cube
from trifuse.products.files.stack import band_files

ORIGIN = Affine(10, 0, 600000, 0, -10, 5800020)
RNG = np.random.default_rng(1)


def counts(bands, height=12, width=18):
    return RNG.integers(50, 4000, (bands, height, width)).astype(np.uint16)


def write(path, data, transform=ORIGIN, descriptions=None, tags=None, domain=None, **profile):
    options = {"driver": "GTiff", "crs": "EPSG:32633", "transform": transform, **profile}
    if options["driver"] == "JP2OpenJPEG":
        options |= {"QUALITY": 100, "REVERSIBLE": "YES"}
    shape = dict(zip(("count", "height", "width"), data.shape, strict=True))
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", dtype=data.dtype, **shape, **options) as sink:
        sink.write(data)
        for i, text in enumerate(descriptions or (), start=1):
            sink.set_band_description(i, text)
        for i, more in enumerate(tags or (), start=1):
            sink.update_tags(i, ns=domain, **more)
    return path


def same(path, source, scale=1.0):
    """The source holds what rasterio reads."""
    with rasterio.open(path) as raw:
        wanted = raw.read().astype(np.float32) * np.float32(scale)
    np.testing.assert_array_equal(source.read().data, wanted)


@pytest.mark.parametrize(
    ("described", "bands"),
    [
        (["blue", "green", "red", "nir"], ("B2", "B3", "B4", "B8")),
        (["B02", "B08A", "B11", "B12"], ("B2", "B8A", "B11", "B12")),
        (["Red", "Red Edge 1", "NIR", "SWIR 1"], ("B4", "B5", "B8", "B11")),
    ],
)
def test_descriptions_of_a_geotiff(tmp_path, described, bands):
    path = write(tmp_path / "a.tif", counts(4), descriptions=described)
    with open_cube(path, scale=1e-4) as source:
        assert source.bands.names == bands
        pairs = zip(bands, described, strict=True)
        assert source.meta["named"] == {new: old for new, old in pairs if new != old}
        same(path, source, 1e-4)
        red = source.read(bands=[described[0]])
        np.testing.assert_array_equal(red.data[0], source.read().data[0])


def test_names_that_the_user_gives_are_read_likewise(tmp_path):
    path = write(tmp_path / "a.tif", counts(2))
    with open_cube(path, bands=["red", "nir08"]) as source:
        assert source.bands.names == ("B4", "B8A")
    with pytest.raises(BandError, match="B8 and nir are both"):
        open_cube(path, bands=["B8", "nir"])


def test_wavelengths_in_the_imagery_domain_of_gdal(tmp_path):
    tags = [{"CENTRAL_WAVELENGTH_UM": v, "FWHM_UM": w} for v, w in (("0.665", "0.031"),
            ("0.865", "0.021"))]  # fmt: skip
    path = write(tmp_path / "a.tif", counts(2), tags=tags, domain="IMAGERY")
    with rasterio.open(path) as raw:
        assert raw.tags(1, ns="IMAGERY")["CENTRAL_WAVELENGTH_UM"] == "0.665"
    with open_cube(path) as source:
        assert source.bands.names == ("B4", "B8A")
        assert source.bands.centres == (665.0, 865.0) and source.bands.fwhms == (31.0, 21.0)
        same(path, source)


def test_wavelengths_that_the_user_gives(tmp_path):
    path = write(tmp_path / "a.tif", counts(4))
    with open_cube(path, wavelengths=[490, 560, 665, 842]) as source:
        assert source.bands.names == ("B2", "B3", "B4", "B8")
    with open_cube(path, wavelengths=[500, 600, 700, 800]) as source:
        assert source.bands.names == ("band1", "band2", "band3", "band4")
        assert source.bands.centres == (500, 600, 700, 800)
    with pytest.raises(BandError, match="3 wavelengths for 4 bands") as told:
        open_cube(path, wavelengths=[490, 560, 665])
    assert told.value.exit_code == 10
    with pytest.raises(ConfigError, match="give nanometres"):
        open_cube(path, wavelengths=[0.49, 0.56, 0.665, 0.842])


def test_the_long_name_of_rioxarray(tmp_path):
    rioxarray = pytest.importorskip("rioxarray")
    xarray = pytest.importorskip("xarray")
    data = counts(3)
    dims = ("band", "y", "x")
    array = xarray.DataArray(data, dims=dims, attrs={"long_name": ("B02", "B8A", "B12")})
    array = array.rio.write_transform(ORIGIN).rio.write_crs("EPSG:32633")
    array.rio.to_raster(tmp_path / "several.tif")
    with open_cube(tmp_path / "several.tif") as source:
        assert source.bands.names == ("B2", "B8A", "B12")
        same(tmp_path / "several.tif", source)
    for name, plane in zip(("blue", "red"), data, strict=False):
        one = array[0].copy(data=plane).assign_attrs(long_name=name)
        one.rio.to_raster(tmp_path / f"{name}.tif")
    with open_cube(tmp_path / "red.tif") as source:
        assert source.bands.names == ("red",), "one word of one band tells no satellite"
    variables = xarray.Dataset({n: array[i].drop_attrs() for i, n in enumerate(("red", "nir08"))})
    variables.rio.to_raster(tmp_path / "variables.tif")
    with open_cube(tmp_path / "variables.tif") as source:
        assert source.bands.names == ("B4", "B8A")
    assert rioxarray.__version__


def envi(path, data, **metadata):
    spectral = pytest.importorskip("spectral.io.envi")
    spectral.save_image(
        str(path), data.transpose(1, 2, 0), interleave="bsq", ext="", metadata=metadata, force=True
    )
    return path


def test_envi_as_spectral_writes_it(tmp_path):
    data = counts(4)
    path = envi(tmp_path / "a.hdr", data, wavelength=["0.49", "0.56", "0.665", "0.842"],
                **{"wavelength units": "Micrometers"})  # fmt: skip
    with open_cube(path) as source:
        assert source.bands.names == ("B2", "B3", "B4", "B8")
        np.testing.assert_array_equal(source.read().data, data)
    names = ["band 1 (0.665000 Micrometers)", "band 2 (0.865000 Micrometers)"]
    path = envi(tmp_path / "b.hdr", data[:2], **{"band names": names})
    with open_cube(path) as source:
        assert source.bands.names == ("B4", "B8A") and source.bands.centres == (665.0, 865.0)
    path = envi(tmp_path / "c.hdr", data[:2], **{"band names": ["Red", "Nir"]})
    with open_cube(path, wavelengths=[655, 865]) as source:
        assert source.bands.names == ("Red", "Nir"), "the red of another satellite"


def test_wavelengths_in_the_names_of_many_bands(tmp_path):
    names = [f"band {i + 1} ({0.4554 + 0.01 * i:.6f} Micrometers)" for i in range(120)]
    path = envi(tmp_path / "a.hdr", counts(120, 4, 4), **{"band names": names})
    with open_cube(path) as source:
        assert source.bands.names[:2] == ("E001", "E002")
        assert source.bands.centres[0] == 455.4 and source.bands.centres[-1] == 1645.4
        with pytest.raises(BandError) as told:
            source.read(bands=["B4"])
    assert len(str(told.value)) < 200


@pytest.mark.parametrize("form", ["GTiff", "JP2OpenJPEG"])
def test_a_folder_of_bands_is_a_stack(tmp_path, form):
    suffix = {"GTiff": "tif", "JP2OpenJPEG": "jp2"}[form]
    planes = {b: counts(1) for b in ("B8A", "B02", "B11")}
    for band, data in planes.items():
        write(tmp_path / f"T33UUU_20230912T101031_{band}_10m.{suffix}", data, driver=form)
    write(tmp_path / f"T33UUU_20230912T101031_SCL_20m.{suffix}", counts(1, 6, 9), driver=form,
          transform=ORIGIN * Affine.scale(2))  # fmt: skip
    with open_cube(tmp_path, scale=1e-4) as source:
        assert source.bands.names == ("B2", "B8A", "B11") and source.grid.shape == (12, 18)
        assert source.name == "T33UUU_20230912T101031"
        for band, plane in zip(("B02", "B8A", "B11"), source.read().data, strict=True):
            np.testing.assert_array_equal(plane, planes[band][0] * np.float32(1e-4))
        assert source.meta["calibration"]["scale"] == 1e-4
        assert not source.sampling.known
    assert inspect_product(tmp_path)["meta"]["named"]["B2"] == "B02"


def test_bands_of_several_samplings_lie_on_the_finest(tmp_path):
    write(tmp_path / "red.tif", counts(1, 24, 36))
    coarse = counts(1, 12, 18)
    write(tmp_path / "swir16.tif", coarse, transform=ORIGIN * Affine.scale(2))
    write(tmp_path / "coastal.tif", counts(1, 5, 7),
          transform=ORIGIN * Affine.translation(-6, -6) * Affine.scale(6))  # fmt: skip
    with open_cube(tmp_path, scale=1e-4) as source:
        assert source.bands.names == ("B1", "B4", "B11") and source.grid.shape == (24, 36)
        assert source.sampling.values("gsd") == (60.0, 10.0, 20.0)
        assert source.sampling.values("origin") == ((-6, -6), (0, 0), (0, 0))
        assert source.sampling.values("kernel") == ("bicubic", None, "bicubic")
        whole = source.read()
        flat = whole.data[2].reshape(12, 2, 18, 2).mean(axis=(1, 3))
        assert np.corrcoef(flat.ravel(), coarse.ravel())[0, 1] > 0.95
        for window in (source.grid.whole.pad(-5), source.grid.whole.pad(-7)):
            np.testing.assert_allclose(source.read(window).data, whole.crop(window).data, atol=2e-6)


def test_a_band_at_two_samplings_counts_at_the_finer(tmp_path):
    for gsd in (10, 20):
        write(tmp_path / f"T_B02_{gsd}m.tif", counts(1, 120 // gsd, 180 // gsd),
              transform=ORIGIN * Affine.scale(gsd / 10))  # fmt: skip
    write(tmp_path / "T_B05_20m.tif", counts(1, 6, 9), transform=ORIGIN * Affine.scale(2))
    files = band_files(sorted(tmp_path.glob("*.tif")))
    assert [p.name for p in files] == ["T_B02_10m.tif", "T_B05_20m.tif"]
    with open_cube(tmp_path) as source:
        assert source.grid.shape == (12, 18)


def test_landsat_by_file_has_its_own_wavelengths(tmp_path):
    for i in (2, 4, 5):
        write(tmp_path / "hls" / f"HLS.L30.T33UUU.2023255T101031.v2.0.B0{i}.tif", counts(1))
    described = ["SR_B2", "SR_B4", "SR_B5"]
    write(tmp_path / "gee.tif", counts(3), descriptions=described)
    for name in ("hls", "gee.tif"):
        with open_cube(tmp_path / name) as source:
            assert source.bands.names == ("B2", "B4", "B5")
            assert np.abs(np.array(source.bands.centres) - (482, 654.6, 864.7)).max() < 1.5
            ndvi = define_ndvi(source.bands)
        assert ndvi.red == (("B4", 1.0),) and ndvi.nir == (("B5", 1.0),)


def test_tiles_stay_a_mosaic(tmp_path):
    for i in range(2):
        moved = ORIGIN * Affine.translation(18 * i, 0)
        write(tmp_path / f"t{i}.tif", counts(2), transform=moved, descriptions=["red", "nir"])
    with open_cube(tmp_path) as source:
        assert source.grid.shape == (12, 36) and source.bands.names == ("B4", "B8")


def test_files_that_make_no_image_are_told_in_one_line(tmp_path):
    for day in ("20230101", "20230201"):
        write(tmp_path / "jp2" / f"{day}_B04.jp2", counts(1), driver="JP2OpenJPEG")
    assert find_reader(tmp_path / "jp2").kind == "geotiff"
    with pytest.raises(BandError, match="are both band B4"):
        open_cube(tmp_path / "jp2")
    for i, day in enumerate(("20230101", "20230201")):
        write(tmp_path / "days" / f"{day}_B0{4}.tif", counts(1))
        write(tmp_path / "off" / f"x_B0{4 - i}.tif", counts(1), transform=ORIGIN *
              Affine.translation(0.4 * i, 0))  # fmt: skip
        write(tmp_path / "far" / f"x_B0{4 - i}.tif", counts(1), transform=ORIGIN *
              Affine.translation(40 * i, 0))  # fmt: skip
    for name, kind, code, words in (
        ("days", BandError, 10, "20230101_B04.tif and 20230201_B04.tif are both band B4"),
        ("off", GridError, 8, "no whole number of pixels"),
        ("far", OverlapError, 9, "share no ground"),
    ):
        with pytest.raises(kind, match=words) as told:
            open_cube(tmp_path / name)
        assert told.value.exit_code == code and "\n" not in str(told.value)
    for name in ("days", "off", "far"):
        assert find_reader(tmp_path / name).kind == "geotiff", "what is wrong is told by opening"
    with pytest.raises(BandError, match="3 numbers for 2 files"):
        open_cube(tmp_path / "off", scale=[1, 2, 3])
