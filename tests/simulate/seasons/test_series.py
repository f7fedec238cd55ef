"""Synthetic series: determinism, physics, calendar, masks, files."""

import numpy as np
import pytest
from scipy import ndimage

from trifuse.core import PSF, Band, BandSet, ConfigError, OutputExistsError, degrade
from trifuse.products import open_series
from trifuse.simulate.ground.landuse import Landcover
from trifuse.simulate.ground.terrain import draw_setting
from trifuse.simulate.seasons.land import Land
from trifuse.simulate.seasons.season import CROPS, build_weather, leaves_of_trees, sun_at
from trifuse.simulate.seasons.sensors import LANDSAT, SENTINEL2, SENTINEL3, band_nodes
from trifuse.simulate.seasons.series import procedural_series, write_series_pair
from trifuse.srf_data import integrate, load


@pytest.fixture(scope="module")
def made():
    return procedural_series(60, seed=1)


def ndvi(sentinel2):
    return (sentinel2[6] - sentinel2[2]) / (sentinel2[6] + sentinel2[2])


def test_same_seed_same_bytes(made):
    again = procedural_series(60, seed=1)
    for name, images in made.images.items():
        assert np.array_equal(images.days, again.images[name].days)
        assert images.data.tobytes() == again.images[name].data.tobytes()
        assert images.valid.tobytes() == again.images[name].valid.tobytes()
    other = procedural_series(60, seed=1, year=2023)
    days = {n: tuple(i.days) for n, i in made.images.items()}
    assert days != {n: tuple(i.days) for n, i in other.images.items()}, "another year, other passes"
    # but the same place
    assert np.array_equal(other.crop, made.crop)


def test_shapes_grids_and_calendar(made):
    s2, ls = made.images["sentinel2"], made.images["landsat"]
    assert s2.bands.names == SENTINEL2.reflective
    assert ls.bands.names == (*LANDSAT.reflective, "LST")
    assert s2.data.shape[1:] == (10, 60, 60) and ls.data.shape[1:] == (8, 20, 20)
    assert s2.grid == made.grid and made.grid.nested_ratio(ls.grid) == 3
    assert 15 < len(s2.days) < 73 and 8 < len(ls.days) < 46
    assert not (np.diff(s2.days) % 5).any() and not (np.diff(ls.days) % 8).any()
    assert len(set(np.diff(s2.days))) > 1, "irregular"
    assert s2.data.dtype == ls.data.dtype == np.float32
    assert np.isfinite(s2.data).all() and np.isfinite(ls.data).all()
    assert all(v.mean() >= 0.25 for i in made.images.values() for v in i.valid)


def test_values_are_those_of_land(made):
    ls = made.images["landsat"]
    clear = ls.data.transpose(0, 2, 3, 1)[ls.valid]
    assert -0.02 < clear[:, :7].min() and clear[:, :7].max() < 1.2
    assert 245 < clear[:, 7].min() and clear[:, 7].max() < 335
    summer, winter = (made.truth(d)["landsat"][7].mean() for d in (200, 20))
    assert 8 < summer - winter < 45


def test_clear_observation_is_the_blurred_truth():
    still = procedural_series(48, seed=0, clouds=False)
    ls = still.images["landsat"]
    assert ls.valid.all()
    at = int(np.argmin(np.abs(ls.days - 170)))
    psf = [PSF(s / 3) for s in LANDSAT.sigma]
    wanted = degrade(still.truth(int(ls.days[at]))["landsat"], 3, psf)
    error = ls.data[at] - wanted
    assert np.abs(error[:7]).max() < 0.03, "haze, gain and noise only"
    assert 0.2 < error[7].std() < 0.4, "noise of the temperature"
    # Temperature is seen three times more coarsely than reflectance.
    rough = [np.abs(np.diff(wanted[k])).mean() / wanted[k].std() for k in (4, 7)]
    assert rough[1] < 0.7 * rough[0]


def test_bands_of_20_m_are_softer(made):
    s2 = made.images["sentinel2"]
    at = int(np.argmax(s2.valid.mean((1, 2)) + (np.abs(s2.days - 190) < 60)))
    sharp = [np.abs(ndimage.laplace(s2.data[at][k])).mean() / s2.data[at][k].std() for k in (6, 7)]
    assert sharp[1] < 0.7 * sharp[0], "B8A beside B8"


def test_crops_grow_and_are_harvested():
    land = Land((150, 150), 0, 2022)
    days = {d: ndvi(land.observe(SENTINEL2, d)) for d in (140, 200, 240)}
    crop = np.array(CROPS)[land.growth.crop[land.parcel]]
    field = np.isin(
        land.surface.landcover.reshape(land.shape), (Landcover.CROPLAND, Landcover.BARE)
    )

    def mean(name, day):
        assert (field & (crop == name)).sum() > 50
        return days[day][field & (crop == name)].mean()

    assert mean("winter cereal", 140) > 0.7 > 0.4 > mean("winter cereal", 240)
    assert mean("potato", 140) < 0.4 < 0.7 < mean("potato", 200)


def test_time_is_continuous(made):
    a, b, c = (made.truth(d)["sentinel2"] for d in (150.0, 150.5, 151.0))
    assert np.abs(b - (a + c) / 2).max() < 0.02


def test_masks_cover_clouds_and_shadows():
    cloudy = procedural_series(60, seed=4, sensors=("sentinel2",), min_clear=0.1)
    still = procedural_series(60, seed=4, sensors=("sentinel2",), clouds=False)
    s2 = cloudy.images["sentinel2"]
    index = {int(d): i for i, d in enumerate(still.images["sentinel2"].days)}
    inside, outside, dark = [], [], 0
    for day, data, valid in zip(s2.days, s2.data, s2.valid, strict=True):
        change = data[2] - still.images["sentinel2"].data[index[int(day)]][2]
        outside.append(np.abs(change[valid]))
        inside.append(np.abs(change[~valid]))
        dark += (change[~valid] < -0.02).sum()
    outside, inside = np.concatenate(outside), np.concatenate(inside)
    assert np.percentile(outside, 99) < 0.02 < inside.mean()
    assert dark > 1000, "shadows beside the clouds"


def test_careless_masks_err_at_edges():
    clean, careless = (
        procedural_series(60, seed=4, sensors=("sentinel2",), careless=c, min_clear=0.0)
        for c in (0.0, 1.0)
    )
    a, b = clean.images["sentinel2"], careless.images["sentinel2"]
    assert np.array_equal(a.data, b.data), "only the masks differ"
    assert (b.valid & ~a.valid).sum() > 100, "missed"
    assert (~b.valid & a.valid).sum() > 100, "taken for clouds"


def test_nodes_stand_for_the_response():
    # A curve with the bends of vegetation, by the nodes and by the full integral.
    nm = np.arange(350, 2600, 1.0)
    curve = 0.3 + 0.2 * np.tanh((nm - 715) / 25) - 0.1 * np.exp(-(((nm - 1450) / 60) ** 2))
    source = BandSet(tuple(Band(f"w{int(w)}", w, 1.0) for w in nm))
    for sensor in (SENTINEL2, LANDSAT, SENTINEL3):
        table = load(sensor.srf).select(sensor.reflective)
        exact = integrate(table, source).matrix @ curve
        quick = np.interp(band_nodes(sensor.srf, sensor.reflective), nm, curve).mean(1)
        np.testing.assert_allclose(quick, exact, atol=2e-3)


def test_sun_stands_where_it_should():
    up = [np.degrees(sun_at(48.0, d, 12.0)) for d in (172, 355)]
    np.testing.assert_allclose([u[0] for u in up], [65.4, 18.6], atol=0.3)
    np.testing.assert_allclose([u[1] for u in up], 180, atol=0.1)
    assert np.degrees(sun_at(48.0, 172, 10.0)[1]) < 150, "south-east in the morning"


def test_weather_and_leaves_follow_the_year():
    years = [build_weather(s, 2022, draw_setting(s)) for s in range(10)]
    assert all(w.air[180:220].mean() > w.air[:40].mean() + 10 for w in years)
    assert all(w.snow[160:250].max() == 0 for w in years)
    assert any(w.snow[:60].max() > 0.3 for w in years)
    out = [leaves_of_trees(d, np.zeros(1))[0][0] for d in (30, 200, 340)]
    assert out[0] < 0.2 < 0.9 < out[1] and out[2] < 0.2


def test_three_sensors():
    made = procedural_series(60, seed=2, sensors=("sentinel2", "landsat", "sentinel3"))
    s3 = made.images["sentinel3"]
    assert s3.data.shape[1:] == (19, 2, 2) and made.grid.nested_ratio(s3.grid) == 30
    assert made.truth(100)["sentinel3"].shape == (19, 60, 60)


@pytest.mark.parametrize(
    ("size", "seed", "options"),
    [
        (32, 0, {}),
        (9, 0, {}),
        (30, -1, {}),
        (30, 0, {"sensors": ("modis",)}),
        (30, 0, {"sensors": ()}),
        (33, 0, {"sensors": ("sentinel2", "sentinel3")}),
        (30, 0, {"careless": 2.0}),
    ],
)
def test_bad_requests(size, seed, options):
    with pytest.raises(ConfigError) as e:
        procedural_series(size, seed, **options)
    assert "\n" not in str(e.value)


def test_folders_round_trip(tmp_path):
    folders = write_series_pair(tmp_path, 24, seed=3, sensors=("landsat",), cog=False)
    made = procedural_series(24, seed=3, sensors=("landsat",))
    for name, images in made.images.items():
        series = open_series(folders[name])
        assert len(series) == len(images.days)
        assert [d.timetuple().tm_yday - 1 for d in series.dates] == images.days.tolist()
        cube = series.read(series.dates[0])
        assert cube.bands.names == images.bands.names and cube.grid == images.grid
        valid = images.valid[0]
        np.testing.assert_array_equal(cube.valid, valid)
        np.testing.assert_array_equal(cube.data[:, valid], images.data[0][:, valid])
    with pytest.raises(OutputExistsError):
        write_series_pair(tmp_path, 24, seed=3)
