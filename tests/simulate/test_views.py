from dataclasses import replace

import numpy as np
import pytest

from trifuse.core import PSF, BandError, GridError, MemorySource, MetadataError, Window, degrade
from trifuse.simulate import convolve, scene_views
from trifuse.simulate.views import view_operators
from trifuse.srf_data import S2_L2A, S3_SYN_19, integrate, load


def with_meta(source, **meta):
    cube = source.read()
    return MemorySource(replace(cube, meta={**cube.meta, **meta}), source.name)


def test_the_papers_bands_come_by_themselves(make_scene):
    hrmsi, lrhsi, hrhsi = scene_views(make_scene())
    assert hrmsi.bands.names == S2_L2A
    assert lrhsi.bands.names == hrhsi.bands.names == S3_SYN_19
    assert hrmsi.shape == (12, 40, 60)
    assert lrhsi.shape == (19, 4, 6)
    assert hrmsi.grid == hrhsi.grid
    assert hrmsi.grid.nested_ratio(lrhsi.grid) == 10
    assert hrmsi.meta["sensor"] == "S2A_MSI"
    assert lrhsi.meta["sensor"] == "S3A_SYN"


def test_the_coarse_view_is_the_degraded_fine_one(make_scene):
    _, lrhsi, hrhsi = scene_views(make_scene(), psf=PSF.from_fwhm(1.0), ratio=5)
    wanted = degrade(hrhsi.masked(), 5, PSF.from_fwhm(1.0))
    np.testing.assert_array_equal(lrhsi.data, wanted)
    np.testing.assert_array_equal(lrhsi.valid, np.isfinite(wanted).all(axis=0))
    assert not lrhsi.valid[0, 0]


def test_degrading_and_convolving_commute(make_scene):
    source = make_scene(holes=False)
    _, lrhsi, _ = scene_views(source)
    cube = source.read()
    data, valid = degrade(cube.data, 10), np.ones((4, 6), bool)
    coarse = replace(cube, data=data, valid=valid, grid=cube.grid.zoom_out(10))
    operator = integrate(load("S3A_SYN"), cube.bands)
    np.testing.assert_allclose(convolve(MemorySource(coarse), operator).data, lrhsi.data, atol=3e-7)


def test_a_constant_scene_gives_constant_views(make_scene):
    cube = make_scene(holes=False).read()
    flat = MemorySource(replace(cube, data=np.full(cube.shape, 0.25, np.float32)))
    for view in scene_views(flat):
        np.testing.assert_allclose(view.data, 0.25, atol=1e-6)


def test_clouds_do_not_bleed_into_the_coarse_view(make_scene):
    cube = make_scene(holes=False).read()
    data, valid = cube.data.copy(), cube.valid.copy()
    data[:, 12:15, 20:24] = 1.5
    valid[12:15, 20:24] = False
    cloudy = scene_views(MemorySource(replace(cube, data=data, valid=valid)))
    clear = scene_views(MemorySource(cube))
    assert not cloudy[0].valid[13, 21]
    assert cloudy[0].data[3, 13, 21] > 1
    assert np.nanmax(np.abs(cloudy[1].data - clear[1].data)) < 0.02
    assert np.isfinite(cloudy[1].data).all()


def test_a_psf_per_band(make_scene):
    source = make_scene(holes=False)
    psfs = {name: PSF.from_mtf(0.3) for name in S3_SYN_19}
    psfs["S5"] = PSF.from_mtf(0.1)
    mixed, plain = scene_views(source, psf=psfs)[1], scene_views(source)[1]
    blurred = scene_views(source, psf=PSF.from_mtf(0.1))[1]
    at = S3_SYN_19.index("S5")
    np.testing.assert_array_equal(mixed.data[at], blurred.data[at])
    np.testing.assert_array_equal(np.delete(mixed.data, at, 0), np.delete(plain.data, at, 0))
    del psfs["Oa04"]
    with pytest.raises(BandError, match="no PSF for bands Oa04"):
        scene_views(source, psf=psfs)


def test_a_window_is_a_scene_of_its_own(make_scene):
    source = make_scene(holes=False)
    window = Window(10, 20, 20, 30)
    part = scene_views(source, window=window)
    whole = scene_views(MemorySource(source.read(window)))
    for ours, theirs in zip(part, whole, strict=True):
        assert ours.grid == theirs.grid
        np.testing.assert_allclose(ours.data, theirs.data, atol=1e-7)


def test_bands_by_name(make_scene):
    source = make_scene()
    hrmsi, lrhsi, _ = scene_views(source, bands=["S3", "B4", "Oa04"])
    assert hrmsi.bands.names == ("B4",)
    assert lrhsi.bands.names == ("S3", "Oa04")
    assert scene_views(source, bands=["Oa04"])[0].bands.names == S2_L2A
    with pytest.raises(BandError, match="bands B13 are neither S2A_MSI's nor S3A_SYN's"):
        scene_views(source, bands=["B4", "B13"])
    with pytest.raises(BandError, match=r"scene 0.*Oa01") as failure:
        scene_views(source, bands=["Oa01"])
    assert "\n" not in str(failure.value)
    with pytest.raises(BandError, match="Oa02"):
        scene_views(source, bands="all")


def test_dead_bands_of_the_meta_are_heeded(make_scene):
    source = make_scene(holes=False)
    usable = [not 640 < b.centre < 690 for b in source.bands]
    hrmsi, _, hrhsi = scene_views(with_meta(source, usable=usable))
    assert set(S2_L2A) - set(hrmsi.bands.names) == {"B4"}
    assert {"S2", "Oa08", "Oa09", "Oa10"} >= set(S3_SYN_19) - set(hrhsi.bands.names) > {"Oa08"}
    with pytest.raises(MetadataError, match="usable has 3 values for 224 bands"):
        scene_views(with_meta(source, usable=[True, True, True]))


def test_radiance_is_refused(make_scene):
    with pytest.raises(MetadataError, match="scene 0: holds radiance; give level 2A"):
        scene_views(with_meta(make_scene(), quantity="radiance"))


def test_detectors_of_the_meta_are_heeded(make_scene):
    source = make_scene(holes=False)
    cube = source.read()
    data = cube.data.copy()
    data[91:] += 0.1
    detectors = ["VNIR"] * 91 + ["SWIR"] * 133
    stepped = MemorySource(replace(cube, data=data, meta={"detectors": detectors}))
    vnir = scene_views(stepped, bands=["B9"], overlap="vnir")[0].data
    swir = scene_views(stepped, bands=["B9"], overlap="swir")[0].data
    assert 0.05 < float((swir - vnir).mean()) < 0.11


def test_a_source_that_covers_nothing(make_scene):
    cube = make_scene().read()
    few = MemorySource(cube.select(cube.bands.names[200:]), "thermal")
    with pytest.raises(BandError, match="thermal") as failure:
        scene_views(few)
    assert "\n" not in str(failure.value)


def test_a_scene_smaller_than_a_cell(make_scene):
    with pytest.raises(GridError, match="ratio 50"):
        scene_views(make_scene(), ratio=50)


def test_level_2a_has_no_b10_even_where_it_could_be_made(make_scene):
    bands = make_scene().bands
    swir = (replace(bands[91], name=f"X{nm}", centre=nm, fwhm=8.0) for nm in range(1000, 2450, 6))
    dense = replace(bands, bands=(*(bands[i] for i in range(91)), *swir))
    assert view_operators(dense, {})[0].bands.names == S2_L2A


def medians(view):
    return np.nanmedian(view.masked(), axis=(1, 2))


def test_real_potsdam(data_dir):
    """An independent computation gave these medians of the 60×120 px that fill whole cells."""
    from trifuse.products import open_cube

    folder = data_dir / "1_enmap" / "potsdam_L2A_real" / "tiles"
    source = open_cube(sorted(folder.glob("*.tif")))
    assert source.grid.shape == (64, 128)
    hrmsi, lrhsi, hrhsi = scene_views(source, window=Window(0, 0, 60, 120))
    assert hrmsi.bands.names == S2_L2A
    assert hrhsi.bands.names == S3_SYN_19
    s2 = ".038 .047 .068 .063 .099 .211 .245 .252 .259 .267 .186 .121"
    s3 = (
        ".038 .045 .049 .069 .069 .065 .063 .062 .062 .064 .111 .236 .244 .259 .259 .259 .279 "
        ".187 .117"
    )
    np.testing.assert_allclose(medians(hrmsi), [float(v) for v in s2.split()], atol=0.001)
    np.testing.assert_allclose(medians(hrhsi), [float(v) for v in s3.split()], atol=0.001)
    assert lrhsi.valid.all()
