"""How an image was sampled: found, told wrongly, given; on lattices, on none, or only blurred."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from trifuse.core import ConfigError, Cube, Grid, MemorySource
from trifuse.core.kernels import kernel_of
from trifuse.core.native import native_view
from trifuse.flows.inspect import sampling_facts
from trifuse.flows.sharpen import sharpen
from trifuse.restore.agreed import agreed
from trifuse.restore.sample_noise import kernel_response
from trifuse.restore.scene_sampling import parse_sampling, scene_sampling
from trifuse.restore.sharpness_check import learn
from trifuse.restore.view import LocallyRestoredSource
from trifuse.simulate import procedural_scene, scene_views

RATIOS = (6, 1, 1, 1, 2, 2, 2, 1, 2, 6, 2, 2)
COARSE = [i for i, r in enumerate(RATIOS) if r > 1]


@pytest.fixture(scope="module")
def views():
    """Of both sensors, all bands sharp: 96×120 pixels."""
    s2, _, _ = scene_views(MemorySource(procedural_scene(120, 905)), ratio=1)
    return s2


def stack(views, data, noise=0.001, **meta):
    rng = np.random.default_rng(0)
    data = data + noise * rng.standard_normal(data.shape)
    data = (np.round(data * 1e4) / 1e4).astype(np.float32)
    grid = Grid.from_origin("EPSG:32633", 366000.0, 5810010.0, 10.0, *data.shape[1:])
    meta = {"quantity": "reflectance", **meta}
    return Cube(data, np.isfinite(data).all(axis=0), views.bands, grid, meta)


def of(*args, **meta):
    return MemorySource(stack(*args, **meta))


def laid(views, kernel, ratios=RATIOS, cut=(0, 0)):
    data = native_view(views.masked()[:, :96].astype(np.float64), ratios, 0.3, kernel)
    return data[:, cut[0] :, cut[1] :]


def turned(views):
    """All bands straight from their native pixels onto a grid that is turned by a degree."""
    from affine import Affine
    from rasterio.warp import Resampling, reproject

    from trifuse.core.native import native_axis

    out = []
    where = Affine(10, 0, 0, 0, -10, 0) @ Affine.rotation(1.1, pivot=(60, 50))
    for plane, ratio in zip(views.masked()[:, :96].astype(np.float64), RATIOS, strict=True):
        if ratio > 1:
            down = [native_axis(n, ratio)[0] for n in plane.shape]
            plane = np.ascontiguousarray((down[1] @ (down[0] @ plane).T).T)
        target = np.full((96, 120), np.nan)
        reproject(
            plane,
            target,
            src_transform=Affine(10 * ratio, 0, 0, 0, -10 * ratio, 0),
            dst_transform=where,
            src_crs="EPSG:32633",
            dst_crs="EPSG:32633",
            resampling=Resampling.cubic,
            src_nodata=np.nan,
            dst_nodata=np.nan,
        )
        out.append(target[6:-6, 6:-6])
    return np.array(out)


def error(made, truth):
    return np.sqrt(np.mean((made - truth) ** 2, axis=(1, 2)))


def test_a_warped_stack_is_said_and_treated_by_its_blur(views):
    image = stack(views, turned(views))
    found = scene_sampling(MemorySource(image))
    assert found.sharpness.laid == "warped"
    assert found.sharpness.ratio == RATIOS
    assert all("no whole pixels" in line for line in found.lines)
    facts = sampling_facts(MemorySource(image))
    assert [f["warped"] for f in facts["found"]] == [False, True, True]


def test_samples_of_three_pixels_may_be_warped_too(views):
    """Their blocks may be odd."""
    ratios = tuple(3 if r > 1 else 1 for r in RATIOS)
    image = of(views, laid(views, "cubic", ratios)[:, :93, :117])
    sharpness = replace(scene_sampling(image).sharpness, laid="warped")
    made = LocallyRestoredSource(image, *learn(image, sharpness, checked=True)[:2], device="cpu")
    truth = views.masked()[COARSE, :93, :117]
    assert (error(made.read().data[COARSE], truth) < error(image.read().data[COARSE], truth)).all()


def test_a_blur_without_samples_is_found_and_can_be_given(views):
    sharp = views.masked()[:, :96].astype(np.float64)
    blurred = np.stack(
        [gaussian_filter(p, 0.5 * r) if r > 1 else p for p, r in zip(sharp, RATIOS, strict=True)]
    )
    image = stack(views, blurred)
    raw = error(image.data, sharp)[COARSE]
    by_itself = sharpen(image)
    assert "give --blur auto" in by_itself.text
    found = error(by_itself.cube.data, sharp)[COARSE]
    given = sharpen(image, sharpness="blur:1.18")
    known = error(given.cube.data, sharp)[COARSE]
    assert (found < 0.9 * raw).all()
    assert (known < 0.6 * raw).all()
    looked_for = error(sharpen(image, sharpness="blur:auto").cube.data, sharp)[COARSE]
    np.testing.assert_allclose(looked_for, known, rtol=0.1)
    assert np.log(known).mean() < np.log(found).mean()
    assert "never sampled, as given" in given.text


@pytest.mark.parametrize("text", ["blur:", "blur:wide", "blur:0.1", "blur:9", "blur:nan"])
def test_blurs_that_cannot_be_are_refused(text):
    with pytest.raises(ConfigError, match="native pixels"):
        parse_sampling(text)


def test_metadata_that_the_pixels_contradict_are_not_believed(views):
    names = views.bands.names
    meta = {
        "native_gsd": {n: 10.0 * r for n, r in zip(names, RATIOS, strict=True)},
        "native_origin": [0, 0],
        "upsampling": "bicubic",
    }
    right = stack(views, laid(views, "bicubic"), **meta)
    wrong = stack(views, laid(views, "nearest", cut=(3, 1)), **meta)
    done = {}
    for name, image in (("right", right), ("wrong", wrong)):
        done[name] = agreed(MemorySource(image), scene_sampling(MemorySource(image)))
    assert done["right"].sampled.lines == ()
    assert done["right"].sharpness.upsampling == "bicubic"
    assert done["wrong"].sharpness.upsampling == "nearest"
    assert done["wrong"].sharpness.origin == (3, 5)
    assert "metadata tell" in done["wrong"].sampled.lines[0]
    assert any("metadata tell" in line for line in sampling_facts(MemorySource(wrong))["lines"])
    assert not any("metadata tell" in line for line in sampling_facts(MemorySource(right))["lines"])


def test_what_a_user_gives_is_kept_and_the_contradiction_said(views):
    image = stack(views, laid(views, "nearest"))
    sampled = scene_sampling(MemorySource(image), "1:2:6@1,1:bicubic")
    known = agreed(MemorySource(image), sampled)
    assert (known.sharpness.origin, known.sharpness.upsampling) == ((1, 1), "bicubic")
    assert known.sharpness.ratio == RATIOS
    assert any("restored as given" in w or "as taken" in w for w in known.check.warnings())


def test_kernels_of_two_groups_may_differ(views):
    data = laid(views, "lanczos")
    sixty = [i for i, r in enumerate(RATIOS) if r == 6]
    data[sixty] = laid(views, "nearest")[sixty]
    found = scene_sampling(of(views, data)).sharpness
    assert (found.kernel(2), found.kernel(6)) == ("lanczos", "nearest")


def test_where_kernels_have_the_same_range_the_safer_is_taken(views):
    few = [i for i, r in enumerate(RATIOS) if r < 6]
    for kernel in ("bilinear", "cubic"):
        image = stack(views, laid(views, kernel)).select([views.bands.names[i] for i in few])
        found = scene_sampling(MemorySource(image))
        assert {"bilinear", "cubic"} <= {found.blurred[0].kernel, *found.blurred[0].alike}
        assert found.sharpness.upsampling == "cubic"


def test_a_band_that_is_sharp_in_a_blurred_group_is_found_apart(views):
    ratios = tuple(1 if i == 10 else r for i, r in enumerate(RATIOS))
    found = scene_sampling(of(views, laid(views, "bilinear", ratios))).sharpness
    assert found.ratio == ratios


def test_bands_of_one_group_that_start_apart_are_treated_by_their_blur(views):
    data = laid(views, "bilinear", cut=(0, 0))
    moved = laid(views, "bilinear", cut=(1, 1))
    data = data[:, :95, :119]
    data[[4, 5, 6]] = moved[[4, 5, 6]]
    found = scene_sampling(of(views, data))
    assert found.sharpness.laid == "warped"
    assert "laid unlike" in found.lines[0]


def test_bands_averaged_onto_a_coarser_grid_are_its_sharp_ones(views):
    """A stack of 20 m: 10 m bands averaged, 20 m bands as they are, 60 m bands interpolated."""
    sharp = views.masked()[:, :96, :].astype(np.float64)
    data = sharp.reshape(12, 48, 2, 60, 2).mean(axis=(2, 4))
    data = native_view(data, [3 if r == 6 else 1 for r in RATIOS], 0.3, "cubic")
    image = stack(views, data)
    grid = Grid.from_origin("EPSG:32633", 366000.0, 5810010.0, 20.0, 48, 60)
    image = Cube(image.data, image.valid, image.bands, grid, image.meta)
    found = scene_sampling(MemorySource(image))
    assert found.sharpness.ratio == tuple(3 if r == 6 else 1 for r in RATIOS)


def test_an_image_coarser_than_its_pixels_all_over_is_said(views):
    ratios = tuple(max(r, 2) for r in RATIOS)
    found = scene_sampling(of(views, laid(views, "cubic", ratios)))
    assert found.sharpness is None
    assert "all bands came from samples of 2 pixels" in found.lines[0]


def test_average_onto_finer_pixels_is_the_nearest():
    """What GDAL's average does onto finer pixels."""
    from affine import Affine
    from rasterio.warp import Resampling, reproject

    coarse = np.random.default_rng(0).random((5, 5))
    made = {}
    for how in (Resampling.average, Resampling.nearest):
        made[how] = np.full((10, 10), np.nan)
        reproject(
            coarse,
            made[how],
            src_transform=Affine(20, 0, 0, 0, -20, 0),
            dst_transform=Affine(10, 0, 0, 0, -10, 0),
            src_crs="EPSG:32633",
            dst_crs="EPSG:32633",
            resampling=how,
        )
    np.testing.assert_array_equal(made[Resampling.average], made[Resampling.nearest])
    assert kernel_of("average") is kernel_of("nearest")
    assert parse_sampling("1:2:6@3,0:average") == parse_sampling("1:2:6@3,0:nearest")


@pytest.mark.parametrize("kernel", ["nearest", "lanczos"])
def test_errors_where_what_is_given_is_wrong_are_expected(views, kernel):
    image = stack(views, laid(views, kernel, cut=(2, 5)), noise=0.003)
    truth = views.masked()[COARSE, 2:96, 5:]
    ratios = {}
    for how in ("auto", "1:2:6@0,0:bicubic"):
        made = sharpen(image, sharpness=how)
        expected = np.array([made.record["expected_error"][image.bands.names[i]] for i in COARSE])
        ratios[how] = error(made.cube.data[COARSE], truth) / expected
        assert bool(made.record["warnings"]) == (how != "auto")
    # Without what the check sees the second is 2 to 4.
    assert np.sqrt(np.mean(np.square(list(ratios.values())), axis=1)).max() < 1.5


def test_a_blur_that_the_pixels_contradict_is_kept_and_said(views):
    sharp = views.masked()[:, :96].astype(np.float64)
    blurred = [
        gaussian_filter(p, 0.5 * r) if r > 1 else p for p, r in zip(sharp, RATIOS, strict=True)
    ]
    source = of(views, np.stack(blurred))
    for width, differs in ((1.18, False), (1.7, True)):
        known = agreed(source, scene_sampling(source, f"blur:{width}"))
        assert known.sharpness.sigma(COARSE[0]) == pytest.approx(6 * width / 2.3548, rel=1e-3)
        assert bool(known.check.warnings()) == differs
    assert known.check.blurs["B11"] == pytest.approx(1.18, rel=0.1)


def test_what_a_kernel_passes_is_its_transform():
    np.testing.assert_allclose(
        kernel_response("bilinear", np.array([0, 0.3, 0.5, 1.0])),
        np.sinc([0, 0.3, 0.5, 1.0]) ** 2,
        atol=1e-3,
    )
