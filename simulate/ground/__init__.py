"""Procedural landscapes: made ground with the spectra of real materials."""

from trifuse.simulate.ground.deliver import SceneFiles, write_scene
from trifuse.simulate.ground.landuse import LANDCOVER
from trifuse.simulate.ground.procedural import ProceduralScene, procedural_layers, procedural_scene

__all__ = [
    "procedural_scene",
    "procedural_layers",
    "ProceduralScene",
    "LANDCOVER",
    "write_scene",
    "SceneFiles",
]
