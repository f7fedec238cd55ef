"""Long work as a list of independent units, recorded in a manifest.

A unit writes one file atomically and is then recorded with its hash. A run that is killed and
started again verifies what is recorded and goes on; it ends with the same bytes.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trifuse.core.atomic import fingerprint, read_json, sha256, write_json
from trifuse.core.errors import PartialError, ProductError, StoreError, TrifuseError
from trifuse.core.log import progress_bar
from trifuse.core.work import Outcome, Unit, Work
from trifuse.core.workers import check_place, in_processes, on_cluster, serially

MANIFEST = "manifest.json"
_log = logging.getLogger(__name__)


@dataclass
class Manifest:
    """Record of the units of one folder, rewritten atomically after every unit.

    Attributes:
        folder: where the files and ``manifest.json`` lie.
        config: what determines the content of every unit; plain JSON values.
        planned: ids of all units of the work.
        done: id → ``{"file", "bytes", "sha256", **extra}``.
    """

    folder: Path
    config: Mapping[str, Any]
    planned: tuple[str, ...]
    done: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every planned unit is recorded."""
        return set(self.planned) <= set(self.done)

    @classmethod
    def open(
        cls,
        folder: Path | str,
        config: Mapping[str, Any],
        planned: Sequence[str],
        *,
        overwrite: bool = False,
    ) -> Manifest:
        """Start a manifest, or go on with the one that is there.

        Raises:
            StoreError: if the folder holds work of another configuration, or files of none, and
                ``overwrite`` is False.
        """
        folder = Path(folder)
        fresh = cls(folder, dict(config), tuple(planned))
        if not (folder / MANIFEST).exists():
            if folder.exists() and not folder.is_dir():
                raise StoreError("is a file, not a folder", where=folder)
            if (
                folder.is_dir()
                and any(not p.name.startswith(".") for p in folder.iterdir())
                and not overwrite
            ):
                raise StoreError(
                    "holds files but no manifest", where=folder, fix="give an empty folder"
                )
            fresh.save()
            return fresh
        try:
            old = cls.load(folder)
        except (StoreError, ProductError):
            if not overwrite:
                raise
            old = cls(folder, {}, ())
        if fingerprint(dict(old.config)) == fingerprint(dict(config)) and not overwrite:
            fresh.done = {k: v for k, v in old.done.items() if k in planned and old.intact(k)}
        elif not overwrite:
            raise StoreError(
                "holds work of another configuration: "
                + ", ".join(_differences(old.config, config)),
                where=folder,
                fix="give --overwrite or another folder",
            )
        else:
            for record in old.done.values():
                (folder / record["file"]).unlink(missing_ok=True)
        fresh.save()
        return fresh

    @classmethod
    def load(cls, folder: Path | str) -> Manifest:
        """Read a manifest without touching it.

        Raises:
            StoreError: if there is none, or it is damaged.
        """
        folder = Path(folder)
        if not (folder / MANIFEST).is_file():
            raise StoreError("holds no manifest.json", where=folder, fix="give a finished store")
        raw = read_json(folder / MANIFEST)
        try:
            done = {str(k): dict(v) for k, v in raw["units"].items()}
            for record in done.values():
                if Path(record["file"]).name != record["file"]:
                    raise StoreError(f"names {record['file']!r} outside itself", where=folder)
                _ = record["sha256"], int(record["bytes"])
            return cls(folder, dict(raw["config"]), tuple(map(str, raw["planned"])), done)
        except (KeyError, TypeError, ValueError, AttributeError) as e:
            if isinstance(e, StoreError):
                raise
            raise StoreError(f"manifest.json is damaged ({e!r})", where=folder) from None

    def path(self, unit_id: str) -> Path:
        """File of a recorded unit."""
        return self.folder / str(self.done[unit_id]["file"])

    def intact(self, unit_id: str) -> bool:
        """Whether the file of a recorded unit is there with the recorded content."""
        record, path = self.done[unit_id], self.path(unit_id)
        return (
            path.is_file()
            and path.stat().st_size == record["bytes"]
            and sha256(path) == record["sha256"]
        )

    def record(self, unit: Unit, extra: Mapping[str, Any]) -> None:
        """Note that a unit's file is published."""
        path = self.folder / unit.file
        entry = {"file": unit.file, "bytes": path.stat().st_size, "sha256": sha256(path)}
        self.done[unit.id] = {**extra, **entry}
        self.save()

    def require_complete(self) -> None:
        """Check before use.

        Raises:
            StoreError: if a unit is not recorded or its file is not there in full length.
        """
        missing = [u for u in self.planned if u not in self.done]
        short = [
            r["file"]
            for r in self.done.values()
            if not (self.folder / r["file"]).is_file()
            or (self.folder / r["file"]).stat().st_size != r["bytes"]
        ]
        if missing or short:
            what = (
                f"{len(missing)} of {len(self.planned)} units are missing"
                if missing
                else (f"files are missing or cut short: {', '.join(short[:5])}")
            )
            raise StoreError(
                what, where=self.folder, fix="run the command that makes it again; it resumes"
            )

    def save(self) -> None:
        """Write ``manifest.json``."""
        value = {"config": dict(self.config), "planned": list(self.planned), "units": self.done}
        write_json(self.folder / MANIFEST, value, overwrite=True)


def _differences(old: Any, new: Any, key: str = "") -> list[str]:
    """Where two configurations differ, as ``a.b is 1 there and 2 here``."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        both = sorted({*old, *new})
        inner = (_differences(old.get(k), new.get(k), f"{key}.{k}" if key else k) for k in both)
        return [line for lines in inner for line in lines]
    if old == new:
        return []
    shown = [t if len(t) <= 40 else f"{t[:37]}…" for t in (str(old), str(new))]
    return [f"{key} is {shown[0]} there and {shown[1]} here"]


def run_units(
    units: Sequence[Unit],
    work: Work,
    manifest: Manifest,
    *,
    jobs: int = 1,
    scheduler: str | None = None,
    label: str = "units",
) -> None:
    """Do what is not yet recorded: one by one, in processes, or on a Dask cluster.

    A worker that is killed costs the unit in its hand, which another one does again; the result
    is the same to the byte.

    Args:
        units: all units of the work.
        work: called with (unit, folder); writes ``folder / unit.file`` atomically and returns
            plain JSON values for the manifest. Must pickle if it is to be done elsewhere; it is
            then sent to each worker once, so it may carry what all units need.
        manifest: opened for these units.
        jobs: processes of this machine.
        scheduler: address of a running Dask scheduler, such as ``tcp://host:8786``, whose workers
            see the manifest's folder under the same path.
        label: for the progress bar.

    Raises:
        PartialError: after all other units are done, if some failed; names each with its reason.
        TrifuseError: the unit's own error, if the work was one unit.
        ConfigError: if both processes and a scheduler are asked for, or the scheduler fails.
        MissingExtraError: if a scheduler is asked for and ``distributed`` is not installed.
    """
    check_place(jobs, scheduler)
    todo = [u for u in units if u.id not in manifest.done]
    if skipped := len(units) - len(todo):
        _log.info("%d of %d units are there already", skipped, len(units))
    failed: dict[str, TrifuseError] = {}
    with (
        progress_bar(label, total=len(units), initial=skipped) as bar,
        contextlib.closing(_outcomes(todo, work, manifest.folder, jobs, scheduler)) as outcomes,
    ):
        for unit, outcome in outcomes:
            if isinstance(outcome, TrifuseError):
                failed[unit.id] = outcome
            else:
                _require_file(manifest.folder / unit.file, scheduler)
                manifest.record(unit, outcome)
            bar.update()
    if failed and len(units) == 1:
        raise next(iter(failed.values()))
    if failed:
        reasons = "; ".join(f"{k}: {v}" for k, v in sorted(failed.items()))
        raise PartialError(
            f"{len(failed)} of {len(units)} units failed: {reasons}", where=manifest.folder
        )


def _outcomes(
    todo: Sequence[Unit], work: Work, folder: Path, jobs: int, scheduler: str | None
) -> Generator[tuple[Unit, Outcome]]:
    if scheduler is not None and todo:
        yield from on_cluster(todo, work, folder, scheduler)
    elif jobs > 1 and len(todo) > 1:
        yield from in_processes(todo, work, folder, jobs)
    else:
        yield from serially(todo, work, folder)


def _require_file(path: Path, scheduler: str | None) -> None:
    if scheduler is not None and not path.is_file():
        raise StoreError(
            "a worker wrote it, and it is not here",
            where=path,
            fix="give a folder that this machine and all workers see under the same path",
        )
