#!/usr/bin/env bash
# Package:   xarray 2026.9.0 with rioxarray 0.19.0 (rasterio 1.4.4, netCDF4 1.7.5.1.post1)
# Behaviour: DataArray.to_netcdf of any array that rioxarray opens writes a file that
#            xarray.open_dataarray refuses: the grid mapping comes back as a second data variable.
#            Only decode_coords="all" makes the two inverse again.
# Output:    ValueError: Given file dataset contains more than one data variable. Please read with
#            xarray.open_dataset and then select the variable you want.
# Guess:     that a DataArray saved is a DataArray opened. The docstring of open_dataarray says:
#            "Saving using `DataArray.to_netcdf` and then loading with this function will produce
#            an identical result."
# Source:    that docstring; rioxarray's documentation, "CRS management", names decode_coords="all"
#            for open_dataset.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q xarray==2026.9.0 rioxarray==0.19.0 rasterio==1.4.4 \
    numpy==2.4.6 netCDF4==1.7.5.1.post1
cd "$folder"
env/bin/python -W ignore - <<'PY'
import numpy as np
import rasterio
import rioxarray
import xarray as xr
from rasterio.transform import from_origin

profile = {"driver": "GTiff", "height": 4, "width": 5, "count": 1, "dtype": "float32"}
place = {"crs": "EPSG:32633", "transform": from_origin(600000, 5800000, 10, 10)}
with rasterio.open("red.tif", "w", **profile, **place) as d:
    d.write(np.ones((1, 4, 5), "float32"))
array = rioxarray.open_rasterio("red.tif").rename("red")
array.to_netcdf("red.nc")
try:
    xr.open_dataarray("red.nc")
except ValueError as e:
    print("ValueError:", e)
    assert "more than one data variable" in str(e)
else:
    raise SystemExit("it opens")
xr.testing.assert_equal(xr.open_dataarray("red.nc", decode_coords="all"), array)
PY
