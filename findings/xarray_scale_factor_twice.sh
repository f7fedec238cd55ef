#!/usr/bin/env bash
# Package:   xarray 2026.9.0 (numpy 2.4.6, netCDF4 1.7.5.1.post1)
# Behaviour: counts that are multiplied by their own attribute scale_factor keep that attribute,
#            because arithmetic keeps attributes; saved and opened again, they are scaled a second
#            time, without a warning. Reflectance of 0.1 comes back as 0.00001.
# Output:    attributes after scaling {'scale_factor': 0.0001}, values [0.1 0.2]
#            opened again [1.e-05 2.e-05]
# Guess:     that arithmetic drops attributes, as it did by default before 2025.11, so that the
#            array in hand says nothing of a scale that has been applied.
# Source:    xarray's list of changes, v2025.11.0 (keep_attrs by default); opening decodes
#            scale_factor: docs.xarray.dev, "Reading and writing files", "Scaling and type
#            conversions".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q xarray==2026.9.0 numpy==2.4.6 netCDF4==1.7.5.1.post1
cd "$folder"
env/bin/python - <<'PY'
import numpy as np
import xarray as xr

counts = xr.DataArray(
    np.array([1000, 2000], "int16"), dims="x", name="red", attrs={"scale_factor": 1e-4}
)
values = counts * counts.attrs["scale_factor"]
print("attributes after scaling", values.attrs, "values", values.values)
values.to_netcdf("values.nc")
again = xr.open_dataarray("values.nc")
print("opened again", again.values)
assert values.attrs == {"scale_factor": 1e-4}
np.testing.assert_allclose(again, values * 1e-4)
PY
