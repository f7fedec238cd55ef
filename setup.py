"""Package list: the folders stay at the top of the repository and install under one namespace."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

# A room is a top folder that carries a py.typed; it installs as trifuse.<room>. The list is
# computed, because a sub-package missing from an explicit one is silently absent from wheels.
ROOMS = sorted(p.parent.name for p in HERE.glob("*/py.typed") if p.parent.name != "api")

setup(
    package_dir={"trifuse": "api", **{f"trifuse.{room}": room for room in ROOMS}},
    packages=["trifuse"]
    + [f"trifuse.{room}" for room in ROOMS]
    + [f"trifuse.{room}.{sub}" for room in ROOMS for sub in find_packages(str(HERE / room))],
)
