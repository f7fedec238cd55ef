"""From scenes to a store of triplets: one unit of work per scene."""

from __future__ import annotations

import hashlib
import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from trifuse.core import (
    BandError,
    BandSet,
    Cube,
    CubeSource,
    DataError,
    Grid,
    Manifest,
    Reading,
    Unit,
    fingerprint,
    run_units,
    writes,
)
from trifuse.core.units import MANIFEST
from trifuse.core.xarray_read import is_xarray
from trifuse.simulate.footprints import ground_groups
from trifuse.simulate.shards import FORMAT, write_shard
from trifuse.simulate.store import GROUND, TripletStore
from trifuse.simulate.triplets import (
    SimulateConfig,
    Split,
    assign_splits,
    beyond_share,
    choose_patches,
    patch_shares,
)
from trifuse.simulate.views import band_psfs, fine_views, sensor_table, view_operators

if TYPE_CHECKING:
    from trifuse.core.xarray_read import XArray

    Scene = CubeSource | Path | str | Sequence[Path | str] | Reading | XArray
else:
    Scene = CubeSource | Path | str | Sequence[Path | str] | Reading
"""A source, a product to open, several files that are the tiles of one image, what xarray has
opened, or one of these with how it is to be read."""

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

    @property
    def groups(self) -> list[list[str]]:
        """Scenes of the same ground, which are in one split together."""
        return [group["scenes"] for group in self.config.get(GROUND, [])]

    @property
    def remarks(self) -> list[str]:
        """What was decided about scenes of the same ground, a line each."""
        shares = SimulateConfig.from_json(self.config["simulate"]).split
        lines = [
            f"{len(g)} scenes see the same ground and are in {self.splits[g[0]]} together: "
            f"{_some(g)}"
            for g in self.groups
        ]
        lines += [
            f"{len(group)} scenes of the same ground are more than the {due} of "
            f"{len(self.splits)} that {split} should have: {_some(group)}"
            for group, split, due in beyond_share(self.splits, self.groups, shares)
        ]
        return lines

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
        DataError: if a scene is given twice or is too small, its values cannot be reflectance, or
            no triplet is valid.
        StoreError: if the folder holds something else and ``overwrite`` is False.
        PartialError: if some scenes failed; the others are done.
        MissingExtraError: if a scheduler is given and ``distributed`` is not installed.
    """
    config = SimulateConfig() if config is None else config
    plan = plan_store(scenes, config)
    ids = [unit.id for unit in plan.units]
    for line in plan.remarks:
        _log.warning("%s", line)
    if not overwrite:
        _tell_ground(Path(out), plan.config)
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
    if isinstance(scenes, CubeSource | Path | str | Reading) or is_xarray(scenes):
        scenes = [scenes]
    if not scenes:
        raise DataError("no scenes given", fix="give at least one")
    units: list[Unit] = []
    candidates: dict[str, int] = {}
    grids: dict[str, Grid] = {}
    made: list[tuple[BandSet, BandSet]] = []
    for source in (source for scene in scenes for source in _open(cast("Scene", scene), config)):
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
        units.append(_looked_at(unit))
        grids[unit.id] = source.grid
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
    groups = ground_groups(grids)
    splits = assign_splits(list(candidates), config.split, config.seed, groups)
    if groups:
        about[GROUND] = [{"scenes": list(g), "split": splits[g[0]]} for g in groups]
    return StorePlan(tuple(units), about, hr_bands, lr_bands, splits, candidates)


def _tell_ground(out: Path, config: Mapping[str, Any]) -> None:
    """Let a store that more scenes are added to know which of all see the same ground.

    That decides what scenes serve for, and nothing in the files of scenes that are done.
    """
    if not (out / MANIFEST).is_file():
        return
    manifest = Manifest.load(out)
    old, new = ({k: v for k, v in c.items() if k != GROUND} for c in (manifest.config, config))
    same = manifest.config.get(GROUND) == config.get(GROUND)
    if not same and fingerprint(old) == fingerprint(new):
        manifest.config = dict(config)
        manifest.save()


def _some(names: Sequence[str]) -> str:
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + rest


def _make_shard(unit: Unit, folder: Path) -> dict[str, Any]:
    """The work of one unit: also runs in other processes."""
    source, config, doubts = unit.payload
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
    done = write_shard(
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
    return {**done, "doubts": doubts} if doubts else done


def _open(scene: Scene, config: SimulateConfig) -> Sequence[CubeSource]:
    """The sources of what the user names, of which a delivery may hold several."""
    if isinstance(scene, CubeSource):
        return [scene]
    from trifuse.products import open_scenes
    from trifuse.products.reading import open_reading
    from trifuse.products.scales import as_reflectance

    found: Sequence[CubeSource]
    if not isinstance(scene, Reading):
        found = open_scenes(scene, mask=config.mask)
    elif set(scene.options) <= {"mask"} and not isinstance(scene.image, CubeSource | Cube):
        found = open_scenes(scene.image, mask=scene.mask or config.mask)
    else:
        found = [open_reading(scene)]
    return [as_reflectance(source, guess=False) for source in found]


def _unit(source: CubeSource, config: SimulateConfig) -> Unit:
    """A unit is known by its product, whatever folder it is opened from."""
    product = str(source.meta.get("product_id") or source.name)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", product).strip(".-")
    if name != product or len(name) > 100:
        name = f"{name[:80]}-{hashlib.sha256(product.encode()).hexdigest()[:8]}"
    return Unit(name, f"{name}.h5", (source, config, []))


def _looked_at(unit: Unit) -> Unit:
    """The unit with what speaks against its scene, for the manifest; stops at what is wrong."""
    from trifuse.products import require_plausible

    source, config, _ = unit.payload
    found = [doubt.to_json() for doubt in require_plausible(source)]
    return replace(unit, payload=(source, config, found))


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
