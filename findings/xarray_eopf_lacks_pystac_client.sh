#!/usr/bin/env bash
# Package:   xarray-eopf 0.3.1 (as pip resolves it, without extras)
# Behaviour: installed alone, its engine does not exist: it imports pystac_client, which it does
#            not declare, and xarray reports only that "eopf-zarr" is unrecognised, beside a
#            RuntimeWarning.
# Output:    RuntimeWarning: Engine 'eopf-zarr' loading failed: No module named 'pystac_client'
#            ValueError: unrecognized engine 'eopf-zarr' must be one of your download engines: ...
# Guess:     that "pip install xarray-eopf" suffices for xarray.open_dataset(engine="eopf-zarr"),
#            as its documentation says.
# Source:    Requires-Dist of the wheel; eopf-sample-service.github.io/xarray-eopf, "Getting
#            started".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q xarray-eopf==0.3.1
cd "$folder"
mkdir S2A_MSIL2A_20240621T102031_N0511_R122_T33UUU_20240622T000000.zarr
env/bin/python - <<'PY'
import importlib.util
import warnings
from importlib.metadata import requires, version
from pathlib import Path

import xarray

print("xarray-eopf", version("xarray-eopf"), "xarray", version("xarray"))
assert not any("pystac" in r for r in requires("xarray-eopf"))
assert importlib.util.find_spec("pystac_client") is None
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    try:
        xarray.open_dataset(str(next(Path().glob("*.zarr"))), engine="eopf-zarr")
    except ValueError as e:
        print("ValueError:", str(e)[:90])
        assert "unrecognized engine 'eopf-zarr'" in str(e)
    else:
        raise SystemExit("it opens")
texts = [str(w.message) for w in told if w.category is RuntimeWarning]
print("RuntimeWarning:", *texts)
assert any("pystac_client" in text for text in texts)
PY
