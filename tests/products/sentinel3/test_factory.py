"""Made deliveries have the form of real ones."""

import hashlib
from xml.etree import ElementTree

import h5py
import numpy as np
import pytest

from trifuse.core import BandError, BandSet, ConfigError, Cube, Grid, GridError, OutputExistsError
from trifuse.products import write_olci_l1, write_syn
from trifuse.products.sentinel3.delivery import NAME
from trifuse.products.sentinel3.factory import FLAGS
from trifuse.products.sentinel3.factory_files import SPACING, SwathPlan

GRID = Grid.from_origin("EPSG:32628", 400_000, 1_800_000, 300, 20, 24)


def make_cube(names=("Oa08", "S3")):
    rng = np.random.default_rng(0)
    data = rng.uniform(-0.05, 1.3, (len(names), *GRID.shape)).astype(np.float32)
    data[:, :3, :3] = np.nan
    return Cube(data, np.isfinite(data[0]), BandSet.of(names), GRID)


def files(path):
    return {p.name: p.read_bytes() for p in sorted(path.iterdir())}


@pytest.mark.parametrize("write", [write_syn, write_olci_l1])
def test_equal_arguments_give_equal_bytes(tmp_path, write):
    cube = make_cube(("Oa08", "Oa17"))
    assert files(write(tmp_path / "a", cube)) == files(write(tmp_path / "b", cube))
    one, two = (write(tmp_path / n, cube, zipped=True).read_bytes() for n in "ab")
    assert one == two


def test_names_variables_types_and_attributes(tmp_path):
    path = write_syn(tmp_path, make_cube())
    match = NAME.fullmatch(path.stem)
    assert match and match["kind"] == "SY_2_SYN___" and path.suffix == ".SEN3"
    assert sorted(files(path)) == sorted(
        (
            "Syn_Oa08_reflectance.nc",
            "Syn_S3N_reflectance.nc",
            "Syn_S3O_reflectance.nc",
            "geolocation.nc",
            "tiepoints_olci.nc",
            "flags.nc",
            "xfdumanifest.xml",
        )
    )
    with h5py.File(path / "Syn_S3N_reflectance.nc") as f:
        for name in ("SDR_S3N", "SDR_S3N_err"):
            assert f[name].dtype == np.int16 and f[name].attrs["_FillValue"] == -10000
            assert f[name].attrs["scale_factor"].dtype == np.float32
            assert f[name].compression == "gzip" and f[name].shuffle
            assert f[name].dims[0][0].name == "/rows" and f[name].dims[1][0].name == "/columns"
        raw = f["SDR_S3N"][()]
        assert (raw == -10000).any() and raw[raw != -10000].min() < 0
    with h5py.File(path / "flags.nc") as f:
        assert f["SYN_flags"].dtype == np.uint16 and f["CLOUD_flags"].dtype == np.uint8
        masks, meanings = f["SYN_flags"].attrs["flag_masks"], f["SYN_flags"].attrs["flag_meanings"]
        assert dict(zip(meanings.decode().split(), masks, strict=True)) == FLAGS["SYN_flags"]
    with h5py.File(path / "geolocation.nc") as f:
        assert f["lat"].dtype == np.int32 and f["lat"].attrs["_FillValue"] == -(2**31)
        assert f["lat"].attrs["scale_factor"] == 1e-6 and f["altitude"].dtype == np.int16
    with h5py.File(path / "tiepoints_olci.nc") as f:
        assert all(f[n].ndim == 1 for n in ("OLC_TP_lat", "OLC_TP_lon", "SZA", "OLC_VZA"))


def test_other_libraries_read_it(tmp_path):
    netcdf = pytest.importorskip("netCDF4")
    path = write_syn(tmp_path, make_cube())
    with netcdf.Dataset(path / "Syn_Oa08_reflectance.nc") as d:
        values = d["SDR_Oa08"][:]
        assert d["SDR_Oa08"].dimensions == ("rows", "columns") and values.mask.any()
        with h5py.File(path / "Syn_Oa08_reflectance.nc") as f:
            raw = f["SDR_Oa08"][()]
        np.testing.assert_allclose(
            values.filled(-1), np.where(raw == -10000, -1, raw * 1e-4), atol=1e-7
        )


def test_the_manifest_lists_and_measures_the_files(tmp_path):
    path = write_syn(tmp_path, make_cube(), platform="B")
    root = ElementTree.parse(path / "xfdumanifest.xml").getroot()
    listed = {}
    for stream in root.iter("byteStream"):
        name = stream.find("fileLocation").get("href").removeprefix("./")
        listed[name] = (int(stream.get("size")), stream.find("checksum").text)
    for name, content in files(path).items():
        if name != "xfdumanifest.xml":
            digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
            assert listed.pop(name) == (len(content), digest)
    assert not listed
    safe = "{http://www.esa.int/safe/sentinel/1.1}"
    assert root.find(f".//{safe}platform/{safe}number").text == "B"
    assert "made by TriFuse" in (path / "xfdumanifest.xml").read_text()


def test_a_swath_covers_its_grid_and_is_spaced_like_a_real_one():
    for tilt in (13.0, 0.0, -30.0, 75.0):
        plan = SwathPlan.around(GRID, None, tilt=tilt)
        x, y = plan.xy(*(np.arange(n) for n in plan.shape))
        np.testing.assert_allclose(np.hypot(np.diff(x, axis=0), np.diff(y, axis=0)), SPACING[0])
        np.testing.assert_allclose(np.hypot(np.diff(x, axis=1), np.diff(y, axis=1)), SPACING[1])
        for corner in ((0, 1), (0, 3), (2, 1), (2, 3)):
            px, py = GRID.bounds[corner[0]], GRID.bounds[corner[1]]
            i, j = np.unravel_index(np.hypot(x - px, y - py).argmin(), x.shape)
            assert 0 < i < plan.shape[0] - 1 and 0 < j < plan.shape[1] - 1


def test_what_cannot_be_made_is_refused(tmp_path):
    with pytest.raises(BandError, match="B4"):
        write_syn(tmp_path, make_cube(("B4",)))
    with pytest.raises(BandError, match="S3"):
        write_olci_l1(tmp_path, make_cube(("Oa08", "S3")))
    cube = make_cube()
    degrees = Grid("EPSG:4326", (0.003, 0, 12, 0, -0.003, 52.5), *GRID.shape)
    with pytest.raises(GridError, match="not in metres"):
        write_syn(tmp_path, Cube(cube.data, cube.valid, cube.bands, degrees))
    for options in (
        {"shape": (1, 9)},
        {"cloud": np.zeros((2, 2), bool)},
        {"leave_out": ("x.nc",)},
        {"flag_masks": {"NOT_A_FLAG": np.zeros(GRID.shape, bool)}},
    ):
        with pytest.raises(ConfigError):
            write_syn(tmp_path, cube, **options)
    assert not list(tmp_path.iterdir())
    path = write_syn(tmp_path, cube)
    with pytest.raises(OutputExistsError):
        write_syn(tmp_path, cube)
    assert write_syn(tmp_path, cube, overwrite=True) == path
