"""Series of dated images in a folder."""

from trifuse.products.series.folder import is_series, open_series, write_series

__all__ = ["is_series", "open_series", "write_series"]
