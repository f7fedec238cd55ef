"""Damaged, hostile and mutated deliveries end in one line, or in the right pixels."""

import os
import re
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from trifuse.core import BandSet, Cube, Grid, MetadataError, ProductError, TrifuseError
from trifuse.products.enmap.factory import write_enmap
from trifuse.products.enmap.reader import is_enmap, open_enmap
from trifuse.products.files import raster

N, H, W = 9, 40, 36
RNG = np.random.default_rng(1)
BANDS = BandSet.of(
    [f"E{i:03d}" for i in range(1, N + 1)],
    [450, 550, 650, 750, 850, 950, 1250, 1650, 2200],
    [8] * N,
)
CUBE = Cube(
    RNG.uniform(0, 0.6, (N, H, W)).astype(np.float32),
    np.ones((H, W), bool),
    BANDS,
    Grid.from_origin("EPSG:32633", 3e5, 58e5, 30, H, W),
)
CLOUD = np.zeros((H, W), bool)
CLOUD[5:15, 5:15] = True


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return write_enmap(tmp_path_factory.mktemp("enmap"), CUBE, cloud=CLOUD)


@pytest.fixture
def scene(original, tmp_path):
    """A copy to damage."""
    return Path(shutil.copytree(original, tmp_path / original.name))


def part(scene: Path, ending: str) -> Path:
    (path,) = scene.glob(f"*{ending}")
    return path


def one_line(scene: Path, kind=TrifuseError, match: str | None = None) -> str:
    with pytest.raises(kind, match=match) as caught:
        open_enmap(scene).read()
    text = str(caught.value)
    assert "\n" not in text and 10 < len(text) < 700
    return text


@pytest.mark.parametrize("keep", [0, 3, 200, 2000, 0.4, 0.8, 0.999])
def test_a_truncated_image_is_named(scene, keep):
    image = part(scene, "SPECTRAL_IMAGE.TIF")
    raw = image.read_bytes()
    image.write_bytes(raw[: keep if keep > 1 else int(len(raw) * keep)])
    text = one_line(scene, ProductError)
    assert "SPECTRAL_IMAGE.TIF" in text and "get it again" in text


@pytest.mark.parametrize("image_format", ["BSQ", "BIP", "JPEG2000"])
def test_a_truncated_image_of_another_format_is_named(tmp_path, image_format):
    scene = write_enmap(tmp_path, CUBE, image_format=image_format)
    image = part(scene, f"SPECTRAL_IMAGE.{'JP2' if image_format[0] == 'J' else image_format}")
    image.write_bytes(image.read_bytes()[: image.stat().st_size * 2 // 3])
    assert "SPECTRAL_IMAGE" in one_line(scene, ProductError)


def test_a_truncated_zip_is_named(tmp_path):
    path = write_enmap(tmp_path, CUBE, nesting="zip")
    path.write_bytes(path.read_bytes()[:-100])
    assert path.name in one_line(path, ProductError, "cannot be read")


def test_damage_in_a_zip_member_is_found(tmp_path):
    path = write_enmap(tmp_path, CUBE, nesting="zip")
    with zipfile.ZipFile(path) as archive:
        (member,) = (i for i in archive.infolist() if i.filename.endswith("IMAGE.TIF"))
    raw = bytearray(path.read_bytes())
    middle = member.header_offset + member.compress_size // 2
    raw[middle : middle + 200] = bytes(200)
    path.write_bytes(raw)
    one_line(path, ProductError)


def test_a_damaged_quality_layer_is_named_and_can_be_left_out(scene):
    layer = part(scene, "QL_QUALITY_CLOUD.TIF")
    layer.write_bytes(layer.read_bytes()[:60])
    assert "QL_QUALITY_CLOUD" in one_line(scene, ProductError, "cannot be opened")
    assert open_enmap(scene, mask="background").read().valid.all()


def test_missing_parts_are_named(scene):
    part(scene, "SPECTRAL_IMAGE.TIF").unlink()
    one_line(scene, ProductError, "lacks its SPECTRAL_IMAGE")
    part(scene, "METADATA.XML").unlink()
    one_line(scene, ProductError, "no EnMAP scene")
    one_line(scene / "none", ProductError, "does not exist")


def test_metadata_without_wavelengths_with_doctype_or_for_other_bands(scene):
    xml = part(scene, "METADATA.XML")
    text = xml.read_text()
    xml.write_text(re.sub(r"<bandCharacterisation>.*</bandCharacterisation>", "", text, flags=re.S))
    one_line(scene, MetadataError, "no wavelengths")
    xml.write_text(text.replace("<level_X>", "<!DOCTYPE x [<!ENTITY y 'z'>]><level_X>"))
    one_line(scene, ProductError, "DOCTYPE")
    fewer = re.sub(r'<bandID number="9">.*?</bandID>', "", text, flags=re.S)
    xml.write_text(re.sub(r",9</", "</", fewer))
    one_line(scene, MetadataError, "image has 9 bands, METADATA.XML characterises 8")
    xml.write_text(text.replace(">L2A<", ">L1B<"))
    one_line(scene, ProductError, "sensor geometry")


def replace_image(scene: Path, **changes) -> None:
    image = part(scene, "SPECTRAL_IMAGE.TIF")
    with rasterio.open(image) as dataset:
        profile, values = dataset.profile, dataset.read()
    image.unlink()
    data = changes.pop("data", values)
    with rasterio.open(image, "w", **{**profile, **changes}) as dataset:
        if data is not None:
            dataset.write(data)


def test_a_header_of_a_million_by_a_million_pixels_is_refused(scene, tmp_path):
    replace_image(
        scene,
        data=None,
        width=1_000_000,
        height=1_000_000,
        count=9,
        sparse_ok=True,
        bigtiff="YES",
        blockxsize=16384,
        blockysize=16384,
    )
    assert part(scene, "SPECTRAL_IMAGE.TIF").stat().st_size < 10_000_000
    one_line(scene, ProductError, "claims 9 bands of 1000000×1000000 pixels")


def test_a_giant_block_and_complex_pixels_are_refused(scene, monkeypatch):
    monkeypatch.setattr(raster, "MAX_BLOCK", 1 << 16)
    one_line(scene, ProductError, "stores blocks of 256×256")
    monkeypatch.undo()
    replace_image(
        scene, data=CUBE.data.astype(np.complex64), dtype="complex64", nodata=None, predictor=1
    )
    one_line(scene, ProductError, "pixels of complex64")


def test_images_that_lie_wrong_are_refused(scene):
    a = CUBE.grid.transform
    south_up = rasterio.Affine(a[0], 0, a[2], 0, -a[4], a[5] - 30 * H)
    replace_image(scene, transform=south_up)
    one_line(scene, match="north-up")
    replace_image(scene, transform=rasterio.Affine(a[0], 5, a[2], 5, a[4], a[5]))
    one_line(scene, match="rotated")
    with pytest.warns(NotGeoreferencedWarning):
        replace_image(scene, transform=rasterio.Affine.identity())
    one_line(scene, MetadataError, "no georeference")


def test_layers_of_another_size_or_type_are_refused(scene):
    layer = part(scene, "QL_QUALITY_CLOUD.TIF")
    for values, message in (
        (np.zeros((1, H, W + 1), np.uint8), "is 40×37, the image 40×36"),
        (np.zeros((1, H, W), np.float32), "not uint8"),
    ):
        layer.unlink()
        with rasterio.open(
            layer,
            "w",
            driver="GTiff",
            count=1,
            height=H,
            width=values.shape[2],
            dtype=values.dtype,
            transform=rasterio.Affine(*CUBE.grid.transform),
        ) as dataset:
            dataset.write(values)
        one_line(scene, ProductError, message)


def test_an_image_without_any_value_is_refused(scene):
    replace_image(scene, data=np.full((N, H, W), -32768, np.int16))
    one_line(scene, ProductError, "no value in any band")


def test_a_virtual_raster_in_place_of_the_image_is_not_followed(scene, tmp_path):
    target = tmp_path / "elsewhere.tif"
    image = part(scene, "SPECTRAL_IMAGE.TIF")
    image.rename(target)
    image.write_text(
        f'<VRTDataset rasterXSize="{W}" rasterYSize="{H}"><VRTRasterBand dataType="Int16" band="1">'
        f"<SimpleSource><SourceFilename>{target}</SourceFilename></SimpleSource>"
        "</VRTRasterBand></VRTDataset>"
    )
    one_line(scene, ProductError, "cannot be opened")


def test_sidecars_do_not_change_the_image(scene):
    image = part(scene, "SPECTRAL_IMAGE.TIF")
    expected = open_enmap(scene)
    Path(f"{image}.aux.xml").write_text(
        '<PAMDataset><SRS>EPSG:4326</SRS><PAMRasterBand band="1"><NoDataValue>1234</NoDataValue>'
        "</PAMRasterBand></PAMDataset>"
    )
    source = open_enmap(scene)
    assert source.grid == expected.grid and source.meta == expected.meta


def test_two_files_for_one_part_are_refused(scene):
    xml = part(scene, "METADATA.XML")
    shutil.copy(xml, xml.with_suffix(".xml"))
    one_line(scene, ProductError, "keep one of them")
    xml.with_suffix(".xml").unlink()
    image = part(scene, "SPECTRAL_IMAGE.TIF")
    shutil.copy(image, image.with_name(image.name.replace(".TIF", "_COG.tiff")))
    one_line(scene, ProductError, "2 spectral images")


def test_a_zip_slip_delivery_is_refused(tmp_path, original):
    path = tmp_path / f"{original.name}.ZIP"
    with zipfile.ZipFile(path, "w") as archive:
        for file in original.iterdir():
            archive.write(file, f"../{file.name}")
    one_line(path, ProductError, "outside itself")
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


BRANCHES = [
    "specific",
    "product",
    "base",
    "metadata",
    "processing",
    "bandID",
    "vnirProductQuality",
    "bandStatistics",
    "ortho",
]


def mutate(scene: Path, rng: np.random.Generator) -> None:
    """Damage one file in one of the ways that happen, or that someone might try."""
    files = sorted(scene.iterdir())
    xml = part(scene, "METADATA.XML")
    kind = rng.integers(0, 8)
    if kind <= 4:
        text = xml.read_bytes()
        tags = list(re.finditer(rb"<(\w+)[^>/]*>([^<]*)</\1>", text))
        pick = tags[rng.integers(len(tags))]
        if kind == 0:  # a leaf is dropped
            text = text[: pick.start()] + text[pick.end() :]
        elif kind == 1:  # a whole branch is dropped
            name = rng.choice(BRANCHES).encode()
            text = re.sub(rb"<%s\b.*?</%s>" % (name, name), b"", text, count=1, flags=re.S)
        elif kind == 2:  # a value is replaced
            values = [b"NaN", b"inf", b"-1", b"", b"1e999", b"0", b"\xff\xfe", b"9" * 5000, b"\x00"]
            value = values[rng.integers(len(values))]
            text = text[: pick.start(2)] + value + text[pick.end(2) :]
        elif kind == 3:  # bytes are lost
            at = rng.integers(len(text))
            text = text[:at] + text[at + rng.integers(1, 400) :]
        else:  # a byte flips
            at = rng.integers(len(text))
            text = text[:at] + bytes([text[at] ^ (1 << rng.integers(8))]) + text[at + 1 :]
        xml.write_bytes(text)
    else:
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


def numbers(source) -> np.ndarray:
    """What the image must hold for the calibration that the source states."""
    gain = np.array(source.meta["calibration"]["gain"])[:, None, None]
    offset = np.array(source.meta["calibration"]["offset"])[:, None, None]
    return np.rint(CUBE.data.astype(np.float64) / 1e-4) * gain + offset


@pytest.mark.parametrize("block", range(4 * int(os.environ.get("TRIFUSE_FUZZ", "1"))))
def test_mutated_deliveries_end_in_one_line_or_a_correct_read(original, tmp_path, block):
    """20 seeds a block. A flip in pixels may pass unseen where a layer is not compressed."""
    temporary = set(Path(tempfile.gettempdir()).glob("trifuse-*"))
    refused = unchanged = 0
    for seed in range(20 * block, 20 * block + 20):
        scene = Path(shutil.copytree(original, tmp_path / f"{seed}" / original.name))
        mutate(scene, np.random.default_rng(seed))
        before = {p: p.stat().st_size for p in scene.iterdir()}
        is_enmap(scene)
        try:
            with open_enmap(scene) as source:
                cube = source.read()
        except TrifuseError as e:
            refused += 1
            assert "\n" not in str(e) and len(str(e)) < 1000
        else:
            expected, usable = numbers(source), np.array(source.meta["usable"])
            same = {
                p.name
                for p in scene.iterdir()
                if p.read_bytes() == (original / p.name).read_bytes()
            }
            assert cube.shape == CUBE.shape and usable.sum() >= N - 1
            if f"{original.name}-SPECTRAL_IMAGE.TIF" in same:
                unchanged += 1
                np.testing.assert_allclose(cube.data[usable], expected[usable], rtol=2e-6)
                if sum("-QL_QUALITY_" in name for name in same) == 7:
                    assert np.array_equal(cube.valid, ~CLOUD)
        assert {p: p.stat().st_size for p in scene.iterdir()} == before
    assert refused >= 3 and unchanged >= 3
    assert set(Path(tempfile.gettempdir()).glob("trifuse-*")) <= temporary


@pytest.mark.parametrize("nesting", ["zip", "no-prefix-zip", "order-tar"])
def test_mutated_archives_end_in_one_line_or_the_same_pixels(tmp_path, nesting):
    """Archives carry checksums, so here no flipped bit may pass unseen."""
    whole = write_enmap(tmp_path / "whole", CUBE, nesting=nesting, cloud=CLOUD)
    expected = open_enmap(whole).read()
    temporary = set(Path(tempfile.gettempdir()).glob("trifuse-*"))
    refused = 0
    for seed in range(15):
        rng = np.random.default_rng(seed)
        raw = bytearray(whole.read_bytes())
        if seed % 3 == 0:
            raw = raw[: rng.integers(len(raw))]
        for at in rng.integers(0, len(raw), seed % 3):
            raw[at] ^= 1 << rng.integers(8)
        path = tmp_path / str(seed) / whole.name
        path.parent.mkdir()
        path.write_bytes(raw)
        try:
            with open_enmap(path) as source:
                cube = source.read()
        except TrifuseError as e:
            refused += 1
            assert "\n" not in str(e)
        else:
            assert np.array_equal(cube.data, expected.data)
            assert np.array_equal(cube.valid, expected.valid)
    assert refused >= 10
    assert set(Path(tempfile.gettempdir()).glob("trifuse-*")) <= temporary


def test_checksums_are_compared_unless_told_otherwise(tmp_path):
    path = tmp_path / "scene.zip"
    folder = write_enmap(tmp_path, CUBE, image_format="BSQ")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)
        image = archive.getinfo(f"{folder.name}-SPECTRAL_IMAGE.BSQ")
    raw = bytearray(path.read_bytes())
    raw[image.header_offset + image.file_size // 2] ^= 1
    path.write_bytes(raw)
    one_line(path, ProductError, "Bad CRC")
    wrong = open_enmap(path, verify=False).read().data != open_enmap(folder).read().data
    assert wrong.sum() == 1
