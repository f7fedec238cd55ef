"""GeoTIFF and ENVI images in every form, for the tests of all readers together."""

import json
import shutil

import numpy as np

from trifuse.core import BandSet, Cube, Grid
from trifuse.products import write_cube
from trifuse.products.files.factory import write_image


def deliveries(folder):
    """Kind → paths."""
    grid = Grid.from_origin("EPSG:32633", 600000, 5800020, 10, 16, 16)
    data = np.full((2, *grid.shape), 0.2, np.float32)
    bands = BandSet.of(["B4", "B8"], [665, 842], [31, 106])
    tiles = folder / "tiles"
    for col in (0, 16):
        moved = Grid.from_origin("EPSG:32633", 600000 + 10 * col, 5800020, 10, 16, 16)
        write_cube(tiles / f"t{col}.tif", Cube(data, np.ones(grid.shape, bool), bands, moved))
    renamed = shutil.copy(tiles / "t0.tif", folder / "image.bin")
    compressed = folder / "image.jp2"
    write_image(compressed, grid, data * 100, 2, "uint16", None, "JPEG2000")
    raw = []
    for form in ("BSQ", "BIL", "BIP"):
        path = folder / f"raw-{form}" / f"image.{form.lower()}"
        path.parent.mkdir()
        write_image(path, grid, data, 2, "float32", None, form)
        raw += [path, path.with_suffix(".HDR")]
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "somewhere",
        "properties": {"datetime": "2024-06-21T10:20:31Z"},
        "assets": {"data": {"href": "./tiles/t0.tif", "type": "image/tiff"}},
    }
    (folder / "item.json").write_text(json.dumps(item))
    return {
        "stac": [folder / "item.json"],
        "geotiff": [tiles, tiles / "t0.tif", renamed, compressed],
        "envi": raw,
    }
