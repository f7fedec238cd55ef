"""Where the tiles of a fusion are computed: here, by processes, by a cluster, by several ranks."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from trifuse.core import ConfigError
from trifuse.flows.coregister import Place
from trifuse.flows.fuse_options import FuseOptions
from trifuse.flows.fuse_plan import FusionPlan
from trifuse.flows.fuse_record import FusionRecord
from trifuse.fusion.inference import Compute
from trifuse.fusion.parallel import in_parts
from trifuse.fusion.ranks import Ranks
from trifuse.fusion.tiles import TileWork
from trifuse.products.write.writer import software


@contextmanager
def tile_computer(options: FuseOptions, identity: dict[str, Any] | None) -> Iterator[Compute]:
    """What computes the tiles, where the options say.

    Parts lie in a hidden folder beside the product, or in the system's temporary folder where
    there is none. It goes when the block ends well; what a killed run leaves there is used by the
    next one.

    Args:
        options: of the fusion.
        identity: what determines the pixels; None if that is not known.

    Raises:
        ConfigError: if more than one of processes, a scheduler and a launcher is asked for.
    """
    jobs, scheduler, ranks = options.jobs, options.scheduler, Ranks.launched()
    if ranks is not None and (jobs > 1 or scheduler is not None):
        raise ConfigError("jobs or a scheduler under a launcher", fix="give one of them")
    if jobs == 1 and scheduler is None and ranks is None:
        yield TileWork.tiles
        if options.path is not None:  # a run that was killed may have had more processes
            shutil.rmtree(_parts(options.path), ignore_errors=True)
        return
    with ExitStack() as temporary:
        if (out := options.path) is None:
            folder = Path(temporary.enter_context(tempfile.TemporaryDirectory())) / "parts"
        else:
            out.parent.mkdir(parents=True, exist_ok=True)
            folder = _parts(out)
        yield in_parts(folder, identity=identity, jobs=jobs, scheduler=scheduler, ranks=ranks)
        shutil.rmtree(folder, ignore_errors=True)


def _parts(out: Path) -> Path:
    return out.absolute().with_name(f".{out.name}.parts")


def identity_of(plan: FusionPlan, record: FusionRecord, place: Place) -> dict[str, Any] | None:
    """What determines the pixels of a fusion, so that parts of a killed run can be used.

    Args:
        plan: what is fused, and how.
        record: with the contents of the inputs, and what was found of the scene.
        place: where S3's cells lie.

    Returns:
        Plain JSON values; None where an input or the method is an object without a name.
    """
    options, adapted = plan.options, record.adaptation
    if not all(isinstance(image, str | Path) for image in plan.given):
        return None
    if not isinstance(options.method, str | None):
        return None
    return {
        "software": software(),
        **replace(record, adaptation=None).to_json(),
        "transform": list(plan.grid.transform),
        "options": asdict(options.streaming),
        "weights": None if adapted is None else adapted.weights_sha256,
        "shift": [float(v) for v in place.shift],
    }
