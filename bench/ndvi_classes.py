"""NDVI classes of fused images and of Sentinel-2 against maps of land cover: the Jaccard score.

    python bench/ndvi_classes.py --size 300 --scenes 900 901 902 903 904
    python bench/ndvi_classes.py --protocol real-world --methods regression local-regression

Procedural scenes know their land cover. Their NDVI is cut into classes, once at customary limits
and once at limits fitted to Sentinel-2's NDVI, so that a fused image gains nothing by the fit. Of
fused images NDVI is taken by the response of B4 and B8A, and once by the means of three bands of
the paper. The measure itself is also taken on a Chesapeake tile (Landsat and NAIP against the
six-class map and NLCD), if the samples are there: TRIFUSE_DATA, else beside the repository.

Figures do not compare with the paper's 0.340 and 0.337, whose classes and limits are not given.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np
import rasterio

import trifuse
from trifuse.core import Cube, MemorySource
from trifuse.metrics import NDVI_CLASSES, IndexAgreement, class_agreement, classify, index_agreement
from trifuse.products import ndvi
from trifuse.simulate import PROTOCOLS, observe, procedural_layers, scene_views

TILE = "6_chesapeake/calebrob6_landcover_mock/test-test_tiles/m_3907833_nw_17_1_"
# Red and near infrared, counted from 1.
TILE_IMAGES = {
    "landsat-leaf-on": (4, 5),
    "landsat-leaf-off": (4, 5),
    "naip-new": (1, 4),
    "naip-old": (1, 4),
}


def plane(cube: Cube, definition: str = "s2") -> np.ndarray:
    """NDVI (y, x), NaN where there is none."""
    return ndvi(cube, definition).masked()[0]  # type: ignore[arg-type]


def procedural(
    seed: int, size: int, ratio: int, protocol: str, methods: list[str]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """NDVI of each image, and the map."""
    layers = procedural_layers(size, seed)
    s2, _, truth = scene_views(MemorySource(layers.cube), ratio=ratio)
    seen = observe(s2, truth, ratio, PROTOCOLS[protocol], seed)
    planes = {"Sentinel-2": plane(seen.hrmsi), "truth, Sentinel-3 bands": plane(truth)}
    for method in methods:
        fused = trifuse.fuse(seen.hrmsi, seen.lrhsi, method=method).cube
        assert fused is not None
        planes[method] = plane(fused)
        if method != "bicubic":
            planes[f"{method}, paper's NDVI"] = plane(fused, "paper")
    return planes, layers.landcover


def means(found: list[IndexAgreement]) -> dict[str, dict[str, float]]:
    """Mean over scenes; a class that a scene lacks does not count there."""
    out = {}
    for name in found[0].images:
        these = [f.images[name] for f in found]
        by_class = np.array([a.jaccard_classes for a in these])
        counted = np.isfinite(by_class).any(axis=0)
        mean = np.full(len(counted), np.nan)
        mean[counted] = np.nanmean(by_class[:, counted], axis=0)
        out[name] = {
            "jaccard": float(np.mean([a.jaccard for a in these])),
            "weighted": float(np.mean([a.jaccard_weighted for a in these])),
            "accuracy": float(np.mean([a.accuracy for a in these])),
            **dict(zip(NDVI_CLASSES, mean.tolist(), strict=True)),
        }
    return out


def print_means(rows: dict[str, dict[str, float]]) -> None:
    wide, names = max(map(len, rows)), list(next(iter(rows.values())))
    print(" " * wide, *(n.rjust(max(len(n), 6)) for n in names), sep="  ")
    for name, row in rows.items():
        print(name.ljust(wide), *(f"{row[n]:.3f}".rjust(max(len(n), 6)) for n in names), sep="  ")


def tile(folder: Path, name: str, band: int) -> np.ndarray:
    """A band (y, x) of a file of the Chesapeake tile."""
    with rasterio.open(f"{folder / TILE}{name}.tif") as file:
        values: np.ndarray = file.read(band)
    return values


def chesapeake(folder: Path) -> dict[str, object]:
    """The measure on real images of another date and sensor than the maps."""
    planes = {}
    for name, (red, nir) in TILE_IMAGES.items():
        # Not by open_cube: the files call NAIP's near infrared an alpha channel.
        low, high = (tile(folder, name, band).astype(np.float32) for band in (red, nir))
        with np.errstate(invalid="ignore"):
            planes[name] = (high - low) / (high + low)
    record: dict[str, object] = {}
    for title, file, legend in (("six classes", "lc", "chesapeake"), ("NLCD", "nlcd", "nlcd")):
        cover = tile(folder, file, 1)
        print(f"\nChesapeake tile against {title}")
        for name in planes:
            # Eight-bit numbers of NAIP are no reflectance: only limits of its own mean anything.
            found = index_agreement({name: planes[name]}, cover, legend, limits=name)
            print(found.table())
            record[f"{title}, {name}"] = found.to_json()
        landsat = {n: p for n, p in planes.items() if n.startswith("landsat")}
        found = index_agreement(landsat, cover, legend)
        print("at customary limits\n" + found.table())
        record[f"{title}, customary"] = found.to_json()
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=300, help="edge of the scenes in pixels")
    parser.add_argument("--scenes", type=int, nargs="+", default=[900, 901, 902, 903, 904])
    parser.add_argument("--ratio", type=int, default=10)
    parser.add_argument(
        "--protocol", choices=list(PROTOCOLS), nargs="+", default=["clean", "real-world"]
    )
    parser.add_argument(
        "--methods", nargs="+", default=["bicubic", "regression", "local-regression"]
    )
    parser.add_argument("-o", "--output", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    record: dict[str, object] = {}
    for protocol in options.protocol:
        customary, fitted, same = [], [], []
        for seed in options.scenes:
            planes, cover = procedural(seed, options.size, options.ratio, protocol, options.methods)
            customary.append(index_agreement(planes, cover, "procedural"))
            fitted.append(index_agreement(planes, cover, "procedural", limits="Sentinel-2"))
            limits = customary[-1].limits
            reference = classify(planes["Sentinel-2"], limits)
            same.append(
                {
                    n: class_agreement(reference, classify(p, limits), NDVI_CLASSES).jaccard
                    for n, p in planes.items()
                }
            )
        print(f"\n{len(options.scenes)} procedural scenes, {protocol}, against their land cover")
        for title, found in (("customary", customary), ("fitted to Sentinel-2", fitted)):
            limits = np.array([f.limits for f in found])
            ranges = (
                f"{a:.2f}–{b:.2f}" if b > a else f"{a:.2f}"
                for a, b in zip(limits.min(axis=0), limits.max(axis=0), strict=True)
            )
            print(f"{title}: limits {', '.join(ranges)}")
            rows = means(found)
            print_means(rows)
            record[f"{protocol}, {title}"] = {"limits": limits.tolist(), "images": rows}
        agree = {n: float(np.mean([s[n] for s in same])) for n in same[0]}
        print(
            "the same classes as Sentinel-2 (Jaccard): "
            + ", ".join(f"{n} {v:.3f}" for n, v in agree.items())
        )
        record[f"{protocol}, against Sentinel-2"] = agree
    root = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("TRIFUSE_DATA", root))
    if Path(f"{folder / TILE}lc.tif").is_file():
        record["chesapeake"] = chesapeake(folder)
    else:
        print("\nno Chesapeake tile: set TRIFUSE_DATA to the folder of the samples")
    if options.output:
        options.output.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
