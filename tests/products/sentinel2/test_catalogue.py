"""Items of Sentinel-2 as the usual catalogues write them, with local files: values of rasterio."""

import copy
import datetime
import json
import shutil

import numpy as np
import pystac
import pytest
import rasterio

from trifuse.core import BandSet, Cube, Grid, MetadataError, ProductError
from trifuse.products import detect, inspect_product, open_cube
from trifuse.products.sentinel2 import open_sentinel2, write_sentinel2_cogs, write_sentinel2_l1c
from trifuse.products.sentinel2.levels import NATIVE, NATIVE_L1C

GRID = Grid.from_origin("EPSG:32633", 600000, 5800020, 10, 24, 36)
PRODUCT = "S2A_MSIL2A_20240621T102031_N0510_R122_T33UUU_20240622T000000"
COMMON = {
    "coastal": "B1",
    "blue": "B2",
    "green": "B3",
    "red": "B4",
    "rededge1": "B5",
    "rededge2": "B6",
    "rededge3": "B7",
    "nir": "B8",
    "nir08": "B8A",
    "nir09": "B9",
    "swir16": "B11",
    "swir22": "B12",
}
NBART = {
    "coastal_aerosol": "B1",
    "blue": "B2",
    "green": "B3",
    "red": "B4",
    "red_edge_1": "B5",
    "red_edge_2": "B6",
    "red_edge_3": "B7",
    "nir_1": "B8",
    "nir_2": "B8A",
    "swir_2": "B11",
    "swir_3": "B12",
}


def make_cube(names=tuple(NATIVE), low=0.02):
    rng = np.random.default_rng(0)
    data = np.empty((len(names), *GRID.shape), np.float32)
    for plane, band in zip(data, names, strict=True):
        k = NATIVE_L1C[band] // 10
        plane[:] = np.kron(rng.uniform(low, 0.5, (24 // k, 36 // k)), np.ones((k, k)))
    return Cube(data, np.ones(GRID.shape, bool), BandSet.of(names), GRID)


CUBE = make_cube()
CLOUD = np.zeros(GRID.shape, bool)
CLOUD[:6, :12] = True


def number(band):
    return band if band in ("B8A", "SCL") else f"B{int(band[1:]):02d}"


def files(folder, applied):
    """COGs by band, as a mapping to their paths."""
    made = write_sentinel2_cogs(folder, CUBE, applied=applied, cloud=CLOUD)
    next(made.glob("*.json")).unlink()
    return {b: made / f"{number(b)}.tif" for b in (*NATIVE, "SCL")}


def placed(files, names):
    """The same files under other names."""
    return {b: f.rename(f.with_name(names(b))) for b, f in files.items()}


def save(path, assets, properties, version="1.0.0", **more):
    """An Item by pystac, read back by it."""
    item = pystac.Item(
        more.pop("id", PRODUCT), None, None, datetime.datetime(2024, 6, 21, 10, 20, 31), {}
    )
    item.properties |= properties
    for key, (href, extra) in assets.items():
        item.add_asset(key, pystac.Asset(str(href), extra_fields=copy.deepcopy(extra)))
    value = item.to_dict() | {"stac_version": version} | more
    path.write_text(json.dumps(value))
    read = pystac.Item.from_file(str(path))
    assert set(read.assets) == set(assets)
    return path


def relative(files):
    return {b: f"./{f.name}" for b, f in files.items()}


def raster(gsd, offset, **more):
    return {
        "raster:bands": [{"nodata": 0, "scale": 1e-4, "offset": offset, "spatial_resolution": gsd}],
        **more,
    }


def gsd_of(band):
    return NATIVE.get(band, 20)


def earth_search_1(folder, c1=False):
    own = files(folder, applied=not c1)
    hrefs = relative(own)
    keys = {**COMMON, "scl": "SCL"}
    assets = {}
    for key, band in keys.items():
        about = {"eo:bands": [{"name": key, "common_name": key.rstrip("123")}], "gsd": gsd_of(band)}
        about |= raster(gsd_of(band), -0.1) if band != "SCL" else {}
        assets[key] = hrefs[band], about
        if not c1:
            tiles = f"s3://sentinel-s2-l2a/tiles/33/U/UU/2024/6/21/0/{number(band)}.jp2"
            assets[f"{key}-jp2"] = tiles, about
    assets["visual"] = "https://e84.example/TCI.tif", {}
    facts = {
        "platform": "sentinel-2a",
        "constellation": "sentinel-2",
        "grid:code": "MGRS-33UUU",
        "proj:epsg": 32633,
        "s2:processing_baseline": "05.10",
        "s2:product_uri": f"{PRODUCT}.SAFE",
        "earthsearch:boa_offset_applied": not c1,
    }
    name = "sentinel-2-c1-l2a" if c1 else "sentinel-2-l2a"
    return save(
        own["B2"].parent / "item.json",
        assets,
        facts,
        collection=name,
        id="S2A_33UUU_20240621_0_L2A",
    )


def earth_search_0(folder):
    own = files(folder, applied=True)
    assets = {number(b): (h, {"proj:shape": [1, 1]}) for b, h in relative(own).items()}
    facts = {
        "platform": "sentinel-2a",
        "constellation": "sentinel-2",
        "proj:epsg": 32633,
        "sentinel:utm_zone": 33,
        "sentinel:latitude_band": "U",
        "sentinel:grid_square": "UU",
        "sentinel:product_id": PRODUCT,
        "sentinel:processing_baseline": "05.10",
        "sentinel:boa_offset_applied": True,
    }
    return save(
        own["B2"].parent / "item.json",
        assets,
        facts,
        version="1.0.0-beta.2",
        collection="sentinel-s2-l2a-cogs",
        id="S2A_33UUU_20240621_0_L2A",
    )


def digital_earth_africa(folder):
    path = earth_search_0(folder)
    item = json.loads(path.read_text())
    for asset in item["assets"].values():
        where = (
            "s3://deafrica-sentinel-2/sentinel-s2-l2a-cogs/33/U/UU/2024/6/S2A_33UUU_20240621_0_L2A/"
        )
        asset["href"] = where + asset["href"].removeprefix("./")
    item["properties"] |= {"odc:product": "s2_l2a", "odc:region_code": "33UUU"}
    item["collection"] = "s2_l2a"
    path.write_text(json.dumps(item))
    return path


def planetary_computer(folder):
    own = placed(
        files(folder, applied=None),
        lambda b: f"T33UUU_20240621T102031_{number(b)}_{gsd_of(b)}m.tif",
    )
    host = "https://sentinel2l2a01.blob.core.windows.net/sentinel2-l2/33/U/UU/2024/06/21/"
    assets = {
        number(b): (f"{host}{f.name}?st=2024&sig=secret", {"gsd": gsd_of(b)})
        for b, f in own.items()
    }
    assets["product-metadata"] = f"{host}MTD_MSIL2A.xml", {}
    facts = {
        "platform": "Sentinel-2A",
        "constellation": "Sentinel 2",
        "s2:mgrs_tile": "33UUU",
        "s2:processing_baseline": "05.10",
        "s2:product_uri": f"{PRODUCT}.SAFE",
        "proj:epsg": 32633,
    }
    return save(own["B2"].parent / "item.json", assets, facts, collection="sentinel-2-l2a")


def copernicus_data_space(folder):
    """Agency's names at every sampling, on s3, with what is said of bands as of STAC 1.1."""
    own = files(folder, applied=None)
    inside = own["B2"].parent / f"{PRODUCT}.SAFE" / "GRANULE" / "L2A" / "IMG_DATA"
    assets = {}
    for band, file in own.items():
        gsd = gsd_of(band)
        target = inside / f"R{gsd}m" / f"T33UUU_20240621T102031_{number(band)}_{gsd}m.tif"
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)
        local = target.relative_to(own["B2"].parent).as_posix()
        about = {"file:local_path": local, "proj:code": "EPSG:32633", "gsd": gsd, "nodata": 0}
        if band != "SCL":
            about |= {"raster:scale": 1e-4, "raster:offset": -0.1, "data_type": "uint16"}
            about["bands"] = [{"name": number(band), "eo:center_wavelength": 0.5}]
        web = f"https://zipper.example/odata/v1/Nodes({target.name})/$value"
        about["alternate"] = {"https": {"href": web, "auth:refs": ["oidc"]}}
        assets[f"{number(band)}_{gsd}m"] = f"s3://eodata/Sentinel-2/MSI/L2A/{local}", about
    facts = {
        "platform": "sentinel-2a",
        "constellation": "sentinel-2",
        "grid:code": "MGRS-33UUU",
        "processing:version": "05.10",
        "processing:level": "L2",
        "proj:code": None,
    }
    return save(
        own["B2"].parent / "item.json", assets, facts, version="1.1.0", collection="sentinel-2-l2a"
    )


CATALOGUES = {
    "Earth Search 0": earth_search_0,
    "Earth Search 1": earth_search_1,
    "collection 1": lambda folder: earth_search_1(folder, c1=True),
    "Digital Earth Africa": digital_earth_africa,
    "Planetary Computer": planetary_computer,
    "Copernicus Data Space": copernicus_data_space,
}


def read(path, **options):
    with open_sentinel2(path, upsampling="nearest", **options) as source:
        return source.read(), source.meta


@pytest.mark.parametrize("catalogue", CATALOGUES)
def test_items_of_the_usual_catalogues_open_as_what_they_are(tmp_path, catalogue):
    path = CATALOGUES[catalogue](tmp_path)
    assert detect(path)[0] == "sentinel2"
    cube, meta = read(path)
    assert cube.bands.names == tuple(NATIVE) and cube.grid == GRID
    assert np.abs(cube.data - CUBE.data).max() < 6e-5
    np.testing.assert_array_equal(~cube.valid, CLOUD)
    assert meta["sensor"] == "S2A_MSI" and meta["level"] == "L2A"
    assert (meta["baseline"], meta["tile"]) == ("05.10", "33UUU")
    assert meta["start_time"].startswith("2024-06-21T10:20:31")
    assert meta["notes"] == []


@pytest.mark.parametrize("catalogue", CATALOGUES)
def test_an_offset_that_is_out_of_the_pixels_is_never_taken_again(tmp_path, catalogue):
    path = CATALOGUES[catalogue](tmp_path)
    dark = make_cube(low=0.005)
    for file in path.parent.rglob("*.tif"):
        band = next(b for b in (*NATIVE, "SCL") if f"{number(b)}" in file.name)
        if band == "SCL":
            continue
        with rasterio.open(file) as image:
            profile = image.profile | {"driver": "GTiff"}
        k = NATIVE[band] // 10
        counts = np.rint(dark.data[dark.bands.index(band)][::k, ::k] * 1e4 * 0.3)
        with rasterio.open(file, "w", **profile) as image:
            image.write(counts.astype("uint16")[None])
    cube, meta = read(path, mask="none")
    assert meta["calibration"]["offset"] == 0
    assert np.abs(cube.data - dark.data * 0.3).max() < 6e-5
    if catalogue not in ("Earth Search 0", "Earth Search 1", "Digital Earth Africa"):
        assert any("out of the counts already" in note for note in meta["notes"])


def australian(folder):
    own = files(folder, applied=True)
    names = {v: k for k, v in NBART.items()}
    assets = {}
    for band, file in own.items():
        if band == "B9":
            continue
        with rasterio.open(file) as image:
            stored, profile = image.read(), image.profile
        if band == "SCL":
            stored = np.where(stored >= 8, 2, 1).astype("uint8")
            target, key = (
                file.with_name("ga_s2am_oa_3-2-1_33UUU_2024-06-21_final_fmask.tif"),
                "oa_fmask",
            )
        else:
            stored = stored.astype("int16")
            stored[:, -1, -1] = -999 if band == "B2" else stored[:, -1, -1]
            target = file.with_name(
                f"ga_s2am_nbart_3-2-1_33UUU_final_band{number(band)[1:].lower()}.tif"
            )
            key = f"nbart_{names[band]}"
        kept = {k: profile[k] for k in ("height", "width", "count", "crs", "transform")}
        with rasterio.open(target, "w", driver="GTiff", dtype=stored.dtype, **kept) as image:
            image.write(stored)
        file.unlink()
        assets[key] = target.resolve().as_uri(), {"eo:bands": [{"name": key}], "roles": ["data"]}
    facts = {"platform": "sentinel-2a", "odc:product": "ga_s2am_ard_3", "proj:epsg": 32633}
    path = own["B2"].parent / "x.stac-item.json"
    return save(
        path, assets, facts, id="4123766b-5779-4f96-b71f-28e28a326434", version="1.0.0-beta.2"
    )


def test_geoscience_australia_names_scales_and_masks_otherwise(tmp_path):
    path = australian(tmp_path)
    names = tuple(NBART[k] for k in NBART)
    cube, meta = read(path, bands=names)
    wanted = CUBE.select(names)
    seen = np.isfinite(cube.data)
    assert np.abs(cube.data - wanted.data)[seen].max() < 6e-5
    assert np.argwhere(~seen).tolist() == [[1, 23, 35]]
    hidden = CLOUD.copy()
    hidden[23, 35] = True
    np.testing.assert_array_equal(~cube.valid, hidden)
    assert meta["calibration"]["nodata"] == -999 and "Australia" in meta["calibration"]["from"]
    assert read(path, bands=names, mask="none")[0].valid.sum() == 24 * 36 - 1


def test_an_item_of_l1c_is_top_of_the_atmosphere(tmp_path):
    safe = write_sentinel2_l1c(tmp_path, make_cube(tuple(NATIVE_L1C)))
    own = {}
    for band in NATIVE_L1C:
        (file,) = safe.glob(f"GRANULE/*/IMG_DATA/*_{number(band)}.jp2")
        own[band] = shutil.move(file, tmp_path / f"{number(band)}.jp2")
    keys = {**COMMON, "cirrus": "B10"}
    assets = {
        k: (f"s3://sentinel-s2-l1c/{number(b)}.jp2", {"gsd": NATIVE_L1C[b]})
        for k, b in keys.items()
    }
    facts = {
        "platform": "sentinel-2a",
        "s2:product_type": "S2MSI1C",
        "s2:processing_baseline": "05.10",
        "s2:product_uri": PRODUCT.replace("2A_2024", "1C_2024") + ".SAFE",
    }
    path = save(
        tmp_path / "item.json", assets, facts, collection="sentinel-2-l1c", id="S2A_33UUU_L1C"
    )
    cube, meta = read(path)
    assert np.abs(cube.data - make_cube(tuple(NATIVE_L1C)).data).max() < 6e-5
    assert meta["quantity"] == "toa_reflectance" and "no masks" in meta["notes"][0]


def test_what_of_an_item_is_not_there_is_one_line(tmp_path):
    path = earth_search_1(tmp_path)
    (path.parent / "B05.tif").unlink()
    (path.parent / "SCL.tif").unlink()
    with pytest.raises(
        ProductError, match=r"lacks B5 \(\./B05.tif is not there\), SCL \(\./SCL"
    ) as e:
        open_cube(path)
    assert e.value.exit_code == 3 and "\n" not in str(e.value)
    assert open_sentinel2(path, bands=["B2"], mask="none").bands.names == ("B2",)
    for file in path.parent.glob("*.tif"):
        file.unlink()
    with pytest.raises(ProductError, match="has none of its 13 bands here"):
        open_cube(path)


def test_assets_on_the_web_are_not_asked_unless_told(tmp_path):
    path = planetary_computer(tmp_path)
    for file in path.parent.glob("*.tif"):
        if not any(b in file.name for b in ("B04", "B8A")):
            file.unlink()
    cube, meta = read(path)
    assert cube.bands.names == ("B4", "B8A") and np.isfinite(cube.data).all()
    assert "B1, B2, B3, B5" in meta["notes"][0] and "no clouds are masked" in meta["notes"][1]
    for file in path.parent.glob("*.tif"):
        file.unlink()
    with pytest.raises(ProductError, match="on the web; let it be fetched") as caught:
        open_cube(path)
    assert "sig=" not in str(caught.value)


@pytest.mark.parametrize(
    ("href", "match"),
    [
        ("/vsicurl/https://example.com/B02.tif", "vsicurl.*do not use it"),
        ("/vsizip/B02.zip/B02.tif", "vsizip"),
        ("file://elsewhere/B02.tif", "elsewhere"),
        ("http://localhost:9/B02.tif", "no https address"),
        ("s3://bucket/B02.tif", "no https address"),
        ("ftp://localhost/B02.tif", "no https address"),
        ("https://user:word@localhost:9/B02.tif", "user's name"),
        ("./\nB02.tif", "names"),
        ("GTIFF_DIR:1:B02.tif", "not there"),
        ("/dev/zero/B02.tif", "not there"),
        ("x" * 300 + ".tif", "not there"),
    ],
)
def test_addresses_that_are_never_asked(tmp_path, href, match):
    path = earth_search_1(tmp_path)
    item = json.loads(path.read_text())
    for key in [k for k in item["assets"] if k.endswith("-jp2")]:
        del item["assets"][key]
    (path.parent / "B02.tif").rename(path.parent / "other.tif")
    item["assets"]["blue"]["href"] = href
    path.write_text(json.dumps(item))
    with pytest.raises(ProductError, match=match) as caught:
        open_cube(path, remote=True)
    assert "word" not in str(caught.value)


def test_files_outside_the_items_folder_open_and_are_told(tmp_path):
    path = earth_search_1(tmp_path)
    inner = path.parent / "catalogue"
    inner.mkdir()
    item = json.loads(path.read_text())
    for asset in item["assets"].values():
        if asset["href"].startswith("./"):
            asset["href"] = "../" + asset["href"][2:]
    moved = inner / "item.json"
    moved.write_text(json.dumps(item))
    cube, meta = read(moved)
    assert np.abs(cube.data - CUBE.data).max() < 6e-5
    assert "names files outside its folder: B01.tif" in meta["notes"][0]


def test_an_item_that_contradicts_itself_or_is_none(tmp_path):
    path = earth_search_1(tmp_path)
    item = json.loads(path.read_text())
    twice = copy.deepcopy(item)
    twice["assets"]["B02"] = {"href": "./B03.tif"}
    bad = path.parent / "bad.json"
    bad.write_text(json.dumps(twice))
    with pytest.raises(ProductError, match=r"names B02.tif and B03.tif for B2"):
        open_cube(bad)
    wrong = copy.deepcopy(item)
    wrong["assets"]["blue"]["raster:bands"][0]["scale"] = 3
    bad.write_text(json.dumps(wrong))
    with pytest.raises(MetadataError, match="a scale of 3 for B2"):
        open_cube(bad)
    bad.write_text(json.dumps({"type": "FeatureCollection", "features": [item, item]}))
    with pytest.raises(ProductError, match="holds 2 STAC Items"):
        open_cube(bad)
    bad.write_text(json.dumps({"type": "FeatureCollection", "features": [item]}))
    assert detect(bad)[0] == "sentinel2"
    bad.write_text("{")
    with pytest.raises(ProductError):
        open_cube(bad)


def test_inspect_tells_what_an_item_is(tmp_path):
    facts = inspect_product(copernicus_data_space(tmp_path))
    assert facts["kind"].startswith("Sentinel-2 L2A")
    assert {d["look"] for d in facts["doubts"]} <= {"tile"}  # made elsewhere than on its square
    assert facts["calibration"]["from"] == "item: raster:bands states an offset of -0.1"
