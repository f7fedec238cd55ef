"""From scenes to a store of triplets: one unit of work per scene."""

from __future__ import annotations

import hashlib
import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from trifuse.core import (
    BandError,
    BandSet,
    CubeSource,
    DataError,
    Manifest,
    Unit,
    run_units,
    writes,
)
from trifuse.simulate.shards import FORMAT, write_shard
from trifuse.simulate.store import TripletStore
from trifuse.simulate.triplets import (
    SimulateConfig,
    Split,
    assign_splits,
    choose_patches,
    patch_shares,
)
from trifuse.simulate.views import band_psfs, fine_views, sensor_table, view_operators

Scene = CubeSource | Path | str | Sequence[Path | str]
"""A source, a product to open, or several files that are the tiles of one image."""

MAX_SPACING = 25.0
"""Median nm between the bands of a source of spectra; EnMAP's is 8, Sentinel-2's 50."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StorePlan:
    """What :func:`simulate_store` would do.

    Attributes:
        units: one per scene.
        config: what determines the content of the store; plain JSON values.
        hr_bands: bands of ``hrmsi``.
        lr_bands: bands of ``lrhsi`` and ``hrhsi``.
        splits: unit → split.
        candidates: unit → triplets at most, before their valid share is known.
    """

    units: tuple[Unit, ...]
    config: Mapping[str, Any]
    hr_bands: BandSet
    lr_bands: BandSet
    splits: Mapping[str, Split]
    candidates: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """Plain values, for ``--dry-run --json``."""
        return {
            **self.config,
            "scenes": {
                u.id: {"split": self.splits[u.id], "triplets_at_most": self.candidates[u.id]}
                for u in self.units
            },
        }


@writes("scenes", folder=True)
def simulate_store(
    scenes: Scene | Sequence[Scene],
    out: Path | str,
    config: SimulateConfig | None = None,
    *,
    overwrite: bool = False,
    jobs: int = 1,
    scheduler: str | None = None,
) -> TripletStore:
    """Make a store of triplets from spectral scenes, or go on with one that a run left unfinished.

    Every scene becomes one shard, written whole and then recorded, so a killed run loses at most
    the scenes in hand and ends with the same bytes when it is started again. Scenes are read by
    blocks of rows; what is held is the views of one scene per process.

    >>> from trifuse.core import MemorySource
    >>> from trifuse.simulate import procedural_scene
    >>> scene = MemorySource(procedural_scene(120, seed=1))
    >>> len(simulate_store(scene, "store", SimulateConfig(patch=60)))
    4

    Args:
        scenes: see :data:`Scene`; a list of paths is a list of scenes.
        out: the folder to write.
        config: default: :class:`SimulateConfig`.
        overwrite: start anew where the folder holds another store.
        jobs: processes.
        scheduler: address of a running Dask scheduler, in place of ``jobs``; see
            :func:`trifuse.core.run_units`.

    Returns:
        The finished store, opened.

    Raises:
        ProductError: if a scene cannot be opened.
        BandError: if a scene cannot make the bands, or two make different ones.
        DataError: if a scene is given twice or is too small, or no triplet is valid.
        StoreError: if the folder holds something else and ``overwrite`` is False.
        PartialError: if some scenes failed; the others are done.
        MissingExtraError: if a scheduler is given and ``distributed`` is not installed.
    """
    config = SimulateConfig() if config is None else config
    plan = plan_store(scenes, config)
    ids = [unit.id for unit in plan.units]
    manifest = Manifest.open(out, plan.config, ids, overwrite=overwrite)
    run_units(plan.units, _make_shard, manifest, jobs=jobs, scheduler=scheduler, label="scenes")
    for unit in ids:
        if not manifest.done[unit]["count"]:
            _log.warning("%s: no triplet has %g %% valid pixels", unit, 100 * config.min_valid)
        if cut := manifest.done[unit]["saturated"]:
            _log.warning("%s: %d values beyond ±3.2767 were set to that limit", unit, cut)
    store = TripletStore.open(out)
    if not len(store):
        raise DataError(
            f"no triplet of {config.patch}×{config.patch} pixels has "
            f"{100 * config.min_valid:g} % valid pixels",
            where=out,
            fix="give a smaller patch or min_valid, or other scenes",
        )
    return store


def plan_store(scenes: Scene | Sequence[Scene], config: SimulateConfig) -> StorePlan:
    """Open every scene and check that a store can be made of them, before any work.

    Raises:
        TrifuseError: as :func:`simulate_store`.
    """
    if isinstance(scenes, CubeSource | Path | str):
        scenes = [scenes]
    if not scenes:
        raise DataError("no scenes given", fix="give at least one")
    units: list[Unit] = []
    candidates: dict[str, int] = {}
    made: list[tuple[BandSet, BandSet]] = []
    for source in (source for scene in scenes for source in _open(scene, config)):
        unit = _unit(source, config)
        if unit.id in candidates:
            raise DataError(
                f"is given twice (product {unit.id})",
                where=source.name,
                fix="give every scene once: the same ground must not be in two splits",
            )
        to_s2, to_s3 = _operators(source, config)
        band_psfs(config.psf, to_s3.bands)
        _require_spectra(source)
        made.append((to_s2.bands, to_s3.bands))
        _same_bands(unit.id, made[-1], units[0].id if units else unit.id, made[0])
        try:
            everywhere = np.ones(source.grid.shape, bool)
            candidates[unit.id] = len(choose_patches(everywhere, config, unit.id))
        except DataError as e:
            raise DataError(e.what, where=source.name, fix=e.fix) from None
        units.append(unit)
        source.close()  # reading opens it again, in whatever process
    units.sort(key=lambda unit: unit.id)  # so that the order given leaves no trace
    hr_bands, lr_bands = made[0]
    about = {
        "format": FORMAT,
        "software": _software(),
        "simulate": config.to_json(),
        "hr_bands": hr_bands.to_json(),
        "lr_bands": lr_bands.to_json(),
        "srf": {name: _issue(name) for name in (config.s2, config.s3)},
        "psf_sigma_cells": [psf.sigma for psf in band_psfs(config.psf, lr_bands)],
    }
    splits = assign_splits(list(candidates), config.split, config.seed)
    return StorePlan(tuple(units), about, hr_bands, lr_bands, splits, candidates)


def _make_shard(unit: Unit, folder: Path) -> dict[str, Any]:
    """The work of one unit: also runs in other processes."""
    source, config = unit.payload
    try:
        hrmsi, hrhsi = fine_views(source, **config.views)
    finally:
        source.close()
    valid = hrmsi.valid & hrhsi.valid
    for view in (hrmsi, hrhsi):
        valid &= np.isfinite(view.data).all(axis=0)
    corners = choose_patches(valid, config, unit.id)
    lattice = patch_shares(valid, config)
    shares = [float(lattice[row // config.step, col // config.step]) for row, col in corners]
    psfs = band_psfs(config.psf, hrhsi.bands)
    about = {
        "unit": unit.id,
        "product_id": str(source.meta.get("product_id") or source.name),
        "software": _software(),
        "s2": config.s2,
        "s3": config.s3,
        "s2_issue": _issue(config.s2)["issue"],
        "s2_source": _issue(config.s2)["source"],
        "s3_issue": _issue(config.s3)["issue"],
        "s3_source": _issue(config.s3)["source"],
        "psf_sigma_cells": [psf.sigma for psf in psfs],
        "seed": config.seed,
        "mask": ",".join(source.meta.get("mask") or []),
        **({"spectra": spectra} if (spectra := source.meta.get("spectra")) else {}),
    }
    return write_shard(
        folder / unit.file,
        (hrmsi, hrhsi),
        corners,
        shares,
        patch=config.patch,
        ratio=config.ratio,
        psfs=psfs,
        dtype=config.dtype,
        about=about,
    )


def _open(scene: Scene, config: SimulateConfig) -> Sequence[CubeSource]:
    """The sources of what the user names, of which a delivery may hold several."""
    if isinstance(scene, CubeSource):
        return [scene]
    from trifuse.products import open_scenes

    return open_scenes(scene, mask=config.mask)


def _unit(source: CubeSource, config: SimulateConfig) -> Unit:
    """A unit is known by its product, whatever folder it is opened from."""
    product = str(source.meta.get("product_id") or source.name)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", product).strip(".-")
    if name != product or len(name) > 100:
        name = f"{name[:80]}-{hashlib.sha256(product.encode()).hexdigest()[:8]}"
    return Unit(name, f"{name}.h5", (source, config))


def _operators(source: CubeSource, config: SimulateConfig) -> tuple[Any, Any]:
    return view_operators(source.bands, source.meta, where=source.name, **config.views)


def _require_spectra(source: CubeSource) -> None:
    """Stop where bands are too far apart to tell what lies between them, as Sentinel-2's are."""
    usable = source.meta.get("usable") or [True] * len(source.bands)
    centres = sorted(c for c, good in zip(source.bands.centres, usable, strict=True) if good)
    apart = float(np.median(np.diff(centres))) if len(centres) > 1 else math.inf
    if not apart <= MAX_SPACING:
        raise BandError(
            f"has {len(centres)} bands, {apart:.0f} nm apart: no spectra to make other bands of",
            where=source.name,
            fix="give a hyperspectral cube, such as EnMAP L2A",
        )


def _same_bands(
    name: str, made: tuple[BandSet, BandSet], first: str, wanted: tuple[BandSet, BandSet]
) -> None:
    for ours, theirs in zip(made, wanted, strict=True):
        if ours.names != theirs.names:
            only = sorted(set(ours.names) ^ set(theirs.names))
            raise BandError(
                f"makes other bands than {first}: {', '.join(only)} in one of them only",
                where=name,
                fix="name the bands that all scenes have, or leave the scene out",
            )


def _issue(name: str) -> dict[str, str]:
    table = sensor_table(name)
    return {"source": table.source, "issue": table.issue, "date": table.date}


def _software() -> str:
    try:
        return f"TriFuse {version('trifuse')}"
    except PackageNotFoundError:
        return "TriFuse"
