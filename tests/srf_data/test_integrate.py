import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import trapezoid

from trifuse.core import BandError, BandSet, ConfigError, DataError
from trifuse.srf_data import (
    S2_L2A,
    S3_SYN_19,
    SensorSRF,
    area,
    gaussian,
    infer_detectors,
    integrate,
    load,
)

ENMAP = load("ENMAP").bands
ALIVE = [not 130 <= number <= 135 for number in range(1, 225)]
TARGETS = st.sampled_from(["S2A_MSI", "S2C_MSI", "S3A_SYN", "S3B_SYN", "L8_OLI"])


def one(centre, width=5.0):
    return SensorSRF.of("one", {"b": gaussian(centre, width)})


def regular(first, last, step, width=None):
    centres = np.arange(first, last + step / 2, step)
    return BandSet.of(
        [f"x{i}" for i in range(len(centres))], centres, [width or step] * len(centres)
    )


@pytest.mark.parametrize(
    ("name", "made", "dropped"),
    [
        ("S2A_MSI", S2_L2A, ("B10",)),
        ("S2B_MSI", S2_L2A, ("B10",)),
        ("S2C_MSI", S2_L2A, ("B10",)),
        ("S3A_SYN", S3_SYN_19, ("Oa01", "Oa02")),
        ("S3B_SYN", S3_SYN_19, ("Oa01", "Oa02")),
    ],
)
def test_what_enmap_can_make(name, made, dropped):
    operator = integrate(load(name), ENMAP, usable=ALIVE)
    assert operator.bands.names == made
    assert operator.dropped == dropped
    assert set(operator.coverage) == set(load(name).bands.names)
    assert operator.matrix.shape == (len(made), 224)
    assert operator.matrix.dtype == np.float64
    assert not operator.matrix[:, 129:135].any()


def test_cirrus_can_be_made_where_its_bands_live():
    assert "B10" in integrate(load("S2A_MSI"), ENMAP).bands.names


def test_coverage_below_the_first_band():
    share = integrate(load("S3A_SYN"), ENMAP, usable=ALIVE).coverage
    assert share["Oa01"] == 0
    assert 0.05 < share["Oa02"] <= 0.21
    assert integrate(load("S3A_SLSTR"), ENMAP, usable=ALIVE).coverage["S4"] < 0.05


@pytest.mark.parametrize("asked", ["all", ["B2", "B10"], "B10"])
def test_what_cannot_be_made_is_listed_with_shares(asked):
    with pytest.raises(BandError, match=r"S2A_MSI.*less than 95 %: B10 0\.\d %"):
        integrate(load("S2A_MSI"), ENMAP, usable=ALIVE, bands=asked)


def test_auto_fails_if_nothing_is_left():
    with pytest.raises(BandError, match=r"S5 0.0 %, S6 0.0 %"):
        integrate(load("S3A_SLSTR").select(["S5", "S6"]), regular(400, 900, 5))


def test_bands_by_name_keep_their_order():
    operator = integrate(load("S2A_MSI"), ENMAP, usable=ALIVE, bands=["B8A", "B04"])
    assert operator.bands.names == ("B8A", "B4")
    assert operator.dropped == ()


@given(TARGETS, st.sampled_from(["vnir", "swir", "all"]), st.floats(910, 990))
@settings(max_examples=20, deadline=None)
def test_rows_sum_to_one_and_constants_stay(name, overlap, split):
    operator = integrate(load(name), ENMAP, usable=ALIVE, overlap=overlap, split_nm=split)
    np.testing.assert_allclose(operator.matrix.sum(axis=1), 1, atol=1e-12)
    assert (operator.matrix >= 0).all()
    made = operator.apply(np.full((224, 3), 0.3, np.float32))
    np.testing.assert_allclose(made, 0.3, rtol=1e-6)


@given(TARGETS, st.floats(-1e-3, 1e-3), st.floats(0, 1))
@settings(max_examples=20, deadline=None)
def test_a_linear_spectrum_gives_its_value_at_the_centroid(name, slope, offset):
    operator = integrate(load(name), ENMAP, usable=ALIVE)
    spectrum = offset + slope * np.array(ENMAP.centres)
    inside = [i for i, b in enumerate(operator.bands) if load(name).curve(b.name)[0][0] > 419]
    expected = offset + slope * np.array(operator.bands.centres)
    np.testing.assert_allclose((operator.matrix @ spectrum)[inside], expected[inside], atol=1e-9)


@given(st.randoms(use_true_random=False), TARGETS)
@settings(max_examples=20, deadline=None)
def test_order_of_the_source_does_not_matter(random, name):
    detectors = infer_detectors(ENMAP.centres)
    order = list(range(224))
    random.shuffle(order)
    straight = integrate(load(name), ENMAP, usable=ALIVE, detectors=detectors)
    shuffled = integrate(
        load(name),
        ENMAP.select(order),
        usable=[ALIVE[i] for i in order],
        detectors=[detectors[i] for i in order],
    )
    np.testing.assert_array_equal(shuffled.matrix, straight.matrix[:, order])
    assert shuffled.coverage == straight.coverage


@given(st.lists(st.floats(0, 1), min_size=41, max_size=41), st.floats(520, 780), st.floats(1, 60))
@settings(max_examples=40, deadline=None)
def test_weights_are_the_integral_over_the_interpolated_spectrum(values, centre, width):
    source, srf = regular(450, 850, 10), one(centre, width)
    made = integrate(srf, source, min_coverage=0.5).matrix @ values
    w, s = srf.curve("b")
    fine = np.linspace(w[0], w[-1], 100_001)
    there = (fine >= 445) & (fine <= 855)
    weight = np.interp(fine, w, s) * there
    spectrum = np.interp(fine, source.centres, values)
    assert made[0] == pytest.approx(np.sum(weight * spectrum) / np.sum(weight), abs=2e-4)


@given(st.sets(st.integers(0, 223), max_size=12))
@settings(max_examples=25, deadline=None)
def test_dead_bands_have_no_weight_and_the_rest_is_renormalised(dead):
    usable = [i not in dead for i in range(224)]
    operator = integrate(load("S3A_SYN"), ENMAP, usable=usable)
    assert not operator.matrix[:, sorted(dead)].any()
    np.testing.assert_allclose(operator.matrix.sum(axis=1), 1, atol=1e-12)
    whole = integrate(load("S3A_SYN"), ENMAP)
    assert all(operator.coverage[k] <= v + 1e-12 for k, v in whole.coverage.items())


def test_narrow_bands_between_the_centres_have_weight():
    names = ["Oa13", "Oa14", "Oa15"]
    operator = integrate(load("S3A_OLCI"), ENMAP, usable=ALIVE, bands=names)
    assert ((operator.matrix > 0).sum(axis=1) >= 2).all()
    # Taken at the centres alone, Oa13 would have next to none.
    w, s = load("S3A_OLCI").curve("Oa13")
    assert np.interp(ENMAP.centres, w, s, left=0, right=0).max() < 0.5


def test_one_missing_band_is_bridged_and_two_make_a_gap():
    source = regular(400, 900, 10)
    at = source.centres.index(600)
    usable = [i != at for i in range(len(source))]
    bridged = integrate(one(600), source, usable=usable)
    assert bridged.coverage["b"] == pytest.approx(1)
    assert bridged.matrix[0, [at - 1, at + 1]] == pytest.approx([0.5, 0.5])
    usable[at + 1] = False
    with pytest.raises(BandError, match=r"b 0.0 %"):
        integrate(one(605), source, usable=usable)


def test_a_gap_is_covered_for_half_a_width_on_either_side():
    source = BandSet.of("abcd", [500, 510, 560, 570], [10] * 4)
    srf = one(515, 20)
    operator = integrate(srf, source, min_coverage=0.1)
    w, s = srf.curve("b")
    fine = np.linspace(495, 555, 60_001)
    value = np.interp(fine, w, s)
    inside = (fine <= 515) | (fine >= 555)
    share = trapezoid(value * inside, fine) / area((w, s))
    assert operator.coverage["b"] == pytest.approx(share, abs=1e-4)
    assert not operator.matrix[0, 2:].any()
    assert operator.matrix[0, 1] > operator.matrix[0, 0] > 0


def test_width_comes_from_the_sampling_where_it_is_unknown():
    known = regular(400, 900, 10)
    unknown = BandSet.of(known.names, known.centres)
    for centre in (397, 600, 899):
        pair = [integrate(one(centre), s, min_coverage=0.01) for s in (known, unknown)]
        np.testing.assert_allclose(pair[0].matrix, pair[1].matrix)
        assert pair[0].coverage == pair[1].coverage


class TestOverlap:
    detectors = np.array(infer_detectors(ENMAP.centres))
    centres = np.array(ENMAP.centres)

    def used(self, nm, **options):
        operator = integrate(one(nm), ENMAP, usable=ALIVE, **options)
        return {str(d) for d in self.detectors[list(operator.used)]}

    def test_detectors_are_told_from_the_one_descent(self):
        assert (self.detectors == "VNIR").sum() == 91
        assert set(infer_detectors([400, 500, 600])) == {"VNIR"}
        assert set(infer_detectors([600, 500, 400])) == {"VNIR"}

    def test_default_splits_at_955(self):
        assert self.used(925) == {"VNIR"}
        assert self.used(985) == {"SWIR"}
        assert self.used(955) == {"VNIR", "SWIR"}

    def test_swir_throughout(self):
        assert self.used(940, overlap="swir") == {"SWIR"}
        assert self.used(870, overlap="swir") == {"VNIR"}

    def test_all_interleaves(self):
        assert self.used(940, overlap="all") == {"VNIR", "SWIR"}

    def test_split_moves(self):
        assert self.used(965, split_nm=1000) == {"VNIR"}

    def test_nothing_is_cut_that_the_other_cannot_replace(self):
        alive = np.array(ALIVE) & ~((self.detectors == "SWIR") & (self.centres < 985))
        operator = integrate(one(970, 10), ENMAP, usable=alive.tolist())
        assert operator.coverage["b"] == pytest.approx(1)

    def test_equal_centres_do_not_break(self):
        source = BandSet.of("abcd", [500, 510, 510, 520], [10] * 4)
        operator = integrate(one(510, 10), source, min_coverage=0.5)
        np.testing.assert_allclose(operator.matrix[0, 1], operator.matrix[0, 2])
        np.testing.assert_allclose(operator.matrix.sum(), 1)


class TestApply:
    operator = integrate(load("S2A_MSI"), ENMAP, usable=ALIVE)

    def test_unusable_bands_may_be_nan(self):
        data = np.full((224, 2, 3), 0.5, np.float32)
        data[129:135] = np.nan
        made = self.operator.apply(data)
        assert made.shape == (12, 2, 3) and made.dtype == np.float32
        np.testing.assert_allclose(made, 0.5, rtol=1e-6)

    @given(st.integers(0, 223), st.integers(0, 4))
    @settings(max_examples=30, deadline=None)
    def test_a_missing_value_touches_only_the_bands_that_draw_on_it(self, band, pixel):
        data = np.linspace(0.1, 0.6, 224 * 5, dtype=np.float32).reshape(224, 5)
        whole = self.operator.apply(data)
        data[band, pixel] = np.nan
        made = self.operator.apply(data)
        draws = self.operator.matrix[:, band] != 0
        np.testing.assert_array_equal(np.isnan(made[:, pixel]), draws)
        np.testing.assert_allclose(made[~draws], whole[~draws], rtol=1e-6)
        others = np.arange(5) != pixel
        np.testing.assert_array_equal(made[:, others], whole[:, others])

    def test_other_band_counts_are_refused(self):
        with pytest.raises(DataError, match=r"200 bands.*224"):
            self.operator.apply(np.zeros((200, 4)))

    def test_matrix_is_read_only(self):
        with pytest.raises(ValueError, match="read-only"):
            self.operator.matrix[0, 0] = 1


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"overlap": "both"}, ConfigError),
        ({"min_coverage": 0.0}, ConfigError),
        ({"min_coverage": 1.5}, ConfigError),
        ({"usable": [True]}, BandError),
        ({"usable": [False] * 224}, BandError),
        ({"detectors": ["VNIR"]}, BandError),
        ({"bands": ["B99"]}, BandError),
    ],
)
def test_bad_options(options, error):
    with pytest.raises(error):
        integrate(load("S2A_MSI"), ENMAP, **options)


def test_sources_without_wavelengths_are_refused():
    with pytest.raises(BandError, match="no bands with known wavelengths"):
        integrate(load("S2A_MSI"), BandSet.of(["a", "b"]))
    with pytest.raises(BandError, match="1 usable bands have no wavelength"):
        integrate(load("S2A_MSI"), BandSet.of("ab", [500, np.nan]), usable=[True, True])


MEDIANS = {
    "S2A_MSI": (S2_L2A, [.038, .047, .068, .063, .099, .211, .245, .252, .259, .267, .186, .121]),
    "S3A_SYN": (S3_SYN_19, [.038, .045, .049, .069, .069, .065, .063, .062, .062, .064, .111,
                            .236, .244, .259, .259, .259, .279, .187, .117]),
}  # fmt: skip
"""Figures of an independent computation, over the first 60×120 pixels of the block."""


@pytest.fixture(scope="module")
def scene(data_dir):
    """The real block: (224, 64, 128) reflectance, its bands, and which of them hold values."""
    rasterio = pytest.importorskip("rasterio")
    data = np.empty((224, 64, 128), np.float32)
    for path in (data_dir / "1_enmap/potsdam_L2A_real/tiles").glob("*.tif"):
        with rasterio.open(path) as file:
            row = round((5807085 - file.transform.f) / 30)
            col = round((file.transform.c - 365055) / 30)
            data[:, row : row + 32, col : col + 32] = file.read()
            tags = [file.tags(i) for i in file.indexes]
    bands = BandSet.of(
        [f"E{i:03d}" for i in range(1, 225)],
        [float(t["wavelength"]) for t in tags],
        [float(t["fwhm"]) for t in tags],
    )
    data = np.where(data == -32768, np.float32(np.nan), data * np.float32(1e-4))
    return data, bands, (~np.isnan(data).all(axis=(1, 2))).tolist()


class TestPotsdam:
    def test_dead_bands(self, scene):
        data, _, usable = scene
        assert usable == ALIVE
        assert np.isfinite(data[usable]).all()

    @pytest.mark.parametrize("name", MEDIANS)
    def test_bands_and_medians(self, scene, name):
        data, bands, usable = scene
        names, medians = MEDIANS[name]
        operator = integrate(load(name), bands, usable=usable)
        assert operator.bands.names == names
        made = operator.apply(data[:, :60, :120])
        assert np.isfinite(made).all()
        np.testing.assert_allclose(np.median(made, axis=(1, 2)), medians, atol=0.0006)

    def test_share_of_oa02(self, scene):
        _, bands, usable = scene
        coverage = integrate(load("S3A_SYN"), bands, usable=usable).coverage
        assert coverage["Oa01"] == 0
        assert 0.15 < coverage["Oa02"] < 0.21

    def test_the_choice_of_detector_shows_in_b9_but_does_no_harm(self, scene):
        data, bands, usable = scene
        made = [
            integrate(load("S2A_MSI"), bands, usable=usable, overlap=o, bands=["B9"]).apply(data)
            for o in ("vnir", "swir", "all")
        ]
        for other in made[1:]:
            assert 1e-4 < np.abs(np.median(other - made[0])) < 0.02
