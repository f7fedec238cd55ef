"""What a fusion method is, and what it makes of a scene: the two protocols that all methods keep.

A method says which bands it needs and how far it looks, is prepared once per scene, and then maps
windows of sharp pixels to windows of the result. One that can do more says so in a field or by a
method of its own; a class that names :class:`Method` or :class:`Run` as its base has the usual
answer for all that it does not say.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from trifuse.align import Registration
from trifuse.core import PSF, BandSet, CubeSource, Window
from trifuse.core.runtime import Runtime
from trifuse.fusformer.card import FusionCard
from trifuse.fusion.scene import Scene
from trifuse.restore.refined_source import RefinedSource
from trifuse.restore.view import RestoredView

TileRun = Callable[[Window, np.ndarray], np.ndarray]
"""(window of the scene, (l, y, x) finite sharp pixels) → (L, y, x) float32."""


class Method(Protocol):
    """What :func:`trifuse.fusion.fuse` asks of a method.

    Attributes:
        name: for reports.
        halo: pixels that one output pixel sees beyond itself, per side; None if unlimited.
        alignment: tiles must start at multiples of this many pixels.
        card: what a trained network was trained for; None for methods without one.
        adaptable: whether :meth:`learner` may have something to train on a scene.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def halo(self) -> int | None: ...  # noqa: D102
    @property
    def alignment(self) -> int: ...  # noqa: D102
    @property
    def card(self) -> FusionCard[Any] | None:  # noqa: D102
        return None

    @property
    def adaptable(self) -> bool:  # noqa: D102
        return False

    @abstractmethod
    def bands(self, hr: BandSet, lr: BandSet) -> tuple[list[str], list[str]]:
        """Names of the sharp and coarse bands to read, out of those that there are."""

    @abstractmethod
    def prepare(self, scene: Scene, runtime: Runtime) -> Run:
        """Do once what depends on the whole scene; the result is NaN where S3 has no value."""

    def view(self, s2: CubeSource, runtime: Runtime) -> RestoredView:
        """The sharp image as the method wants to see it; co-registration looks at it too."""
        return RestoredView(s2)

    def place(self, estimate: Registration, nominal: PSF) -> tuple[tuple[float, float], PSF]:
        """Where S3's cells are taken to lie and how wide to see, by what was found on the view.

        Args:
            estimate: of the shift and of the PSF's width.
            nominal: the PSF as it is told.

        Returns:
            (rows, columns) in sharp pixels, and the PSF.
        """
        return estimate.applied, nominal

    def model_record(
        self, weights: Path | str | None, view: RestoredView | None = None
    ) -> dict[str, Any] | None:
        """For the record: the card of a network that has a part, with its weights' digest.

        Args:
            weights: file that the method was asked for with.
            view: what it made of the sharp image; None before it is made.
        """
        return None

    def learner(
        self, view: RestoredView, s2: CubeSource, *, device: str = "auto"
    ) -> RefinedSource | None:
        """What of a view can be trained on the scene itself; None where nothing can.

        Args:
            view: that the method made.
            s2: the sharp image that it is of.
            device: see :class:`trifuse.core.runtime.Runtime`.
        """
        return None


class Batched(Protocol):
    """How several tiles of one shape are computed at once."""

    def batch(self, pixels: int) -> int:
        """Tiles of so many pixels that are wanted at once."""
        ...

    def look(self, window: Window, hrmsi: np.ndarray) -> np.ndarray:
        """What is needed of a tile beside its pixels; called by several threads."""
        ...

    def submit(
        self, windows: Sequence[Window], images: Sequence[np.ndarray], looks: Sequence[np.ndarray]
    ) -> Callable[[], list[np.ndarray]]:
        """Start on a batch; the result is asked for when the next one is under way."""
        ...


class Uncertain(Protocol):
    """How far off a result may be."""

    def deviation(self, window: Window, hrmsi: np.ndarray) -> np.ndarray:
        """Standard deviations of the L bands, then how strange the pixels are.

        (L + 1, y, x) float32; the last is the squared distance of the pixel's spectrum to those
        that the method knows, in units of what is usual: strange above 1.
        """
        ...


class Run(Protocol):
    """A method that is prepared for a scene: a function of windows.

    Attributes:
        record: what was found of the scene, in plain JSON values.
        uncertain: tells how far off the result may be; None where it cannot be told.
        batched: computes several tiles at once; None where they are computed one by one.
    """

    @property
    def record(self) -> Mapping[str, Any]:  # noqa: D102
        return {}

    @property
    def uncertain(self) -> Uncertain | None:  # noqa: D102
        return None

    @property
    def batched(self) -> Batched | None:  # noqa: D102
        return None

    @abstractmethod
    def __call__(self, window: Window, hrmsi: np.ndarray) -> np.ndarray:
        """(l, y, x) finite sharp pixels of a window of the scene → (L, y, x) float32."""


@dataclass(frozen=True, slots=True, eq=False)
class Predicted(Run):
    """A function of windows as a run, with nothing more to say."""

    predict: TileRun

    def __call__(self, window: Window, hrmsi: np.ndarray) -> np.ndarray:
        """See :class:`Run`."""
        return self.predict(window, hrmsi)
