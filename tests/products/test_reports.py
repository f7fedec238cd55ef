"""Files as public reports describe them: made by the factories, changed as reported, read by value.

Each is a row of docs/reports.md.
"""

import json
import re
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
import rasterio

from trifuse.core import BandSet, Cube, Grid, ProductError, canonical_name
from trifuse.products import build_series, inspect_product, open_cube
from trifuse.products.enmap import write_enmap_l2a
from trifuse.products.landsat import write_landsat
from trifuse.products.landsat.metadata import SR_BANDS
from trifuse.products.sentinel2 import write_sentinel2_cogs, write_sentinel2_safe
from trifuse.products.sentinel2.levels import NATIVE
from trifuse.products.sentinel3 import write_olci_l1, write_syn
from trifuse.products.sentinel3.factory_olci import BANDS as OLCI
from trifuse.srf_data import S2_L2A, S3_SYN, load

GRID = Grid.from_origin("EPSG:32633", 300000, 5900040, 10, 24, 18)
STEM = "S2A_MSIL2A_20240621T102031_R122_T33UUU_20240622T000000"


def cube(names=S2_L2A, grid=GRID, **more):
    level = levels(len(names)).astype(np.float32)
    data = np.broadcast_to(level[:, None, None], (len(names), *grid.shape)).copy()
    return Cube(data, np.ones(grid.shape, bool), BandSet.of(names, **more), grid)


def levels(count):
    return np.linspace(0.05, 0.4, count)


def check(path, **options):
    """Every band has its value; the meta."""
    with open_cube(path, **options) as source:
        got = source.read()
    assert got.valid.all() or "resampling" in source.meta
    assert np.abs(np.nanmean(got.data, axis=(1, 2)) - levels(len(got.data))).max() < 1e-3
    return dict(source.meta)


def edit(path, *pairs):
    text = path.read_text()
    for pattern, other in pairs:
        assert re.search(pattern, text)
        text = re.sub(pattern, other, text)
    path.write_text(text)


def safe(folder, **options):
    return write_sentinel2_safe(folder, cube(), **options)


def landsat(folder, grid=None, **options):
    grid = grid or Grid.from_origin("EPSG:32633", 360000, 5750010, 30, 10, 12)
    return write_landsat(folder, cube(SR_BANDS, grid), **options)


def enmap(folder):
    table = load("ENMAP").bands
    grid = Grid.from_origin("EPSG:32633", 300000, 5900100, 30, 10, 12)
    more = {"centres": table.centres[:24], "fwhms": table.fwhms[:24]}
    return write_enmap_l2a(folder, cube([f"E{i:03d}" for i in range(1, 25)], grid, **more))


SWATH = Grid.from_origin("EPSG:32633", 300000, 5900100, 300, 8, 9)


def tile_id_2a(folder):
    made = safe(folder, baseline="02.05")
    (tile,) = made.rglob("MTD_TL.xml")
    edit(tile, ("<TILE_ID", "<TILE_ID_2A"), ("</TILE_ID", "</TILE_ID_2A"))
    return made


def no_tile_id(folder):
    made = safe(folder, baseline="02.04")
    (tile,) = made.rglob("MTD_TL.xml")
    edit(tile, (r"<TILE_ID.*?</TILE_ID>", ""))
    return made


def reprocessed_granule(folder):
    made = safe(folder, baseline="00.01")
    (granule,) = (made / "GRANULE").iterdir()
    granule.rename(granule.with_name("L2A_T33UUU_A000001_20240621T999999"))
    return made


def provisional(folder):
    made = safe(folder)
    edit(made / "MTD_MSIL2A.xml", ("S2MSI2A<", "S2MSI2Ap<"), ("Level-2A<", "Level-2Ap<"))
    return made


def bare(folder):
    made = safe(folder)
    for name in ("manifest.safe", "INSPIRE.xml"):
        (made / name).unlink(missing_ok=True)
    for name in ("AUX_DATA", "HTML", "rep_info", "DATASTRIP"):
        shutil.rmtree(made / name, ignore_errors=True)
    return made


def granule(folder):
    (inner,) = (safe(folder) / "GRANULE").iterdir()
    return inner


def images_of_10_m(folder):
    return granule(folder) / "IMG_DATA" / "R10m"


def network_drive_inside(folder):
    images = images_of_10_m(folder)
    (image,) = images.glob("*_B04_*")
    (images / "@eaDir" / image.name).mkdir(parents=True)
    shutil.copy(image, images / "@eaDir" / image.name.replace("B04", "B03"))
    return images.parents[3]


def network_drive_beside(folder):
    made = safe(folder)
    (folder / "@eaDir" / made.name).mkdir(parents=True)
    return folder


def portal(folder, item):
    """Names and side files as a portal's downloads have them."""
    cogs = write_sentinel2_cogs(folder / "cogs", cube(), applied=None)
    for path in cogs.glob("*.tif"):
        path.rename(path.with_name(f"{STEM}_{path.name}"))
    if not item:
        next(cogs.glob("*.json")).unlink()
        made = safe(folder / "safe")
        shutil.copy(made / "MTD_MSIL2A.xml", cogs / f"{STEM}_product-metadata.xml")
        shutil.copy(next(made.rglob("MTD_TL.xml")), cogs / f"{STEM}_granule-metadata.xml")
    return cogs


def jp2_beside_an_item(folder, bands):
    """Files as delivered in the place of COGs that the offset was taken out of."""
    cogs = write_sentinel2_cogs(folder / "cogs", cube(), applied=True)
    made = safe(folder / "safe")
    for path in list(cogs.glob("B*.tif")):
        if bands is None or path.stem in bands:
            gsd = NATIVE[canonical_name(path.stem)]
            (native,) = made.rglob(f"*_{path.stem}_{gsd}m.jp2")
            shutil.copy(native, cogs / f"{path.stem}.jp2")
            path.unlink()
    return cogs


def tile_with_a_t(folder):
    cogs = write_sentinel2_cogs(folder, cube())
    (path,) = cogs.glob("*.json")
    item = json.loads(path.read_text())
    facts = {k: v for k, v in item["properties"].items() if "mgrs" not in k and "uri" not in k}
    item |= {"id": "x", "properties": {**facts, "grid:code": "MGRS-T33UUU"}}
    path.write_text(json.dumps(item))
    return cogs


def notes_of_gis_beside_cogs(folder):
    cogs = write_sentinel2_cogs(folder, cube())
    (cogs / "B04.tif.aux.xml").write_text("<PAMDataset><SRS>EPSG:32634</SRS></PAMDataset>")
    return cogs


def notes_of_gis_beside_landsat(folder):
    scene = landsat(folder)
    (image,) = scene.glob("*SR_B4.TIF")
    moved = "<PAMDataset><GeoTransform>0,30,0,0,0,-30</GeoTransform></PAMDataset>"
    image.with_name(f"{image.name}.aux.xml").write_text(moved)
    return scene


def landsat_zip(folder):
    scene = landsat(folder)
    path = folder / "scene.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(scene.iterdir()):
            archive.write(file, f"{scene.name}/{file.name}")
    return path


def real_time(folder):
    scene = landsat(folder)
    scene = scene.rename(scene.with_name(scene.name.replace("_T1", "_RT")))
    for path in scene.iterdir():
        path.rename(path.with_name(path.name.replace("_T1_", "_RT_")))
    for path in scene.glob("*MTL*"):
        edit(path, ("_02_T1", "_02_RT"))
    return scene


def no_suffix(made):
    return made.rename(made.with_name(made.name.removesuffix(".SEN3")))


def lower_xml(folder):
    (path,) = enmap(folder).glob("*METADATA*")
    return path.rename(path.with_suffix(".xml"))


def without_layers(folder):
    made = enmap(folder)
    for path in made.glob("*QL_QUALITY_CIRRUS*"):
        path.unlink()
    return made


def broken(make, pattern, content=""):
    """A side file that is damaged, of whose statements a second witness is there."""

    def change(folder):
        made = make(folder)
        (path,) = made.glob(pattern)
        path.write_text(content)
        return made

    return change


def beside(make, name, content):
    def change(folder):
        made = make(folder)
        (made / name).write_text(content)
        return made

    return change


def item_twice(folder):
    made = write_sentinel2_cogs(folder, cube())
    (path,) = made.glob("*.json")
    shutil.copy(path, made / "copy.json")
    return made


def cogs(folder):
    return write_sentinel2_cogs(folder, cube())


def syn(folder):
    return write_syn(folder, cube(S3_SYN, SWATH))


def olci(folder):
    return write_olci_l1(folder, cube(OLCI, SWATH))


READ = {
    "tile id of 02.05": tile_id_2a,
    "no tile id": no_tile_id,
    "granule named otherwise": reprocessed_granule,
    "S2MSI2Ap": provisional,
    "no manifest, no empty folders": bare,
    "granule": granule,
    "images of 10 m": images_of_10_m,
    "@eaDir inside": network_drive_inside,
    "@eaDir beside": network_drive_beside,
    "names of a portal, with item": lambda f: portal(f, item=True),
    "names of a portal, with metadata": lambda f: portal(f, item=False),
    "one JPEG 2000 among COGs": lambda f: jp2_beside_an_item(f, ["B01"]),
    "JPEG 2000 with an item of COGs": lambda f: jp2_beside_an_item(f, None),
    "grid:code with T": tile_with_a_t,
    "aux.xml beside COGs": notes_of_gis_beside_cogs,
    "aux.xml beside Landsat": notes_of_gis_beside_landsat,
    "Landsat as zip": landsat_zip,
    "Landsat in real time": real_time,
    "SYN without .SEN3": lambda f: no_suffix(syn(f)),
    "OLCI without .SEN3": lambda f: no_suffix(olci(f)),
    "EnMAP by its .xml": lower_xml,
    "EnMAP without a layer": without_layers,
    "EnMAP with an empty layer": broken(enmap, "*QL_QUALITY_CIRRUS*"),
    "JSON that is none beside COGs": beside(cogs, "notes.json", "{oops"),
    "JSON that is none in a SAFE": beside(safe, "notes.json", ""),
    "item twice": item_twice,
    "MTL.xml cut": broken(landsat, "*MTL.xml", "<LANDSAT_METADATA_FILE>"),
    "MTL.xml empty": broken(landsat, "*MTL.xml"),
    "SYN manifest cut": broken(syn, "xfdumanifest.xml", "<a>"),
    "SYN manifest empty": broken(syn, "xfdumanifest.xml"),
    "OLCI manifest cut": broken(olci, "xfdumanifest.xml", "<a>"),
    "OLCI tie points cut": broken(olci, "tie_geo_coordinates.nc", "x"),
}
SAID = {
    "EnMAP without a layer": "QL_QUALITY_CIRRUS are missing",
    "EnMAP with an empty layer": "QL_QUALITY_CIRRUS are missing",
    "MTL.xml cut": "MTL.xml is no well-formed XML",
    "MTL.xml empty": "MTL.xml is no Landsat MTL: passed over",
    "SYN manifest cut": "no well-formed XML",
    "SYN manifest empty": "xfdumanifest.xml is empty: facts are those of the product's name",
    "OLCI manifest cut": "no well-formed XML",
    "OLCI tie points cut": "done without",
    "one JPEG 2000 among COGs": "B1 are JPEG 2000, so as delivered",
    "JPEG 2000 with an item of COGs": "B1, B2, B3, B4, B5, B6, B7, B8, B8A, B9, B11, B12 are",
}


@pytest.mark.parametrize("what", READ)
def test_a_valid_product_is_read_to_its_values(what, tmp_path, caplog):
    path = READ[what](tmp_path)
    if what.startswith("OLCI"):
        with open_cube(path) as source:
            assert len(source.bands) == 21 and source.read().valid.any()
    else:
        meta = check(path)
        if "Sentinel-2" in str(meta.get("kind")):
            assert meta["tile"] == "33UUU" and meta["start_time"].startswith("2024-06-21")
    assert SAID.get(what, "") in caplog.text
    if what not in SAID:
        assert not [r for r in caplog.records if r.name.startswith("trifuse")]


def test_what_someone_keeps_in_a_safe_is_not_the_product(tmp_path):
    """Only folders of the granule stand for the product around them."""
    made = safe(tmp_path) / "maps"
    made.mkdir()
    profile = {"driver": "GTiff", "width": 5, "height": 6, "count": 1, "dtype": "float32"}
    transform = rasterio.Affine(30, 0, 300000, 0, -30, 5900040)
    with rasterio.open(made / "ndvi.tif", "w", crs="EPSG:32633", transform=transform, **profile):
        pass
    with open_cube(made) as source:
        assert source.grid.shape == (6, 5)


def test_zeros_beyond_the_detectors_do_not_reach_their_neighbours(tmp_path):
    made = cube()
    made.data[:, :, :6] = np.nan
    with open_cube(write_sentinel2_safe(tmp_path, made)) as source:
        got = source.read()
    assert not got.valid[:, :6].any()
    inside = got.masked()[:, :, 6:]
    assert np.abs(inside - levels(12)[:, None, None]).max() < 2e-4


def test_a_pixel_without_data_in_one_band_of_landsat_is_not_valid(tmp_path):
    scene = landsat(tmp_path)
    for part, value in (("SR_B2", 0), ("QA_PIXEL", 1)):
        (path,) = scene.glob(f"*_{part}.TIF")
        with rasterio.open(path, "r+") as image:
            stored = image.read(1)
            stored[3 if part == "SR_B2" else 5, 3] = value
            image.write(stored, 1)
    with open_cube(scene) as source:
        got = source.read()
    assert not got.valid[3, 3] and not got.valid[5, 3] and got.valid.sum() == 118
    assert np.isnan(got.data[1, 3, 3]) and np.isfinite(got.data[2, 3, 3])


@pytest.mark.parametrize(
    ("grid", "place"),
    [
        (Grid.from_origin("EPSG:32656", 300000, -3690000, 30, 10, 12), "089083"),
        (Grid.from_origin("EPSG:32601", 150000, -1860000, 30, 10, 12), "074072"),
    ],
)
def test_landsat_south_of_the_equator_and_at_180_degrees_gives_no_doubt(grid, place, tmp_path):
    facts = inspect_product(landsat(tmp_path, grid, path_row=place))
    assert facts["doubts"] == [] and facts["grid"]["bounds"] == list(grid.bounds)


def series_folder(folder):
    return build_series(folder / "out", sentinel2=folder / "in", dry_run=True).sensors["sentinel2"]


@pytest.mark.parametrize("suffix", [".incomplete", ".crdownload", ".part"])
def test_a_download_that_did_not_end_is_left_out_of_a_series(suffix, tmp_path, caplog):
    made = safe(tmp_path / "in", packing="zip")
    cut = made.with_name(made.name.replace("20240621T10", "20240611T10") + suffix)
    cut.write_bytes(made.read_bytes()[:2000])
    assert len(series_folder(tmp_path).clear) == 1
    assert f"left out: {cut.name}" in caplog.text


def test_what_network_drives_keep_is_left_out_of_a_series(tmp_path):
    made = safe(tmp_path / "in")
    for name in ("@eaDir", "#recycle", "lost+found"):
        (made.parent / name / made.name).mkdir(parents=True)
    assert len(series_folder(tmp_path).clear) == 1


def test_what_is_no_product_though_named_so_stops_a_series_by_its_name(tmp_path):
    """An error page saved as a zip, and the folder of a download that never began."""
    made = safe(tmp_path / "in", packing="zip")
    other = made.with_name(made.name.replace("20240621T10", "20240611T10"))
    other.write_text("<error>offline</error>")
    with pytest.raises(ProductError, match=r"20240611T10.*File is not a zip file"):
        series_folder(tmp_path)
    other.unlink()
    other.with_suffix(".SAFE").mkdir()
    with pytest.raises(ProductError, match=r"20240611T10.*holds no Sentinel-2"):
        series_folder(tmp_path)


def test_two_stations_of_one_acquisition_are_put_together(tmp_path):
    safe(tmp_path / "in")
    part = cube()
    part.data[:, :12] = np.nan
    other = write_sentinel2_safe(tmp_path / "other", part)
    other.rename(tmp_path / "in" / other.name.replace("20240622T000000", "20240622T010000"))
    found = series_folder(tmp_path)
    assert list(found.clear.values()) == [1.0]


def test_what_cannot_be_read_is_refused_with_what_to_do(tmp_path):
    made = safe(tmp_path / "empty")
    (made / "MTD_MSIL2A.xml").write_text("")
    with pytest.raises(ProductError, match=r"MTD_MSIL2A.xml: is empty; fetch the product again"):
        open_cube(made)
    cogs = write_sentinel2_cogs(tmp_path / "cogs", cube())
    (cogs / "SCL.tif").unlink()
    with pytest.raises(ProductError, match="lacks SCL"):
        open_cube(cogs, mask="cloud")
    with open_cube(cogs) as source:  # where no mask was asked for, that is said
        assert any("no SCL" in note for note in source.meta["notes"])
    check(cogs, mask="none")
    made = safe(tmp_path / "cut", packing="zip")
    made.write_bytes(made.read_bytes()[:-400])
    with pytest.raises(ProductError, match="is not a zip file"):
        open_cube(made)
    made = safe(tmp_path / "two")
    (inner,) = (made / "GRANULE").iterdir()
    shutil.copytree(inner, inner.with_name(inner.name.replace("33UUU", "33UVU")))
    with pytest.raises(ProductError, match="give a product of one tile"):
        open_cube(made)
    made = syn(tmp_path / "syn")
    with tarfile.open(f"{made}.tar", "w") as archive:
        archive.add(made, made.name)
    with pytest.raises(ProductError, match=r"is an archive of .* unpack it and give the image"):
        open_cube(f"{made}.tar")


def envi(folder, text):
    planes = np.stack([np.full((6, 5), v, np.float32) for v in levels(4)])
    planes.tofile(folder / "image.bsq")
    (folder / "image.hdr").write_text(
        "ENVI\nsamples = 5\nlines = 6\nbands = 4\nheader offset = 0\nfile type = ENVI Standard\n"
        "data type = 4\ninterleave = bsq\nbyte order = 0\n"
        f"map info = {{UTM, 1, 1, 300000, 5900040, 30, 30, 33, North, WGS-84}}\n{text}\n"
    )
    return folder / "image.bsq"


NM = "wavelength = {450, 550, 650, 850}\nfwhm = {20, 21, 22, 23}"
UM = "wavelength = {0.45, 0.55, 0.65, 0.85}\nfwhm = {0.02, 0.021, 0.022, 0.023}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (NM, ""),
        (UM, ""),
        (f"wavelength units = Unknown\n{NM}", ""),
        (f"wavelength_units = Micrometers\n{UM}", ""),
        (f"wavelength units = Nanometers\n{UM}", "0.45 Nanometers is taken for µm"),
        (f"wavelength units = Micrometers\n{NM}", "450 Micrometers is taken for nm"),
        (f"wavelength units = Nanometers\n{UM.splitlines()[0]}\n{NM.splitlines()[1]}", "for µm"),
    ],
)
def test_wavelengths_are_in_the_unit_that_their_size_tells(text, said, tmp_path, caplog):
    with open_cube(envi(tmp_path, text)) as source:
        assert source.bands.centres == pytest.approx([450, 550, 650, 850])
        assert source.bands.fwhms == pytest.approx([20, 21, 22, 23])
    assert (said in caplog.text) if said else "wavelength" not in caplog.text


def test_years_are_no_wavelengths(tmp_path, caplog):
    years = "wavelength units = decimal year\nwavelength = {2018.1, 2018.2, 2018.3, 2018.4}"
    with open_cube(envi(tmp_path, years)) as source:
        assert np.isnan(source.bands.centres).all()
    assert "'decimal year' is no unit of wavelengths" in caplog.text


@pytest.mark.parametrize(
    ("tags", "centre"),
    [
        ({"wavelength": "0.49", "wavelength_units": "Nanometers", "fwhm": "0.03"}, 490),
        ({"wavelength": "490", "wavelength_units": "nm", "fwhm": "30"}, 490),
        ({"wavelength": "2018.5", "wavelength_units": "decimal year"}, np.nan),
    ],
)
def test_a_geotiff_states_wavelengths_likewise(tags, centre, tmp_path):
    path = tmp_path / "image.tif"
    profile = {"driver": "GTiff", "width": 5, "height": 6, "count": 1, "dtype": "float32"}
    transform = rasterio.Affine(30, 0, 300000, 0, -30, 5900040)
    with rasterio.open(path, "w", crs="EPSG:32633", transform=transform, **profile) as image:
        image.write(np.full((1, 6, 5), 0.2, np.float32))
        image.update_tags(1, **tags)
    with open_cube(path) as source:
        assert source.bands.centres == pytest.approx([centre], nan_ok=True)
        wide = 30 if "fwhm" in tags else np.nan
        assert source.bands.fwhms == pytest.approx([wide], nan_ok=True)


def test_gdals_own_words_for_wavelengths_are_read(tmp_path):
    path = tmp_path / "image.tif"
    profile = {"driver": "GTiff", "width": 5, "height": 6, "count": 1, "dtype": "float32"}
    transform = rasterio.Affine(30, 0, 300000, 0, -30, 5900040)
    with rasterio.open(path, "w", crs="EPSG:32633", transform=transform, **profile) as image:
        image.write(np.full((1, 6, 5), 0.2, np.float32))
        image.update_tags(1, ns="IMAGERY", CENTRAL_WAVELENGTH_UM="0.49", FWHM_UM="0.03")
    with open_cube(path) as source:
        assert source.bands.centres == pytest.approx([490])
        assert source.bands.fwhms == pytest.approx([30])
