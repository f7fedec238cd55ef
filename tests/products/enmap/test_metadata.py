import io
import re
import zipfile

import numpy as np
import pytest
import rasterio

from trifuse.core import MetadataError, ProductError, Window
from trifuse.products.enmap.delivery import find_scenes
from trifuse.products.enmap.metadata import parse_metadata
from trifuse.products.enmap.reader import is_enmap, open_enmap
from trifuse.products.files import xmltree

REAL = "1_enmap/product_metadata_simulated/enmap_L2A_gtif_qualification.zip"
NAME = "ENMAP01-____L2A-DT0000326721_20170626T102020Z_001_V000204_20200406T201930Z"

SMALL = b"""<?xml version="1.0" encoding="utf-8"?>
<level_X>
 <metadata><schema><processingLevel>L2A</processingLevel></schema>
  <name>X-METADATA.XML</name></metadata>
 <processing><productFormat>BSQ+Metadata</productFormat></processing>
 <base><level>L2A</level><temporalCoverage><startTime>2022-07-24T10:45:26Z</startTime>
  </temporalCoverage></base>
 <specific>
  <qualityFlag><cloudCover>-999</cloudCover><hazeCover>3</hazeCover></qualityFlag>
  <vnirProductQuality><expectedChannelsList>3,1</expectedChannelsList></vnirProductQuality>
  <swirProductQuality><expectedChannelsList>2</expectedChannelsList></swirProductQuality>
  <sunElevationAngle><upper_left>40</upper_left><lower_left>50</lower_left></sunElevationAngle>
  <bandCharacterisation>
   <bandID number="2"><wavelengthCenterOfBand>902.5</wavelengthCenterOfBand>
    <FWHMOfBand>11</FWHMOfBand><GainOfBand>2e-4</GainOfBand><OffsetOfBand>0.1</OffsetOfBand></bandID>
   <bandID number="3"><wavelengthCenterOfBand>905</wavelengthCenterOfBand>
    <FWHMOfBand>9</FWHMOfBand><GainOfBand>3e-4</GainOfBand><OffsetOfBand>0</OffsetOfBand></bandID>
   <bandID number="1"><wavelengthCenterOfBand>423.03</wavelengthCenterOfBand>
    <FWHMOfBand>6.93</FWHMOfBand><GainOfBand>1e-4</GainOfBand><OffsetOfBand>0</OffsetOfBand></bandID>
  </bandCharacterisation>
 </specific>
 <product><ortho><projection>UTM_Zone9_South</projection></ortho>
  <bandStatistics><bandID number="3"><mean>-1000000</mean><stdDeviation>0</stdDeviation></bandID>
   <bandID number="1"><mean>0.2</mean><stdDeviation>0</stdDeviation></bandID></bandStatistics>
 </product>
</level_X>
"""


def test_bands_are_sorted_by_number_and_keep_their_own_values():
    m = parse_metadata(SMALL, "x.xml")
    assert m.bands.names == ("E001", "E002", "E003")
    assert m.bands.centres == (423.03, 902.5, 905.0) and m.bands.fwhms == (6.93, 11.0, 9.0)
    assert m.gain == (1e-4, 2e-4, 3e-4) and m.offset == (0.0, 0.1, 0.0)
    assert m.detectors == ("VNIR", "SWIR", "VNIR")
    assert m.dead == (False, False, True)
    assert (m.product_id, m.level, m.image_format, m.crs) == ("X", "L2A", "BSQ", "EPSG:32709")
    assert m.shape is None and m.files == ()
    assert m.facts["cloud_cover_pct"] is None and m.facts["haze_cover_pct"] == 3
    assert m.facts["sun_elevation_deg"] == 45 and m.facts["sun_azimuth_deg"] is None


@pytest.mark.parametrize(
    ("text", "crs"),
    [
        ("UTM_Zone32_North", "EPSG:32632"),
        ("UTM_Zone09_South", "EPSG:32709"),
        ("LAEA-ETRS89", "EPSG:3035"),
        ("Geographic", "EPSG:4326"),
        ("UTM_Zone61_North", ""),
        ("Mars", ""),
    ],
)
def test_projections_by_name(text, crs):
    raw = SMALL.replace(b"UTM_Zone9_South", text.encode())
    assert parse_metadata(raw, "x.xml").crs == crs


CHANGES = {
    "no wavelengths": (rb"<bandCharacterisation>.*</bandCharacterisation>", b""),
    "lacks a centre": (rb"<wavelengthCenterOfBand>902.5</wavelengthCenterOfBand>", b""),
    "micrometres": (b">902.5<", b">0.9025<"),
    "no width": (b">6.93<", b">nan<"),
    "no gain": (rb"<GainOfBand>3e-4</GainOfBand>", b""),
    "gain 0": (b">3e-4<", b">0<"),
    "no offset": (b">0.1<", b">much<"),
    "numbered twice": (b'<bandID number="2"><wave', b'<bandID number="1"><wave'),
    "not numbered": (b'<bandID number="2"><wave', b"<bandID><wave"),
    "a gap": (b'<bandID number="3"><wave', b'<bandID number="4"><wave'),
    "no VNIR list": (b">3,1<", b"><"),
    "both detectors": (b">3,1<", b">3,2,1<"),
    "beyond the bands": (b">3,1<", b">3,1,4<"),
    "no numbers": (b">3,1<", b">3;1<"),
    "unknown level": (b"<processingLevel>L2A<", b"<processingLevel>L9<"),
    "other root": (b"level_X", b"level_Y"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_calibration_needs_is_not_guessed(change):
    old, new = CHANGES[change]
    raw = re.sub(old, new, SMALL, flags=re.S)
    assert raw != SMALL
    with pytest.raises(MetadataError, match=r"^x\.xml: [^\n]+$"):
        parse_metadata(raw, "x.xml")


def test_wavelengths_that_are_missing_are_called_by_name():
    raw = re.sub(rb"<bandCharacterisation>.*</bandCharacterisation>", b"", SMALL, flags=re.S)
    with pytest.raises(MetadataError, match="no wavelengths"):
        parse_metadata(raw, "x.xml")


BOMB = b"<!DOCTYPE a [<!ENTITY a 'ha'>%s]>" % b"".join(
    b"<!ENTITY %c '%s'>" % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(9)
)


@pytest.mark.parametrize(
    "prologue",
    [
        b"<!DOCTYPE level_X>",
        b'<!DOCTYPE level_X [<!ENTITY x SYSTEM "file:///etc/hostname">]>',
        b'<!DOCTYPE level_X SYSTEM "http://localhost/x.dtd">',
        BOMB,
    ],
)
def test_doctype_and_entities_are_refused(prologue):
    raw = SMALL.replace(b"<level_X>", prologue + b"<level_X>", 1)
    with pytest.raises(ProductError, match="DOCTYPE"):
        parse_metadata(raw, "x.xml")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"   ",
        b"\x00" * 50,
        SMALL[:400],
        SMALL[:-5],
        b"II*\x00 no xml",
        SMALL.replace(b"BSQ", b"\xff\xfe\xfd"),
        SMALL.replace(b"utf-8", b"klingon"),
        SMALL.replace(b"utf-8", b"utf-16"),
        SMALL.replace(b"<base>", b"<base><base>"),
        SMALL.replace(b"BSQ", b"&undefined;"),
        b"<a>" * 100_000,
    ],
)
def test_what_is_no_xml_is_one_line(raw):
    with pytest.raises(ProductError, match=r"^x\.xml: [^\n]+$"):
        parse_metadata(raw, "x.xml")


def test_latin_1_is_read_if_declared():
    raw = SMALL.replace(b"utf-8", b"iso-8859-1").replace(b">X-META", b">\xdc-META")
    assert parse_metadata(raw, "x.xml").product_id == "Ü"


def test_element_floods_are_refused(monkeypatch):
    monkeypatch.setattr(xmltree, "MAX_ELEMENTS", 1000)
    assert parse_metadata(SMALL, "x.xml").level == "L2A"
    raw = SMALL.replace(b"<base>", b"<a/>" * 1000 + b"<base>")
    with pytest.raises(ProductError, match="implausibly many"):
        parse_metadata(raw, "x.xml")


def test_a_flood_of_bands_is_refused():
    row = SMALL[SMALL.index(b'<bandID number="3"><wave') : SMALL.index(b'<bandID number="1"><wave')]
    raw = SMALL.replace(row, row * 2000, 1)
    with pytest.raises(MetadataError, match="has 2002"):
        parse_metadata(raw, "x.xml")


def line_parse(text: str) -> dict[int, dict[str, float]]:
    """Band rows by regular expressions alone: independent of any XML parser."""
    block = re.search(r"<bandCharacterisation>(.*?)</bandCharacterisation>", text, re.S)[1]
    return {
        int(number): {tag: float(value) for tag, value in re.findall(r"<(\w+)>([^<]+)</\1>", row)}
        for number, row in re.findall(r'<bandID number="(\d+)">(.*?)</bandID>', block, re.S)
    }


def test_the_real_qualification_metadata(data_dir):
    path = data_dir / REAL
    if not path.is_file():
        pytest.skip("the qualification delivery is not among the real data")
    assert is_enmap(path)
    (scene,) = find_scenes(path)
    assert scene.name == NAME
    raw = scene.metadata.read(64 << 20)
    m = parse_metadata(raw, "real")
    rows = line_parse(raw.decode())
    assert len(rows) == len(m.bands) == 218
    for n, band in enumerate(m.bands, start=1):
        assert band.name == f"E{n:03d}"
        assert band.centre == rows[n]["wavelengthCenterOfBand"]
        assert band.fwhm == rows[n]["FWHMOfBand"]
        assert (m.gain[n - 1], m.offset[n - 1]) == (0.0001, 0.0)
    # Read in the file by eye:
    assert (m.bands[0].centre, m.bands[0].fwhm) == (423.03, 6.93)
    assert (m.bands[217].centre, m.bands[217].fwhm) == (2438.6, 8.95)
    assert (m.detectors.count("VNIR"), m.detectors.count("SWIR")) == (88, 130)
    swir = [n for n, d in enumerate(m.detectors, start=1) if d == "SWIR"]
    assert swir[:9] == [79, 81, 83, 85, 88, 90, 92, 94, 97] and swir[9:] == [*range(98, 219)]
    assert np.all(np.diff(m.bands.centres) > 0)
    assert m.product_id == NAME and m.level == "L2A" and m.image_format == "GeoTIFF"
    assert m.crs == "EPSG:32632" and m.shape == (1212, 1128) and len(m.files) == 12
    assert not any(m.dead)
    facts = m.facts
    assert facts["start_time"] == "2017-06-26T10:20:20.999936Z"
    assert facts["sun_elevation_deg"] == 63.038384 and facts["sun_azimuth_deg"] == 149.106702
    assert (facts["cloud_cover_pct"], facts["cloud_shadow_pct"]) == (0, 8)
    assert facts["water_cover_pct"] == 2 and facts["scene_water_vapour"] == 2159
    assert facts["correction_type"] == "Land_Mode"


def test_the_real_empty_image_is_one_line(data_dir):
    path = data_dir / REAL
    if not path.is_file():
        pytest.skip("the qualification delivery is not among the real data")
    with pytest.raises(ProductError, match=r"^[^\n]*SPECTRAL_IMAGE\.TIF: is empty; [^\n]*$"):
        open_enmap(path)


def test_the_real_quality_layer_masks_a_made_image(data_dir, tmp_path):
    """The real METADATA and classes with an image of two values in place of the empty one."""
    path = data_dir / REAL
    if not path.is_file():
        pytest.skip("the qualification delivery is not among the real data")
    with zipfile.ZipFile(path) as archive:
        members = {n.rsplit("-", 1)[-1]: archive.read(n) for n in archive.namelist()}
    for part in ("METADATA.XML", "QL_QUALITY_CLASSES.TIF"):
        (tmp_path / f"{NAME}-{part}").write_bytes(members[part])
    with rasterio.open(io.BytesIO(members["QL_QUALITY_CLASSES.TIF"])) as dataset:
        classes, profile = dataset.read(1), dataset.profile
    assert classes.shape == (1212, 1128)
    profile.update(
        count=218,
        dtype="int16",
        nodata=-32768,
        compress="deflate",
        tiled=True,
        blockxsize=256,
        blockysize=256,
        sparse_ok=True,
    )
    window = ((596, 616), (0, 1128))
    values = np.where(np.isin(classes[596:616], [1, 2]), 1234, -32768).astype(np.int16)
    with rasterio.open(tmp_path / f"{NAME}-SPECTRAL_IMAGE.TIF", "w", **profile) as dataset:
        dataset.write(np.broadcast_to(values, (218, 20, 1128)), window=window)
    source = open_enmap(tmp_path, mask="background")
    assert source.grid.shape == classes.shape
    cube = source.read(Window(596, 0, 20, 1128), ["E050", "E200"])
    assert np.array_equal(cube.valid, np.isin(classes[596:616], [1, 2]))
    assert 0 < cube.valid.mean() < 1
    assert np.allclose(cube.data[:, cube.valid], 0.1234, atol=1e-7)
