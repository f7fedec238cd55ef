"""EnMAP deliveries in every form, for the tests of all readers together."""

import numpy as np

from trifuse.core import BandSet, Cube, Grid
from trifuse.products.enmap.factory import NESTINGS, write_enmap
from trifuse.srf_data import load


def deliveries(folder):
    """Kind → paths."""
    table = load("ENMAP").bands
    names = [f"E{i:03d}" for i in range(1, len(table) + 1)]
    grid = Grid.from_origin("EPSG:32633", 600000, 5800000, 30, 10, 12)
    data = np.full((len(table), *grid.shape), 0.2, np.float32)
    bands = BandSet.of(names, table.centres, table.fwhms)
    cube = Cube(data, np.ones(grid.shape, bool), bands, grid)
    made = [write_enmap(folder / form, cube, nesting=form) for form in NESTINGS]
    made.append(write_enmap(folder / "L1C", cube, level="L1C"))
    raw = write_enmap(folder / "raw", cube, image_format="BSQ")
    two = folder / "two"
    for tile in (1, 2):
        write_enmap(two, cube, tile=tile)
    parts = [p for end in ("METADATA.XML", "IMAGE.BSQ") for p in raw.glob(f"*{end}")]
    return {"enmap": [*made, raw, two, *parts]}
