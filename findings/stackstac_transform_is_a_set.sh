#!/usr/bin/env bash
# Package:   stackstac 0.5.1 (numpy 2.3.5, pandas 2.3.3)
# Behaviour: the property proj:transform of an asset, six numbers in order, becomes a coordinate
#            whose value is a Python set: order and repetitions are lost (both zeros are one), and
#            it cannot be saved. proj:shape of a square image becomes a set of one number.
# Output:    <class 'set'> [-10, 0, 10, 600000, 5800000]
#            <class 'set'> [4]
# Guess:     that a coordinate of metadata holds what the Item says: the six numbers, of which an
#            affine transform can be made.
# Source:    stackstac/accumulate_metadata.py, which makes sets of lists that all assets share;
#            STAC projection extension 1.1, proj:transform: "the affine transformation
#            coefficients", in order.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q stackstac==0.5.1 numpy==2.3.5 pandas==2.3.3 rasterio==1.4.4
cd "$folder"
env/bin/python -W ignore - <<'PY'
import stackstac

item = {
    "type": "Feature",
    "stac_version": "1.0.0",
    "id": "one",
    "geometry": None,
    "bbox": [16.4, 52.3, 16.5, 52.4],
    "properties": {"datetime": "2022-07-24T10:00:00Z", "proj:epsg": 32633},
    "assets": {
        name: {
            "href": f"{name}.tif",
            "type": "image/tiff; application=geotiff",
            "proj:shape": [4, 4],
            "proj:transform": [10, 0, 600000, 0, -10, 5800000],
        }
        for name in ("red", "nir")
    },
}
array = stackstac.stack([item])
for name in ("proj:transform", "proj:shape"):
    value = array.coords[name].item()
    print(type(value), sorted(value))
    assert isinstance(value, set)
assert array.coords["proj:transform"].item() == {10, 0, 600000, -10, 5800000}
PY
