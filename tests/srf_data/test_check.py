import numpy as np
import pytest

from trifuse.core import BandError, ConfigError, MetadataError, ProductError
from trifuse.srf_data import SensorSRF, check_table, check_tables, load, names, read_table
from trifuse.srf_data.tables import format_table


def wide(table, shifts=None, wider=None, label="{}", unit=1.0, head="wavelength", step=1.0):
    """A table as users have them: one column of wavelengths, one of responses a band."""
    nm = np.arange(380, 2400, step)
    columns = []
    for band in table.bands:
        w, r = table.curve(band.name)
        about = band.centre + (w - band.centre) * (wider or {}).get(band.name, 1.0)
        columns.append(
            np.interp(nm, about + (shifts or {}).get(band.name, 0.0), r, left=0, right=0)
        )
    lines = [",".join([head, *(label.format(n) for n in table.bands.names)])]
    lines += [
        ",".join(f"{v:.6g}" for v in (x * unit, *row))
        for x, row in zip(nm, np.transpose(columns), strict=True)
    ]
    return "\n".join(lines) + "\n"


@pytest.fixture
def write(tmp_path):
    def _write(text, name="mine.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return _write


@pytest.mark.parametrize("name", names())
def test_our_own_tables_agree(name, write):
    path = write(format_table(load(name), as_gaussian=name == "ENMAP"))
    assert check_table(path) == []


@pytest.mark.parametrize("name", ["S2A_MSI", "S2B_MSI", "S2C_MSI", "L8_OLI", "L9_OLI"])
@pytest.mark.parametrize("sensor", [None, "given"])
def test_wide_tables_agree_with_the_sensor_they_are_of(name, sensor, write):
    assert check_table(write(wide(load(name))), sensor and name) == []


def test_a_table_from_before_2018_is_caught(write):
    """Issue 2.0 of the figures had S2A B1, B2 and B8 elsewhere, and narrower or wider."""
    old = wide(
        load("S2A_MSI"),
        shifts={"B1": 1.23, "B2": 3.83, "B8": 2.32},
        wider={"B1": 17.9 / 19.7, "B2": 54.1 / 64.3, "B8": 115.5 / 104.8},
        label="S2A_SR_AV_{}",
        head="SR_WL",
    )
    for sensor in (None, "S2A_MSI"):
        found = check_table(write(old), sensor)
        assert [(d.sensor, d.band.name) for d in found] == [
            ("S2A_MSI", "B1"),
            ("S2A_MSI", "B2"),
            ("S2A_MSI", "B8"),
        ]
        b2 = found[1]
        assert b2.band.centre == pytest.approx(496.5, abs=0.1)
        assert b2.published.centre == pytest.approx(492.7, abs=0.1)
        assert "S2A_MSI B2: centre 496.5 nm, published 492.7 (+3.8)" in str(b2)


@pytest.mark.parametrize(("shift", "caught"), [(0.8, False), (1.2, True), (-1.2, True)])
def test_centre_tolerance(shift, caught, write):
    found = check_table(write(wide(load("S2A_MSI"), shifts={"B5": shift}, step=0.2)), "S2A_MSI")
    assert [d.band.name for d in found] == (["B5"] if caught else [])


@pytest.mark.parametrize(("wider", "caught"), [(1.8, False), (2.2, True)])
def test_width_tolerance(wider, caught, write):
    scale = {"B4": 1 + wider / 30.609}
    found = check_table(write(wide(load("S2A_MSI"), wider=scale, step=0.2)), "S2A_MSI")
    assert [d.band.name for d in found] == (["B4"] if caught else [])


def test_tables_of_another_platform_are_caught(write):
    found = {d.band.name for d in check_table(write(wide(load("S2A_MSI"))), "S2B_MSI")}
    assert {"B6", "B7", "B12"} <= found and "B4" not in found
    found = check_table(write(wide(load("S3A_SLSTR"), step=0.1)), "S3B_SLSTR")
    assert next(d.band.name for d in found if abs(d.band.centre - d.published.centre) > 1.5) == "S1"


def test_the_sensor_is_told_from_the_name_of_the_file(write):
    path = write(wide(load("S2C_MSI"), shifts={"B2": 2.0}), "S2C-responses.csv")
    assert [(d.sensor, d.band.name) for d in check_table(path)] == [("S2C_MSI", "B2")]


def test_columns_that_are_no_band_are_named(write):
    text = wide(load("S2A_MSI")).replace("B12", "PAN", 1)
    (found,) = check_table(write(text), "S2A_MSI")
    assert str(found) == "PAN: not a band of S2A_MSI"


def test_unknown_columns_and_sensors(write):
    path = write(wide(load("S2A_MSI"), label="col{}x"))
    with pytest.raises(BandError, match=r"colB1x.*not named after bands of any sensor"):
        check_table(path)
    with pytest.raises(ConfigError, match="S2D_MSI"):
        check_table(path, "S2D_MSI")
    twice = write(wide(load("S2A_MSI")).replace("B12", "old_B2", 1))
    with pytest.raises(BandError, match="two columns stand for B2"):
        check_table(twice, "S2A_MSI")


class TestRead:
    table = load("S2A_MSI")

    def assert_same(self, path):
        read = read_table(path)
        assert isinstance(read, SensorSRF)
        assert read.bands.names == self.table.bands.names
        assert read.bands.centres == pytest.approx(self.table.bands.centres, abs=0.02)
        assert read.bands.fwhms == pytest.approx(self.table.bands.fwhms, abs=0.05)

    @pytest.mark.parametrize("head", ["wavelength", "wavelength_um", "Wavelength (µm)", "μm"])
    def test_micrometres(self, head, write):
        self.assert_same(write(wide(self.table, unit=1e-3, head=head)))

    @pytest.mark.parametrize("head", ["wavelength", "wl [nm]", "nanometers", "SR_WL"])
    def test_nanometres(self, head, write):
        self.assert_same(write(wide(self.table, head=head)))

    def test_unit_in_a_comment(self, write):
        self.assert_same(write("# unit: um\n" + wide(self.table, unit=1e-3)))

    @pytest.mark.parametrize("delimiter", [";", "\t", "  "])
    def test_delimiters(self, delimiter, write):
        self.assert_same(write(wide(self.table).replace(",", delimiter)))

    def test_decimal_commas(self, write):
        text = wide(self.table, step=0.5).replace(",", ";").replace(".", ",")
        self.assert_same(write(text))

    def test_empty_cells_and_latin_1(self, tmp_path):
        text = wide(self.table, unit=1e-3, head="µm").replace(",0,", ",,").replace(",0,", ",,")
        path = tmp_path / "mine.csv"
        path.write_bytes(text.encode("latin-1"))
        read = read_table(path)
        assert read.bands.centres == pytest.approx(self.table.bands.centres, abs=0.3)

    def test_byte_order_mark(self, tmp_path):
        path = tmp_path / "mine.csv"
        path.write_bytes(b"\xef\xbb\xbf" + wide(self.table).encode())
        self.assert_same(path)

    def test_units_that_cannot_be(self, write):
        with pytest.raises(MetadataError, match=r"wavelengths up to 2.399 nm cannot be"):
            read_table(write(wide(self.table, unit=1e-3, head="wavelength_nm")))
        with pytest.raises(MetadataError, match="µm cannot be"):
            read_table(write(wide(self.table, head="wavelength_um")))

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "no table"),
            ("a\n1\n2\n3\n4\n", "no table"),
            ("400,1\n401,2\n402,1\n403,1\n", "header"),
            ("nm,B1\n400,1\n401,x\n402,1\n", "row 3 is not 2 numbers"),
            ("nm,B1\n400,1\n401\n402,1\n", "row 3"),
            ("nm,B1\n400,1\n,1\n402,1\n", "row 3"),
        ],
    )
    def test_what_is_no_table(self, text, words, write):
        with pytest.raises(ProductError, match=words) as caught:
            read_table(write(text))
        assert "mine.csv" in str(caught.value) and "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("nm,B1\n400,1\n402,1\n401,1\n", "increase after 402"),
            ("nm,B1\n400,0\n401,0\n402,0\n", "column B1: the response is zero"),
            ("nm,B1,B1\n400,1,1\n401,1,1\n402,1,1\n", "two columns are named 'B1'"),
        ],
    )
    def test_what_is_no_curve(self, text, words, write):
        with pytest.raises(BandError, match=words):
            read_table(write(text))

    def test_files_that_are_no_text(self, tmp_path):
        with pytest.raises(ProductError, match="cannot be read"):
            read_table(tmp_path / "absent.csv")
        with pytest.raises(ProductError, match="cannot be read"):
            read_table(tmp_path)
        binary = tmp_path / "mine.xlsx"
        binary.write_bytes(b"PK\3\4\0\0")
        with pytest.raises(ProductError, match="is no text"):
            read_table(binary)


def workbook(path, tables, **options):
    """A workbook as ESA publishes it: an overview, then a sheet a satellite."""
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.title = "Overview"
    book.active.append(["Code:", None, "COPE-1"])
    for sensor in tables:
        sheet = book.create_sheet(f"Spectral Responses ({sensor})")
        text = wide(load(f"{sensor}_MSI"), label=f"{sensor}_SR_AV_{{}}", head="SR_WL", **options)
        header, *rows = text.splitlines()
        sheet.append(header.split(","))
        for row in rows:
            sheet.append([float(v) for v in row.split(",")])
    book.save(path)
    return path


def test_each_sheet_of_a_workbook_is_a_table(tmp_path):
    path = workbook(tmp_path / "S2-SRF.xlsx", ["S2A", "S2C"])
    checked = check_tables(path)
    assert [str(c) for c in checked] == [
        "Spectral Responses (S2A): agrees with S2A_MSI in all 13 bands",
        "Spectral Responses (S2C): agrees with S2C_MSI in all 13 bands",
    ]
    assert check_table(workbook(tmp_path / "old.xlsx", ["S2B"], shifts={"B8": 3.0})) != []


def test_a_workbook_of_a_sheet_a_band_is_one_table(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.title = "README"
    table = load("L9_OLI")
    for sheet, band in {"CoastalAerosol": "B1", "Blue": "B2", "SWIR2": "B7"}.items():
        page = book.create_sheet(sheet)
        page.append(["Wavelength", "BA RSR [watts]", "stdev(RSR)"])
        for w, r in zip(*table.curve(band), strict=True):
            page.append([float(w), float(r), 1e-5])
    book.save(tmp_path / "L9_OLI2.xlsx")
    (checked,) = check_tables(tmp_path / "L9_OLI2.xlsx", "L9_OLI")
    assert checked.agreeing == ("B1", "B2", "B7") and not checked.differences


def test_a_workbook_without_a_table(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    openpyxl.Workbook().save(tmp_path / "empty.xlsx")
    with pytest.raises(ProductError, match="no sheet is a response table"):
        check_tables(tmp_path / "empty.xlsx")
    (tmp_path / "text.xlsx").write_text("no workbook")
    with pytest.raises(ProductError, match="cannot be read"):
        check_tables(tmp_path / "text.xlsx")


@pytest.mark.parametrize(
    ("sensor", "label"), [("S2A_MSI", "Band {}"), ("S3A_OLCI", "band_{}"), ("L8_OLI", "{}")]
)
def test_bands_that_are_numbers_alone(sensor, label, write):
    text = wide(load(sensor))
    header, rest = text.split("\n", 1)
    first, *bands = header.split(",")
    numbers = [label.format(b.removeprefix("Oa").removeprefix("B")) for b in bands]
    (checked,) = check_tables(write(",".join([first, *numbers]) + "\n" + rest))
    assert (checked.sensor, checked.differences) == (sensor, ())
    assert checked.agreeing == load(sensor).bands.names
