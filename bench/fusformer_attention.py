"""Fused against explicit attention in the original Fusformer: time and memory of one tile.

    python bench/fusformer_attention.py --size 96
    python bench/fusformer_attention.py --size 150     # explicit form: 12 GB and minutes

Each form runs in a process of its own, so that peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

from trifuse.fusformer import FusformerConfig, build_model
from trifuse.fusformer.mixers import GlobalMixer

sys.path.insert(0, str(Path(__file__).parent))

from _child import measured, peak_mb


def explicit(self: GlobalMixer, x: Tensor) -> Tensor:
    """The release's form: all scores are stored before the softmax."""
    b, h, w, c = x.shape
    q, k, v = (
        t.reshape(b, h * w, self.heads, -1).transpose(1, 2) for t in self.qkv(x).chunk(3, dim=-1)
    )
    scores = (q @ k.transpose(-2, -1)) * (c // self.heads) ** -0.5
    return self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, h, w, c))


def measure(form: str, size: int, repeat: int) -> dict[str, float]:
    """Seconds (best of ``repeat``), peak resident memory, and a checksum of the output."""
    if form == "explicit":
        GlobalMixer.forward = explicit  # type: ignore[method-assign]
    torch.manual_seed(0)
    model = build_model(FusformerConfig.original(12, 19)).eval()
    hrmsi, skip = torch.rand(1, 12, size, size), torch.rand(1, 19, size, size)
    seconds, cpu = [], []
    with torch.inference_mode():
        model(hrmsi[..., :16, :16], skip[..., :16, :16])
        idle = peak_mb()
        for _ in range(repeat):
            start, start_cpu = time.perf_counter(), time.process_time()
            out = model.highpass(hrmsi, skip)
            seconds.append(time.perf_counter() - start)
            cpu.append(time.process_time() - start_cpu)
    peak = peak_mb()
    return {
        "seconds": min(seconds),
        "cpu_seconds": min(cpu),
        "peak_mb": peak,
        "idle_mb": idle,
        "norm": float(out.double().norm()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=96, help="edge of the tile in pixels")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="only JSON, one line")
    parser.add_argument("--only", choices=["fused", "explicit"])
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure(options.only, options.size, options.repeat)))
        return
    figures = {}
    for form in ("fused", "explicit"):
        figures[form] = measured(__file__, only=form, size=options.size, repeat=options.repeat)
        if options.json:
            continue
        print(
            f"{form:9}{figures[form]['seconds']:9.2f} s{figures[form]['peak_mb']:9.0f} MB peak "
            f"({figures[form]['idle_mb']:.0f} MB before the tile)"
        )
    fused, slow = figures["fused"], figures["explicit"]
    difference = abs(fused["norm"] / slow["norm"] - 1)
    if options.json:
        print(json.dumps({"size": options.size, **figures}))
        return
    memory = [f["peak_mb"] - f["idle_mb"] for f in (fused, slow)]
    print(
        f"{options.size}×{options.size}, {torch.get_num_threads()} threads: "
        f"{slow['seconds'] / fused['seconds']:.1f} × faster, "
        f"{memory[0]:.0f} against {memory[1]:.0f} MB beyond the loaded libraries, "
        f"norms differ by {difference:.1e}"
    )


if __name__ == "__main__":
    main()
