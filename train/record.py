"""What a run says of itself: one JSON object a line, and TensorBoard on request."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trifuse.core import MissingExtraError, write_bytes

METRICS = "metrics.jsonl"


class Record:
    """Appends to ``metrics.jsonl``.

    Args:
        run: folder of the run.
        step: the step the run goes on from; lines of later steps, which a killed run has written
            after its last saved state, are dropped, so that the file ends as an uninterrupted
            run's would.
        tensorboard: also write events for TensorBoard under ``run / "tensorboard"``.

    Raises:
        MissingExtraError: if TensorBoard is asked for and not installed.
    """

    def __init__(self, run: Path, *, step: int, tensorboard: bool = False) -> None:
        self._path = run / METRICS
        kept = [line for line in read_lines(self._path) if line["step"] <= step] if step else []
        text = "".join(_line(row) for row in kept)
        write_bytes(self._path, text.encode(), overwrite=True)
        self._events = _event_writer(run / "tensorboard", step) if tensorboard else None

    def write(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Append one line: its kind (``train`` or ``val``), the step and the numbers."""
        with self._path.open("a", encoding="utf-8") as f:
            f.write(_line({"kind": kind, "step": step, **values}))
        if self._events is not None:
            for name, value in values.items():
                self._events.add_scalar(f"{kind}/{name}", value, step)
            self._events.flush()

    def close(self) -> None:
        """Flush the events."""
        if self._events is not None:
            self._events.close()


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a ``metrics.jsonl``; an unfinished last line is left out."""
    rows: list[dict[str, Any]] = []
    if not path.is_file():
        return rows
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            break
        if not isinstance(row, dict) or "step" not in row:
            break
        rows.append(row)
    return rows


def _line(row: Mapping[str, Any]) -> str:
    # JSON has no NaN or infinity; null says "no number" in every reader.
    finite = {
        k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()
    }
    return json.dumps(finite, allow_nan=False) + "\n"


def _event_writer(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise MissingExtraError(
            "tensorboard is not installed", fix="pip install 'trifuse[tensorboard]'"
        ) from None
    return SummaryWriter(str(folder), purge_step=step + 1)
