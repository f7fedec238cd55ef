"""Pairs: cropped, nested, judged; and the fusion that heeds a shift."""

import logging
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from trifuse.core import PSF, BandSet, Cube, Grid, MemorySource, Window, degrade
from trifuse.core.errors import ConfigError, GridError, OverlapError
from trifuse.flows.evaluate import evaluate
from trifuse.flows.fuse import fuse
from trifuse.flows.match import match, other_instrument
from trifuse.fusion import fuse_cube
from trifuse.products import open_cube, write_cube, write_sentinel2_safe, write_syn
from trifuse.srf_data import S2_L2A, load

CELLS, MARGIN = 20, 3
START = datetime(2024, 6, 21, 10, 20, 31, tzinfo=UTC)
SYN = load("S3A_SYN").bands


def landscape(size, seed=0):
    """Sharp S2 (12, y, x) and true S3 (21, y, x) over one ground."""
    rng = np.random.default_rng(seed)
    fields = gaussian_filter(rng.standard_normal((4, size, size)), (0, 12, 12)).argmax(axis=0)
    light = 1 + 4 * gaussian_filter(rng.standard_normal((size, size)), 15)
    spectra = np.sort(rng.uniform(0.04, 0.4, (4, 12)), axis=1)
    s2 = spectra[fields].transpose(2, 0, 1) * light
    s2 += 0.02 * gaussian_filter(rng.standard_normal((12, size, size)), (0, 4, 4)) * 8
    mix = np.abs(rng.normal(0, 0.15, (21, 12)))
    truth = np.tensordot(mix / mix.sum(axis=1, keepdims=True), s2, 1)
    return np.clip(s2, 0.01, 0.9), np.clip(truth, 0.01, 0.9)


def cube(data, bands, grid, **meta):
    data = np.asarray(data, np.float32)
    return Cube(data, np.isfinite(data).all(axis=0), bands, grid, meta)


def views(ratio=10, shift=(0.0, 0.0), minutes=0.0, gsd=30):
    """S2, S3 and truth of CELLS × CELLS cells that lie ``shift`` cells beside their grid."""
    size = (CELLS + 2 * MARGIN) * ratio
    s2, truth = landscape(size)
    cells = degrade(truth, ratio, shift=(shift[0] * ratio, shift[1] * ratio))
    inner = slice(MARGIN * ratio, (MARGIN + CELLS) * ratio)
    grid = Grid.from_origin("EPSG:32633", 400000, 5800000, gsd, CELLS * ratio, CELLS * ratio)
    later = (START + timedelta(minutes=minutes)).isoformat()
    cells = cells[:, MARGIN : MARGIN + CELLS, MARGIN : MARGIN + CELLS]
    return (
        cube(
            s2[:, inner, inner],
            load("S2A_MSI").select(S2_L2A).bands,
            grid,
            start_time=START.isoformat(),
        ),
        cube(cells, SYN, grid.zoom_out(ratio), start_time=later),
        cube(truth[:, inner, inner], SYN, grid),
    )


class TestPairs:
    def test_a_good_pair_is_not_warned_of(self):
        s2, s3, _ = views(minutes=4)
        with match(s2, s3) as found:
            assert found.warnings == ()
            assert found.minutes == pytest.approx(4)
            assert (found.pair.ratio, found.pair.overlap) == (10, 1.0)
            assert found.hidden == (0.0, 0.0)
            assert found.psf(0.3) == PSF.from_mtf(0.3)
            assert found.to_json()["minutes_apart"] == pytest.approx(4)

    def test_time_and_clouds_are_warned_of_and_not_refused(self, caplog):
        s2, s3, _ = views(minutes=-25)
        s2.data[:, :100, :100] = np.nan
        s2.valid[:100, :100] = False
        with caplog.at_level(logging.WARNING), match(s2, s3) as found:
            assert found.hidden[0] == pytest.approx(0.25)
            assert len(found.warnings) == 2
        assert "25 minutes apart" in found.text and "25 % of the ground" in found.text
        assert "25 minutes apart" in caplog.text

    def test_without_times_nothing_is_claimed(self):
        s2, s3, _ = views()
        bare = Cube(s3.data, s3.valid, s3.bands, s3.grid)
        with match(s2, bare) as found:
            assert found.minutes is None and found.warnings == ()
            assert "unknown" in found.text

    def test_partial_overlap_is_told(self):
        s2, s3, _ = views()
        with match(s2, s3.crop(Window(0, 10, 20, 10))) as found:
            assert found.pair.overlap == pytest.approx(0.5)

    def test_crop_by_degrees_and_like(self):
        from rasterio.warp import transform_bounds

        s2, s3, _ = views()
        part = s2.crop(Window(30, 50, 100, 80))
        box = transform_bounds("EPSG:32633", "EPSG:4326", *part.grid.bounds)
        with match(s2, s3, like=part) as found:
            assert found.area == Window(30, 50, 100, 80)
            assert found.pair.grid == s2.grid  # all of it is learnt from: it is small
        with match(s2, s3, bbox=box) as found:
            touched = found.area
            # The box in degrees encloses the part; not much more.
            assert touched.row <= 30 and touched.col <= 50
            assert 100 <= touched.height <= 106 and 80 <= touched.width <= 86
            assert f"area of {touched.height}×{touched.width} pixels, learnt from 20×20 cells" in (
                found.text
            )
        other = cube(
            part.data,
            part.bands,
            Grid.from_origin("EPSG:4326", box[0], box[3], (box[3] - box[1]) / 100, 100, 80),
        )
        with match(s2, s3, like=other) as found:
            assert found.area.height == pytest.approx(102, abs=4)

    @pytest.mark.parametrize(
        ("bbox", "error"),
        [
            ((13, 52, 12, 51), ConfigError),
            ((0, 91, 1, 92), ConfigError),
            ((13, 52, 13, 53), ConfigError),
            ((float("nan"), 0, 1, 1), ConfigError),
            ((100, -20, 101, -19), OverlapError),
        ],
    )
    def test_areas_that_make_no_sense(self, bbox, error):
        s2, s3, _ = views()
        with pytest.raises(error):
            match(s2, s3, bbox=bbox)

    def test_two_areas_are_one_too_many(self):
        s2, s3, _ = views()
        with pytest.raises(ConfigError, match="both"):
            match(s2, s3, bbox=(12, 50, 16, 54), like=s2)

    def test_an_image_beside_the_lattice_is_refused(self):
        s2, s3, _ = views()
        a, b, c, d, e, f = s3.grid.transform
        beside = cube(s3.data, s3.bands, Grid(s3.grid.crs, (a, b, c + 12.0, d, e, f), 20, 20))
        with pytest.raises(GridError, match="whole number"):
            match(s2, beside)


class TestPlatforms:
    def test_the_tables_of_another_satellite_are_named_by_band(self):
        text = other_instrument(load("S3B_SYN").bands, SYN, "these are")
        assert "S1 (" in text and text.startswith("these are other response functions")
        assert other_instrument(SYN, SYN, "") == ""
        unknown = BandSet.of(SYN.names)
        assert other_instrument(unknown, SYN, "") == ""

    def test_weights_made_for_3a_are_warned_of_on_3b(self, caplog):
        import torch

        from trifuse.fusformer import Card, FusformerConfig, build_model
        from trifuse.fusion import Network

        s2, s3, _ = views()
        other = Cube(s3.data, s3.valid, load("S3B_SYN").bands, s3.grid)
        torch.manual_seed(0)
        config = FusformerConfig(12, 21, width=12, heads=3, encoder=1, decoder=1, mixer="dwconv")
        how = Network(build_model(config), Card(config, s2.bands, SYN))
        with caplog.at_level(logging.WARNING):
            done = fuse(s2, other, method=how, dry_run=True)
        assert "the network expects other response functions" in caplog.text
        assert "S1" in done.record["pair"]["instrument"][0]
        assert "warning" in done.text
        assert fuse(s2, s3, method=how, dry_run=True).record["pair"]["instrument"] == []


class TestShift:
    def errors(self, truth, done):
        difference = (done.cube.data - truth.data)[:, 30:-30, 30:-30]
        return float(np.sqrt(np.nanmean(difference**2)))

    def test_a_shift_is_found_reported_and_undone(self):
        s2, s3, truth = views(shift=(0.4, -0.7))
        plain = self.errors(truth, fuse(*views()[:2], coregister="off"))
        off = fuse(s2, s3, coregister="off")
        auto = fuse(s2, s3)
        given = fuse(s2, s3, coregister=(-0.7 * 300, -0.4 * 300))
        assert self.errors(truth, off) > max(2 * plain, 1e-3)
        # A tenth of what a stored count resolves: below that nothing is to be told apart.
        assert self.errors(truth, auto) < max(1.2 * plain, 1e-5)
        assert self.errors(truth, given) < max(1.2 * plain, 1e-5)
        told = auto.record["registration"]
        assert told["shift_metres"]["east"] == pytest.approx(-210, abs=6)
        assert told["shift_metres"]["north"] == pytest.approx(-120, abs=6)
        assert "moved -2" in auto.text
        assert off.record["registration"]["mode"] == "off"
        assert auto.selfcheck.rmse < 0.3 * off.selfcheck.rmse

    def test_without_a_shift_the_result_is_the_same_to_the_bit(self):
        s2, s3, _ = views()
        auto, off = fuse(s2, s3), fuse(s2, s3, coregister="off")
        np.testing.assert_array_equal(auto.cube.data, off.cube.data)
        assert auto.record["registration"]["significant"] is False
        assert "no significant shift" in auto.text

    @pytest.mark.parametrize("bad", [(5000, 0), (float("nan"), 0), "maybe"])
    def test_shifts_that_make_no_sense(self, bad):
        s2, s3, _ = views()
        with pytest.raises(ConfigError):
            fuse(s2, s3, coregister=bad)

    def test_evaluate_looks_where_the_cells_lie(self, tmp_path):
        s2, s3, _ = views(shift=(0.0, 0.5))
        done = fuse(s2, s3, tmp_path / "f.tif", dtype="float32", quicklook=False)
        again = evaluate(tmp_path / "f.tif", s3=s3)
        assert again.selfcheck.rmse == pytest.approx(done.selfcheck.rmse, rel=0.02)


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    """A .SAFE of 10 m and a .SEN3 whose places are 0.4 cells off."""
    ratio, folder = 30, tmp_path_factory.mktemp("products")
    s2, s3, truth = views(ratio, shift=(0.0, 0.4), gsd=10)
    safe = write_sentinel2_safe(folder, s2, start=START)
    sen3 = write_syn(folder, s3, start=START + timedelta(minutes=3))
    return safe, sen3, truth


class TestProducts:
    @pytest.mark.slow
    def test_from_safe_and_sen3_to_a_product(self, products, tmp_path):
        from rio_cogeo.cogeo import cog_validate

        safe, sen3, truth = products
        done = fuse(safe, sen3, tmp_path / "fused.tif")
        valid, errors, _ = cog_validate(tmp_path / "fused.tif")
        assert valid, errors
        record = done.record
        assert record["ratio"] == 30 and len(record["bands"]) == 21
        assert record["pair"]["minutes_apart"] == pytest.approx(3, abs=0.1)
        assert record["inputs"]["s2"]["sensor"] == "S2A_MSI"
        assert record["inputs"]["s3"]["srf_issue"]
        assert record["inputs"]["s2"]["calibration"]["offset"] == pytest.approx(-0.1)
        members = record["inputs"]["s3"]["files"][0]["members"]
        assert len(members) > 20 and all(len(m["sha256"]) == 64 for m in members)
        # What is written agrees with the truth, bright and dark, where S3 sees all of it.
        with open_cube(tmp_path / "fused.tif") as source:
            fused = source.read()
        assert fused.grid == truth.grid
        inside = np.s_[:, 90:-90, 90:-90]
        off = (fused.masked() - truth.data)[inside]
        assert np.isfinite(off).all()
        assert float(np.sqrt(np.mean(off**2))) < 0.15 * float(truth.data[inside].std())
        told = record["registration"]
        assert told["significant"]
        assert told["shift_metres"]["east"] == pytest.approx(120, abs=15)
        # The swath's gridding widens the PSF, and is counted.
        assert record["psf_sigma_cells"] > PSF.from_mtf(0.3).sigma

    def test_an_area_of_both(self, products):
        safe, sen3, _ = products
        with open_cube(safe) as source:
            part = source.grid.window(Window(61, 95, 300, 330))
        inner = cube(np.zeros((1, 300, 330)), BandSet.of(["x"]), part)
        with match(safe, sen3, like=inner) as found:
            assert found.area == Window(61, 95, 300, 330)
            assert found.pair.s3_window.shape == (20, 20)
            assert found.s3.grid.transform[2] == 400000  # cells as of the whole image

    def test_a_swath_is_scored_on_the_cells_it_was_fused_on(self, products, tmp_path):
        """Neither the swath's own lattice nor the one that starts at S2's corner."""
        safe, sen3, _ = products
        with open_cube(safe) as source:
            part = source.grid.window(Window(61, 95, 360, 390))
        inner = cube(np.zeros((1, 360, 390)), BandSet.of(["x"]), part)
        with match(safe, sen3, like=inner) as found:
            cells = found.s3.read()
        out = tmp_path / "fused.tif"
        done = fuse(safe, sen3, out, like=inner, method="regression", dtype="float32")
        by_product, by_cells = (evaluate(out, s3=s3) for s3 in (sen3, cells))
        assert by_product.record == by_cells.record
        assert by_product.record["ratio"] == 30
        # The fusion has seen the cells at the area's edge whole, the evaluation in part.
        assert (done.selfcheck.of, by_product.selfcheck.of) == (13 * 14, 11 * 12)
        assert 0 < done.selfcheck.rmse < by_product.selfcheck.rmse < 0.003

    def test_where_nothing_is_fused_baselines_see_cells_nested_in_s2(self, products):
        safe, sen3, truth = products
        with open_cube(safe) as source:
            sharp = source.read(Window(61, 95, 150, 180))
        with match(sharp, sen3) as found:
            cells, psf = found.s3.read(), found.psf(0.3)
        options = {"truth": truth, "s2": sharp, "baselines": ["regression"]}
        by_product, by_cells = (evaluate(s3=s3, **options) for s3 in (sen3, cells))
        assert by_product.record == by_cells.record and by_product.record["ratio"] == 30
        made = fuse_cube(MemorySource(sharp), MemorySource(cells), psf=psf)[0]
        expected = evaluate(made, truth=truth).scores["regression"]
        assert by_product.scores["regression"].psnr == pytest.approx(expected.psnr)

    def test_an_area_below_one_cell(self, products):
        """Learnt from the cells around it; what is no cell at all is refused."""
        safe, sen3, _ = products
        with open_cube(safe) as source:
            small = cube(
                np.zeros((1, 20, 20)), BandSet.of(["x"]), source.grid.window(Window(0, 0, 20, 20))
            )
        done = fuse(safe, sen3, like=small, method="regression")
        assert done.cube.grid == small.grid and done.cube.valid.all()
        assert done.selfcheck.of == 1
        with open_cube(safe) as source, pytest.raises(OverlapError, match="less than one cell"):
            match(source.read(Window(0, 0, 20, 20)), sen3)

    def test_pixels_that_make_no_cells(self, products, tmp_path):
        _, sen3, _ = products
        odd = Grid.from_origin("EPSG:32633", 400000, 5800000, 130, 40, 40)
        write_cube(
            tmp_path / "s2.tif",
            cube(np.full((3, 40, 40), 0.2), BandSet.of(["B2", "B3", "B4"]), odd),
        )
        with pytest.raises(GridError, match="300 m"):
            match(tmp_path / "s2.tif", sen3)
