#!/usr/bin/env bash
# Package:   rioxarray 0.19.0 (rasterio 1.4.4, xarray 2026.9.0)
# Behaviour: tags of the first band become attributes of the whole array: of bands at 665 and
#            865 nm the array says wavelength 665 of both, and the other is nowhere. A tag of the
#            first band also hides the file's own of the same name.
# Output:    {'wavelength': 665, 'units': 'first band'}
# Guess:     that tags which differ from band to band are listed, as descriptions are (long_name is
#            a tuple of both), or left out.
# Source:    rioxarray/_io.py merges the file's tags with those of band 1;
#            corteva.github.io/rioxarray, open_rasterio.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q rioxarray==0.19.0 xarray==2026.9.0 rasterio==1.4.4 numpy==2.4.6
cd "$folder"
env/bin/python -W ignore - <<'PY'
import numpy as np
import rasterio
import rioxarray
from rasterio.transform import from_origin

profile = {"driver": "GTiff", "height": 4, "width": 5, "count": 2, "dtype": "float32"}
place = {"crs": "EPSG:32633", "transform": from_origin(600000, 5800000, 10, 10)}
with rasterio.open("two.tif", "w", **profile, **place) as d:
    d.write(np.ones((2, 4, 5), "float32"))
    d.descriptions = ("B4", "B8A")
    d.update_tags(units="whole file")
    d.update_tags(1, wavelength="665", units="first band")
    d.update_tags(2, wavelength="865")
array = rioxarray.open_rasterio("two.tif")
print({k: array.attrs.get(k) for k in ("wavelength", "units")})
assert array.attrs["wavelength"] == 665 and "865" not in str(array.attrs)
assert array.attrs["units"] == "first band"
assert array.attrs["long_name"] == ("B4", "B8A")
PY
