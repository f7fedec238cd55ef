"""STAC Items at the command line: what a folder of files gives, their Item gives."""

import json

import numpy as np
import pytest
import rasterio

from trifuse.core import BandSet, Cube, Grid
from trifuse.products import write_landsat, write_sentinel2_cogs, write_syn
from trifuse.products.landsat.metadata import SR_BANDS
from trifuse.products.sentinel2.levels import NATIVE
from trifuse.srf_data import S3_SYN, load

FINE = Grid.from_origin("EPSG:32633", 600000, 5800020, 10, 120, 120)
COARSE = Grid.from_origin("EPSG:32633", 595200, 5804820, 300, 36, 36)


def waves(names, grid, low=0.05):
    i, j = np.mgrid[: grid.height, : grid.width]
    a, _, west, _, e, north = grid.transform
    x, y = (west + a * (j + 0.5) - 600000) / 170, (north + e * (i + 0.5) - 5800020) / 130
    level = np.linspace(low, 0.4, len(names))[:, None, None]
    data = (level * (1 + 0.3 * np.sin(x) * np.cos(y))).astype(np.float32)
    return Cube(data, np.ones(grid.shape, bool), BandSet.of(names), grid)


@pytest.fixture(scope="module")
def sentinel2(tmp_path_factory):
    """A folder of COGs, and their Item in another folder."""
    folder = write_sentinel2_cogs(
        tmp_path_factory.mktemp("s2"), waves(tuple(NATIVE), FINE), applied=True
    )
    (own,) = folder.glob("*.json")
    item = json.loads(own.read_text())
    for asset in item["assets"].values():
        asset["href"] = (folder / asset["href"].rsplit("/", 1)[-1]).resolve().as_uri()
    path = tmp_path_factory.mktemp("catalogue") / "item.json"
    path.write_text(json.dumps(item))
    return folder, path


def pixels(path):
    with rasterio.open(path) as image:
        return image.read()


@pytest.mark.parametrize(
    "line", [("ndvi",), ("sharpen", "--method", "bicubic")], ids=["ndvi", "sharpen"]
)
def test_an_item_gives_what_its_files_give(trifuse, sentinel2, tmp_path, line):
    made = []
    for number, given in enumerate(sentinel2):
        out = tmp_path / f"{number}.tif"
        code, _, err = trifuse(*line, given, "-o", out)
        assert code == 0, err
        made.append(pixels(out))
    np.testing.assert_array_equal(*made)


def test_inspect_says_of_an_item_what_it_is(trifuse, sentinel2):
    _, path = sentinel2
    code, out, err = trifuse("inspect", path)
    assert code == 0 and out.splitlines()[0].endswith("Sentinel-2 L2A (COGs)")
    assert "the offset is applied already" in out and "outside its folder" in err


def test_an_item_fuses(trifuse, sentinel2, tmp_path):
    syn = load("S3A_SYN").bands.select(S3_SYN)
    swath = write_syn(tmp_path, waves(syn.names, COARSE), shape=(60, 100))
    made = []
    for number, given in enumerate(sentinel2):
        out = tmp_path / f"{number}.tif"
        line = ("fuse", "--s2", given, "--s3", swath, "-o", out, "--method", "regression")
        code, _, err = trifuse(*line, "--coregister", "off")
        assert code == 0, err
        made.append(pixels(out))
    np.testing.assert_array_equal(*made)


def test_series_are_built_of_items(trifuse, sentinel2, tmp_path):
    _, path = sentinel2
    items = tmp_path / "items"
    items.mkdir()
    for day in (21, 22):
        value = json.loads(path.read_text())
        value["id"] = value["id"].replace("20240621", f"202406{day}")
        facts = value["properties"]
        facts["s2:product_uri"] = facts["s2:product_uri"].replace("20240621T", f"202406{day}T")
        facts["datetime"] = facts["datetime"].replace("-21T", f"-{day}T")
        (items / f"{day}.json").write_text(json.dumps(value))
    cells = Grid.from_origin("EPSG:32633", 600000, 5800020, 30, 40, 40)
    scene = write_landsat(tmp_path, waves(SR_BANDS, cells))
    hrefs = {f"SR_{b}": f"{scene.name}_SR_{b}.TIF" for b in SR_BANDS}
    hrefs |= {"QA_PIXEL": f"{scene.name}_QA_PIXEL.TIF"}
    landsat = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": scene.name,
        "properties": {"datetime": "2024-06-21T10:12:31Z", "platform": "landsat-9"},
        "assets": {k: {"href": (scene / v).as_uri()} for k, v in hrefs.items()},
    }
    (tmp_path / "landsat.json").write_text(json.dumps(landsat))
    out = tmp_path / "series"
    line = ("series", "build", "--s2", items, "--landsat", tmp_path / "landsat.json", "-o", out)
    code, told, err = trifuse(*line)
    assert code == 0, err
    assert "sentinel2: 2 dates, 2024-06-21 to 2024-06-22" in told and "landsat: 1 dates" in told
    wanted = waves(tuple(NATIVE), FINE).select(["B4"]).data[0]
    with rasterio.open(out / "sentinel2" / "2024-06-22.tif") as image:
        number = [d.split()[0] for d in image.descriptions].index("B4") + 1
        got = image.read(number) * image.scales[number - 1]
    np.testing.assert_allclose(got, wanted, atol=2e-4)
    (items / "21.json").unlink()
    code, told, err = trifuse("series", "build", "--s2", items, "-o", tmp_path / "one")
    assert code == 0 and "1 dates" in told, err


def test_an_item_without_its_files_is_one_line(fails, sentinel2, tmp_path):
    _, path = sentinel2
    item = json.loads(path.read_text())
    for asset in item["assets"].values():
        asset["href"] = "./" + asset["href"].rsplit("/", 1)[-1]
    lost = tmp_path / "item.json"
    lost.write_text(json.dumps(item))
    for line in (("inspect", lost), ("ndvi", lost, "-o", tmp_path / "n.tif")):
        fails(3, "B01.tif is not there", *line)
    fails(3, "is not there", "series", "build", "--s2", lost, "-o", tmp_path / "s")
    fails(12, "--remote is for STAC Items", "inspect", sentinel2[0] / "B02.tif", "--remote")
    line = ("--s2", sentinel2[0], "--s3", sentinel2[0], "-o", tmp_path / "f.tif", "--remote")
    fails(12, "--remote is for STAC Items", "fuse", *line)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["item.json"]
