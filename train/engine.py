"""One training loop for every network here, on Lightning Fabric.

The loop knows nothing of images: a :class:`~trifuse.train.task.Task` hands it a model, a data
set, a loss and a validation. A run that was killed at any moment and started again ends with the
weights of an uninterrupted one (on the CPU to the bit): every batch is a pure function of the seed
and the step (:mod:`trifuse.train.batches`), and the saved state holds everything else.

Several GPUs or machines: start the program with ``torchrun``; each process then takes its share
of every batch, and gradients are averaged (distributed data parallel).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from trifuse.core import ConfigError, DataError, TrifuseError, progress_bar, refuse_existing
from trifuse.core.settings import flatten, to_mapping
from trifuse.train import checkpoint
from trifuse.train.batches import BatchPlan, RankBatches
from trifuse.train.config import save_config
from trifuse.train.distributed import gather, make_fabric, seed_everything, start_method
from trifuse.train.examples import EXAMPLES, save_examples
from trifuse.train.record import METRICS, Record
from trifuse.train.schedule import make_schedule
from trifuse.train.settings import EngineConfig
from trifuse.train.signals import Received, deferred_signals, end_by, outlive_signals
from trifuse.train.soundness import is_blown, newest_loss
from trifuse.train.task import Task

CONFIG, BEST, FINAL = "config.yaml", "best.safetensors", "final.safetensors"
Stop = Literal["finished", "early"]

ADDED = ("config.optim.accumulate",)
"""Settings that saved states of earlier versions do not have."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FitResult:
    """How a run ended.

    Attributes:
        stopped: ``finished`` all steps, or ``early`` for want of improvement.
        step: updates done.
        best_step: update after which the best weights were validated.
        metrics: validation metrics of the best weights.
        weights: file of the best weights.
    """

    stopped: Stop
    step: int
    best_step: int
    metrics: Mapping[str, float]
    weights: Path


@dataclass
class _Progress:
    """The part of the state that is plain numbers."""

    step: int = 0
    best_step: int = 0
    best: dict[str, float] = field(default_factory=dict)
    stale: int = 0
    stopped: str = ""
    sums: dict[str, Tensor] = field(default_factory=dict)
    count: int = 0
    first: float = 0.0


def fit(
    task: Task,
    config: EngineConfig,
    run_dir: Path | str,
    *,
    resume: bool = True,
    overwrite: bool = False,
) -> FitResult:
    """Train, or go on with a run that was stopped.

    The folder then holds ``config.yaml``, ``metrics.jsonl``, ``last.pt`` and ``previous.pt``
    (states to resume from), ``best.safetensors`` and, when the run is done, ``final.safetensors``.
    On SIGTERM or SIGINT the state is saved after the update in hand; then the signal has its
    effect (exit code 143, or KeyboardInterrupt).

    Args:
        task: what is trained.
        config: how; all of it but the section ``run`` must be that of the run to resume.
        run_dir: folder of the run.
        resume: go on with what the folder holds; otherwise a run there is in the way.
        overwrite: start anew and remove the run that is there.

    Raises:
        OutputExistsError: if a run is in the way.
        ConfigError: if the run was made with another configuration, data or number of processes.
        ProductError: if its saved state is damaged.
        DataError: if the loss becomes NaN or infinite.
    """
    run = Path(run_dir)
    fabric = make_fabric(config.run.device, config.optim.precision)
    fabric.launch()
    if overwrite and fabric.is_global_zero:
        _remove(run)
    fabric.barrier()
    if not resume:
        refuse_existing(*(run / n for n in (checkpoint.LAST, checkpoint.PREVIOUS)))
    seed_everything(config.seed)
    loop = _Loop(task, config, run, fabric)
    loop.restore()
    if fabric.is_global_zero:
        save_config(run / CONFIG, config)
    with deferred_signals() as received:
        loop.train(received)
    state = loop.progress
    if received.number is not None or not state.stopped:
        _log.warning("%s: saved after step %d; start it again to go on", run, state.step)
        end_by(received.number)
    stopped: Any = state.stopped
    return FitResult(stopped, state.step, state.best_step, dict(state.best), run / BEST)


class _Loop:
    """One start of a run: everything that lives from its first update to its last."""

    def __init__(self, task: Task, config: EngineConfig, run: Path, fabric: Any) -> None:
        from timm.optim import create_optimizer_v2
        from timm.utils import ModelEmaV3

        self.task, self.config, self.run, self.fabric = task, config, run, fabric
        self.progress = _Progress()
        optim = config.optim
        self.module = task.build_model().to(fabric.device)
        self.raw_optimizer = create_optimizer_v2(
            self.module, opt=optim.optimizer, lr=optim.lr, weight_decay=optim.weight_decay
        )
        self.scheduler = make_schedule(self.raw_optimizer, optim)
        self.ema = ModelEmaV3(self.module, optim.ema, use_warmup=True) if optim.ema else None
        self.model, self.optimizer = fabric.setup(self.module, self.raw_optimizer)
        # From here on each process draws its own numbers (dropout), the weights being the same.
        seed_everything(config.seed + fabric.global_rank)

    @property
    def validated(self) -> nn.Module:
        """The model that is validated and saved."""
        return self.ema.module if self.ema is not None else self.module

    def restore(self) -> None:
        """Take up the saved state, if there is one."""
        path = checkpoint.find_state(self.run)
        if path is None:
            return
        state = checkpoint.load_state(path)
        try:
            self._check_same(state)
            self.module.load_state_dict(state["model"])
            self.raw_optimizer.load_state_dict(state["optimizer"])
            self.scheduler.load_state_dict(state["scheduler"])
            self.fabric.strategy.precision.load_state_dict(state["precision"])
            if self.ema is not None:
                self.ema.load_state_dict(state["ema"])
            self.progress = _Progress(**state["progress"])
            if "sums" in state:  # each process goes on with its own share of the log window
                self.progress.sums = dict(state["sums"][self.fabric.global_rank])
            checkpoint.set_rng_state(state["rng"][self.fabric.global_rank])
        except (KeyError, TypeError, RuntimeError) as e:
            raise ConfigError(
                f"the saved state does not fit this network ({str(e).splitlines()[0]})",
                where=path,
                fix="resume with the version that made it, or start anew with --overwrite",
            ) from None
        _log.info("%s: resuming after step %d", path, self.progress.step)

    def train(self, received: Received) -> None:
        """Update until the steps are done, improvement ends or a signal comes."""
        optim, every, state = self.config.optim, self.config.run, self.progress
        if state.stopped:
            return
        record = None
        if self.fabric.is_global_zero:
            record = Record(self.run, step=state.step, tensorboard=every.tensorboard)
        self.model.train()
        bar = self._bar()
        with contextlib.ExitStack() as closing:
            closing.enter_context(bar)
            if record is not None:
                closing.enter_context(contextlib.closing(record))
            for batches in closing.enter_context(contextlib.closing(self._batches())):
                rate = self.raw_optimizer.param_groups[0]["lr"]
                self._update(batches)
                bar.update()
                stop = self._any(received.number is not None)
                last = state.step == optim.steps
                validate = state.step % self.config.validation.every == 0 or last
                save = validate or stop or state.step % every.save_every == 0
                if state.step % every.log_every == 0 or last or save:
                    self._check_finite(rate)
                if validate:
                    self._check_weights(batches[-1], rate)
                if state.step % every.log_every == 0 or last:
                    bar.set_postfix(loss=f"{self._log_window(record, rate):.4g}")
                metrics = self._validate(record, rate) if validate else {}
                patience = self.config.validation.patience
                if patience and state.stale >= patience:
                    state.stopped = "early"
                elif last:
                    state.stopped = "finished"
                if state.stopped and self.fabric.is_global_zero:
                    self.task.write(self.run / FINAL, self.validated, metrics, state.step)
                    if make := getattr(self.task, "examples", None):
                        found = self._judged(make)
                        save_examples(self.run / EXAMPLES, found)
                if save:
                    self._save()
                if state.stopped or stop:
                    return

    def _bar(self) -> Any:
        """A progress bar, in one process only."""
        if self.fabric.is_global_zero:
            total, step = self.config.optim.steps, self.progress.step
            return progress_bar("train", total=total, initial=step)
        from tqdm import tqdm

        return tqdm(disable=True)

    def _batches(self) -> Generator[list[Any]]:
        """The batches of each update from the state's step to the last, on the device."""
        samples: Any = self.task.dataset()
        optim = self.config.optim
        plan = BatchPlan(len(samples), optim.batch * optim.accumulate, self.config.seed)
        rank, world = self.fabric.global_rank, self.fabric.world_size
        workers = self.config.run.workers
        loader = DataLoader(
            samples,
            batch_sampler=RankBatches(  # type: ignore[arg-type]  # keys are draws, not integers
                plan, self.progress.step, optim.steps, rank, world, optim.accumulate
            ),
            num_workers=workers,
            multiprocessing_context=start_method() if workers else None,
            worker_init_fn=outlive_signals if workers else None,
            pin_memory=self.fabric.device.type == "cuda",
            # Its own generator: the loader's draw would otherwise differ after a resume.
            generator=torch.Generator().manual_seed(0),
        )
        batches = iter(loader)
        try:
            while parts := list(islice(batches, optim.accumulate)):
                yield [self.fabric.to_device(part) for part in parts]
        except TrifuseError as e:
            if "Original Traceback" not in e.what:
                raise
            # A worker hands its error on with the traceback in the message.
            raise type(e)(e.what.rpartition(f"{type(e).__name__}: ")[2]) from None
        finally:
            # Now, not when the iterator is collected: an error would keep it, and the workers.
            if workers:
                batches._shutdown_workers()  # type: ignore[attr-defined]

    def _update(self, batches: Sequence[Any]) -> None:
        """One update by the mean gradient of some batches."""
        state, optim, count = self.progress, self.config.optim, len(batches)
        losses: dict[str, Tensor] = {}
        for i, batch in enumerate(batches):
            with self.fabric.no_backward_sync(self.model, enabled=i < count - 1):
                found = self.task.loss(self.model, batch)
                self.fabric.backward(found["loss"] / count)
            for name, value in found.items():
                part = value.detach() / count
                losses[name] = losses[name] + part if name in losses else part
        if not state.step:
            state.first = float(losses["loss"])
        if optim.clip:
            # Infinite gradients are the scaler's business in half precision: it skips the update.
            norm = self.fabric.clip_gradients(
                self.model, self.optimizer, max_norm=optim.clip, error_if_nonfinite=False
            )
            losses = {**losses, "grad_norm": norm}
        self.optimizer.step()
        self.optimizer.zero_grad()
        state.step += 1
        self.scheduler.step_update(state.step)
        if self.ema is not None:
            self.ema.update(self.module, state.step)
        for name, value in losses.items():
            # Summed where they are: reading a number from a GPU would wait for it.
            total = state.sums.get(name, torch.zeros((), dtype=torch.float64))
            state.sums[name] = total.to(value.device) + value.detach()
        state.count += 1

    def _check_finite(self, rate: float) -> None:
        """Stop before a spoiled state is saved."""
        value = float(self.progress.sums.get("loss", 0.0)) / max(1, self.progress.count)
        if self._any(not np.isfinite(value)):
            raise self._blown(f"the loss is {value} at step {self.progress.step}", rate)

    def _check_weights(self, batch: Any, rate: float) -> None:
        """Stop before weights are written that the newest update has spoiled."""
        first = self.progress.first
        worst = newest_loss(self.task, {self.module, self.validated}, batch)
        if self._any(is_blown(worst, first)):
            what = f"the weights after step {self.progress.step} have a loss of {worst:.3g}"
            raise self._blown(f"{what}, the first ones of {first:.3g}", rate)

    def _blown(self, what: str, rate: float) -> DataError:
        return DataError(
            f"{what}, at a learning rate of {rate:.3g}",
            where=self.run,
            fix="lower optim.lr, or clip gradients (optim.clip), and start anew",
        )

    def _log_window(self, record: Record | None, rate: float) -> float:
        """Record the means since the last line and return that of the loss."""
        state = self.progress
        means = torch.stack(list(state.sums.values())) / state.count
        if self.fabric.world_size > 1:
            means = self.fabric.all_reduce(means, reduce_op="mean")
        named = dict(zip(state.sums, means.tolist(), strict=True))
        samples = state.step * self.config.optim.batch * self.config.optim.accumulate
        if record is not None:
            record.write("train", state.step, {**named, "lr": rate, "samples": samples})
        state.sums, state.count = {}, 0
        return float(named["loss"])

    def _validate(self, record: Record | None, rate: float) -> dict[str, float]:
        """Score the weights, keep them if they are the best yet, count if they are not."""
        state = self.progress
        metrics: dict[str, float] = {}
        if self.fabric.is_global_zero:
            try:
                metrics = dict(self._judged(self.task.validate))
            except DataError as e:
                told = f"the weights after step {state.step} cannot be validated ({e.what})"
                raise self._blown(told, rate) from None
        metrics = self.fabric.broadcast(metrics)
        if metrics and record is not None:
            record.write("val", state.step, metrics)
        if not self._improves(metrics):
            state.stale += 1
            return metrics
        state.best, state.best_step, state.stale = metrics, state.step, 0
        if self.fabric.is_global_zero:
            self.task.write(self.run / BEST, self.validated, metrics, state.step)
        return metrics

    def _judged(self, by: Callable[..., Any]) -> Any:
        """What a function says of the weights that are validated."""
        model, precision = self.validated, self.fabric.strategy.precision
        training = model.training
        model.eval()

        def predict(*args: Any) -> Any:
            with precision.forward_context():
                return precision.convert_output(model(*args))

        with torch.no_grad():
            found = by(predict, self.fabric.device)
        model.train(training)
        return found

    def _improves(self, metrics: Mapping[str, float]) -> bool:
        """Whether these are the best weights yet; without validation the newest are."""
        name, best = self.task.monitor, self.progress.best
        if not metrics or not best:
            return True
        if not np.isfinite(metrics[name]):
            return False
        gain = (
            metrics[name] - best[name] if self.task.higher_is_better else best[name] - metrics[name]
        )
        return gain > self.config.validation.min_delta or not np.isfinite(best[name])

    def _save(self) -> None:
        rng = gather(self.fabric, checkpoint.rng_state())
        sums = gather(self.fabric, {k: v.cpu() for k, v in self.progress.sums.items()})
        if self.fabric.is_global_zero:
            checkpoint.save_state(
                self.run,
                {
                    "progress": {k: getattr(self.progress, k) for k in _Progress.__annotations__},
                    "model": self.module.state_dict(),
                    "optimizer": self.raw_optimizer.state_dict(),
                    "scheduler": self.scheduler.state_dict(),
                    "precision": self.fabric.strategy.precision.state_dict(),
                    "ema": None if self.ema is None else self.ema.state_dict(),
                    "rng": rng,
                    "sums": sums,
                    **self._identity(),
                },
            )
        self.fabric.barrier()

    def _identity(self) -> dict[str, Any]:
        """What must be the same for a run to be resumed."""
        config = {k: v for k, v in to_mapping(self.config).items() if k != "run"}
        return {
            "config": config,
            "data": dict(self.task.fingerprint()),
            "processes": self.fabric.world_size,
        }

    def _check_same(self, state: Mapping[str, Any]) -> None:
        now, then = flatten(self._identity()), flatten({k: state[k] for k in self._identity()})
        # A run of a version before a setting had what is now its default.
        usual = flatten({"config": {"optim": to_mapping(type(self.config.optim)())}})
        then = {**{k: v for k, v in usual.items() if k in ADDED}, **then}
        differ = [k for k in sorted({*now, *then}) if now.get(k) != then.get(k)]
        if differ:
            what = ", ".join(
                f"{k.removeprefix('config.')} was {then.get(k)!r} and is {now.get(k)!r}"
                for k in differ[:5]
            )
            raise ConfigError(
                f"the run there is another one: {what}",
                where=self.run,
                fix=f"give its {CONFIG}, another folder, or --overwrite",
            )

    def _any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        if self.fabric.world_size == 1:
            return flag
        total = torch.tensor(float(flag), device=self.fabric.device)
        return bool(self.fabric.all_reduce(total, reduce_op="sum") > 0)


def _remove(run: Path) -> None:
    for name in (checkpoint.LAST, checkpoint.PREVIOUS, CONFIG, METRICS, EXAMPLES):
        (run / name).unlink(missing_ok=True)
    for weights in (BEST, FINAL):
        for path in run.glob(f"{Path(weights).stem}.*"):  # and the card beside them
            path.unlink()
