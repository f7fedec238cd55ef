"""Any network as a function of visible images and days, for scoring and for training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from trifuse.temporal.contract import Forecast
from trifuse.temporal.model import Dates, Tamrf
from trifuse.temporal.prior import kept_by_prior, prior_images
from trifuse.temporal.stack import Stack

Run = Callable[[Mapping[str, Dates], Tensor, Tensor | None], Tensor]
"""The forward pass of a network: (1, Q, channels, H, W)."""


def forecast_by(net: Tamrf, *, blank: bool, run: Run | None = None) -> Forecast:
    """A network as a function of images in its unit.

    Args:
        net: for its sensors and statistics, and to run unless something else does.
        blank: withhold what is not clear, as networks are trained whose products do so.
        run: another way to run it.
    """

    def forecast(seen: Mapping[str, Stack], query: Sequence[float]) -> dict[str, np.ndarray]:
        device = next(net.parameters()).device
        sensors = net.config.sensors
        dates = {}
        for s in sensors:
            stack = seen[s.name]
            data = np.where(stack.valid[:, None], stack.data, np.nan) if blank else stack.data
            value = torch.from_numpy(np.ascontiguousarray(data, np.float32)).to(device)
            when = torch.from_numpy(stack.days.astype(np.float32)).to(device)
            dates[s.name] = Dates(net.standardise(s, value)[None], when[None])
        if not any(d.data.shape[1] for d in dates.values()):
            return {}
        days = torch.tensor([list(query)], dtype=torch.float32, device=device)
        with torch.no_grad():
            if net.config.skip == "prior":
                start = prior_images(sensors, seen, query, context=True)[:3]
                prior, weight, shown = (torch.from_numpy(a).to(device) for a in start)
                out = prior + weight * (run or net)(dates, days, shown[None])[0].float()
            else:
                out = (run or net)(dates, days, None)[0].float()
        found = {k: v[0].cpu().numpy() for k, v in net.split(out[None]).items()}
        if net.config.skip != "prior":
            return found
        before = net.split(prior[None])
        for s in sensors:
            known = before[s.name][0].cpu().numpy()
            found[s.name] = kept_by_prior([s], found[s.name], known, range(len(s.bands)))
        return found

    return forecast
