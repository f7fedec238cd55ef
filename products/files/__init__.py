"""Files of every kind as sources: rasters, archives, HDF5, masks, other grids."""
