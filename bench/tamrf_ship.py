"""Put a trained TAMRF network among the files of the package, if it is worth it.

    python bench/tamrf_ship.py RUN/best.safetensors bench/tamrf_accuracy.json

The second file is what tamrf_accuracy.py found for these weights. They are refused unless, on
unseen synthetic scenes, they beat linear interpolation and the fine image plus the coarse change
in filling gaps and in fusion. All figures, and all in which the network is behind, go on the card.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from trifuse.temporal.card import LIMITS, TamrfCard
from trifuse.temporal.networks import SHIPPED, load_weights, save_weights

MUST = ("gap-filling · landsat", "gap-filling · sentinel2", "fusion · sentinel2")
RIVALS = ("linear", "change")
REAL = "real "

Means = Mapping[str, Mapping[str, float]]


def means(rows: Mapping[str, Mapping[str, list[float]]]) -> Means:
    """Row → method → mean over scenes, to four digits."""
    return {
        name: {method: float(f"{np.nanmean(values):.4g}") for method, values in row.items()}
        for name, row in rows.items()
    }


def shortcomings(found: Means) -> list[str]:
    """One sentence for each row in which something without a network is better."""
    out = []
    for name, row in found.items():
        if "network" in row:
            best = min((m for m in row if m != "network"), key=row.__getitem__)
            if row[best] < row["network"]:
                out.append(f"Behind {best} in {name}: {row['network']:g} and {row[best]:g}.")
    return out


def card_of(card: TamrfCard, found: Means, scenes: int) -> TamrfCard:
    """The card with all that was measured."""
    made = {k: v for k, v in found.items() if not k.startswith(REAL)}
    real = {k.removeprefix(REAL): v for k, v in found.items() if k.startswith(REAL)}
    counts = {k: len(card.data[k]) for k in ("train", "val")}
    return replace(
        card,
        data={**card.data, "made by": "trifuse.simulate.procedural_series"},
        metrics={**card.metrics, f"{scenes} unseen synthetic scenes": made, "real series": real},
        limits=(
            *LIMITS,
            f"Trained on {counts['train']} synthetic scenes and chosen on {counts['val']} others; "
            "no real image was used: judge it beside the prior and linear interpolation on your "
            "own series.",
            "A small network, trained on a processor within hours: what is published of TAMRF's "
            "accuracy is of one many times larger, trained on real series, and not of this one.",
            "Temperatures are the prior's: as published, those of hidden dates do not train it.",
            "Made for Sentinel-2 and Landsat together, within one calendar year, clouds withheld.",
            "Errors are RMSE in reflectance, K of temperatures (LST), degrees of SAM.",
            *shortcomings(found),
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("accuracy", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=SHIPPED)
    args = parser.parse_args()
    rows = json.loads(args.accuracy.read_text())
    found = means(rows)
    for name in MUST:
        for rival in RIVALS:
            if not found[name]["network"] < found[name][rival]:
                raise SystemExit(f"not shipped: {rival} is better in {name}")
    net, card = load_weights(args.weights)
    args.output.parent.mkdir(exist_ok=True)
    scenes = len(rows[MUST[0]]["network"])
    save_weights(args.output, net, card_of(card, found, scenes), overwrite=True)
    print("\n".join(card_of(card, found, scenes).limits))


if __name__ == "__main__":
    main()
