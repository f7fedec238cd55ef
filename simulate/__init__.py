"""Synthetic triplets from spectral scenes, and the store that training reads them from.

This is a room; the function that simulates is :func:`simulate_store`, also
``trifuse.simulate_store``::

    import trifuse as tf
    from trifuse.simulate import SimulateConfig

    store = tf.simulate_store(["a.ZIP", "b.ZIP"], "store", SimulateConfig(patch=60))

The views that sensors have of a scene, without a store: :func:`scene_views`; with errors such as
those of real sensors: :func:`observe`. A scene to try it on: :func:`procedural_scene`.
"""

from trifuse.moved import callable_room
from trifuse.simulate.fidelity import FidelityReport, fidelity
from trifuse.simulate.generate import StorePlan, plan_store, simulate_store
from trifuse.simulate.ground import (
    ProceduralScene,
    SceneFiles,
    procedural_layers,
    procedural_scene,
    write_scene,
)
from trifuse.simulate.observation import PROTOCOLS, ObservationErrors, Observed, observe
from trifuse.simulate.seasons import (
    SensorImages,
    SyntheticSeries,
    procedural_series,
    write_series_pair,
)
from trifuse.simulate.spectral import convolve
from trifuse.simulate.store import TripletStore
from trifuse.simulate.triplets import SimulateConfig, Triplet, assign_splits
from trifuse.simulate.views import scene_views

__all__ = [
    "convolve",
    "scene_views",
    "SimulateConfig",
    "Triplet",
    "TripletStore",
    "StorePlan",
    "simulate_store",
    "plan_store",
    "assign_splits",
    "observe",
    "Observed",
    "ObservationErrors",
    "PROTOCOLS",
    "procedural_scene",
    "procedural_layers",
    "ProceduralScene",
    "write_scene",
    "SceneFiles",
    "procedural_series",
    "write_series_pair",
    "SyntheticSeries",
    "SensorImages",
    "fidelity",
    "FidelityReport",
]

callable_room(__name__, simulate_store)
