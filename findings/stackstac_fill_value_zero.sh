#!/usr/bin/env bash
# Package:   stackstac 0.5.1 with numpy 2.3.5 (pandas 2.3.3)
# Behaviour: stack(rescale=False, fill_value=0, dtype="uint16") is refused: the fill value 0 "is
#            incompatible with the output dtype uint16". So is the integer 0 with every dtype
#            narrower than 64 bits, float32 too. np.uint16(0) is taken.
# Output:    uint16 The fill_value 0 is incompatible with the output dtype uint16. Either use
#            `dtype='int64'`, or pick a different `fill_value`.
#            float32 The fill_value 0 is incompatible with the output dtype float32. ...
# Guess:     that it works: the very call is an example in the docstring of stackstac.stack, which
#            also advises uint16 and 0 to save memory.
# Source:    stackstac/to_dask.py asks np.can_cast(type(fill_value), dtype), which asks whether
#            every int fits; stackstac.readthedocs.io, stackstac.stack.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q stackstac==0.5.1 numpy==2.3.5 pandas==2.3.3 rasterio==1.4.4
cd "$folder"
env/bin/python -W ignore - <<'PY'
import numpy as np
import rasterio
import stackstac
from rasterio.transform import from_origin

profile = {"driver": "GTiff", "height": 4, "width": 5, "count": 1, "dtype": "uint16", "nodata": 0}
place = {"crs": "EPSG:32633", "transform": from_origin(600000, 5800000, 10, 10)}
with rasterio.open("red.tif", "w", **profile, **place) as d:
    d.write(np.full((1, 4, 5), 1200, "uint16"))
item = {
    "type": "Feature",
    "stac_version": "1.0.0",
    "id": "one",
    "geometry": None,
    "bbox": [16.4, 52.3, 16.5, 52.4],
    "properties": {"datetime": "2022-07-24T10:00:00Z", "proj:epsg": 32633},
    "assets": {
        "red": {
            "href": "red.tif",
            "type": "image/tiff; application=geotiff",
            "proj:shape": [4, 5],
            "proj:transform": [10, 0, 600000, 0, -10, 5800000],
        }
    },
}
for dtype in ("uint16", "int16", "float32"):
    try:
        stackstac.stack([item], dtype=dtype, fill_value=0, rescale=False)
    except ValueError as e:
        print(dtype, e)
        assert "fill_value 0 is incompatible" in str(e)
    else:
        raise SystemExit(f"{dtype} is taken")
taken = stackstac.stack([item], dtype="uint16", fill_value=np.uint16(0), rescale=False)
assert taken.dtype == "uint16" and (taken.values == 1200).all()
PY
