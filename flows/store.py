"""What a store of triplets holds, whether it can be trusted, and several stores as one."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from trifuse.core import ConfigError, Manifest, StoreError, Unit, atomic_path, run_units, writes
from trifuse.simulate import TripletStore, assign_splits
from trifuse.simulate.footprints import degree_boxes, ground_groups, overlapping
from trifuse.simulate.store import GROUND
from trifuse.simulate.triplets import SPLITS, beyond_share

COLUMNS, ROWS = 48, 12
"""Characters of the map."""

LETTERS = {"train": "t", "val": "v", "test": "x"}
MIXED = "#"
"""On the map: ground of more than one split."""


@dataclass(frozen=True, slots=True)
class StoreReport:
    """What was found of a store.

    Attributes:
        lines: for a terminal.
        record: the same as plain JSON values.
    """

    lines: Sequence[str]
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The lines as one text."""
        return "\n".join(self.lines)


def store_info(path: Path | str) -> StoreReport:
    """What a finished store holds: triplets, bands, and the ground of each split on a small map.

    Args:
        path: the folder.

    Raises:
        StoreError: if it is unfinished or damaged.
    """
    store = TripletStore.open(path)
    counts, grids = store.counts, store.grids
    by_split = {s: [u for u in counts if store.splits[u] == s] for s in SPLITS}
    shared = overlapping(grids)
    leaks = [pair for pair in shared if store.splits[pair[0]] != store.splits[pair[1]]]
    boxes = {u: degree_boxes(g) if g.crs else () for u, g in grids.items()}
    config = store.config
    lines = [
        f"{len(store)} triplets of {config.patch}×{config.patch} pixels, ratio {store.ratio}, "
        f"of {len(counts)} scenes; {config.dtype}",
        f"HrMSI {' '.join(store.hr_bands.names)}",
        f"LrHSI {' '.join(store.lr_bands.names)}",
    ]
    lines += [
        f"{split:5} {sum(counts[u] for u in units):6} triplets of {len(units)} scenes: "
        f"{', '.join(units[:4])}{f' and {len(units) - 4} more' if len(units) > 4 else ''}"
        for split, units in by_split.items()
        if units
    ]
    for group in store.groups:
        lines.append(f"same ground, in {store.splits[group[0]]} together: {', '.join(group)}")
    lines += [f"same ground, on two sides: {_pair(store, pair)}" for pair in leaks]
    lines += _map({u: (store.splits[u], b) for u, b in boxes.items() if b})
    lines.append(f"content {store.hash}")
    record = {
        "store": str(path),
        "hash": store.hash,
        "triplets": len(store),
        "config": config.to_json(),
        "hr_bands": store.hr_bands.to_json(),
        "lr_bands": store.lr_bands.to_json(),
        "scenes": {
            u: {
                "split": store.splits[u],
                "triplets": counts[u],
                "product": store.meta["products"][u],
                "degrees": [list(b) for b in boxes[u]],
            }
            for u in counts
        },
        "groups": [list(g) for g in store.groups],
        "leaks": [list(p) for p in leaks],
    }
    return StoreReport(lines, record)


def check_store(path: Path | str) -> StoreReport:
    """Read all of a store: hashes of its files, ground and triplets that are on two sides.

    Args:
        path: the folder.

    Raises:
        StoreError: if a file is not what was recorded, or training, validation and test share
            ground or have equal triplets.
    """
    store = TripletStore.open(path, verify=True)
    leaks = [
        pair for pair in overlapping(store.grids) if store.splits[pair[0]] != store.splits[pair[1]]
    ]
    twins = _twins(store)
    if leaks or twins:
        parts = []
        if leaks:
            more = f" and {len(leaks) - 1} more pairs" if len(leaks) > 1 else ""
            parts.append(f"the same ground is on two sides: {_pair(store, leaks[0])}{more}")
        if twins:
            parts.append(f"{len(twins)} triplets are equal to one of another split")
        raise StoreError(
            "; ".join(parts),
            where=path,
            fix="make it again with trifuse simulate, which keeps scenes of one ground together",
        )
    files = len(store.counts)
    lines = [
        f"{files} files are as recorded",
        "no ground and no triplet is on two sides",
        f"content {store.hash}",
    ]
    record = {"store": str(path), "files": files, "leaks": [], "twins": 0, "hash": store.hash}
    return StoreReport(lines, record)


@writes("stores", folder=True)
def merge_stores(
    stores: Sequence[Path | str], out: Path | str, *, overwrite: bool = False, dry_run: bool = False
) -> StoreReport:
    """One store of the scenes of several, dealt out anew; run it again to resume.

    Args:
        stores: finished, and made with one configuration.
        out: the folder to write.
        overwrite: start anew where the folder holds another store.
        dry_run: check the stores only.

    Raises:
        ConfigError: if there are fewer than two.
        StoreError: if they were made in different ways, a scene of two of them differs, or a file
            is not what was recorded.
        OutputExistsError: if the folder is one of the stores, holds one or lies in one.
    """
    if len(stores) < 2:
        raise ConfigError(f"{len(stores)} stores to merge", fix="give two or more")
    opened = [TripletStore.open(p) for p in stores]
    manifests = [Manifest.load(p) for p in stores]
    config = {k: v for k, v in manifests[0].config.items() if k != GROUND}
    from_where: dict[str, tuple[Path, dict[str, Any]]] = {}
    for path, manifest in zip(stores, manifests, strict=True):
        other = {k: v for k, v in manifest.config.items() if k != GROUND}
        if differ := [k for k in sorted({*config, *other}) if config.get(k) != other.get(k)]:
            raise StoreError(
                f"was made in another way than {stores[0]} ({', '.join(differ)})",
                where=path,
                fix="merge stores of one configuration",
            )
        for unit in manifest.planned:
            found = manifest.done[unit]
            if unit in from_where and from_where[unit][1]["content"] != found["content"]:
                raise StoreError(
                    f"has another scene {unit} than {from_where[unit][0].parent}",
                    where=path,
                    fix="leave one of them out",
                )
            from_where.setdefault(unit, (manifest.path(unit), found))
    grids = {u: g for store in opened for u, g in store.grids.items()}
    groups, shares = ground_groups(grids), opened[0].config.split
    splits = assign_splits(list(grids), shares, opened[0].config.seed, groups)
    if groups:
        config[GROUND] = [{"scenes": list(g), "split": splits[g[0]]} for g in groups]
    lines = [
        f"{len(g)} scenes of the same ground are more than the {due} of {len(splits)} that "
        f"{split} should have: {', '.join(g)}"
        for g, split, due in beyond_share(splits, groups, shares)
    ]
    if dry_run:
        lines.append(f"would merge {len(from_where)} scenes of {len(stores)} stores into {out}")
        return StoreReport(lines, {"scenes": sorted(from_where), "store": str(out)})
    units = [Unit(u, path.name, (path, found)) for u, (path, found) in sorted(from_where.items())]
    manifest = Manifest.open(out, config, [u.id for u in units], overwrite=overwrite)
    run_units(units, _copy, manifest, label="scenes")
    info = store_info(out)
    return StoreReport([*lines, *info.lines, f"wrote {out}"], info.record)


def _copy(unit: Unit, folder: Path) -> dict[str, Any]:
    """One shard, as it is; what was recorded of it goes along."""
    source, found = unit.payload
    with atomic_path(folder / unit.file, overwrite=True) as temporary:
        shutil.copyfile(source, temporary)
    return {k: v for k, v in found.items() if k not in ("file", "bytes", "sha256")}


def _pair(store: TripletStore, pair: tuple[str, str]) -> str:
    return " and ".join(f"{u} ({store.splits[u]})" for u in pair)


def _twins(store: TripletStore) -> list[int]:
    """Samples whose truth is, to the last bit, that of a sample of another split."""
    first: dict[bytes, str] = {}
    found = []
    for number in store.ids():
        triplet = store.read(number)
        if not np.isfinite(triplet.hrhsi).any():
            continue
        key = hashlib.sha256(np.ascontiguousarray(triplet.hrhsi).tobytes()).digest()
        split = str(triplet.provenance["split"])
        if first.setdefault(key, split) != split:
            found.append(number)
    store.close()
    return found


def _map(
    scenes: Mapping[str, tuple[str, Sequence[tuple[float, float, float, float]]]],
) -> list[str]:
    """Where the scenes of each split lie, north up, as lines of characters."""
    every = [(split, box) for split, boxes in scenes.values() for box in boxes]
    if not every:
        return ["no scene tells where it lies"]
    west, south = (min(box[i] for _, box in every) for i in (0, 1))
    east, north = (max(box[i] for _, box in every) for i in (2, 3))
    cells = np.full((ROWS, COLUMNS), ".")
    for split, (w, s, e, n) in every:
        first, last = (
            int(np.clip((x - west) / max(east - west, 1e-9) * COLUMNS, 0, COLUMNS - 1))
            for x in (w, e - 1e-9)
        )
        top, bottom = (
            int(np.clip((north - y) / max(north - south, 1e-9) * ROWS, 0, ROWS - 1))
            for y in (n, s + 1e-9)
        )
        part = cells[top : bottom + 1, first : last + 1]
        letter = LETTERS[split]
        part[...] = np.where((part == ".") | (part == letter), letter, MIXED)
    told = ", ".join(f"{letter} {split}" for split, letter in LETTERS.items())
    head = f"{west:.3f} to {east:.3f}° E, {south:.3f} to {north:.3f}° N; {told}, {MIXED} several"
    return [head, *("".join(row) for row in cells)]
