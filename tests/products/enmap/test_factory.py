"""Made deliveries, looked at with the standard library and rasterio alone."""

import hashlib
import tarfile
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio

from trifuse.core import (
    BandSet,
    ConfigError,
    Cube,
    DataError,
    Grid,
    GridError,
    MetadataError,
    OutputExistsError,
)
from trifuse.products.enmap.delivery import NAME
from trifuse.products.enmap.factory import (
    LAYERS,
    NESTINGS,
    write_enmap,
    write_enmap_l2a,
    write_enmap_order,
)
from trifuse.products.enmap.factory_xml import projection_name
from trifuse.products.enmap.reader import open_enmap

H, W = 40, 300
BANDS = BandSet.of([f"E{i:03d}" for i in range(1, 7)], [450, 650, 910, 905, 1600, 2200], [7] * 6)
GRID = Grid.from_origin("EPSG:32633", 3e5, 58e5, 30, H, W)


def make_cube(grid: Grid = GRID) -> Cube:
    rng = np.random.default_rng(0)
    data = rng.uniform(-0.1, 1.1, (6, *grid.shape)).astype(np.float32)
    data[:, :, :20] = np.nan
    data[4] = np.nan
    data[0, 5, 50], data[0, 5, 51] = 40.0, -40.0
    valid = np.isfinite(data[0])
    valid[10:12, 100:110] = False
    return Cube(data, valid, BANDS, grid, {"start_time": "2022-07-24T10:45:26+00:00"})


CUBE = make_cube()
CLOUD = np.zeros((H, W), bool)
CLOUD[20:30, 150:200] = True


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_enmap_l2a(tmp_path_factory.mktemp("made"), CUBE, cloud=CLOUD)


def content(path: Path) -> dict[str, str]:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files if p.is_file()}


def test_names_are_those_of_a_delivery(folder):
    assert NAME.fullmatch(folder.name)
    assert "20220724T104526Z" in folder.name
    parts = {"METADATA.XML", "SPECTRAL_IMAGE.TIF", "QL_PIXELMASK.TIF"}
    parts |= {f"QL_QUALITY_{layer}.TIF" for layer in LAYERS}
    assert {p.name for p in folder.iterdir()} == {f"{folder.name}-{part}" for part in parts}


def test_the_image_is_that_of_a_delivery(folder):
    with rasterio.open(folder / f"{folder.name}-SPECTRAL_IMAGE.TIF") as d:
        assert d.dtypes == ("int16",) * 6 and d.nodata == -32768
        assert d.profile["tiled"] and d.profile["compress"] == "deflate"
        assert d.tags(ns="IMAGE_STRUCTURE")["PREDICTOR"] == "2"
        assert d.crs.to_epsg() == 32633 and tuple(d.transform)[:6] == GRID.transform
        stored = d.read()
    assert (stored[:, :, :20] == -32768).all() and (stored[4] == -32768).all()
    assert (stored[0, 5, 50], stored[0, 5, 51]) == (32767, -32767)
    inside = np.isfinite(CUBE.data) & (np.abs(CUBE.data) < 3)
    expected = np.rint(CUBE.data[inside].astype(np.float64) * 1e4)
    assert np.array_equal(stored[inside], expected)


def test_quality_layers_say_what_the_cube_says(folder):
    def layer(name):
        with rasterio.open(folder / f"{folder.name}-QL_{name}.TIF") as d:
            assert d.dtypes[0] == "uint8" and d.shape == (H, W)
            return d.read()

    classes = layer("QUALITY_CLASSES")[0]
    assert (classes[:, :20] == 3).all() and (classes[10:12, 100:110] == 0).all()
    assert np.array_equal(classes == 1, CUBE.valid)
    assert np.array_equal(layer("QUALITY_CLOUD")[0] == 1, CLOUD)
    assert layer("PIXELMASK").shape == (6, H, W)


def test_metadata_has_the_paths_of_a_delivery(folder):
    root = ElementTree.parse(folder / f"{folder.name}-METADATA.XML").getroot()
    assert root.tag == "level_X" and "Synthetic" in root.findtext("metadata/comment")
    text = {
        p: root.findtext(p)
        for p in (
            "base/level",
            "metadata/schema/processingLevel",
            "metadata/name",
            "processing/productFormat",
            "processing/correctionType",
            "specific/backgroundValue",
            "specific/vnirProductQuality/expectedChannelsList",
            "product/ortho/projection",
            "specific/swirProductQuality/expectedChannelsList",
            "specific/numberOfVNIRBands",
            "specific/numberOfSWIRBands",
            "specific/widthOfOrthoScene",
            "product/ortho/resolution",
            "specific/sunElevationAngle/center",
            "specific/qualityFlag/cloudCover",
            "base/temporalCoverage/startTime",
        )
    }
    assert list(text.values()) == [
        "L2A",
        "L2A",
        f"{folder.name}-METADATA.XML",
        "GeoTIFF+Metadata",
        "Land_Mode",
        "0",
        "1,2,3",
        "UTM_Zone33_North",
        "4,5,6",
        "3",
        "3",
        "300",
        "30",
        "55.0",
        str(round(100 * CLOUD.sum() / (H * (W - 20)))),
        "2022-07-24T10:45:26.000000Z",
    ]
    rows = root.findall("specific/bandCharacterisation/bandID")
    assert [r.get("number") for r in rows] == list("123456")
    assert [float(r.findtext("wavelengthCenterOfBand")) for r in rows] == list(BANDS.centres)
    assert {r.findtext("GainOfBand") for r in rows} == {"0.0001"}
    statistics = root.findall("product/bandStatistics/bandID")
    assert statistics[4].findtext("mean") == "-1000000.0"
    assert statistics[4].findtext("stdDeviation") == "0.0"
    assert float(statistics[1].findtext("mean")) == pytest.approx(np.nanmean(CUBE.data[1]))
    names = {e.text for e in root.findall("product/productFileInformation/file/name")}
    assert names == {p.name for p in folder.iterdir()} - {f"{folder.name}-METADATA.XML"}
    latitude = float(root.findtext("base/spatialCoverage/boundingPolygon/point/latitude"))
    assert latitude == pytest.approx(52.316, abs=0.01)


@pytest.mark.parametrize("nesting", NESTINGS)
def test_equal_arguments_give_equal_bytes_and_nothing_else(tmp_path, nesting):
    one = write_enmap(tmp_path / "1", CUBE, nesting=nesting, cloud=CLOUD)
    two = write_enmap(tmp_path / "2", CUBE, nesting=nesting, cloud=CLOUD)
    assert content(one) == content(two)
    assert [p.name for p in (tmp_path / "1").iterdir()] == [one.name]
    with pytest.raises(OutputExistsError):
        write_enmap(tmp_path / "1", CUBE, nesting=nesting)
    again = write_enmap(tmp_path / "1", CUBE, nesting=nesting, overwrite=True)
    assert again == one and content(again) != content(two)
    assert [p.name for p in (tmp_path / "1").iterdir()] == [one.name]


@pytest.mark.parametrize("image_format", ["BSQ", "BIL", "BIP", "JPEG2000"])
def test_other_formats_are_deterministic_too(tmp_path, image_format):
    one = write_enmap(tmp_path / "1", CUBE, image_format=image_format)
    two = write_enmap(tmp_path / "2", CUBE, image_format=image_format)
    assert content(one) == content(two)
    suffix = ".JP2" if image_format == "JPEG2000" else f".{image_format}"
    names = {p.name.split("SPECTRAL_IMAGE")[-1] for p in one.glob("*SPECTRAL_IMAGE*")}
    assert names == ({suffix} if suffix == ".JP2" else {suffix, ".HDR"})


def test_archives_nest_as_deliveries_do(tmp_path):
    def names(nesting):
        path = write_enmap(tmp_path / nesting, CUBE, nesting=nesting)
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            return path.stem, set(archive.namelist())

    stem, members = names("zip")
    assert f"{stem}/{stem}-METADATA.XML" in members
    stem, members = names("flat-zip")
    assert f"{stem}-METADATA.XML" in members
    stem, members = names("no-prefix-zip")
    assert {"METADATA.XML", "SPECTRAL_IMAGE.TIF"} <= members
    order = write_enmap(tmp_path / "order", CUBE, nesting="order-tar")
    with tarfile.open(order) as tar:
        zips = [m for m in tar.getnames() if m.endswith(".ZIP")]
    assert len(zips) == 1 and "/ENMAP.HSI.L2A/ENMAP-HSI-" in zips[0] and NAME.search(zips[0])
    cog = write_enmap(tmp_path / "cog", CUBE, nesting="cog")
    endings = {p.name.split("Z-")[-1] for p in cog.iterdir()}
    assert {"METADATA.xml", "SPECTRAL_IMAGE_COG.tiff", "QL_QUALITY_CLOUD_COG.tiff"} <= endings
    with rasterio.open(next(cog.glob("*SPECTRAL_IMAGE_COG.tiff"))) as d:
        assert d.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_l1c_is_unsigned_with_a_calibration_per_band(tmp_path):
    data = 0.1 * np.clip(CUBE.data, 0, 1)
    cube = Cube(data, CUBE.valid, BANDS, GRID, CUBE.meta)
    path = write_enmap(tmp_path, cube, level="L1C")
    with rasterio.open(next(path.glob("*SPECTRAL_IMAGE.TIF"))) as d:
        stored = d.read()
        assert d.dtypes[0] == "uint16" and d.nodata == 0
    seen = np.isfinite(data)
    assert (stored[~seen] == 0).all() and stored[seen].min() == 1 and stored[seen].max() == 65535


def test_a_written_scene_of_real_band_positions_reads_back(tmp_path, data_dir):
    tile = next((data_dir / "1_enmap/potsdam_L2A_real/tiles").glob("*.tif"))
    with rasterio.open(tile) as d:
        tags = [d.tags(i) for i in d.indexes]
    centres = [float(t["wavelength"]) for t in tags]
    bands = BandSet.of(
        [f"E{i:03d}" for i in range(1, 225)], centres, [float(t["fwhm"]) for t in tags]
    )
    data = np.random.default_rng(0).uniform(0, 1, (224, 12, 10)).astype(np.float32)
    grid = Grid.from_origin("EPSG:32733", 3e5, 58e5, 30, 12, 10)
    source = open_enmap(write_enmap(tmp_path, Cube(data, np.ones((12, 10), bool), bands, grid)))
    assert source.bands == bands and source.grid == grid
    assert source.meta["detectors"] == ["VNIR"] * 91 + ["SWIR"] * 133
    assert np.abs(source.read().data - data).max() <= 0.5e-4 + 1e-7


@pytest.mark.parametrize(
    ("crs", "name"),
    [
        ("EPSG:32601", "UTM_Zone01_North"),
        ("EPSG:32760", "UTM_Zone60_South"),
        ("EPSG:3035", "LAEA-ETRS89"),
        ("EPSG:4326", "Geographic"),
    ],
)
def test_projections(crs, name):
    assert projection_name(crs) == name


@pytest.mark.parametrize("crs", ["", "EPSG:3857", "EPSG:32661", "PROJCS[...]"])
def test_projections_that_enmap_does_not_have(tmp_path, crs):
    with pytest.raises(GridError, match="not delivered in"):
        write_enmap(tmp_path, make_cube(Grid(crs, GRID.transform, H, W)))
    assert list(tmp_path.iterdir()) == []


def test_options_and_cubes_that_do_not_fit_leave_nothing(tmp_path):
    nameless = Cube(CUBE.data, CUBE.valid, BandSet.of(BANDS.names), GRID)
    empty = Cube(np.full_like(CUBE.data, np.nan), CUBE.valid, BANDS, GRID)
    for error, cube, options in (
        (ConfigError, CUBE, {"nesting": "rar"}),
        (ConfigError, CUBE, {"image_format": "PNG"}),
        (ConfigError, CUBE, {"layers": {"FOG": CLOUD}}),
        (DataError, CUBE, {"cloud": CLOUD[1:]}),
        (MetadataError, nameless, {}),
        (DataError, empty, {}),
    ):
        with pytest.raises(error):
            write_enmap(tmp_path, cube, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_delivery(tmp_path, monkeypatch):
    from trifuse.products.enmap import factory as factory_enmap

    old = write_enmap(tmp_path, CUBE)
    before = content(old)

    def fail(facts):
        raise OSError("disk full")

    monkeypatch.setattr(factory_enmap, "metadata_xml", fail)
    for nesting in NESTINGS:
        with pytest.raises(OSError, match="disk full"):
            write_enmap(tmp_path, CUBE, nesting=nesting, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == [old.name] and content(old) == before


def test_orders_keep_the_scenes_sorted_whatever_the_order_given(tmp_path):
    zips = [write_enmap(tmp_path, CUBE, nesting="zip", tile=tile) for tile in (1, 2)]
    one = write_enmap_order(tmp_path / "a.tar.gz", zips)
    two = write_enmap_order(tmp_path / "b" / "a.tar.gz", zips[::-1])
    assert content(one) == content(two)
