"""The walk of one image, from a method's view to a restored block, is short and drawn as it is."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from trifuse.core import Cube, CubeSource, MemorySource, Window
from trifuse.core.runtime import Runtime
from trifuse.fusion.refined import Refined
from trifuse.restore.view import RestoredView
from trifuse.simulate import PROTOCOLS, observe, procedural_scene, scene_views

ROOMS = ("fusion", "restore")
BANDS = 12


def holds_image(value):
    """An image, a view of it, or a block of all its bands."""
    if isinstance(value, CubeSource | Cube | RestoredView):
        return True
    return isinstance(value, np.ndarray | torch.Tensor) and value.ndim == 3 and len(value) == BANDS


@pytest.fixture(scope="module")
def files(repository):
    """Files of the functions that hold the image until the first block is restored."""
    s2, _, s3 = scene_views(MemorySource(procedural_scene((48, 60), seed=11, gsd=30)), ratio=1)
    seen = observe(s2, s3.select(["Oa05"]), 6, PROTOCOLS["real-world"], seed=4)
    passed, done = {}, []

    def look(frame, event, _):
        code = frame.f_code
        if done or not code.co_filename.endswith(".py"):
            return
        path = Path(code.co_filename).resolve()
        if repository not in path.parents:
            return
        name = path.relative_to(repository).as_posix()
        if event == "return" and code.co_qualname == "LocalRestorer.__call__":
            done.append(name)
        elif event == "call" and name.startswith(ROOMS):
            own = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            if any(holds_image(frame.f_locals.get(v)) for v in own):
                passed.setdefault(name, code.co_qualname)

    sys.setprofile(look)
    try:
        view = Refined(network="none").view(MemorySource(seen.hrmsi), Runtime("cpu"))
        view.source.read(Window(0, 0, 4, 4))
    finally:
        sys.setprofile(None)
    assert done and view.restored
    return ["flows/fuse.py", *passed]


def test_the_walk_is_ten_files_at_most(files):
    assert files[1] == "fusion/refined.py" and files[-1] == "restore/restoration.py"
    assert len(files) <= 10, files


def test_the_drawing_shows_them(files, repository):
    text = (repository / "ARCHITECTURE.md").read_text(encoding="utf-8")
    section = re.search(r"## The walk of one image\n(.*?)```\n(.*?)```", text, re.DOTALL)[2]
    assert set(re.findall(r"\w+/\w+\.py", section)) == set(files)
