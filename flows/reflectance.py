"""Images whose values the methods go by: opened, and of one scale."""

from __future__ import annotations

from trifuse.core import CubeSource
from trifuse.flows.inputs import Image, as_source


def open_reflectance(image: Image, *, ratio: bool = False) -> CubeSource:
    """Open an image as reflectance; see :func:`trifuse.products.scales.as_reflectance`.

    Args:
        image: as of :func:`trifuse.flows.inputs.as_source`.
        ratio: whether only ratios of bands are wanted.

    Raises:
        TrifuseError: as :func:`trifuse.products.open_cube`, and if the numbers are no reflectance.
    """
    from trifuse.products.scales import as_reflectance

    source = as_source(image)
    try:
        return as_reflectance(source, ratio=ratio)
    except BaseException:
        source.close()
        raise
