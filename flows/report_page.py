"""The page of a report: its lines of text, and HTML that refers to no other file."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trifuse.flows.evaluate import Evaluation
from trifuse.flows.report_figures import Figure
from trifuse.products.write.writer import software


def summary_of(fused: Path, made_of: Mapping[str, Any], facts: Mapping[str, Any]) -> list[str]:
    """The figures that matter most, in a few lines."""
    lines = []
    if "method" in made_of:
        size = f"{made_of['height']}×{made_of['width']} pixels"
        lines.append(
            f"{fused.name}: {made_of['method']}, {size}, {len(made_of['bands'])} bands, "
            f"ratio {made_of['ratio']}"
        )
    for name, s in facts.get("scores", {}).items():
        psnr, sam, rmse = _number(s["psnr"], 2), _number(s["sam"], 2), _number(s["rmse"], 5)
        lines.append(f"{name}: PSNR {psnr} dB, SAM {sam}°, RMSE {rmse}")
    check = made_of.get("selfcheck")
    if check:
        numbers = ", ".join(f"{k} {_number(check[k])}" for k in ("rmse", "euclidean", "cosine"))
        lines.append(
            f"seen by Sentinel-3 again: {numbers} over {check['cells']} of {check['of']} cells"
        )
    for name, value in facts.get("inception_score", {}).items():
        lines.append(
            f"inception score of {name}: {_number(value, 3)} (own classifier, not comparable "
            "with published scores)"
        )
    ndvi = facts.get("ndvi", {})
    lines += [
        f"NDVI classes, {k.replace('_', ' ')}: {_number(v, 3)}"
        for k, v in ndvi.items()
        if k.startswith("jaccard")
    ]
    lines += [
        f"NDVI classes against land cover, Jaccard of {k}: {_number(v['jaccard'], 3)}"
        for k, v in ndvi.get("landcover", {}).get("images", {}).items()
    ]
    lines += [f"left out: {reason}" for reason in facts.get("left_out", [])]
    return lines


def _number(value: float | None, digits: int = 6) -> str:
    """A figure; of constant images some are not defined, or infinite."""
    return "unknown" if value is None else f"{value:.{digits}f}"


def page_of(
    name: str,
    summary: Sequence[str],
    evaluation: Evaluation | None,
    figures: Sequence[Figure],
    facts: Mapping[str, Any],
    made_of: Mapping[str, Any],
) -> str:
    """The page; every text is escaped, since names of files and bands may hold anything."""
    table = ""
    if evaluation is not None:
        table = f"<h2>Scores</h2><pre>{html.escape(evaluation.table(per_band=True))}</pre>"
    details = {"All figures as JSON": facts, "The run's record": made_of}
    return page(name, summary, table, figures, details)


def page(
    name: str,
    summary: Sequence[str],
    table: str,
    figures: Sequence[Figure],
    details: Mapping[str, Any],
) -> str:
    """A page that refers to no other file.

    Args:
        name: its title.
        summary: lines at its top.
        table: HTML that follows them.
        figures: what follows that.
        details: title → text, or values that are shown as JSON, folded away; empty: left out.
    """
    safe = html.escape
    lines = "".join(f"<li>{safe(s)}</li>" for s in summary)
    shown = "".join(
        f"<figure><h2>{safe(f.title)}</h2><img alt='{safe(f.title)}' src='{f.data_url}'>"
        f"<figcaption>{safe(f.caption)}</figcaption></figure>"
        for f in figures
    )

    def text(values: Any) -> str:
        plain = isinstance(values, str)
        return values if plain else json.dumps(values, indent=1, ensure_ascii=False, default=str)

    folded = "".join(
        f"<details><summary>{safe(title)}</summary><pre>{safe(text(values))}</pre></details>"
        for title, values in details.items()
        if values
    )
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; "
        "img-src data:; style-src 'unsafe-inline'\">"
        f"<title>{safe(name)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{safe(name)}</h1><ul>{lines}</ul>{table}{shown}{folded}"
        f"<footer>{safe(software())}</footer></body></html>\n"
    )


_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem;
       color: #1b1f24; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
figure { margin: 0; } img { max-width: 100%; height: auto; } figcaption { color: #57606a; }
pre { overflow-x: auto; background: #f6f8fa; padding: 1rem; font-size: .8rem; }
details { margin-top: 1.5rem; } footer { margin-top: 3rem; color: #57606a; }
"""
