"""OL_1_EFR: radiance, irradiance and the sun's angle become top-of-atmosphere reflectance."""

import math

import h5py
import numpy as np
import pytest

from trifuse.core import BandSet, ConfigError, Cube, Grid, MetadataError, ProductError, Window
from trifuse.products import (
    detect,
    open_cube,
    open_olci,
    open_olci_swath,
    open_sentinel3,
    write_olci_l1,
    write_syn,
)
from trifuse.products.sentinel3.area import project
from trifuse.products.sentinel3.factory_olci import BANDS, FLAGS, FLAGS_2023, solar_flux
from trifuse.srf_data import load

GRID = Grid.from_origin("EPSG:32633", 300_000, 5_820_000, 300, 40, 50)


def make_cube(names=BANDS):
    i, j = np.mgrid[: GRID.height, : GRID.width]
    waves = 0.3 + 0.1 * np.sin(i / 6) * np.cos(j / 5)
    data = np.stack([waves * (1 - 0.02 * BANDS.index(n)) for n in names]).astype(np.float32)
    bands = load("S3A_OLCI").bands.select(names)
    return Cube(data, np.ones(GRID.shape, bool), bands, GRID)


CUBE = make_cube()


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    return write_olci_l1(tmp_path_factory.mktemp("olci"), CUBE, shape=(60, 140))


def stored(product, file, name):
    with h5py.File(product / file) as f:
        return f[name][()].astype(float), dict(f[name].attrs)


def by_hand(product, band):
    """π·L / (F0[detector] · cos SZA) with nothing of the reader."""
    raw, attributes = stored(product, f"{band}_radiance.nc", f"{band}_radiance")
    radiance = np.where(raw == 65535, np.nan, raw * attributes["scale_factor"])
    detector, _ = stored(product, "instrument_data.nc", "detector_index")
    flux, _ = stored(product, "instrument_data.nc", "solar_flux")
    zenith, _ = stored(product, "tie_geometries.nc", "SZA")
    cols = np.arange(raw.shape[1])
    angle = np.stack([np.interp(cols, 64 * np.arange(len(row)), row * 1e-6) for row in zenith])
    irradiance = flux[int(band[2:]) - 1][detector.astype(int)]
    return math.pi * radiance / irradiance / np.cos(np.radians(angle))


def test_reflectance_is_that_of_the_formula(product):
    swath = open_olci_swath(product)
    assert swath.bands == load("S3A_OLCI").bands
    data = swath.read(Window(0, 0, *swath.shape))
    for number in (0, 7, 20):
        np.testing.assert_allclose(data[number], by_hand(product, BANDS[number]), rtol=2e-6)
    part = swath.read(Window(10, 30, 20, 90), ["Oa17", "Oa01"])
    np.testing.assert_array_equal(part, data[[16, 0], 10:30, 30:120])


def test_the_sun_is_not_forgotten(tmp_path):
    names = ("Oa08",)
    low = write_olci_l1(tmp_path / "low", make_cube(names), sun=(70, 75))
    source = open_olci(low, grid=GRID, bands=names)
    cube = source.read()
    assert cube.valid[2:-2, 2:-2].all()
    error = cube.data[0] - make_cube(names).data[0]
    assert np.abs(error[2:-2, 2:-2]).max() < 0.01
    night = write_olci_l1(tmp_path / "night", make_cube(names), sun=(80, 95), shape=(60, 140))
    seen = open_olci_swath(night, bands=names).read(Window(0, 0, 60, 140))[0]
    assert np.isfinite(seen[30, 70]) and np.isnan(seen[30, 104:]).all()


def test_it_is_top_of_atmosphere_and_says_so(product):
    source = open_cube(product, grid=GRID)
    assert detect(product)[0] == "olci" and source.meta["kind"] == "OLCI_L1"
    assert source.meta["quantity"] == "toa_reflectance" and source.meta["sensor"] == "S3A_OLCI"
    assert source.read(Window(5, 5, 20, 20)).valid.all()
    with pytest.raises(ProductError, match=r"OL_1_EFR, not SY_2_SYN; open it with open_olci"):
        open_sentinel3(product)


def test_surface_reflectance_is_not_taken_for_it(tmp_path):
    path = write_syn(tmp_path, make_cube(("Oa08",)))
    with pytest.raises(ProductError, match="open_sentinel3"):
        open_olci(path)


@pytest.mark.parametrize(
    ("flags", "saturated"), [(FLAGS, "saturated_Oa08"), (FLAGS_2023, "saturated")]
)
def test_flags_by_their_meaning(tmp_path, flags, saturated):
    corner, middle = (np.zeros(GRID.shape, bool) for _ in range(2))
    corner[4:10, 4:10] = True
    middle[20:26, 20:26] = True
    path = write_olci_l1(
        tmp_path,
        make_cube(("Oa08", "Oa17")),
        flags=flags,
        flag_masks={"invalid": corner, saturated: middle},
    )
    for bands, alone in (["Oa08"], True), (["Oa17"], flags is FLAGS_2023):
        valid = open_olci(path, grid=GRID, bands=bands).read().valid
        assert not valid[6:8, 6:8].any() and valid[30, 30]
        assert valid[22:24, 22:24].any() != alone
    assert open_olci(path, grid=GRID, bands=["Oa08"], mask="none").read().valid[7, 7]
    assert not open_olci(path, grid=GRID, bands=["Oa08"], mask="land").read().valid.any()
    with pytest.raises(ConfigError):
        open_olci(path, mask="margin")


def test_detectors_without_a_value_give_none(tmp_path):
    path = write_olci_l1(tmp_path, make_cube(("Oa08",)))
    with h5py.File(path / "instrument_data.nc", "r+") as f:
        f["detector_index"][:, 10] = -1
        f["detector_index"][:, 11] = 32767
        f["solar_flux"][7, f["detector_index"][0, 12]] = -1
    seen = open_olci_swath(path, bands=["Oa08"]).read(Window(20, 0, 10, 30))[0]
    assert np.isnan(seen[:, 10:13]).all() and np.isfinite(seen[:, 20:]).any()


def test_what_is_missing_is_said_at_once(product, tmp_path):
    cube = make_cube(("Oa08",))
    gone = ("instrument_data.nc", "geo_coordinates.nc", "tie_geometries.nc", "qualityFlags.nc")
    path = write_olci_l1(tmp_path / "a", cube, leave_out=gone)
    with pytest.raises(ProductError) as caught:
        open_olci(path)
    assert all(name in str(caught.value) for name in (*gone, "Oa01_radiance.nc"))
    slow = write_olci_l1(tmp_path / "b", cube, leave_out=("tie_geo_coordinates.nc",))
    fast = write_olci_l1(tmp_path / "c", cube)
    np.testing.assert_array_equal(
        *(open_olci(p, grid=GRID, bands=["Oa08"]).read().data for p in (slow, fast))
    )
    with h5py.File(fast / "instrument_data.nc", "r+") as f:
        del f["solar_flux"]
        f["solar_flux"] = np.ones((3, 5), np.float32)
    with pytest.raises(MetadataError, match="not 21 bands"):
        open_olci(fast, bands=["Oa08"])


def test_the_stand_in_for_the_sun_is_plausible():
    flux = solar_flux()
    assert flux.shape == (21, 3700)
    # published solar irradiance at 560 nm is 1800 and at 865 nm 960 mW m⁻² nm⁻¹
    assert flux[5].mean() == pytest.approx(1800, rel=0.06)
    assert flux[16].mean() == pytest.approx(960, rel=0.06)


REAL = "3_s3_s2/olci_L1_fullres_crop/ppetest2_OL_1_EFR_20180108_crop40x40.nc"


@pytest.fixture(scope="module")
def real(data_dir, tmp_path_factory):
    """A crop of a real product, put back into the files it came from.

    Its first tie column lies five columns before it, so five empty columns go in front; the
    tie points reach to column 128.
    """
    path = data_dir / REAL
    if not path.is_file():
        pytest.skip(f"{REAL} not found")
    folder = tmp_path_factory.mktemp("real") / (
        "S3A_OL_1_EFR____20180108T125936_20180108T125938_20180109T125936_0180_026_000_0000"
        "_LN1_O_NT_002.SEN3"
    )
    folder.mkdir()
    shape, at = (40, 129), np.s_[:, 5:45]
    with h5py.File(path) as crop:

        def image(name, fill, dtype, file, label=None, **attributes):
            whole = np.full(shape, fill, dtype)
            whole[at] = crop[name][()].view(dtype) if whole.itemsize < 8 else crop[name][()]
            with h5py.File(folder / file, "a") as f:
                variable = f.create_dataset(label or name, data=whole, compression="gzip")
                variable.attrs.update({"_FillValue": dtype(fill), **attributes})

        for band in BANDS:
            name = f"{band}_radiance"
            image(
                name,
                65535,
                np.uint16,
                f"{name}.nc",
                scale_factor=float(crop[name].attrs["scale_factor"][0]),
            )
        for name in ("latitude", "longitude"):
            image(name, -(2**31), np.int32, "geo_coordinates.nc", scale_factor=1e-6)
        image("detector_index", -1, np.int16, "instrument_data.nc")
        flags = crop["quality_flags"].attrs
        image(
            "quality_flags",
            0,
            np.uint32,
            "qualityFlags.nc",
            flag_masks=flags["flag_masks"].view(np.uint32),
            flag_meanings=flags["flag_meanings"],
        )
        flux = np.full((21, 3700), -1, np.float32)
        for number in range(21):
            flux[number, crop["detector_index"][()]] = crop[f"solar_flux_band_{number + 1}"][()]
        with h5py.File(folder / "instrument_data.nc", "a") as f:
            f["solar_flux"] = flux
        with h5py.File(folder / "tie_geometries.nc", "w") as f:
            f["SZA"] = crop["SZA"][:40]
            f.attrs.update(ac_subsampling_factor=np.int32(64), al_subsampling_factor=np.int32(1))
    return path, folder


def test_real_pixels(real):
    path, folder = real
    swath = open_olci_swath(folder)
    window = Window(0, 5, 40, 40)
    data = swath.read(window)
    with h5py.File(path) as crop:
        sun = crop["SZA"][:40].astype(float)
        weight = (np.arange(40) + 5) / 64
        angle = sun[:, :1] * (1 - weight) + sun[:, 1:2] * weight
        for number, band in enumerate(BANDS):
            variable = crop[f"{band}_radiance"]
            radiance = variable[()].view(np.uint16) * variable.attrs["scale_factor"]
            flux = crop[f"solar_flux_band_{number + 1}"][()]
            expected = math.pi * radiance / flux / np.cos(np.radians(angle))
            np.testing.assert_allclose(data[number], expected, rtol=1e-5)
        lon, lat = swath.lonlat(window)
        np.testing.assert_allclose(lat, crop["latitude"][()] * 1e-6, atol=1e-9)
        np.testing.assert_allclose(lon, crop["longitude"][()] * 1e-6, atol=1e-9)
        land = crop["quality_flags"][()] < 0
    # checked by hand: Oa01 of the first pixel is 5960 counts of 0.01394646, its detector's
    # irradiance 1540.505, the sun 38.4135° from the zenith
    assert data[0, 0, 0] == pytest.approx(
        math.pi * 5960 * 0.01394646 / 1540.505 / 0.783547, rel=1e-4
    )
    usable = open_olci_swath(folder, mask="land").usable(window)
    np.testing.assert_array_equal(usable, land)
    assert 0.01 < data[:, usable].min() and data[:, usable].max() < 0.9


def test_real_pixels_on_a_grid(real):
    _, folder = real
    source = open_olci(folder)
    assert source.grid.crs == "EPSG:32721"
    cube = source.read(bands=["Oa08", "Oa17"])
    assert 0.3 < cube.valid.mean() < 0.9
    window = Window(0, 5, 40, 40)
    seen, usable = source.swath.read(window, ["Oa08", "Oa17"]), source.swath.usable(window)
    x, y = project(*source.swath.lonlat(window), source.grid.crs, (-54.9, -34.9))
    a, _, c, _, e, f = source.grid.transform
    col, row = ((v[usable] // 1).astype(int) for v in ((x - c) / a, (y - f) / e))
    for plane, pixels in zip(cube.data, seen, strict=True):
        there = np.isfinite(plane[row, col])
        assert there.mean() > 0.95
        assert np.corrcoef(plane[row, col][there], pixels[usable][there])[0, 1] > 0.97
        assert pixels.min() <= np.nanmin(plane) and np.nanmax(plane) <= pixels.max()


def test_real_product_across_its_whole_frame(data_dir):
    """Every hundredth pixel of a real frame: the formula gives reflectance everywhere."""
    io = pytest.importorskip("scipy.io")
    found = list((data_dir / "3_s3_s2/olci_slstr_L1_pair_20170313").glob("S3A_OL_1_EFR*.nc"))
    if not found:
        pytest.skip("the decimated OLCI frame was not found")
    with io.netcdf_file(found[0], mmap=False) as frame:
        variable = frame.variables["Oa08_radiance"]
        raw = variable.data.astype(">i2").view(">u2").astype(float)
        radiance = np.where(raw == 65535, np.nan, raw * variable.scale_factor)
        flux = frame.variables["solar_flux_band_8"].data.astype(float)
        zenith = frame.variables["SZA"].data.astype(float)
        detector = frame.variables["detector_index"].data
    seen = np.isfinite(radiance) & (flux > 0) & (detector >= 0)
    reflectance = math.pi * radiance[seen] / flux[seen] / np.cos(np.radians(zenith[seen]))
    assert seen.mean() > 0.8 and 0 < reflectance.min() and np.median(reflectance) < 0.5
    # the stand-in of made products is of that size, too
    assert np.median(flux[seen]) == pytest.approx(solar_flux()[7].mean(), rel=0.06)


def test_bands_of_the_other_satellite(tmp_path):
    path = write_olci_l1(tmp_path, make_cube(("Oa21",)), platform="B")
    source = open_olci(path, bands=["Oa21"])
    assert source.bands == load("S3B_OLCI").bands.select(["Oa21"])
    assert source.bands != BandSet.of(["Oa21"])
