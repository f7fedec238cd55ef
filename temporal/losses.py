"""The training loss of TAMRF for one series.

    total  = ½ · L(hidden dates) + L(visible dates)
    L      = Σ_sensor w · (reconstruction + contrast) + w_fine · structure
    w      = dates of the sensor in this part / all target dates

Everything is compared in standardised units, through the observation model of the sensor, with a
border cropped.

Source: Michel and Inglada 2025, doi:10.1016/j.rse.2025.115159.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from trifuse.temporal.config import Sensor
from trifuse.temporal.model import Tamrf
from trifuse.temporal.observation import observe
from trifuse.temporal.perceptual import MaskedPerceptual
from trifuse.temporal.renamed import renamed


@dataclass(frozen=True, slots=True)
class Target:
    """What a sensor really saw.

    Attributes:
        data: (T, bands, h, w) standardised.
        valid: (T, h, w) bool, True where clear.
        days: (T,) since the origin of the series.
    """

    data: Tensor
    valid: Tensor
    days: Tensor

    doy = renamed("doy", "days")


@dataclass(frozen=True, slots=True)
class LossConfig:
    """Constants of the loss.

    Attributes:
        hidden_weight: of the part on hidden dates.
        visible_weight: of the part on visible dates.
        beta: of the smooth L1, in deviations.
        min_clear: dates with less than this share (0–1) of clear pixels are not reconstructed.
        max_days: contrast looks at most so many days far for a clear date.
        margin: of the contrast, in deviations.
        border: target pixels cropped at each edge.
        contrast: weight of the contrast; 0 leaves it out.
        structure: weight of the structure term; 0 leaves it out.
        structure_clear: dates with a smaller share (0–1) are left out of the structure term.
        thermal_structure: weight of temperatures in it.
        ndvi_quirk: scale the near infrared of the NDVI by the statistics of the band that the
            published training used (B5 for B8); only for parity with it.
    """

    hidden_weight: float = 0.5
    visible_weight: float = 1.0
    beta: float = 0.1
    min_clear: float = 0.5
    max_days: float = 20.0
    margin: float = 1e-5
    border: int = 27
    contrast: float = 1.0
    structure: float = 1.0
    structure_clear: float = 0.75
    thermal_structure: float = 0.1
    ndvi_quirk: bool = False


@dataclass
class LossParts:
    """The total, a scalar with a gradient, and its parts by name, for logs; all unit-less."""

    total: Tensor
    parts: dict[str, float] = field(default_factory=dict)


def series_loss(
    model: Tamrf,
    prediction: Tensor,
    query: Sequence[float],
    targets: Mapping[str, Target],
    visible: Mapping[str, Sequence[float]],
    *,
    perceptual: MaskedPerceptual | None = None,
    config: LossConfig | None = None,
) -> LossParts:
    """Loss of one predicted series.

    Args:
        model: for its sensors and statistics.
        prediction: (Q, channels, H, W) standardised, one per day of ``query``.
        query: sorted union of the target days.
        targets: sensor → what it saw.
        visible: sensor → days that the network was given.
        perceptual: yardstick of the structure term; None leaves the term out.
        config: constants.
    """
    config = config or LossConfig()
    position = {float(d): i for i, d in enumerate(query)}
    per_sensor = dict(
        zip(
            (s.name for s in model.config.sensors),
            torch.split(prediction, [len(s.bands) for s in model.config.sensors], dim=1),
            strict=True,
        )
    )
    every = sum(len(t.days) for t in targets.values())
    total = prediction.new_zeros(())
    parts: dict[str, float] = {}
    for label, factor in (("hidden", config.hidden_weight), ("visible", config.visible_weight)):
        loss = prediction.new_zeros(())
        for sensor in model.config.sensors:
            target = targets.get(sensor.name)
            if target is None:
                continue
            seen = set(map(float, visible.get(sensor.name, ())))
            chosen = [
                i
                for i, d in enumerate(target.days.tolist())
                if (float(d) in seen) == (label == "visible")
            ]
            if not chosen:
                continue
            weight = len(chosen) / every
            at = [position[float(target.days[i])] for i in chosen]
            part = Target(target.data[chosen], target.valid[chosen], target.days[chosen])
            raw = per_sensor[sensor.name][at]
            pair = _cropped(observe(raw, sensor), part, config.border // sensor.ratio)
            terms = {"reconstruction": reconstruction(*pair, sensor, label == "hidden", config)}
            if config.contrast > 0:
                terms["contrast"] = _scaled(contrast(*pair, sensor, config), config.contrast)
            if sensor.ratio == 1 and perceptual is not None and config.structure > 0:
                others = {s.name: per_sensor[s.name][at] for s in model.config.sensors}
                terms["structure"] = _scaled(
                    structure(model, sensor, others, part, perceptual, config), config.structure
                )
            for name, value in terms.items():
                if value is not None:
                    loss = loss + weight * value
                    parts[f"{label}/{sensor.name}/{name}"] = float(value.detach())
        total = total + factor * loss
    parts["total"] = float(total.detach())
    return LossParts(total, parts)


def reconstruction(
    predicted: Tensor, target: Target, sensor: Sensor, hidden: bool, config: LossConfig
) -> Tensor | None:
    """Smooth L1 over clear pixels; temperatures are never compared on hidden dates.

    Args:
        predicted: (T, bands, h, w) standardised, as the sensor samples it.
        target: of the same dates and pixels.
        sensor: whose.
        hidden: whether the dates were hidden from the network.
        config: constants.

    Returns:
        Scalar; None if there is nothing to compare.
    """
    bands = _reflective(sensor) if hidden else list(range(len(sensor.bands)))
    enough = target.valid.float().mean((1, 2)) >= config.min_clear
    valid = target.valid & enough[:, None, None]
    if not bands or not valid.any():
        return None
    where = valid[:, None].expand(-1, len(bands), -1, -1)
    return F.smooth_l1_loss(
        predicted[:, bands][where], target.data[:, bands][where], beta=config.beta
    )


def contrast(
    predicted: Tensor, target: Target, sensor: Sensor, config: LossConfig
) -> Tensor | None:
    """Under clouds: nearer to the nearest clear date than to the cloud itself.

    Arguments and result as of :func:`reconstruction`.
    """
    bands = _reflective(sensor)
    distance = (target.days[:, None] - target.days[None, :]).abs().to(predicted.dtype)
    far = torch.finfo(predicted.dtype).max
    # (T masked date, T candidate, h, w) → nearest clear candidate of each pixel
    gap = torch.where(target.valid[None], distance[:, :, None, None], far)
    nearest_gap, nearest = gap.min(dim=1)
    kept = ~target.valid & (nearest_gap < config.max_days)
    if not bands or not kept.any():
        return None
    data = target.data[:, bands]
    clear = data.gather(0, nearest[:, None].expand(-1, len(bands), -1, -1))
    where = kept[:, None].expand(-1, len(bands), -1, -1)
    a, p, n = predicted[:, bands][where], clear[where], data[where]
    eps = 1e-6
    away = torch.minimum((a - n + eps).abs(), (p - n + eps).abs())
    return F.relu((a - p + eps).abs() - away + config.margin).mean()


def structure(
    model: Tamrf,
    fine: Sensor,
    predicted: Mapping[str, Tensor],
    target: Target,
    perceptual: MaskedPerceptual,
    config: LossConfig,
) -> Tensor | None:
    """Predicted coarse bands should look like a linear combination of the true fine bands.

    Args:
        model: for sensors and statistics.
        fine: the sensor on the target grid.
        predicted: sensor → (T, bands, H, W), uncropped, at the dates of ``target``.
        target: what the fine sensor saw, uncropped.
        perceptual: the yardstick.
        config: constants.
    """
    border = config.border
    inner = slice(border, -border or None)
    data, valid = target.data[:, :, inner, inner], target.valid[:, inner, inner]
    clear = valid.float().mean((1, 2)) >= config.structure_clear
    if not clear.any():
        return None
    sharpest = min(fine.resolution)
    native = [i for i, r in enumerate(fine.resolution) if r == sharpest]
    reference = data[:, native]
    values = []
    for sensor in model.config.sensors:
        image = predicted[sensor.name][:, :, inner, inner]
        for resolution in sorted(set(sensor.resolution)):
            bands = [i for i, r in enumerate(sensor.resolution) if r == resolution]
            if sensor is fine and resolution == sharpest:
                continue
            guide, weight = reference, 1.0
            if any(sensor.bands[i] in sensor.thermal for i in bands):
                ndvi = _ndvi(model, fine, data, config.ndvi_quirk)
                guide, weight = torch.cat([reference, ndvi], dim=1), config.thermal_structure
            value = _likeness(image[:, bands][clear], guide[clear], valid[clear], perceptual)
            if value is not None:
                values.append(weight * value)
    return torch.stack(values).mean() if values else None


def _likeness(
    image: Tensor, guide: Tensor, valid: Tensor, perceptual: MaskedPerceptual
) -> Tensor | None:
    """Perceptual distance of an image to its rendering from the guide, date by date."""
    need = 10 * image.shape[1] * guide.shape[1]
    if int(valid.flatten(1).sum(1).max()) <= need:
        return None
    pictures, renderings = [], []
    for one, lead, clear in zip(image, guide, valid, strict=True):
        rendering = linear_rendering(lead, one.detach(), clear)
        if torch.isfinite(rendering).all():
            pictures.append(one)
            renderings.append(torch.where(clear, rendering, torch.nan))
    if not pictures:
        return None
    a = torch.cat(pictures)[:, None].expand(-1, 3, -1, -1)
    b = torch.cat(renderings)[:, None].expand(-1, 3, -1, -1)
    value: Tensor = perceptual(a, b)
    return None if not torch.isfinite(value) or value > 10 else value


def linear_rendering(guide: Tensor, image: Tensor, valid: Tensor, ridge: float = 1e-3) -> Tensor:
    """The image as the best linear combination of a guide, by least squares over clear pixels.

    Both sides are standardised by their clear pixels, a constant is added to the guide.

    Args:
        guide: (C, h, w).
        image: (K, h, w).
        valid: (h, w) bool.
        ridge: added to the Gram matrix.

    Returns:
        (K, h, w); NaN where the system has no solution.
    """
    x, y = guide.double(), image.double()
    x_mean, x_std = _clear_moments(x, valid)
    y_mean, y_std = _clear_moments(y, valid)
    x = torch.cat([(x - x_mean) / x_std, torch.ones_like(x[:1])])
    design, wanted = x[:, valid].T, ((y - y_mean) / y_std)[:, valid].T
    gram = design.T @ design + ridge * torch.eye(len(x), dtype=x.dtype, device=x.device)
    solution, info = torch.linalg.solve_ex(gram, design.T @ wanted)
    if int(info) != 0:
        return torch.full_like(image, torch.nan)
    fitted = torch.einsum("ck,chw->khw", solution, x)
    return (fitted * y_std + y_mean).to(image.dtype)


def _clear_moments(x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    values = x[:, valid]
    mean = values.mean(1)
    variance = values.square().sum(1) / max(values.shape[1] - 1, 1) - mean.square()
    return mean[:, None, None], variance.clamp(min=0).sqrt()[:, None, None]


def _ndvi(model: Tamrf, fine: Sensor, data: Tensor, quirk: bool) -> Tensor:
    mean, std = model.statistics(fine)
    red, nir = fine.bands.index("B4"), fine.bands.index("B8")
    by = fine.bands.index("B5") if quirk else nir
    red_value = data[:, red] * std[red] + mean[red]
    nir_value = data[:, nir] * std[by] + mean[by]
    return ((nir_value - red_value) / (nir_value + red_value))[:, None]


def _reflective(sensor: Sensor) -> list[int]:
    return [i for i, b in enumerate(sensor.bands) if b not in sensor.thermal]


def _cropped(predicted: Tensor, target: Target, border: int) -> tuple[Tensor, Target]:
    inner = slice(border, -border or None)
    part = Target(target.data[:, :, inner, inner], target.valid[:, inner, inner], target.days)
    return predicted[:, :, inner, inner], part


def _scaled(value: Tensor | None, factor: float) -> Tensor | None:
    return None if value is None else factor * value
