"""What an image tells of its sampling, held against what it shows: who is believed.

Metadata are a witness: where the pixels contradict them, they are searched, and what is found
beyond doubt counts. The word of a user is kept, and the contradiction said.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from trifuse.core import CubeSource
from trifuse.core.sampling import WORDS
from trifuse.restore.scene_sampling import SceneSampling, scene_sampling
from trifuse.restore.scene_statistics import Statistics
from trifuse.restore.sharpness import Sharpness
from trifuse.restore.sharpness_check import SharpnessCheck, learn, sharpness_of

Learnt = tuple[Sharpness, Statistics, SharpnessCheck]
"""What :func:`trifuse.restore.sharpness_check.learn` returns."""

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
    assert sampled.sharpness is not None
    learnt = learn(source, sampled.sharpness, force=force, **sampled.learning(mtf, noise))
    if learnt[2].contradicts and not force:
        sampled, learnt = second_look(source, sampled, learnt, mtf=mtf, noise=noise)
    return Agreed(sampled, *learnt)


def second_look(
    source: CubeSource,
    sampled: SceneSampling,
    learnt: Learnt,
    *,
    mtf: float | None = None,
    noise: float | None = None,
) -> tuple[SceneSampling, Learnt]:
    """What is believed where the pixels contradict what was told.

    Args:
        source: the image.
        sampled: how it was sampled.
        learnt: by that.
        mtf: as given; None is looked for.
        noise: likewise.

    Returns:
        What the pixels show beyond doubt, if metadata of a file told otherwise; else as it was.
    """
    # A reader that has laid the bands itself knows how; what a file's metadata tell may be wrong.
    if sampled.given or sampled.checked or not WORDS.keys() & source.meta.keys():
        return sampled, learnt
    found = scene_sampling(source, look=True, mtf=mtf, noise=noise)
    lines = told_otherwise(source, found)
    if not lines or found.sharpness is None or not all(f.sure or f.warped for f in found.blurred):
        return sampled, learnt
    for line in lines:
        _log.warning("%s: %s", source.name, line)
    found = replace(found, lines=(*lines, *found.lines))
    assert found.sharpness is not None
    return found, learn(source, found.sharpness, **found.learning(mtf, noise))


def told_otherwise(source: CubeSource, found: SceneSampling) -> list[str]:
    """Where metadata contradict what the pixels show beyond doubt, one line for each group."""
    told = sharpness_of(source)
    ratio = (1,) * len(source.bands) if told is None else told.ratio
    lines = []
    for one in found.found:
        said = {ratio[b] for b in one.bands}
        if said == {1} == {one.ratio} or not (one.sure or one.warped):
            continue
        listed = ", ".join(source.bands.names[b] for b in one.bands)
        if said != {one.ratio}:
            lines.append(
                f"{listed}: metadata tell samples of {', '.join(map(str, sorted(said)))} pixels, "
                f"the pixels show {one.ratio}"
            )
        elif one.warped:
            lines.append(f"{listed}: metadata tell a lattice of whole pixels, the pixels show none")
        elif told is not None:
            row, col = (n % one.ratio for n in told.origin)
            kernel = told.kernel(one.ratio)
            if (row, col) != one.origin or not one.allows(kernel):
                lines.append(
                    f"{listed}: metadata tell samples from row {row}, column {col} by {kernel}, "
                    f"the pixels show row {one.origin[0]}, column {one.origin[1]} by {one.kernel}"
                )
    return lines
