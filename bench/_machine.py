"""What this machine can do at most: the limits that measurements stand beside."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning


def facts() -> dict[str, object]:
    """What figures depend on besides the code."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(memory, 1),
        "load": os.getloadavg()[0],
        "threads": os.environ.get("OMP_NUM_THREADS", "default"),
        "gpu": gpu(),
        "python": platform.python_version(),
        "commit": commit.stdout.strip(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%S"),
    }


def processor() -> str:
    """Name of the processor."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def gpu() -> str | None:
    """Name of the GPU, if torch sees one."""
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None


def cpu_best(work: Callable[[], object], repeat: int = 3) -> float:
    """Least CPU seconds of a few runs, all threads together."""
    best = float("inf")
    for _ in range(repeat):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def rates() -> dict[str, float]:
    """Of one core: bytes copied, operations, bytes of int16 noise deflated and inflated by GDAL."""
    source = np.ones(1 << 25, np.float32)
    target = np.empty_like(source)
    n = 1024
    a, b = np.ones((2, n, n), np.float32)
    noise = np.random.default_rng(0).normal(0, 15, (1, 1024, 1024)).astype(np.int16)
    profile = {
        "driver": "GTiff",
        "count": 1,
        "height": 1024,
        "width": 1024,
        "dtype": "int16",
        "compress": "DEFLATE",
        "predictor": 2,
        "tiled": True,
    }
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        path = Path(folder) / "noise.tif"

        def deflate() -> None:
            with rasterio.open(path, "w", **profile) as d:
                d.write(noise)

        def inflate() -> None:
            with rasterio.open(path) as d:
                d.read()

        return {
            "copy": 2 * source.nbytes / cpu_best(lambda: np.copyto(target, source)),
            "multiply": 2 * n**3 / cpu_best(lambda: a @ b),
            "deflate": noise.nbytes / cpu_best(deflate),
            "inflate": noise.nbytes / cpu_best(inflate),
        }
