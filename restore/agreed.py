"""What an image tells of its sampling, held against what it shows: who is believed.

Metadata are a witness: where the pixels contradict them, they are searched, and what is found
beyond doubt counts. The word of a user is kept, and the contradiction said.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from trifuse.core import CubeSource
from trifuse.core.sampling import WORDS
from trifuse.restore.scene_sampling import SceneSampling, scene_sampling, told_otherwise
from trifuse.restore.scene_statistics import Statistics
from trifuse.restore.sharpness import Sharpness
from trifuse.restore.sharpness_check import SharpnessCheck, learn

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Agreed:
    """A scene's sampling as it is believed, and its statistics under it.

    Attributes:
        sampled: what was told, given or found.
        sharpness: the same, as far as the pixels bear it out.
        statistics: of the scene.
        check: of the sharpness.
    """

    sampled: SceneSampling
    sharpness: Sharpness
    statistics: Statistics
    check: SharpnessCheck


def agreed(
    source: CubeSource,
    sampled: SceneSampling,
    *,
    mtf: float | None = None,
    noise: float | None = None,
    force: bool = False,
) -> Agreed:
    """Learn a scene by what is told of its sampling, or by what its pixels say against it.

    Args:
        source: the image.
        sampled: how it was sampled; something is to be undone.
        mtf: as given; None is looked for.
        noise: likewise.
        force: believe what is told against the pixels.

    Raises:
        DataError: see :func:`trifuse.restore.sharpness_check.learn`.
    """
    first = _learnt(source, sampled, mtf, noise, force)
    # A reader that has laid the bands itself knows how; what a file's metadata tell may be wrong.
    told = not (sampled.given or sampled.checked or force) and bool(
        WORDS.keys() & source.meta.keys()
    )
    if not told or not (first.check.sharp or first.check.otherwise):
        return first
    found = scene_sampling(source, look=True, mtf=mtf, noise=noise)
    lines = told_otherwise(source, found)
    if not lines or found.sharpness is None or not all(f.sure or f.warped for f in found.blurred):
        return first
    for line in lines:
        _log.warning("%s: %s", source.name, line)
    return _learnt(source, replace(found, lines=(*lines, *found.lines)), mtf, noise, force)


def _learnt(
    source: CubeSource, sampled: SceneSampling, mtf: float | None, noise: float | None, force: bool
) -> Agreed:
    sharpness = sampled.sharpness
    assert sharpness is not None
    return Agreed(
        sampled,
        *learn(
            source,
            sharpness,
            force=force,
            checked=sampled.checked,
            given=sampled.given,
            find_mtf=mtf is None and sharpness.laid != "blurred",
            find_noise=noise is None,
        ),
    )
