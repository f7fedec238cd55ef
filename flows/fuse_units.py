"""Where the tiles of a fusion are computed: here, by processes, by a cluster, by several ranks."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from trifuse.core import ConfigError, Grid
from trifuse.core.workers import check_place
from trifuse.fusion.parallel import in_parts
from trifuse.fusion.ranks import Ranks
from trifuse.products.write.writer import software


@contextmanager
def place_of_work(
    out: Path | None, identity: Mapping[str, Any] | None, *, jobs: int, scheduler: str | None
) -> Iterator[dict[str, Any]]:
    """Options of :func:`trifuse.fusion.fuse` that say where the tiles are computed.

    Parts lie in a hidden folder beside the product. It goes when the block ends well; what a
    killed run leaves there is used by the next one.

    Args:
        out: the product; None keeps parts in the system's temporary folder.
        identity: what determines the pixels; None if that is not known.
        jobs: processes of this machine.
        scheduler: address of a running Dask scheduler.

    Raises:
        ConfigError: if more than one of processes, a scheduler and a launcher is asked for.
    """
    check_place(jobs, scheduler)
    ranks = Ranks.launched()
    if ranks is not None and (jobs > 1 or scheduler is not None):
        raise ConfigError("jobs or a scheduler under a launcher", fix="give one of them")
    if jobs == 1 and scheduler is None and ranks is None:
        yield {}
        return
    with ExitStack() as temporary:
        if out is None:
            folder = Path(temporary.enter_context(tempfile.TemporaryDirectory())) / "parts"
        else:
            out.parent.mkdir(parents=True, exist_ok=True)
            folder = out.absolute().with_name(f".{out.name}.parts")
        yield {
            "compute": in_parts(
                folder, identity=identity, jobs=jobs, scheduler=scheduler, ranks=ranks
            )
        }
        shutil.rmtree(folder, ignore_errors=True)


def identity_of(
    s2: Any, s3: Any, method: Any, grid: Grid, record: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any] | None:
    """What determines the pixels of a fusion, so that parts of a killed run can be used.

    Returns:
        Plain JSON values; None where an input or the method is an object without a name.
    """
    if not (isinstance(s2, str | Path) and isinstance(s3, str | Path)):
        return None
    if not isinstance(method, str | None):
        return None
    given = {k: v for k, v in options.items() if isinstance(v, str | int | float | None)}
    shift = [float(v) for v in options["shift"]]
    return {
        "software": software(),
        **record,
        "transform": list(grid.transform),
        "options": given,
        "shift": shift,
    }
