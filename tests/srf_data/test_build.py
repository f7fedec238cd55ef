import shutil

import numpy as np
import pytest

from trifuse.core import BandError, ProductError
from trifuse.srf_data import build as room
from trifuse.srf_data import fwhm, names
from trifuse.srf_data.build import build, main, retabulate


def test_the_published_files_give_the_tables_of_the_package(data_dir, repository, tmp_path):
    pytest.importorskip("openpyxl")
    written = build(data_dir / "2_srf", tmp_path)
    assert {p.stem for p in written} == {n for n in names() if not n.endswith("SYN")}
    for path in written:
        assert path.read_bytes() == (repository / "srf_data" / path.name).read_bytes(), path.name


def test_a_missing_source_is_one_line(tmp_path, capsys):
    pytest.importorskip("openpyxl")
    assert main([str(tmp_path), "-o", str(tmp_path / "out")]) == ProductError.exit_code
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "0 files match" in message
    assert not (tmp_path / "out").exists()


def test_a_source_that_is_there_twice_is_refused(tmp_path):
    for folder in "ab":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "S3A_OL_SRF_1_mean_rsr.nc4").write_bytes(b"")
    with pytest.raises(ProductError, match="2 files match S3A_OL_SRF"):
        next(room._olci(tmp_path))


def test_damaged_sources_name_the_file(tmp_path):
    pytest.importorskip("openpyxl")
    (tmp_path / "S3A_OL_SRF_1_mean_rsr.nc4").write_bytes(b"\x89HDF, not really")
    with pytest.raises(ProductError, match=r"S3A_OL_SRF_1_mean_rsr.nc4: cannot be read"):
        next(room._olci(tmp_path))
    (tmp_path / "Ball_BA_RSR.xlsx").write_bytes(b"PK")
    with pytest.raises(ProductError, match=r"Ball_BA_RSR.xlsx: cannot be read"):
        next(room._oli(tmp_path))


def test_truncated_workbook(data_dir, tmp_path):
    pytest.importorskip("openpyxl")
    copy = tmp_path / "EnMAP_Spectral_Bands_update.xlsx"
    shutil.copy(data_dir / "2_srf" / "enmap" / copy.name, copy)
    copy.chmod(0o600)
    copy.write_bytes(copy.read_bytes()[:9000])
    with pytest.raises(ProductError, match="cannot be read"):
        room._enmap(tmp_path)


def test_retabulation_scales_and_trims():
    w = np.arange(400.0, 600.0)
    r = 5 * np.exp(-(((w - 500.3) / 12) ** 2)) - 1e-6
    curve = retabulate(w, r, where="mine")
    assert 0.99 < curve[1].max() <= 1
    assert 450 < curve[0][0] and curve[0][-1] < 550
    assert curve[0][1] - curve[0][0] == pytest.approx(0.2)
    assert fwhm(curve) == pytest.approx(2 * 12 * np.sqrt(np.log(2)), abs=0.1)


def test_retabulation_refuses_what_it_cannot_hold():
    # A spike that falls between the samples of the finest step: half the peak is lost with it.
    w = np.array([500.0, 500.0001, 500.009, 500.01, 500.011, 505, 510.0])
    with pytest.raises(BandError, match=r"mine B1: even at 0.02 nm"):
        retabulate(w, np.array([0, 0.3, 0.3, 1, 0.3, 0.3, 0]), where="mine B1")
