"""Sentinel-3 deliveries of both types in every form, for the tests of all readers together."""

import shutil

import numpy as np

from trifuse.core import BandSet, Cube, Grid
from trifuse.products.sentinel3 import write_olci_l1, write_syn
from trifuse.products.sentinel3.factory_olci import BANDS
from trifuse.srf_data import S3_SYN

SIGNS = {"sentinel3": "Syn_Oa08_reflectance.nc", "olci": "Oa08_radiance.nc"}


def deliveries(folder):
    """Kind → paths."""
    grid = Grid.from_origin("EPSG:32633", 600000, 5800200, 300, 4, 5)
    made = {}
    for kind, write, names in (("sentinel3", write_syn, S3_SYN), ("olci", write_olci_l1, BANDS)):
        data = np.full((len(names), *grid.shape), 0.2, np.float32)
        cube = Cube(data, np.ones(grid.shape, bool), BandSet.of(names), grid)
        product = write(folder / kind, cube)
        packed = write(folder / f"{kind}-zip", cube, zipped=True)
        renamed = shutil.copytree(product, folder / f"{kind}-renamed" / "product")
        files = [product / "xfdumanifest.xml", product / SIGNS[kind]]
        made[kind] = [product, product.parent, packed, renamed, *files]
    return made
