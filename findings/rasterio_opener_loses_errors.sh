#!/bin/sh
# What a Python file says went wrong is lost when rasterio reads through it.
#
# Package:   rasterio 1.4.4 (wheel with GDAL 3.10.3), numpy 2.4.0
# Setting:   rasterio.open(name, opener=...) reads a GeoTIFF through a Python file, whose read()
#            raises OSError("quota exceeded") beyond a certain place.
# Guess:     dataset.read() raises an error that has the OSError in its chain (__cause__ or
#            __context__), as exceptions of callbacks elsewhere in Python have.
# Behaviour: it raises RasterioIOError; its chain holds GDAL's words alone ("Read error ... got -1
#            bytes"). The OSError is nowhere in it: it is printed on stderr as "Exception ignored
#            in: 'rasterio._err...'". A program cannot tell a refused read from a damaged file.
# Output:    chain: RasterioIOError, CPLE_AppDefinedError, CPLE_AppDefinedError, CPLE_AppDefinedError
#            the words of the file in the chain: False
#            the words of the file on stderr: True
# Source:    https://rasterio.readthedocs.io/en/stable/topics/vsi.html (Python file and filesystem
#            openers; nothing is said of errors); rasterio/_vsiopener.pyx, pyopener_read.
#
# Ends with 0 while this is so, with 1 if it has changed.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet rasterio==1.4.4 numpy==2.4.0
cat > "$work/read.py" <<'PY'
import io
import sys

import numpy as np
import rasterio

path = sys.argv[1]
values = np.arange(512 * 512, dtype="uint16").reshape(1, 512, 512)
profile = {"driver": "GTiff", "width": 512, "height": 512, "count": 1, "dtype": "uint16"}
place = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 600000, 0, -10, 5800000)}
with rasterio.open(path, "w", tiled=True, blockxsize=128, blockysize=128, **profile, **place) as out:
    out.write(values)
with rasterio.open(path) as plain:  # the file itself is healthy
    assert (plain.read() == values).all()


class Limited(io.FileIO):
    def read(self, size=-1):
        if self.tell() > 100_000:
            raise OSError("quota exceeded")
        return super().read(size)


def opener(name, mode="rb", **_):
    if name.endswith("limited"):
        return Limited(path)
    raise FileNotFoundError(name)


chain = []
with rasterio.open("limited", driver="GTiff", opener=opener) as dataset:
    try:
        dataset.read(1)
    except Exception as error:
        while error is not None:
            chain.append(error)
            error = error.__cause__ or error.__context__
print("chain:", ", ".join(type(e).__name__ for e in chain))
told = any("quota" in str(e) for e in chain)
print("the words of the file in the chain:", told)
sys.exit(0 if chain and not told else 1)
PY
code=0
"$work/venv/bin/python" "$work/read.py" "$work/a.tif" 2> "$work/stderr" || code=$?
if grep -q "quota exceeded" "$work/stderr"; then seen=True; else seen=False; fi
echo "the words of the file on stderr: $seen"
[ "$seen" = True ] || code=1
exit "$code"
