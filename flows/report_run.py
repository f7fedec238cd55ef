"""One page on a training run: curves, validation images, and what it was trained on."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trifuse.core import (
    ProductError,
    read_json,
    refuse_existing,
    spare,
    write_bytes,
    write_json,
    writes,
)
from trifuse.flows.panels import require_matplotlib
from trifuse.flows.report import Report, page_files
from trifuse.flows.report_figures import Figure, render
from trifuse.flows.report_page import page
from trifuse.products.write.writer import software
from trifuse.train.engine import BEST, CONFIG, FINAL
from trifuse.train.examples import EXAMPLES, Example, load_examples
from trifuse.train.record import METRICS, read_lines

ASIDE = ("kind", "step", "samples")
"""What a line of the record has beside the curves."""


def is_run(path: Path) -> bool:
    """Whether a folder is that of a training run."""
    return path.is_dir() and (path / METRICS).is_file()


@writes(files=page_files)
def report_run(
    run: Path | str,
    out: Path | str | None = None,
    *,
    overwrite: bool = False,
    dry_run: bool = False,
) -> Report:
    """Write one HTML page, which refers to no other file, on a training run.

    Losses, learning rate and scores over the updates, the network beside the truth on a few
    validation samples, and from the card what it was trained on and how. Also of a run that is
    not finished.

    Args:
        run: folder of the run.
        out: the page; default: ``report.html`` in the folder.
        overwrite: replace a page that exists.
        dry_run: read the run only.

    Raises:
        ProductError: if the folder holds no run, or its record is empty or damaged.
        OutputExistsError: if the page exists and ``overwrite`` is False, or it is a file of the
            run that is read.
        BusyError: if another process is writing the page.
        MissingExtraError: if matplotlib is not installed.
    """
    require_matplotlib()
    run = Path(run)
    if out is None:
        return report_run(run, run / "report.html", overwrite=overwrite, dry_run=dry_run)
    out = Path(out)
    beside = out.with_suffix(out.suffix + ".json")
    # The folder as a whole is no input that is spared: the page may lie in it.
    spare((out, beside), [run / n for n in (METRICS, EXAMPLES, CONFIG, BEST, FINAL)])
    refuse_existing(out, beside, overwrite=overwrite)
    rows = read_lines(run / METRICS)
    if not rows:
        raise ProductError(
            "holds no record of a run", where=run, fix="give a folder of trifuse train"
        )
    name = next((n for n in (BEST, FINAL) if (run / n).with_suffix(".json").is_file()), None)
    card = read_json((run / name).with_suffix(".json")) if name else {}
    examples = load_examples(run / EXAMPLES)
    summary = _summary(run, rows, card, examples)
    if dry_run:
        return Report(out, {"summary": [*summary, "dry run: nothing was written"]})
    figures = [*_curves(rows), *map(_pictures, examples)]
    config = run / CONFIG
    details = {
        "What it was trained on, and how: the card": card,
        "Its settings": config.read_text(encoding="utf-8") if config.is_file() else "",
        "Its record": rows,
    }
    record = {
        "kind": "report of a run",
        "run": run.name,
        "summary": summary,
        "figures": [f.title for f in figures],
        "card": card,
        "last": rows[-1],
    }
    table = _table(card)
    write_bytes(out, page(run.name, summary, table, figures, details).encode(), overwrite=overwrite)
    write_json(beside, {"software": software(), **record}, overwrite=overwrite)
    return Report(out, record, (out, beside))


def _summary(
    run: Path,
    rows: Sequence[Mapping[str, Any]],
    card: Mapping[str, Any],
    examples: Sequence[Example],
) -> list[str]:
    """What matters most, in a few lines."""
    finished = (run / FINAL).is_file()
    lines = [
        f"{card.get('network', 'network')}: {rows[-1]['step']} updates, "
        f"{'finished' if finished else 'not finished'}"
    ]
    trained = [r for r in rows if r["kind"] == "train" and r.get("loss") is not None]
    if trained:
        first, last = trained[0], trained[-1]
        lines.append(
            f"loss {first['loss']:.4g} at step {first['step']}, {last['loss']:.4g} at "
            f"step {last['step']}; {last.get('samples', 0)} samples seen"
        )
    for key in ("store", "data"):
        if card.get(key):
            told = card[key]
            text = told if isinstance(told, str) else json.dumps(told, ensure_ascii=False)
            lines.append(f"trained on {key} {text}")
    protocol = card.get("protocol", {})
    if isinstance(protocol, Mapping) and "step" in protocol:
        lines.append(f"the best weights are those after step {protocol['step']}")
    validation = card.get("metrics", {}).get("validation", {})
    numbers = [f"{k} {v:.4g}" for k, v in validation.items() if isinstance(v, int | float)]
    if numbers:
        lines.append(f"validation of the best weights: {', '.join(numbers[:8])}")
    else:
        lines.append("never validated: there was nothing to validate on")
    lines += [str(limit) for limit in card.get("limits", [])]
    if not examples:
        lines.append("no validation images: the run kept none")
    return lines


def _table(card: Mapping[str, Any]) -> str:
    """Validation metrics of the best weights as HTML."""
    validation = card.get("metrics", {}).get("validation", {})
    if not validation:
        return ""
    width = max(map(len, validation))
    rows = "\n".join(
        f"{k:<{width}}  {v:.5g}" if isinstance(v, int | float) else f"{k:<{width}}  –"
        for k, v in validation.items()
    )
    return f"<h2>Validation of the best weights</h2><pre>{html.escape(rows)}</pre>"


def _curves(rows: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Every number of the record over the updates, those of a kind in one figure."""
    plt = require_matplotlib()
    out = []
    for kind, title, caption in (
        ("train", "Losses and learning rate", "Means since the line before; the rate of the last."),
        ("val", "Scores on validation data", "Of the weights that are saved."),
    ):
        lines = [r for r in rows if r["kind"] == kind]
        names = list(dict.fromkeys(k for r in lines for k in r if k not in ASIDE))
        if not names:
            continue
        columns = min(3, len(names))
        height = -(-len(names) // columns)
        figure, axes = plt.subplots(
            height,
            columns,
            figsize=(4.4 * columns, 2.9 * height),
            squeeze=False,
            layout="constrained",
        )
        for axis in axes.ravel():
            axis.set_axis_off()
        for axis, name in zip(axes.ravel(), names, strict=False):
            steps = [r["step"] for r in lines]
            values = np.array([np.nan if r.get(name) is None else r[name] for r in lines], float)
            axis.set_axis_on()
            axis.plot(steps, values, marker="." if len(lines) < 30 else None, color="tab:blue")
            positive = np.isfinite(values).any() and np.nanmin(values) > 0
            if kind == "train" and positive and np.nanmax(values) > 20 * np.nanmin(values):
                axis.set_yscale("log")
            axis.set_title(name)
            axis.set_xlabel("update")
        out.append(Figure(title, caption, render(figure)))
    return out


def _pictures(example: Example) -> Figure:
    """The planes of a sample beside each other, and how far each is from the first."""
    plt = require_matplotlib()
    planes = {k: np.asarray(v, float) for k, v in example.planes.items()}
    (truth_name, truth), *others = planes.items()
    known = np.isfinite(truth)
    low, high = np.percentile(truth[known], [2, 98]) if known.any() else (0.0, 1.0)
    errors = {
        k: np.sqrt(np.nanmean((v - truth) ** 2)) if known.any() else np.nan for k, v in others
    }
    figure, axes = plt.subplots(
        1, len(planes), figsize=(4.0 * len(planes), 4.3), squeeze=False, layout="constrained"
    )
    for axis, (name, plane) in zip(axes[0], planes.items(), strict=True):
        shown = np.clip((plane - low) / max(high - low, 1e-6), 0, 1)
        image = np.nan_to_num(shown.transpose(1, 2, 0), nan=1.0)
        axis.imshow(
            image if len(plane) == 3 else image[:, :, 0],
            cmap="gray",
            vmin=0,
            vmax=1,
            interpolation="nearest",
        )
        axis.set_title(name if name == truth_name else f"{name}: RMSE {errors[name]:.4f}")
        axis.set_axis_off()
    caption = f"One stretch for all, from {low:.3f} to {high:.3f} reflectance; white is missing."
    return Figure(example.title, caption, render(figure))
