"""Damaged, hostile and mutated Sentinel-2 products end in one line, or in the right pixels."""

import json
import os
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio

from trifuse.core import BandSet, Cube, Grid, GridError, MetadataError, ProductError, TrifuseError
from trifuse.products.open import open_cube
from trifuse.products.sentinel2.factory import write_sentinel2_cogs, write_sentinel2_safe
from trifuse.products.sentinel2.levels import NATIVE
from trifuse.products.sentinel2.reader import is_sentinel2, open_sentinel2
from trifuse.srf_data import S2_L2A

H, W = 36, 30
RNG = np.random.default_rng(2)
CUBE = Cube(
    RNG.uniform(0.01, 0.6, (12, H, W)).astype(np.float32),
    np.ones((H, W), bool),
    BandSet.of(S2_L2A),
    Grid.from_origin("EPSG:32633", 3e5, 58e5, 10, H, W),
)


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    return write_sentinel2_safe(tmp_path_factory.mktemp("safe"), CUBE)


@pytest.fixture(scope="module")
def cogs(tmp_path_factory) -> Path:
    return write_sentinel2_cogs(tmp_path_factory.mktemp("cogs"), CUBE)


@pytest.fixture
def safe(original, tmp_path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(original, tmp_path / original.name))


def part(folder: Path, pattern: str) -> Path:
    (path,) = folder.rglob(pattern)
    return path


def one_line(path: Path, kind=TrifuseError, match: str | None = None, **options) -> str:
    with pytest.raises(kind, match=match) as caught:
        open_cube(path, **options).read()
    text = str(caught.value)
    assert "\n" not in text and 10 < len(text) < 700
    return text


def test_all_that_is_missing_is_named_at_once(safe):
    for pattern in ("*_B03_?0m.jp2", "*_B12_?0m.jp2", "*_SCL_?0m.jp2", "MTD_MSIL2A.xml"):
        for file in list(safe.rglob(pattern)):
            file.unlink()
    text = one_line(safe, ProductError, "lacks", bands=["B2", "B3", "B12"], mask="cloud")
    assert all(w in text for w in ("B3 (10 m)", "B12 (20 m)", "SCL", "MTD_MSIL2A.xml"))
    assert "B2 " not in text


def test_what_is_not_asked_for_is_not_missed(safe):
    part(safe, "*_B03_10m.jp2").unlink()
    part(safe, "*_SCL_20m.jp2").unlink()
    assert open_sentinel2(safe, bands=["B2"]).read().valid.all(), "SCL of 60 m serves"
    part(safe, "*_SCL_60m.jp2").unlink()
    assert open_sentinel2(safe, bands=["B2"], mask="none").read().valid.all()
    one_line(safe, ProductError, "lacks SCL", bands=["B2"], mask="cloud")


@pytest.mark.parametrize("keep", [0, 4, 90, 0.3, 0.8, 0.99])
def test_a_truncated_image_is_named(safe, keep):
    image = part(safe, "*_B04_10m.jp2")
    raw = image.read_bytes()
    image.write_bytes(raw[: keep if keep > 1 else int(len(raw) * keep)])
    assert image.name in one_line(safe, ProductError)


def test_a_truncated_zip_is_named(tmp_path):
    path = write_sentinel2_safe(tmp_path, CUBE, packing="zip")
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    assert is_sentinel2(path), "by its name"
    assert path.name in one_line(path, ProductError)


def edit(path: Path, pattern: str, new: str) -> None:
    text, count = re.subn(pattern, new, path.read_text(), count=1, flags=re.DOTALL)
    assert count == 1
    path.write_text(text)


@pytest.mark.parametrize(
    ("pattern", "new", "kind", "match"),
    [
        (r"<n1:Level", "<!DOCTYPE a [<!ENTITY b 'c'>]><n1:Level", ProductError, "DOCTYPE"),
        (r"<QUANTIF.*", "", ProductError, "well-formed"),
        (r".*", "", ProductError, "is empty"),
        (r"10000</BOA_Q", "0</BOA_Q", MetadataError, "BOA_QUANTIFICATION_VALUE"),
        (r"10000</BOA_Q", "NaN</BOA_Q", MetadataError, "BOA_QUANTIFICATION_VALUE"),
        (
            r"<BOA_ADD_OFFSET_V.*</BOA_ADD_OFFSET_V[A-Z_]*>",
            "",
            MetadataError,
            "baseline 05.10 must have",
        ),
        (r'<BOA_ADD_OFFSET band_id="4">.*?>', "", MetadataError, "no offset for B5"),
        (r'band_id="4">-1000', 'band_id="4">x', MetadataError, "no offset for B5"),
        (r'band_id="4">-1000', 'band_id="4">-99999', MetadataError, "BOA_ADD_OFFSET of B5"),
        (r'band_id="4"', 'band_id="3"', MetadataError, "BOA_ADD_OFFSET 3 twice"),
        (r'<Spectral_Information bandId="8".*?</Spectral_Information>', "", MetadataError, "B8A"),
        (r'physicalBand="B8A"', 'physicalBand="B8"', MetadataError, "B8 twice"),
        (r"<Spectral_Information_L.*_List>", "", MetadataError, "B1, B2, B3"),
        (r"Sentinel-2A", "Sentinel-2D", MetadataError, "no response tables"),
        (r"Level-2A<", "Level-1C<", MetadataError, "Level-1C"),
        (r"65535", "many", MetadataError, "SATURATED"),
    ],
)
def test_metadata_that_calibration_needs(safe, pattern, new, kind, match):
    edit(safe / "MTD_MSIL2A.xml", pattern, new)
    assert "MTD_MSIL2A.xml" in one_line(safe, kind, match)


def test_other_products_and_too_many(original, safe, tmp_path):
    xml = safe / "MTD_MSIL2A.xml"
    xml.rename(safe / "MTD_MSIL1C.xml")
    for path in safe.rglob("*.jp2"):
        path.unlink()
    one_line(safe, ProductError, r"lacks B1 \(60 m\).*B10 \(60 m\)")
    both = tmp_path / "both"
    for name in ("a.SAFE", "b.SAFE"):
        shutil.copytree(original, both / f"S2{name}")
    assert "S2a.SAFE, S2b.SAFE" in one_line(both, ProductError, "2 products")
    empty = tmp_path / "S2A_MSIL2A_20240621T102031.SAFE"
    empty.mkdir()
    one_line(empty, ProductError, "no Sentinel-2 product")
    with pytest.raises(ProductError, match="does not exist"):
        open_sentinel2(tmp_path / "none.SAFE")


def test_two_granules_are_not_one(safe):
    granule = next((safe / "GRANULE").iterdir())
    shutil.copytree(granule, granule.with_name("L2A_T33UUV_A1_1"))
    one_line(safe, ProductError, "one tile")


def image(path: Path, values: np.ndarray, west: float = 3e5, size: float = 20) -> None:
    profile = {
        "driver": "GTiff",
        "count": 1,
        "height": values.shape[0],
        "width": values.shape[1],
        "dtype": values.dtype,
        "crs": "EPSG:32633",
        "transform": rasterio.Affine(size, 0, west, 0, -size, 58e5),
    }
    with rasterio.open(path, "w", **profile) as d:
        d.write(values, 1)


def test_images_that_do_not_belong_together(cogs, tmp_path):
    folder = Path(shutil.copytree(cogs, tmp_path / "c"))
    shape = (H // 2, W // 2)
    image(folder / "B05.tif", np.ones(shape, np.uint16), west=3e5 + 20)
    assert "B05.tif" in one_line(folder, GridError, "other ground")
    image(folder / "B05.tif", np.ones((5, 5), np.uint16))
    one_line(folder, GridError, "other ground")
    image(folder / "B05.tif", np.ones(shape, np.float32))
    one_line(folder, ProductError, "1 bands of float32")
    image(folder / "B05.tif", np.ones(shape, np.uint16))
    image(folder / "SCL.tif", np.ones(shape, np.uint16))
    assert "SCL.tif" in one_line(folder, ProductError, "uint8")


def test_zip_slip_and_links_out_are_refused(original, tmp_path):
    path = tmp_path / f"{original.stem}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in original.rglob("*"):
            archive.write(file, f"../{original.name}/{file.relative_to(original)}")
    one_line(path, ProductError, "outside itself")
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda i: i.pop("assets"), "lacks MTD_MSIL2A.xml"),
        (lambda i: i.update(properties=[1], id="x"), "platform"),
        (
            lambda i: i["properties"].update(platform="landsat-8", **{"s2:product_uri": "x"}),
            "platform 'landsat-8'",
        ),
        (lambda i: i["properties"].update({"earthsearch:boa_offset_applied": "yes"}), "'yes'"),
        (lambda i: i["assets"]["b4"]["raster:bands"][0].update(offset="NaN"), "offset of NaN"),
        (lambda i: i["assets"]["b4"]["raster:bands"][0].update(scale=1e4), "scale of 10000"),
        (lambda i: i["assets"]["b4"]["raster:bands"][0].update(offset=-1000), "offset of -1000"),
    ],
)
def test_items_that_do_not_tell(cogs, tmp_path, change, match):
    folder = Path(shutil.copytree(cogs, tmp_path / "c"))
    file = part(folder, "*.json")
    item = json.loads(file.read_text())
    change(item)
    file.write_text(json.dumps(item))
    one_line(folder, TrifuseError, match)
    file.write_text("{")
    one_line(folder, ProductError, "no JSON")


def test_an_offset_that_cannot_be_told_is_not_guessed(cogs, tmp_path):
    folder = Path(shutil.copytree(cogs, tmp_path / "c"))
    file = part(folder, "*.json")
    item = json.loads(file.read_text())
    for asset in item["assets"].values():
        asset.pop("raster:bands", None)
    for key in ("earthsearch:boa_offset_applied", "s2:processing_baseline", "s2:product_uri"):
        del item["properties"][key]
    file.write_text(json.dumps(item))
    one_line(folder, MetadataError, "states no offset")
    file.with_name("other.json").write_text(json.dumps({**item, "id": "other"}))
    one_line(folder, ProductError, "holds the items")


BRANCHES = (
    "Product_Info",
    "Datatake",
    "Special_Values",
    "QUANTIFICATION_VALUES_LIST",
    "BOA_ADD_OFFSET_VALUES_LIST",
    "Spectral_Information_List",
    "n1:General_Info",
    "Product_Image_Characteristics",
)
VALUES = (b"NaN", b"inf", b"-1", b"", b"1e999", b"0", b"\xff\xfe", b"9" * 5000, b"\x00", b"20000")


def mutate(safe: Path, rng: np.random.Generator) -> None:
    """Damage one file in one of the ways that happen, or that someone might try."""
    kind = rng.integers(0, 8)
    xml = safe / "MTD_MSIL2A.xml" if rng.random() < 0.8 else part(safe, "MTD_TL.xml")
    text = xml.read_bytes()
    if kind <= 4:
        tags = list(re.finditer(rb"<(\w+)[^>/]*>([^<]*)</\1>", text))
        pick = tags[rng.integers(len(tags))]
        at = int(rng.integers(len(text)))
        if kind == 0:  # a leaf is dropped
            text = text[: pick.start()] + text[pick.end() :]
        elif kind == 1:  # a whole branch is dropped
            name = BRANCHES[rng.integers(len(BRANCHES))].encode()
            text = re.sub(rb"<%s\b.*?</%s>" % (name, name), b"", text, count=1, flags=re.DOTALL)
        elif kind == 2:  # a value is replaced
            value = VALUES[rng.integers(len(VALUES))]
            text = text[: pick.start(2)] + value + text[pick.end(2) :]
        elif kind == 3:  # bytes are lost
            text = text[:at] + text[at + rng.integers(1, 400) :]
        else:  # a bit flips
            text = text[:at] + bytes([text[at] ^ (1 << rng.integers(8))]) + text[at + 1 :]
        xml.write_bytes(text)
        return
    files = sorted(p for p in safe.rglob("*") if p.is_file())
    file = files[rng.integers(len(files))]
    raw = bytearray(file.read_bytes())
    if kind == 5:
        file.write_bytes(raw[: rng.integers(len(raw))])
    elif kind == 6:
        for at in rng.integers(0, len(raw), 3):
            raw[at] ^= 1 << rng.integers(8)
        file.write_bytes(raw)
    else:
        file.unlink()


def by_hand(original: Path, source, band: str) -> np.ndarray:
    """What the untouched image holds, by the calibration that the source states."""
    name = band if band == "B8A" else f"B{int(band[1:]):02d}"
    with rasterio.open(part(original, f"*_{name}_{NATIVE[band]}m.jp2")) as d:
        stored = d.read(1).astype(np.float64)
    used = source.meta["calibration"]
    names = source.bands.names
    scale, offset = (
        np.broadcast_to(used[k], len(names))[names.index(band)] for k in ("scale", "offset")
    )
    values = np.where(
        np.isin(stored, (used["nodata"], used["saturated"])), np.nan, stored * scale + offset
    )
    k = NATIVE[band] // 10
    return np.kron(values, np.ones((k, k)))


def check_mutated(original: Path, safe: Path) -> bool:
    """Whether it was refused; if not, what is read must be right in all files that are whole."""
    before = {p: p.stat().st_size for p in safe.rglob("*")}
    try:
        with open_sentinel2(safe, upsampling="nearest") as source:
            cube = source.read()
    except TrifuseError as e:
        assert "\n" not in str(e) and len(str(e)) < 1000
        refused = True
    else:
        refused = False
        lacking = set(S2_L2A) - set(cube.bands.names)
        assert all(
            re.search(rf"no image of .*\b{b}\b", " ".join(cube.meta["notes"])) for b in lacking
        )
        changed = {
            p.name
            for p in safe.rglob("*")
            if p.is_file() and p.read_bytes() != (original / p.relative_to(safe)).read_bytes()
        }
        said = " ".join(source.meta["notes"])
        for band, plane in zip(cube.bands.names, cube.data, strict=True):
            if re.search(rf"holds only .*\b{band} at", said):
                continue
            name = band if band == "B8A" else f"B{int(band[1:]):02d}"
            if not any(f"_{name}_" in c for c in changed):
                expected = by_hand(original, source, band)
                np.testing.assert_allclose(plane, expected, atol=1e-6, equal_nan=True)
    assert {p: p.stat().st_size for p in safe.rglob("*")} == before, "nothing is left behind"
    return refused


@pytest.mark.parametrize("block", range(2 * int(os.environ.get("TRIFUSE_FUZZ", "1"))))
def test_mutated_products_end_in_one_line_or_a_correct_read(original, tmp_path, block):
    """10 seeds a block."""
    refused = 0
    for seed in range(10 * block, 10 * block + 10):
        safe = Path(shutil.copytree(original, tmp_path / f"{seed}" / original.name))
        mutate(safe, np.random.default_rng(seed))
        refused += check_mutated(original, safe)
    assert refused >= 1, "some damage is seen"
