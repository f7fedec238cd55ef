"""Training of TAMRF networks on series of several sensors, by hiding dates and asking for them."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trifuse.core import DataError, Window, fingerprint, writes
from trifuse.core.settings import require, to_mapping
from trifuse.core.weights import save_weights
from trifuse.temporal.card import LIMITS, TamrfCard
from trifuse.temporal.config import LANDSAT, SENTINEL2, Sensor
from trifuse.temporal.forecast import forecast_by
from trifuse.temporal.losses import Target, series_loss
from trifuse.temporal.model import Dates, Tamrf, attend_nearby
from trifuse.temporal.prior import prior_images
from trifuse.temporal.scoring import BASELINES, score_hidden
from trifuse.temporal.stack import Stack
from trifuse.temporal.strategies import Selection, task
from trifuse.train.engine import FitResult, fit
from trifuse.train.examples import Example
from trifuse.train.task import Predict
from trifuse.train.temporal_config import TamrfTrainConfig
from trifuse.train.temporal_data import (
    SampleConfig,
    Scene,
    SeriesDataset,
    band_statistics,
    check_scene,
    scaled,
)

TASKS = ("gap-filling", "fusion")
PAIR = (LANDSAT, SENTINEL2)
PARTS = ("reconstruction", "contrast", "structure")
_log = logging.getLogger(__name__)


@writes("scenes", "val", out="run", folder=True)
def train_tamrf(
    config: TamrfTrainConfig,
    scenes: Sequence[Scene],
    val: Sequence[Scene],
    run: Path | str,
    *,
    sensors: Sequence[Sensor] = PAIR,
    resume: bool = True,
    overwrite: bool = False,
) -> FitResult:
    """Train a TAMRF network, or go on with a run that was stopped.

    Args:
        config: see :class:`TamrfTrainConfig`.
        scenes: to train on.
        val: other scenes, to validate on; none: the newest weights are the best.
        run: folder of the run; see :func:`trifuse.train.fit` for what it will hold.
        sensors: of the network, in the order of its outputs.
        resume: go on with the run that the folder holds.
        overwrite: start anew and remove the run that is there.

    Raises:
        TrifuseError: as :class:`TamrfTask` and :func:`trifuse.train.fit`.
    """
    made = TamrfTask(config, scenes, val, sensors)
    return fit(made, config, run, resume=resume, overwrite=overwrite)


class SeriesBatch(nn.Module):
    """Several series of different lengths through one network, in one forward pass."""

    def __init__(self, net: Tamrf) -> None:
        super().__init__()
        self.net = net

    def forward(
        self,
        series: Sequence[Mapping[str, Dates]],
        queries: Sequence[Tensor],
        contexts: Sequence[Tensor | None],
    ) -> list[Tensor]:
        """Predict each series at its own days.

        Args:
            series: per series the dates of each sensor, standardised, each of a batch of one.
            queries: per series (1, Q) days.
            contexts: per series what a network with a skip is shown, of a batch of one.

        Returns:
            Per series (Q, channels, H, W) standardised.
        """
        # A hidden sensor's encoder has no part in the result; data-parallel training wants every
        # parameter to have a gradient, if only of zero.
        nothing = torch.stack([p.sum() for p in self.net.parameters()]).sum() * 0
        items = zip(series, queries, contexts, strict=True)
        return [self.net(dates, query, shown)[0] + nothing for dates, query, shown in items]


class TamrfTask:
    """A TAMRF network as a task of the engine.

    Args:
        config: see :class:`TamrfTrainConfig`.
        scenes: to train on.
        val: to validate on.
        sensors: of the network.

    Raises:
        StoreError: if a scene lacks a sensor or its bands.
        GridError: if a scene is smaller than a crop.
        DataError: if there are scenes to validate on, and none has a date that can be scored.
        ConfigError: if the border leaves nothing of a crop.
    """

    monitor = "score"
    higher_is_better = False

    def __init__(
        self,
        config: TamrfTrainConfig,
        scenes: Sequence[Scene],
        val: Sequence[Scene] = (),
        sensors: Sequence[Sensor] = PAIR,
    ) -> None:
        ratio = max(s.ratio for s in sensors)
        edge = config.data.crop * ratio
        require(
            2 * config.loss.border < edge,
            "loss.border",
            f"is {config.loss.border} at each edge of crops of {edge} pixels",
            "make it smaller, or data.crop larger",
        )
        sample = SampleConfig(
            config.data.crop,
            config.data.dates,
            config.data.per_scene,
            config.data.flips,
            config.data.blank,
            config.data.hide,
        )
        self.config, self.scenes, self.val = config, tuple(scenes), tuple(val)
        self._train = SeriesDataset(self.scenes, sensors, sample, config.seed)
        self._val_crop = config.data.val_crop or config.data.crop
        for scene in self.val:
            check_scene(scene, sensors, self._val_crop)
        if config.data.statistics == "scenes":
            found = {s.name: band_statistics(self.scenes, s.name) for s in sensors}
            sensors = [replace(s, mean=found[s.name][0], std=found[s.name][1]) for s in sensors]
        self.sensors = tuple(sensors)
        self.ratio = ratio
        self.model = config.model.build(self.sensors)
        self._frame = Tamrf(self.model).requires_grad_(False)  # sensors and statistics, no more
        self._loss = config.loss.build()
        self._perceptual = config.loss.yardstick()
        self._require_dates_to_score()

    def build_model(self) -> SeriesBatch:
        """A fresh network."""
        net = Tamrf(self.model)
        if self.config.model.start == "nearby":
            attend_nearby(net)
        if self.model.skip == "prior":
            # The first prediction is the prior itself.
            nn.init.zeros_(net.decoder.last.weight)
            nn.init.zeros_(net.decoder.last.bias)  # type: ignore[arg-type]
        return SeriesBatch(net)

    def dataset(self) -> SeriesDataset:
        """Crops of the training scenes, with the dates to hide."""
        return self._train

    def loss(self, model: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Mean over the series of a batch, and the parts of it."""
        device = batch["blank"].device
        frame = self._frame.to(device)
        if self._perceptual is not None:
            self._perceptual.to(device)
        series, queries, targets = [], [], []
        for b in range(len(batch["blank"])):
            dates, target = self._unpacked(frame, batch, b)
            if not self._loss.visible_weight:
                target = _hidden(target, dates) or target  # the others would cost and not count
            days = sorted({float(d) for t in target.values() for d in t.days.tolist()})
            series.append(dates)
            targets.append(target)
            queries.append(torch.tensor([days], device=device))
        if self.model.skip == "prior":
            starts = [self._prior(batch, b, q[0].tolist()) for b, q in enumerate(queries)]
            found = model(series, queries, [shown[None] for *_, shown in starts])
            predictions = [p + w * c for c, (p, w, _) in zip(found, starts, strict=True)]
        else:
            predictions = model(series, queries, [None] * len(series))
        totals, parts = [], dict.fromkeys(PARTS, 0.0)
        for b, prediction in enumerate(predictions):
            config = self._loss
            if not bool(batch["clouded"][b]):
                config = replace(config, contrast=0.0)  # there are no clouds to keep away from
            loss = series_loss(
                frame,
                prediction,
                queries[b][0].tolist(),
                targets[b],
                {s: d.days[0].tolist() for s, d in series[b].items()},
                perceptual=self._perceptual,
                config=config,
            )
            totals.append(loss.total)
            for name, value in loss.parts.items():
                part = name.rpartition("/")[2]
                if part in parts:
                    parts[part] += value / len(predictions)
        shown = {k: torch.tensor(v, device=device) for k, v in parts.items()}
        return {"loss": torch.stack(totals).mean(), **shown}

    def validate(self, predict: Predict, device: torch.device) -> dict[str, float]:
        """RMSE on hidden dates of scenes that are not trained on, beside the baselines.

        ``<task>/<sensor>/<method>`` is a mean over scenes, dates and bands of the RMSE on clear
        pixels in units of each band's standard deviation; ``score`` is the geometric mean over
        tasks, sensors and scenes of the network's error relative to that of linear interpolation,
        so that a scene with snow, where all err a lot, does not decide alone; ``gain`` is by how
        much (in per cent) it is below 1.
        """
        if not self.val:
            return {}
        gathered: dict[str, list[float]] = {}
        ratios: list[float] = []
        methods = BASELINES
        for scene in self.val:
            images = self.images(scene)
            for name, chosen in self.hiding(images).items():
                scores = score_hidden(
                    lambda seen, query: self.forecast(predict, device, seen, query),
                    self.sensors,
                    images,
                    chosen,
                    margin=10.0 * self._loss.border,
                    baselines=methods,
                )
                for sensor in self.sensors:
                    found = {}
                    for method in ("network", *methods) if sensor.name in scores else ():
                        rmse = scores[sensor.name][f"{method}/rmse"] / np.array(sensor.std)
                        if np.isfinite(rmse).any():
                            found[method] = float(np.nanmean(rmse))
                            key = f"{name}/{sensor.name}/{method}"
                            gathered.setdefault(key, []).append(found[method])
                    if found.get("network", 0) > 0 and found.get("linear", 0) > 0:
                        ratios.append(found["network"] / found["linear"])
        means = {k: float(np.mean(v)) for k, v in gathered.items()}
        score = float(np.exp(np.mean(np.log(ratios)))) if ratios else math.nan
        return {"score": score, "gain": 100 * (1 - score), **means}

    def hiding(self, images: Mapping[str, Stack]) -> dict[str, Selection]:
        """What is hidden of a validation scene, by task."""
        days = {s.name: images[s.name].days.tolist() for s in self.sensors}
        coarse = max(self.sensors, key=lambda s: s.ratio).name
        fine = min(self.sensors, key=lambda s: s.ratio).name
        names = TASKS if len(self.sensors) > 1 else TASKS[:1]
        return {name: task(name, days, coarse, fine) for name in names}

    def _require_dates_to_score(self) -> None:
        """Refuse validation scenes of which no date can be scored, and name those among others."""
        lacking = {}
        for scene in self.val:
            images = self.images(scene)
            found = [
                score_hidden(
                    None,
                    self.sensors,
                    images,
                    chosen,
                    margin=10.0 * self._loss.border,
                    baselines=("linear",),
                )
                for chosen in self.hiding(images).values()
            ]
            errors = [v["linear/rmse"] for f in found for v in f.values() if "linear/rmse" in v]
            if not any((np.nan_to_num(e) > 0).any() for e in errors):
                lacking[scene.name] = _what_lacks(images, self.hiding(images))
        told = "; ".join(f"{name}: {what}" for name, what in lacking.items())
        if lacking and len(lacking) == len(self.val):
            raise DataError(
                f"no date of the series to validate on can be scored ({told})",
                fix="give series with a year of clear dates, or leave --val out",
            )
        if lacking:
            _log.warning("series without a date to score: %s", told)

    def images(self, scene: Scene) -> dict[str, Stack]:
        """The middle of a validation scene, all dates."""
        rows, cols = check_scene(scene, self.sensors, self._val_crop)
        crop = self._val_crop
        place = Window((rows - crop) // 2, (cols - crop) // 2, crop, crop)
        out = {}
        for s in self.sensors:
            every = range(len(scene.days[s.name]))
            data, valid = scene.read(s.name, list(every), scaled(place, self.ratio // s.ratio))
            out[s.name] = Stack(data, valid, scene.days[s.name])
        return out

    def forecast(
        self,
        predict: Predict,
        device: torch.device,
        seen: Mapping[str, Stack],
        query: Sequence[float],
    ) -> dict[str, np.ndarray]:
        """What the network makes of visible images: sensor → (Q, band, H, W)."""
        run = forecast_by(
            self._frame.to(device),
            blank=self.config.data.blank > 0,
            run=lambda dates, days, shown: predict([dates], [days], [shown])[0].detach()[None],
        )
        return run(seen, query)

    def examples(self, predict: Predict, device: torch.device) -> list[Example]:
        """Pictures of a hidden date of each validation scene."""
        from trifuse.train.example_images import series_examples

        return series_examples(self, predict, device)

    def fingerprint(self) -> dict[str, Any]:
        """Names, dates and sizes of the scenes."""
        return {
            kind: fingerprint(
                [
                    [s.name, {k: v.tolist() for k, v in s.days.items()}, dict(s.shapes)]
                    for s in scenes
                ]
            )
            for kind, scenes in (("train", self.scenes), ("val", self.val))
        }

    def write(self, path: Path, model: nn.Module, metrics: Mapping[str, float], step: int) -> None:
        """Write the weights and their card, replacing what is there."""
        assert isinstance(model, SeriesBatch)
        values = to_mapping(self.config)
        card = TamrfCard(
            config=model.net.config,
            data={
                "train": [s.name for s in self.scenes],
                "val": [s.name for s in self.val],
                "fingerprint": self.fingerprint(),
            },
            protocol={**{k: values[k] for k in ("seed", "data", "loss", "optim")}, "step": step},
            metrics={"validation": dict(metrics)} if metrics else {},
            limits=(*LIMITS, *self._limits(metrics)),
        )
        save_weights(path, model.net, card, overwrite=True)

    def _limits(self, metrics: Mapping[str, float]) -> list[str]:
        found = [f"Trained on crops of {self.config.data.crop * self.ratio} pixels."]
        if self.scenes and all(s.name.startswith("procedural") for s in self.scenes):
            found.append(
                "Trained on synthetic series only: judge it against linear interpolation "
                "on your own."
            )
        if not metrics:
            found.append("Never validated: there were no validation scenes.")
        elif not math.isfinite(metrics["gain"]):
            found.append("Never validated: no date of the validation scenes could be scored.")
        elif not metrics["gain"] > 0:
            found.append(
                f"Behind linear interpolation by {-metrics['gain']:.0f} % on the validation scenes."
            )
        return found

    def _prior(
        self, batch: Mapping[str, Tensor], b: int, query: Sequence[float]
    ) -> tuple[Tensor, ...]:
        """The prior of one series of a batch, the weight of what is added, and the context."""
        seen = {}
        for s in self.sensors:
            n = int(batch[f"{s.name}/count"][b])
            shown = batch[f"{s.name}/seen"][b, :n]
            data, valid, days = (
                batch[f"{s.name}/{k}"][b, :n][shown].cpu().numpy()
                for k in ("data", "valid", "days")
            )
            seen[s.name] = Stack(data, valid, days)
        images, weight, context, _ = prior_images(self.sensors, seen, query, context=True)
        device = batch["blank"].device
        return tuple(torch.from_numpy(a).to(device) for a in (images, weight, context))

    def _unpacked(
        self, frame: Tamrf, batch: Mapping[str, Tensor], b: int
    ) -> tuple[dict[str, Dates], dict[str, Target]]:
        """One series of a batch: what the network sees, and what it is compared with."""
        dates, targets = {}, {}
        for s in self.sensors:
            n = int(batch[f"{s.name}/count"][b])
            data, valid = batch[f"{s.name}/data"][b, :n], batch[f"{s.name}/valid"][b, :n]
            days, seen = batch[f"{s.name}/days"][b, :n], batch[f"{s.name}/seen"][b, :n]
            standard = frame.standardise(s, data)
            if n:
                targets[s.name] = Target(standard, valid, days)
            if bool(seen.any()):
                shown = standard
                if bool(batch["blank"][b]):
                    shown = torch.where(valid[:, None], standard, 0.0)
                dates[s.name] = Dates(shown[seen][None], days[seen][None])
        return dates, targets


def _what_lacks(images: Mapping[str, Stack], hiding: Mapping[str, Selection]) -> str:
    """Why nothing of a scene can be scored: its dates, those with clear pixels, those hidden."""
    parts = []
    for name, stack in images.items():
        clear = stack.days[stack.valid.any(axis=(1, 2))]
        hidden = {d for chosen in hiding.values() for d in chosen.hidden(name)}
        both = len(hidden & set(clear.tolist()))
        parts.append(f"{len(stack.days)} dates of {name}, {len(clear)} clear, {both} to be hidden")
    return " and ".join(parts)


def _hidden(targets: Mapping[str, Target], seen: Mapping[str, Dates]) -> dict[str, Target]:
    """The targets on dates that are not seen."""
    out = {}
    for name, target in targets.items():
        days = seen[name].days[0] if name in seen else target.days[:0]
        rest = ~torch.isin(target.days, days)
        if bool(rest.any()):
            out[name] = Target(target.data[rest], target.valid[rest], target.days[rest])
    return out


def temporal_table(values: Mapping[str, float]) -> str:
    """Validation metrics as a table: the network beside the baselines; lower is better.

    Args:
        values: what :meth:`TamrfTask.validate` returned; empty gives a line that says so.
    """
    if not values:
        return "no validation scenes"
    methods = ("network", *BASELINES)
    rows = [f"{'RMSE / deviation':<28}" + "".join(f"{m:>10}" for m in methods)]
    for key in sorted({k.rpartition("/")[0] for k in values if k.endswith("/network")}):
        cells = "".join(f"{values[f'{key}/{m}']:>10.3f}" for m in methods)
        rows.append(f"{key:<28}{cells}")
    return "\n".join(rows)
