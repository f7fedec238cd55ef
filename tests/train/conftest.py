"""Child processes of these tests fork from one server that has imported the slow packages."""

import multiprocessing
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # children import the task by its module's name
multiprocessing.set_forkserver_preload(
    ["torch", "timm.optim", "timm.scheduler", "timm.utils", "lightning_fabric", "trifuse.train"]
)
