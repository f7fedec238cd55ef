"""The networks run where no raster library is."""

import subprocess
import sys

BLOCK = """
import sys
for name in ("rasterio", "spectral", "osgeo"):
    sys.modules[name] = None
from trifuse.fusformer import FusformerConfig, build_model
import torch
model = build_model(FusformerConfig(2, 3, width=12))
print(tuple(model(torch.rand(1, 2, 8, 8), torch.rand(1, 3, 8, 8)).shape))
"""


def test_import_without_rasterio_and_spectral():
    run = subprocess.run([sys.executable, "-c", BLOCK], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "(1, 3, 8, 8)"
