"""Training of the Sentinel-2 and Sentinel-3 fusion networks on a store of triplets."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from trifuse import metrics
from trifuse.core import StoreError, writes
from trifuse.core.card import kind_of
from trifuse.core.settings import require, require_least, to_mapping
from trifuse.core.weights import save_weights
from trifuse.fusformer import FUSION, FusformerConfig, FusionCard, FusionConfig, FusionNetwork
from trifuse.fusformer.card import LIMITS
from trifuse.moved import keep_moved_names
from trifuse.train.augment_config import AugmentConfig
from trifuse.train.data import TripletDataset, common_psf
from trifuse.train.engine import FitResult, fit
from trifuse.train.examples import Example
from trifuse.train.losses import per_sample_mean, spectral_angle
from trifuse.train.prior import PriorDataset, bicubic_image, regression_image, shown
from trifuse.train.settings import EngineConfig
from trifuse.train.task import Predict

if TYPE_CHECKING:
    from trifuse.simulate import TripletStore

SCORES = {"psnr": metrics.psnr, "sam": metrics.sam, "rmse": metrics.rmse}
NORMALISED_ON = 64
"""Triplets, evenly spaced, that the normalisation is taken from."""

METHODS = ("network", "bicubic", "regression")


@dataclass(frozen=True, slots=True)
class DataConfig:
    """What is read of the store.

    Attributes:
        val_samples: triplets to validate on, evenly spaced over the split; 0: all.
        val_errors: validate under the errors of the augmentation (blur, calibration, shift, noise,
            clouds), drawn once, instead of on clean triplets.
        normalise: take the model's ``input_offset``, ``input_scale`` and ``output_scale`` from
            the training triplets: mean and spread of the inputs, and the size of what is to be
            learnt. Without it the paper's network sees plain reflectance and learns slowly.
    """

    val_samples: int = 64
    val_errors: bool = False
    normalise: bool = True

    def __post_init__(self) -> None:
        require_least(self, 0, "val_samples", section="data")


@dataclass(frozen=True, slots=True)
class LossConfig:
    """What is minimised: the mean absolute error, and more on request.

    Attributes:
        spectral_angle: weight of the mean spectral angle in radians; 0: none.
    """

    spectral_angle: float = 0.0

    def __post_init__(self) -> None:
        require_least(self, 0, "spectral_angle", section="loss")


@dataclass(frozen=True, slots=True)
class TrainConfig(EngineConfig):
    """Everything that determines a training run.

    Attributes:
        model: the network, which its class decides; its numbers of bands are taken from the store.
    """

    model: FusionConfig = field(default_factory=FusformerConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loss: LossConfig = field(default_factory=LossConfig)


@writes("store", out="run", folder=True)
def train_fusion(
    config: TrainConfig,
    store: TripletStore | Path | str,
    run: Path | str,
    *,
    resume: bool = True,
    overwrite: bool = False,
) -> FitResult:
    """Train a fusion network on a store, or go on with a run that was stopped.

    Args:
        config: see :class:`TrainConfig`.
        store: the folder of a finished store, or the open store.
        run: folder of the run; see :func:`trifuse.train.fit` for what it will hold.
        resume: go on with the run that the folder holds.
        overwrite: start anew and remove the run that is there.

    Raises:
        StoreError: if the store is unfinished or damaged, or holds no training samples.
        TrifuseError: as :func:`trifuse.train.fit`.
    """
    return fit(FusionTask(config, store), config, run, resume=resume, overwrite=overwrite)


class FusionTask:
    """Any network of :data:`trifuse.fusformer.FUSION` as a task of the engine.

    Validation is on triplets of scenes that are not trained on, beside bicubic and the per-scene
    regression with residual correction, which are no networks and cost nothing.

    Args:
        config: see :class:`TrainConfig`.
        store: the folder of a finished store, or the open store.

    Raises:
        StoreError: if the store is unfinished or damaged, or holds no training samples.
        ConfigError: if the store has other numbers of bands than the configuration asks for, or
            the configuration is that of no network that is registered.
    """

    monitor = "psnr"
    higher_is_better = True

    def __init__(self, config: TrainConfig, store: TripletStore | Path | str) -> None:
        self._train = TripletDataset(store, "train", config.augment.build(), config.seed)
        self.store = self._train.store
        if not len(self._train):
            raise StoreError(
                "holds no training samples",
                where=self.store.path,
                fix="make it of more scenes, or with another split",
            )
        self.config = config
        self.kind = kind_of(config.model, FUSION)
        self.model: Any = replace(
            config.model,  # type: ignore[type-var]  # any dataclass of that base
            hr_bands=_bands("hr_bands", config.model, len(self.store.hr_bands)),
            lr_bands=_bands("lr_bands", config.model, len(self.store.lr_bands)),
        )
        self._psf = common_psf(self.store.psf)
        if "prior" in self.model.inputs:
            self._train = PriorDataset(self.store, "train", self._train.augment, self._train.seed)
        if config.data.normalise:
            self.model = self._normalised()
        errors = config.augment.errors() if config.data.val_errors else None
        val = bool(self.store.ids("val"))
        self.validation = PriorDataset(self.store, "val", errors, config.seed) if val else None
        self._baselines: dict[str, float] = {}

    def build_model(self) -> FusionNetwork:
        """A fresh network."""
        return self.kind.build(self.model)

    def dataset(self) -> TripletDataset:
        """The training split, augmented."""
        return self._train

    def loss(self, model: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Mean absolute error over the valid pixels, and what the configuration adds to it."""
        estimate = model(*self.shown(batch))
        truth, valid = batch["hrhsi"], batch["valid"]
        absolute = (estimate - truth).abs().mean(dim=1, keepdim=True)
        losses = {"l1": per_sample_mean(absolute, valid).mean()}
        losses["loss"] = losses["l1"]
        if weight := self.config.loss.spectral_angle:
            angle = spectral_angle(truth, estimate)
            losses["angle"] = per_sample_mean(angle, valid).mean()
            losses["loss"] = losses["l1"] + weight * losses["angle"]
        return losses

    def validate(self, predict: Predict, device: torch.device) -> dict[str, float]:
        """Mean PSNR (dB), SAM (degrees) and RMSE over the validation triplets.

        ``psnr``, ``sam`` and ``rmse`` are the network's, ``bicubic_…`` and ``regression_…`` the
        baselines', and ``gain`` is the network's PSNR above that of the regression.
        """
        if self.validation is None:
            return {}
        methods: dict[str, Callable[[Mapping[str, Tensor]], Tensor]] = {
            "network": lambda b: predict(*self.shown(b))
        }
        if not self._baselines:
            methods["bicubic"] = bicubic_image
            methods["regression"] = lambda b: regression_image(b, self._psf)
        scores: dict[str, list[float]] = {}
        for index in evenly_spaced(len(self.validation), self.config.data.val_samples):
            sample = self.validation[index]
            batch = {k: v[None].to(device) for k, v in sample.items()}
            truth, valid = sample["hrhsi"].numpy(), sample["valid"][0].numpy() > 0
            for method, make in methods.items():
                estimate = make(batch)[0].float().cpu().numpy()
                for name, score in SCORES.items():
                    key = name if method == "network" else f"{method}_{name}"
                    scores.setdefault(key, []).append(float(score(truth, estimate, valid)))
        means = {k: sum(v) / len(v) for k, v in scores.items()}
        if not self._baselines:
            self._baselines = {k: v for k, v in means.items() if k not in SCORES}
        gain = means["psnr"] - self._baselines["regression_psnr"]
        return {**means, **self._baselines, "gain": gain}

    def examples(self, predict: Predict, device: torch.device) -> list[Example]:
        """Pictures of a few validation triplets."""
        from trifuse.train.example_images import fusion_examples

        return fusion_examples(self, predict, device)

    def fingerprint(self) -> dict[str, Any]:
        """The store's content; and the network, unless it is the usual one."""
        usual = self.kind.config is FusformerConfig
        return {"store": self.store.hash, **({} if usual else {"network": self.kind.name})}

    def write(self, path: Path, model: nn.Module, metrics: Mapping[str, float], step: int) -> None:
        """Write the weights and their card, replacing what is there."""
        assert isinstance(model, FusionNetwork)
        values = to_mapping(self.config)
        psf = self.store.psf if isinstance(self.store.psf, tuple) else (self.store.psf,)
        card = FusionCard(
            config=model.config,
            hr_bands=self.store.hr_bands,
            lr_bands=self.store.lr_bands,
            store=self.store.hash,
            protocol={
                "simulate": self.store.config.to_json(),
                "psf_sigma_cells": [p.sigma for p in psf],
                **{k: values[k] for k in ("seed", "augment", "loss", "optim")},
                "step": step,
            },
            metrics={"validation": dict(metrics)} if metrics else {},
            limits=(*LIMITS, *self._limits(metrics)),
        )
        save_weights(path, model, card, overwrite=True)

    def _normalised(self) -> FusionConfig:
        """The network on the scales of the training triplets, to four digits."""
        plain = copy.copy(self._train)
        plain.augment = None
        start = [name for name in self.model.inputs if name != "hrmsi"][-1:]
        count, total, squares = 0, 0.0, 0.0
        pixels, errors = 0, 0.0
        for index in evenly_spaced(len(plain), NORMALISED_ON):
            sample = plain[index]
            inputs = torch.cat([sample["hrmsi"].flatten(), sample["lrhsi"].flatten()]).double()
            count, total = count + inputs.numel(), total + float(inputs.sum())
            squares += float(inputs.square().sum())
            (image,) = shown(start, {k: v[None] for k, v in sample.items()}, self._psf)
            high = ((sample["hrhsi"] - image[0]) * sample["valid"]).double()
            pixels, errors = pixels + high.numel(), errors + float(high.square().sum())
        mean = total / count
        spread = math.sqrt(max(squares / count - mean**2, 1e-6))
        size = max(math.sqrt(errors / pixels), 1e-5)
        scales = (float(f"{v:.4g}") for v in (mean, spread, size))
        normalised: FusionConfig = self.model.normalised(*scales)
        return normalised

    def _limits(self, metrics: Mapping[str, float]) -> list[str]:
        """What these very weights must not be trusted with."""
        ratios = sorted({self.store.ratio, *self.config.augment.ratios})
        found = [f"Trained at the ratios {', '.join(map(str, ratios))} only."]
        augment = self.config.augment
        if not (augment.noise_s2 or augment.noise_s3):
            found.append("Trained on inputs without noise.")
        if not augment.shift:
            found.append("Trained on inputs without misregistration.")
        if not augment.blur:
            found.append("Trained on Sentinel-2 bands that are all as sharp as those of 10 m.")
        if not metrics:
            found.append("Never validated: the store has no validation scenes.")
        elif metrics["gain"] < 0:
            found.append(
                f"Behind the per-scene regression by {-metrics['gain']:.1f} dB on the validation "
                "scenes."
            )
        return found

    def shown(self, batch: Mapping[str, Tensor]) -> list[Tensor]:
        """A batch as the network is called with it."""
        return shown(self.model.inputs, batch, self._psf)


def score_table(values: Mapping[str, float]) -> str:
    """Validation metrics as a table: the network beside bicubic and the regression.

    Args:
        values: what :meth:`FusionTask.validate` returned; empty gives a line that says so.
    """
    if not values:
        return "no validation scenes"
    rows = [f"{'':<12}{'PSNR dB':>10}{'SAM °':>10}{'RMSE':>10}"]
    for method in METHODS:
        prefix = "" if method == "network" else f"{method}_"
        psnr, sam, rmse = (values[f"{prefix}{name}"] for name in SCORES)
        rows.append(f"{method:<12}{psnr:>10.2f}{sam:>10.3f}{rmse:>10.5f}")
    return "\n".join(rows)


def evenly_spaced(size: int, count: int) -> list[int]:
    """``count`` of ``size`` numbers, or all of them if there are fewer or ``count`` is 0."""
    if not count or count >= size:
        return list(range(size))
    return [math.floor((i + 0.5) * size / count) for i in range(count)]


def _bands(key: str, model: FusionConfig, there: int) -> int:
    """The store's number of bands; a number that the user chose must be that."""
    wanted = getattr(model, key)
    require(
        wanted in (there, getattr(type(model)(), key)),
        f"model.{key}",
        f"is {wanted}, the store has {there}",
        "leave it out",
    )
    return there


keep_moved_names(__name__)
