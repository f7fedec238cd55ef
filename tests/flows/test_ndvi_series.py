"""NDVI of a series: a map per date, the course at places, and going on where it stopped."""

import csv
import json
from datetime import date

import numpy as np
import pytest
from rasterio.warp import transform, transform_geom

from trifuse.cli.main import run
from trifuse.core import BandSet, Cube, Grid, MemorySource, Series
from trifuse.core.errors import (
    ConfigError,
    DataError,
    OverlapError,
    PartialError,
    ProductError,
    StoreError,
)
from trifuse.flows.ndvi import ndvi, ndvi_series
from trifuse.flows.ndvi_places import MAX_PLACES, locate, points, read_geojson
from trifuse.products import open_cube, open_series, write_series

GRID = Grid.from_origin("EPSG:32633", 400000, 5800000, 10, 40, 50)
BANDS = BandSet.of(["B4", "B8A"], [664.7, 864.7], [31.0, 21.0])
DAYS = (date(2024, 5, 1), date(2024, 5, 11), date(2024, 6, 3))


def image(seed):
    """Red 0.1, NIR from 0.1 in the west to 0.6 in the east, brighter with the season."""
    nir = np.tile(np.linspace(0.1, 0.6, 50), (40, 1)) + 0.05 * seed
    data = np.stack([np.full((40, 50), 0.1), nir]).astype(np.float32)
    valid = np.ones((40, 50), bool)
    valid[:, :10] = seed != 1
    return Cube(data, valid, BANDS, GRID)


def truth(seed):
    _, nir = image(seed).data
    return (nir - 0.1) / (nir + 0.1)


@pytest.fixture
def folder(tmp_path):
    items = [(day, MemorySource(image(i))) for i, day in enumerate(DAYS)]
    write_series(tmp_path / "series", Series.of("S2A_MSI", items))
    return tmp_path / "series"


def lonlat(row, col):
    x, y = GRID.transform[2] + 10 * (col + 0.5), GRID.transform[5] - 10 * (row + 0.5)
    lon, lat = transform(GRID.crs, "EPSG:4326", [x], [y])
    return lon[0], lat[0]


def rectangle(top, left, bottom, right):
    """A polygon over whole pixels, in longitude and latitude."""
    xs = [GRID.transform[2] + 10 * c for c in (left, right)]
    ys = [GRID.transform[5] - 10 * r for r in (top, bottom)]
    ring = [(xs[0], ys[0]), (xs[0], ys[1]), (xs[1], ys[1]), (xs[1], ys[0]), (xs[0], ys[0])]
    return transform_geom(GRID.crs, "EPSG:4326", {"type": "Polygon", "coordinates": [ring]})


def table(path):
    with path.open(newline="") as f:
        return list(csv.DictReader(f))


def places_file(path, *features):
    rows = [
        {"type": "Feature", "properties": {"name": n} if n else {}, "geometry": g}
        for n, g in features
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": rows}))
    return path


class TestMaps:
    def test_a_map_per_date_that_is_a_series_again(self, folder, tmp_path):
        done = ndvi_series(folder, tmp_path / "ndvi", definition="bands")
        again = open_series(tmp_path / "ndvi")
        assert again.dates == DAYS == done.dates
        assert again.bands.names == ("NDVI",)
        for i, (_, source) in enumerate(again):
            cube = source.read()
            np.testing.assert_array_equal(cube.valid, image(i).valid)
            np.testing.assert_allclose(cube.data[0][cube.valid], truth(i)[cube.valid], atol=2e-3)
        assert done.record["images"]["2024-05-11"]["valid_share"] == pytest.approx(0.8)
        assert done.table is None and "2024-05-11" in done.text
        assert again.to_xarray().dims == ("time", "band", "y", "x")

    def test_a_stopped_run_goes_on_and_ends_with_the_same(self, folder, tmp_path, monkeypatch):
        import trifuse.flows.ndvi as module

        whole = ndvi_series(folder, tmp_path / "whole", definition="bands")
        made, write = [], module.write_ndvi

        def stop(source, path, **options):
            made.append(path.name)
            if len(made) == 2:
                raise KeyboardInterrupt
            return write(source, path, **options)

        monkeypatch.setattr(module, "write_ndvi", stop)
        with pytest.raises(KeyboardInterrupt):
            ndvi_series(folder, tmp_path / "ndvi", definition="bands")
        assert not (tmp_path / "ndvi" / "index.json").exists()
        ndvi_series(folder, tmp_path / "ndvi", definition="bands")
        assert made == ["2024-05-01.tif", "2024-05-11.tif", "2024-05-11.tif", "2024-06-03.tif"]
        for path in whole.files:
            assert (tmp_path / "ndvi" / path.name).read_bytes() == path.read_bytes()

    def test_a_new_date_and_a_replaced_one_are_mapped_alone(self, folder, tmp_path, monkeypatch):
        import trifuse.flows.ndvi as module

        ndvi_series(folder, tmp_path / "ndvi", definition="bands")
        made, write = [], module.write_ndvi
        monkeypatch.setattr(
            module, "write_ndvi", lambda s, p, **o: made.append(p.name) or write(s, p, **o)
        )
        later = date(2024, 7, 1)
        items = [(day, MemorySource(image(i))) for i, day in enumerate((*DAYS, later))]
        write_series(tmp_path / "more", Series.of("S2A_MSI", items))
        for name in ("2024-07-01.tif", "index.json"):
            (tmp_path / "more" / name).rename(folder / name)
        fresh = write_series(tmp_path / "fresh", Series.of("S2A_MSI", [(DAYS[1], items[3][1])]))
        fresh.with_name("2024-05-11.tif").rename(folder / "2024-05-11.tif")
        done = ndvi_series(folder, tmp_path / "ndvi", definition="bands")
        assert made == ["2024-05-11.tif", "2024-07-01.tif"]
        assert done.record["images"]["2024-05-11"]["valid_share"] == 1.0
        assert open_series(tmp_path / "ndvi").dates == (*DAYS, later)

    def test_other_work_in_the_folder_is_refused(self, folder, tmp_path):
        ndvi_series(folder, tmp_path / "ndvi", definition="bands")
        with pytest.raises(StoreError, match="another configuration"):
            ndvi_series(folder, tmp_path / "ndvi", definition="s2")
        done = ndvi_series(
            folder, tmp_path / "ndvi", definition="bands", dtype="int16", overwrite=True
        )
        with open_cube(done.files[0]) as source:
            assert source.meta["dtype"] == "int16"

    def test_a_damaged_date_leaves_the_others(self, folder, tmp_path):
        (folder / "2024-05-11.tif").write_bytes((folder / "2024-05-11.tif").read_bytes()[:-700])
        with pytest.raises((PartialError, ProductError)):
            ndvi_series(folder, tmp_path / "ndvi", definition="bands")
        assert not (tmp_path / "ndvi" / "index.json").exists()

    def test_a_dry_run_writes_nothing(self, folder, tmp_path):
        done = ndvi_series(folder, tmp_path / "ndvi", definition="bands", dry_run=True)
        assert not (tmp_path / "ndvi").exists()
        assert "nothing was written" in done.text


class TestPlaces:
    def test_the_course_of_points_and_polygons(self, folder, tmp_path):
        file = places_file(
            tmp_path / "fields.geojson",
            ("west field", rectangle(5, 4, 15, 20)),
            (None, {"type": "Point", "coordinates": list(lonlat(20, 45))}),
        )
        done = ndvi_series(
            folder, tmp_path / "n", definition="bands", at=[lonlat(7, 3)], geojson=file
        )
        rows = table(done.table)
        assert [r["place"] for r in rows[::3]] == ["point1", "west field", "place2"]
        assert [r["date"] for r in rows[:3]] == [d.isoformat() for d in DAYS]
        cloudy = rows[1]
        assert (cloudy["ndvi"], cloudy["valid_share"]) == ("", "0.0000")
        assert float(rows[2]["ndvi"]) == pytest.approx(truth(2)[7, 3], abs=2e-3)
        field = rows[3:6]
        assert [r["pixels"] for r in field] == ["160"] * 3
        assert float(field[1]["valid_share"]) == pytest.approx(100 / 160, abs=1e-4)
        assert float(field[1]["ndvi"]) == pytest.approx(truth(1)[5:15, 10:20].mean(), abs=2e-3)
        assert float(field[0]["ndvi"]) == pytest.approx(truth(0)[5:15, 4:20].mean(), abs=2e-3)
        assert float(rows[8]["ndvi"]) == pytest.approx(truth(2)[20, 45], abs=2e-3)

    def test_the_command(self, folder, tmp_path, capsys):
        lon, lat = lonlat(7, 30)
        arguments = ["ndvi", str(folder), "-o", str(tmp_path / "n"), "--definition", "bands"]
        assert run([*arguments, "--at", f"{lon:.6f},{lat:.6f}"]) == 0
        assert "timeseries.csv" in capsys.readouterr().out
        assert len(table(tmp_path / "n" / "timeseries.csv")) == 3
        assert run([*arguments, "--at", "1;2"]) == 2
        one = [str(folder / "2024-05-01.tif"), "-o", str(tmp_path / "x.tif"), "--at", "13,52"]
        assert run(["ndvi", *one]) == ConfigError.exit_code

    def test_a_polygon_smaller_than_a_pixel_is_the_pixel_it_touches(self):
        small = rectangle(10.6, 20.6, 10.8, 20.8)
        (found,) = locate([type(points([(0, 0)])[0])("small", small)], GRID)
        assert found.inside.sum() == 1
        assert (found.window.row, found.window.col) == (10, 20)

    def test_what_reaches_beyond_the_image_is_left_out(self, tmp_path):
        file = places_file(tmp_path / "f.geojson", ("edge", rectangle(-5, 45, 5, 60)))
        (found,) = locate(read_geojson(file), GRID)
        assert found.inside.sum() == 25

    @pytest.mark.parametrize("place", [(0.0, 10.0), (13.5, -52.0)])
    def test_a_place_outside_is_named_before_any_work(self, folder, tmp_path, place):
        with pytest.raises(OverlapError, match="point1"):
            ndvi_series(folder, tmp_path / "n", definition="bands", at=[place])
        assert not (tmp_path / "n").exists()

    @pytest.mark.parametrize("place", [(200.0, 10.0), (float("nan"), 1.0), (10.0, 95.0)])
    def test_a_place_not_on_earth(self, place):
        with pytest.raises(ConfigError, match="lon,lat"):
            points([place])

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "[]",
            "{}",
            '{"type": "FeatureCollection", "features": []}',
            "nonsense",
            '{"type": "FeatureCollection", "features": [3]}',
            '{"type": "Polygon", "coordinates": []}',
            '{"type": "Polygon", "coordinates": [[[1, 2], [3, 4], [1, 2]]]}',
            '{"type": "Polygon", "coordinates": [[[1, 2], [3, 400], [5, 5], [1, 2]]]}',
            '{"type": "Point", "coordinates": ["a", "b"]}',
            '{"type": "Point", "coordinates": [NaN, 2]}',
            '{"type": "LineString", "coordinates": [[1, 2], [3, 4]]}',
            '{"type": "Feature", "geometry": null}',
            '{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": {"a": 1}}}',
            "[" * 5000,
            '{"type": "FeatureCollection", "features": [' + "{}," * MAX_PLACES + "{}]}",
        ],
    )
    def test_files_that_hold_no_places(self, tmp_path, text):
        (tmp_path / "bad.geojson").write_text(text)
        with pytest.raises(ProductError, match=r"bad\.geojson"):
            read_geojson(tmp_path / "bad.geojson")


def test_names_are_no_formulas_in_the_table(folder, tmp_path):
    lon, lat = lonlat(5, 20)
    names = ["=1+1", "+49", "-2", "@x", "plain = 1"]
    places = [
        {
            "type": "Feature",
            "properties": {"name": name},
            "geometry": {"type": "Point", "coordinates": [lon, lat]},
        }
        for name in names
    ]
    (tmp_path / "p.geojson").write_text(
        json.dumps({"type": "FeatureCollection", "features": places})
    )
    ndvi_series(folder, tmp_path / "n", geojson=tmp_path / "p.geojson")
    found = {row["place"] for row in table(tmp_path / "n/timeseries.csv")}
    assert found == {"'=1+1", "'+49", "'-2", "'@x", "plain = 1"}


def test_an_image_without_a_value_gets_no_map(tmp_path):
    cube = image(0)
    empty = MemorySource(
        Cube(np.full_like(cube.data, np.nan), np.zeros_like(cube.valid), BANDS, GRID)
    )
    with pytest.raises(DataError, match="no pixel has a value"):
        ndvi(empty, tmp_path / "n.tif")
    assert list(tmp_path.iterdir()) == []
