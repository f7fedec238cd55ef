"""Documented variants of real deliveries, made by the factories and then changed as they differ.

Each is a row of docs/formats.md.
"""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio

from trifuse.core import BandSet, Cube, Grid, MetadataError, ProductError
from trifuse.products import detect, open_cube
from trifuse.products.enmap.factory import write_enmap
from trifuse.products.landsat import write_landsat
from trifuse.products.landsat.metadata import SR_BANDS
from trifuse.products.sentinel2 import write_sentinel2_cogs, write_sentinel2_safe
from trifuse.products.sentinel3 import write_syn
from trifuse.srf_data import S2_L2A, S3_SYN, load

GRID = Grid.from_origin("EPSG:32633", 600000, 5800020, 10, 24, 18)


def cube(names=S2_L2A, grid=GRID, **more):
    level = np.linspace(0.05, 0.4, len(names), dtype=np.float32)
    data = np.broadcast_to(level[:, None, None], (len(names), *grid.shape)).copy()
    data[:, ::6] += 0.01 if grid.gsd[0] == 10 else 0
    return Cube(data, np.ones(grid.shape, bool), BandSet.of(names, **more), grid)


def read(path, **options):
    with open_cube(path, **options) as source:
        return source.read(), source.meta


def means(path, **options):
    """Mean of each band, and the meta."""
    got, meta = read(path, **options)
    return np.nanmean(got.data, axis=(1, 2)), meta


def rename(folder, change):
    for path in sorted(folder.rglob("*"), key=lambda p: -len(p.parts)):
        if (name := change(path.name)) != path.name:
            path.rename(path.with_name(name))
    return folder


def edit_item(folder, change):
    (path,) = folder.glob("*.json")
    item = json.loads(path.read_text())
    change(item)
    path.write_text(json.dumps(item))
    return folder


TRUE = cube().data.mean(axis=(1, 2))


def test_sentinel2_of_baseline_02_04_names_its_tags_and_files_otherwise(tmp_path):
    safe = write_sentinel2_safe(tmp_path, cube(), baseline="02.04")
    mtd = safe / "MTD_MSIL2A.xml"
    text = mtd.read_text()
    for tag in ("BOA_QUANTIFICATION_VALUE", "Special_Values", "PRODUCT_URI"):
        text = text.replace(f"<{tag}", f"<L2A_{tag}").replace(f"</{tag}", f"</L2A_{tag}")
    mtd.write_text(text)
    rename(safe, lambda n: f"L2A_{n}" if re.match(r"T33UUU.*_(10|20|60)m\.jp2$", n) else n)
    got, meta = means(safe)
    assert np.abs(got - TRUE).max() < 1e-4 and meta["baseline"] == "02.04"


@pytest.mark.parametrize(
    "baseline", ["02.14", "03.01", "04.00", "05.00", "05.09", "05.11", "05.12"]
)
@pytest.mark.parametrize("platform", ["S2A", "S2B", "S2C"])
def test_sentinel2_of_each_baseline_and_platform(tmp_path, baseline, platform):
    safe = write_sentinel2_safe(tmp_path, cube(), baseline=baseline, platform=platform)
    got, meta = means(safe, bands=["B1", "B4", "B8A"])
    assert np.abs(got - TRUE[[0, 3, 8]]).max() < 1e-4
    assert meta["sensor"] == f"{platform}_MSI" and meta["notes"] == []
    assert meta["calibration"]["offset"] == (-0.1 if baseline >= "04" else 0)


def test_sentinel2_run_by_a_user_and_of_a_later_baseline_is_read_with_a_word(tmp_path):
    for baseline, word in (("99.99", "own run of Sen2Cor"), ("06.01", "unknown here")):
        safe = write_sentinel2_safe(tmp_path / baseline, cube(), baseline=baseline)
        got, meta = means(safe, bands=["B4"])
        assert abs(got[0] - TRUE[3]) < 1e-4 and any(word in n for n in meta["notes"])


def test_sentinel2_without_the_field_of_its_baseline_in_the_name(tmp_path):
    safe = write_sentinel2_safe(tmp_path, cube())
    short = safe.with_name(re.sub(r"_N\d{4}_", "_", safe.name))
    safe.rename(short)
    got, meta = means(short, bands=["B4"])
    assert abs(got[0] - TRUE[3]) < 1e-4 and meta["baseline"] == "05.10"


def test_sentinel2_of_another_platform_is_refused_by_its_name(tmp_path):
    safe = write_sentinel2_safe(tmp_path, cube())
    mtd = safe / "MTD_MSIL2A.xml"
    mtd.write_text(mtd.read_text().replace("Sentinel-2A", "Sentinel-2D"))
    with pytest.raises(MetadataError, match="Sentinel-2D"):
        open_cube(safe)


def test_cogs_of_the_planetary_computer_are_named_like_the_agencys_files(tmp_path):
    folder = write_sentinel2_cogs(tmp_path, cube(), applied=None)
    stem = "T33UUU_20240621T102031"

    def longer(name):
        match = re.fullmatch(r"(B\d\dA?|B8A|SCL)\.tif", name)
        if match is None:
            return name
        band = match[1]
        gsd = {"B02": 10, "B03": 10, "B04": 10, "B08": 10, "B01": 60, "B09": 60}.get(band, 20)
        return f"{stem}_{band}_{gsd}m.tif"

    rename(folder, longer)

    def item(value):
        for asset in value["assets"].values():
            head, _, last = asset["href"].rpartition("/")
            asset["href"] = f"{head}/{longer(last)}?st=2024&sig=x"
        value["properties"]["s2:mgrs_tile"] = value["properties"].pop("grid:code")[5:]

    edit_item(folder, item)
    for path in folder.glob("*.tif"):  # some lack the tag of nodata
        with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as sink:
            sink.nodata = None
    got, meta = means(folder)
    assert np.abs(got - TRUE).max() < 1e-4 and meta["tile"] == "33UUU"


def test_an_item_of_stac_1_1_lists_scale_and_offset_in_bands(tmp_path):
    folder = write_sentinel2_cogs(tmp_path, cube(), applied=False)

    def item(value):
        del value["properties"]["earthsearch:boa_offset_applied"]
        for asset in value["assets"].values():
            if rows := asset.pop("raster:bands", None):
                asset["bands"] = [
                    {"raster:scale": rows[0]["scale"], "raster:offset": rows[0]["offset"]}
                ]
        value["stac_version"] = "1.1.0"
        value["properties"]["proj:code"] = "EPSG:32633"
        value["properties"]["processing:version"] = value["properties"].pop(
            "s2:processing_baseline"
        )

    got, meta = means(edit_item(folder, item))
    assert np.abs(got - TRUE).max() < 1e-4 and meta["baseline"] == "05.10"


def test_cogs_of_signed_integers_keep_what_is_below_zero(tmp_path):
    folder = write_sentinel2_cogs(tmp_path, cube(), applied=True)
    for path in folder.glob("B*.tif"):
        with rasterio.open(path) as source:
            stored, crs, transform = source.read(), source.crs, source.transform
        stored = stored.astype(np.int16)
        stored[:, 0, 0] = -120
        how = {"driver": "GTiff", "count": 1, "dtype": "int16", "crs": crs, "nodata": 0}
        size = dict(zip(("height", "width"), stored.shape[1:], strict=True))
        with rasterio.open(path, "w", transform=transform, **how, **size) as sink:
            sink.write(stored)
    got, _ = read(folder, upsampling="nearest")
    assert np.abs(got.data[:, 0, 0] + 0.012).max() < 1e-6
    assert np.abs(got.data[:, 8:, 8:] - cube().data[:, 8:, 8:]).max() < 0.011


@pytest.mark.parametrize("kind", ["xml", "json", "txt"])
@pytest.mark.parametrize("satellite", [8, 9])
def test_landsat_of_each_satellite_and_form_of_metadata(tmp_path, kind, satellite):
    grid = Grid.from_origin("EPSG:32633", 600000, 5800020, 30, 10, 12)
    scene = write_landsat(tmp_path, cube(SR_BANDS, grid), metadata=(kind,), satellite=satellite)
    got, meta = means(scene)
    assert np.abs(got - np.linspace(0.05, 0.4, 7)).max() < 1e-4
    assert meta["sensor"] == f"L{satellite}_OLI"


@pytest.mark.parametrize("code", ["LO08", "LC08"])
def test_landsat_without_the_thermal_instrument_and_of_level_l2sr(tmp_path, code):
    grid = Grid.from_origin("EPSG:32633", 600000, 5800020, 30, 10, 12)
    scene = write_landsat(tmp_path, cube(SR_BANDS, grid), satellite=8)
    old = scene.name
    new = f"{code}_L2SR{old[9:]}"
    for path in scene.glob("*MTL*"):
        path.write_text(path.read_text().replace(old, new).replace("L2SP", "L2SR"))
    rename(scene, lambda n: n.replace(old, new))
    scene = scene.rename(scene.with_name(new))
    got, meta = means(scene)
    assert detect(scene)[0] == "landsat" and meta["processing_level"] == "L2SR"
    assert np.abs(got - np.linspace(0.05, 0.4, 7)).max() < 1e-4


def test_landsat_in_a_folder_of_its_own_name(tmp_path):
    grid = Grid.from_origin("EPSG:32633", 600000, 5800020, 30, 10, 12)
    scene = write_landsat(tmp_path / "in", cube(SR_BANDS, grid))
    nested = tmp_path / "out" / scene.name
    shutil.copytree(scene, nested / scene.name)
    for path in (nested, nested.parent):
        assert np.abs(means(path)[0] - np.linspace(0.05, 0.4, 7)).max() < 1e-4


def enmap_cube(count=30):
    table = load("ENMAP").bands
    grid = Grid.from_origin("EPSG:32633", 600000, 5800000, 30, 10, 12)
    names = [f"E{i:03d}" for i in range(1, count + 1)]
    return cube(names, grid, centres=table.centres[:count], fwhms=table.fwhms[:count])


@pytest.mark.parametrize("extension", ["METADATA.xml", "metadata.XML", "METADATA.Xml"])
def test_enmap_metadata_in_any_case(tmp_path, extension):
    scene = write_enmap(tmp_path, enmap_cube())
    rename(scene, lambda n: n.replace("METADATA.XML", extension))
    assert np.abs(means(scene)[0] - enmap_cube().data.mean(axis=(1, 2))).max() < 1e-4


@pytest.mark.parametrize("version", ["V010000", "V010303", "V010502"])
def test_enmap_of_each_processor_version(tmp_path, version):
    scene = write_enmap(tmp_path, enmap_cube())
    (file,) = scene.glob("*METADATA.XML")
    file.write_text(file.read_text().replace("V010502", version))
    rename(scene, lambda n: n.replace("V010502", version))
    scene = scene.rename(scene.with_name(scene.name.replace("V010502", version)))
    got, meta = means(scene)
    assert np.abs(got - enmap_cube().data.mean(axis=(1, 2))).max() < 1e-4
    assert version in meta["product_id"]


@pytest.mark.parametrize("baseline", ["001", "002", "003", "004"])
def test_syn_of_each_collection(tmp_path, baseline):
    grid = Grid.from_origin("EPSG:32633", 600000, 5800200, 300, 6, 6)
    product = write_syn(tmp_path, cube(S3_SYN, grid))
    manifest = product / "xfdumanifest.xml"
    manifest.write_text(
        re.sub(r"(baselineCollection>)\d{3}", rf"\g<1>{baseline}", manifest.read_text())
    )
    got, meta = means(product)
    assert np.abs(got - np.linspace(0.05, 0.4, 21)).max() < 2e-4
    assert meta["baseline"] == baseline
    assert any("none of those that were tried" in n for n in meta["notes"]) == (baseline != "002")


def test_syn_of_a_satellite_without_tables_is_refused_by_its_name(tmp_path):
    grid = Grid.from_origin("EPSG:32633", 600000, 5800200, 300, 6, 6)
    product = write_syn(tmp_path, cube(S3_SYN, grid))
    other = product.with_name(product.name.replace("S3A", "S3C"))
    product.rename(other)
    (other / "xfdumanifest.xml").unlink()
    with pytest.raises(MetadataError, match="Sentinel-3C"):
        open_cube(other)


def test_what_is_another_product_is_called_by_its_name(tmp_path):
    grid = Grid.from_origin("EPSG:32633", 600000, 5800200, 300, 6, 6)
    product = write_syn(tmp_path, cube(S3_SYN, grid))
    other = product.with_name(product.name.replace("SY_2_SYN___", "SY_2_VG1___"))
    product.rename(other)
    with pytest.raises(ProductError, match="is SY_2_VG1, not SY_2_SYN"):
        open_cube(other)
    assert Path(other).is_dir()


@pytest.mark.parametrize(
    ("stated", "baseline"),
    [("0400", "04.00"), ("4.0", "04.00"), (4.0, "04.00"), ("N0509", "05.09"), (5.1, "05.10")],
)
def test_a_baseline_in_each_spelling_of_catalogues(tmp_path, stated, baseline):
    folder = write_sentinel2_cogs(tmp_path, cube(), applied=None)

    def item(value):
        facts = value["properties"]
        facts["s2:processing_baseline"] = stated
        facts["s2:product_uri"] = re.sub(r"_N\d{4}", "", facts["s2:product_uri"])

    got, meta = means(edit_item(folder, item))
    assert np.abs(got - TRUE).max() < 1e-4 and meta["baseline"] == baseline


def _words(value):
    value["properties"]["earthsearch:boa_offset_applied"] = "true"
    for asset in value["assets"].values():
        for row in asset.get("raster:bands", []):
            row.update(scale="0.0001", offset="-0.1")


def _start(value):
    facts = value["properties"]
    facts["start_datetime"], facts["datetime"] = facts["datetime"], None


def _keys(value):
    value["assets"] = {f"{k.upper()}_10m": v for k, v in value["assets"].items()}
    for asset in value["assets"].values():
        asset["href"] = asset["href"].replace(".tif", ".jp2")


@pytest.mark.parametrize("change", [_words, _start, _keys])
def test_an_item_with_other_words_for_the_same_facts(tmp_path, change):
    folder = write_sentinel2_cogs(tmp_path, cube(), applied=True)
    got, meta = means(edit_item(folder, change))
    assert np.abs(got - TRUE).max() < 1e-4 and meta["start_time"] == "2024-06-21T10:20:31Z"


@pytest.mark.parametrize("how", ["collection", "geojson", "byte order mark", "tile info beside"])
def test_an_item_saved_in_another_way(tmp_path, how):
    folder = write_sentinel2_cogs(tmp_path, cube(), applied=True)
    (path,) = folder.glob("*.json")
    text = path.read_text()
    if how == "collection":
        features = {"type": "FeatureCollection", "features": [json.loads(text)]}
        path.write_text(json.dumps(features))
    elif how == "geojson":
        path.rename(path.with_suffix(".geojson"))
    elif how == "byte order mark":
        path.write_text("\ufeff" + text)
    else:
        (folder / "tileInfo.json").write_text('{"path": "tiles/33/U/UU"}')
    assert np.abs(means(folder)[0] - TRUE).max() < 1e-4


@pytest.mark.parametrize("state", ["missing", "broken"])
def test_a_safe_does_without_its_tile_metadata(tmp_path, state):
    safe = write_sentinel2_safe(tmp_path, cube())
    (file,) = safe.rglob("MTD_TL.xml")
    if state == "missing":
        file.unlink()
    else:
        file.write_text("<broken")
    got, meta = means(safe)
    assert np.abs(got - TRUE).max() < 1e-4
    assert any("MTD_TL.xml" in n for n in meta["notes"])
