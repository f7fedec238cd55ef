"""The engine on a task of its own: a small network with dropout and batch statistics."""

import dataclasses
import json
import multiprocessing
import os
import signal
import socket
from pathlib import Path

import pytest
import torch
from line_task import BrokenLine, LineTask, small_config, train, train_pair, train_until_killed

from trifuse.core import ConfigError, DataError, OutputExistsError, ProductError, StoreError
from trifuse.train import EngineConfig, fit
from trifuse.train.batches import BatchPlan, RankBatches
from trifuse.train.record import read_lines

FORKED = multiprocessing.get_context("forkserver")


def config(steps=12, **sections) -> EngineConfig:
    base = small_config(steps)
    return dataclasses.replace(
        base, **{k: dataclasses.replace(getattr(base, k), **v) for k, v in sections.items()}
    )


def state(run: Path) -> dict:
    return torch.load(run / "last.pt", weights_only=True)


def assert_same(a, b, where="state") -> None:
    assert type(a) is type(b), where
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}/{i}")
    elif isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype and torch.equal(a, b), where
    else:
        assert a == b, where


class KilledError(BaseException):
    """Ends a run without any chance to tidy up."""


class KilledTask(LineTask):
    """Dies in the given update."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.left = at

    def loss(self, model, batch):
        self.left -= model.training
        if self.left < 0:
            raise KilledError
        return super().loss(model, batch)


def test_a_run_killed_anywhere_and_resumed_ends_with_the_same_bits(tmp_path):
    whole = fit(LineTask(), config(), tmp_path / "whole")
    assert (whole.stopped, whole.step) == ("finished", 12)
    for at in (2, 6, 11):
        run = tmp_path / f"killed{at}"
        with pytest.raises(KilledError):
            fit(KilledTask(at), config(), run)
        assert (run / "last.pt").exists() == (at >= 4)
        torch.randn(7)  # the generators of a new process are not where the old ones were
        resumed = fit(LineTask(), config(), run)
        assert dataclasses.replace(resumed, weights=None) == dataclasses.replace(
            whole, weights=None
        )
        assert_same(state(run), state(tmp_path / "whole"))
        for name in ("best.safetensors", "final.safetensors", "metrics.jsonl", "config.yaml"):
            assert (run / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_the_state_holds_everything_and_nothing_that_runs_code(tmp_path):
    fit(LineTask(), config(), tmp_path)
    saved = state(tmp_path)  # weights_only: would refuse anything but tensors and plain values
    assert saved["progress"]["step"] == 12
    assert saved["ema"] is not None and saved["optimizer"]["state"] and saved["scheduler"]
    assert {"torch", "numpy", "python", "cuda"} == set(saved["rng"][0])
    assert saved["data"] == LineTask().fingerprint()
    assert not list(tmp_path.glob(".*"))


def test_sigkill_then_resume_equals_the_uninterrupted_run(tmp_path):
    """A real process, really killed."""
    fit(LineTask(), config(), tmp_path / "whole")
    run = tmp_path / "killed"
    process = FORKED.Process(target=train_until_killed, args=(str(run), 7))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert state(run)["progress"]["step"] == 5
    fit(LineTask(), config(), run)
    assert_same(state(run), state(tmp_path / "whole"))


@pytest.mark.parametrize(
    ("kind", "effect"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)]
)
def test_a_signal_saves_after_the_step_and_then_has_its_effect(tmp_path, kind, effect):
    class Signalled(LineTask):
        def loss(self, model, batch):
            self.calls = getattr(self, "calls", 0) + model.training
            if self.calls == 7:
                os.kill(os.getpid(), kind)
            return super().loss(model, batch)

    before = signal.getsignal(kind)
    with pytest.raises(effect) as stopped:
        fit(Signalled(), config(), tmp_path / "run")
    assert kind == signal.SIGINT or stopped.value.code == 143
    assert state(tmp_path / "run")["progress"]["step"] == 7
    assert signal.getsignal(kind) is before
    assert fit(LineTask(), config(), tmp_path / "run").stopped == "finished"
    fit(LineTask(), config(), tmp_path / "whole")
    assert_same(state(tmp_path / "run"), state(tmp_path / "whole"))


def test_a_finished_run_is_not_trained_again(tmp_path):
    first = fit(LineTask(), config(), tmp_path)
    assert fit(KilledTask(0), config(), tmp_path) == first


def test_the_loss_goes_down_and_the_record_says_so(tmp_path):
    result = fit(LineTask(dropout=0.0, norm=False), config(steps=60), tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    train = [r for r in rows if r["kind"] == "train"]
    assert [r["step"] for r in train] == list(range(2, 61, 2))
    assert train[-1]["loss"] < 0.5 * train[0]["loss"]
    assert [r["step"] for r in rows if r["kind"] == "val"] == list(range(5, 61, 5))
    # Warm-up from a hundredth of the rate, then a cosine to the smallest.
    assert train[0]["lr"] == pytest.approx(0.02 * (0.01 + 0.99 * 1 / 3))
    assert max(r["lr"] for r in train) <= 0.02 and 1e-6 < train[-1]["lr"] < 1e-4
    assert result.metrics["error"] == min(r["error"] for r in rows if r["kind"] == "val")


def test_training_stops_early_without_improvement(tmp_path):
    class Stuck(LineTask):
        def validate(self, predict, device):
            return {"error": 1.0}

    result = fit(Stuck(), config(steps=60, validation={"every": 2, "patience": 3}), tmp_path)
    assert (result.stopped, result.step, result.best_step) == ("early", 8, 2)
    assert (
        fit(KilledTask(0), config(steps=60, validation={"every": 2, "patience": 3}), tmp_path)
        == result
    )


def test_a_change_below_min_delta_is_no_improvement(tmp_path):
    class Slow(LineTask):
        value = 1.0

        def validate(self, predict, device):
            self.value -= 0.01
            return {"error": self.value}

    sections = {"every": 2, "patience": 2, "min_delta": 0.05}
    assert fit(Slow(), config(validation=sections), tmp_path).best_step == 2


def test_gradients_are_clipped_to_the_norm_and_recorded_unclipped(tmp_path):
    seen = []

    class Steep(LineTask):
        def build_model(self):
            model = super().build_model()
            self.model = model
            return model

        def loss(self, model, batch):
            if any(p.grad is not None for p in self.model.parameters()):
                raise AssertionError("gradients of the step before are still there")
            return {k: v * 1e3 for k, v in super().loss(model, batch).items()}

    def watch(optimizer, args, kwargs):
        grads = [p.grad for g in optimizer.param_groups for p in g["params"] if p.grad is not None]
        seen.append(float(torch.linalg.vector_norm(torch.cat([g.flatten() for g in grads]))))

    from torch.optim.optimizer import register_optimizer_step_pre_hook

    hook = register_optimizer_step_pre_hook(watch)
    try:
        fit(Steep(), config(optim={"clip": 0.5}), tmp_path / "clipped")
        clipped = seen.copy()
        seen.clear()
        fit(Steep(), config(optim={"clip": 0.0}), tmp_path / "free")
    finally:
        hook.remove()
    assert clipped == pytest.approx([0.5] * 12, rel=1e-4)
    assert min(seen) > 5
    rows = read_lines(tmp_path / "clipped" / "metrics.jsonl")
    assert min(r["grad_norm"] for r in rows if r["kind"] == "train") > 5


def test_mixed_precision_computes_in_bfloat16_and_keeps_inputs_and_weights_exact(tmp_path):
    inside = []

    class Spy(LineTask):
        def build_model(self):
            model = super().build_model()
            model.register_forward_hook(lambda m, a, out: inside.append((a[0].dtype, out.dtype)))
            return model

    fit(Spy(), config(steps=4, optim={"precision": "bf16-mixed"}), tmp_path)
    assert inside[0] == (torch.float32, torch.bfloat16)
    assert {v.dtype for v in state(tmp_path)["model"].values()} == {torch.float32, torch.int64}
    with pytest.raises(ConfigError, match=r"optim\.precision: 16-mixed needs a GPU"):
        fit(LineTask(), config(optim={"precision": "16-mixed"}), tmp_path / "half")


def test_another_configuration_or_other_data_is_refused(tmp_path):
    fit(LineTask(), config(steps=4), tmp_path)
    with pytest.raises(ConfigError, match=r"optim\.lr was 0\.02 and is 0\.01"):
        fit(LineTask(), config(steps=4, optim={"lr": 0.01}), tmp_path)
    other = LineTask(slope=3.0)
    with pytest.raises(ConfigError, match=r"data\.slope was 2\.0 and is 3\.0"):
        fit(other, config(steps=4), tmp_path)
    assert fit(LineTask(), config(steps=4, run={"log_every": 3}), tmp_path).step == 4
    with pytest.raises(OutputExistsError, match="exists already"):
        fit(LineTask(), config(steps=4), tmp_path, resume=False)
    assert fit(other, config(steps=4), tmp_path, overwrite=True).stopped == "finished"


def test_a_truncated_state_is_one_line_and_the_one_before_serves(tmp_path):
    run = tmp_path / "run"
    with pytest.raises(KilledError):
        fit(KilledTask(9), config(), run)
    whole = (run / "last.pt").read_bytes()
    middle = len(whole) // 2
    for content in (whole[:middle], b"", whole[:middle] + b"\0" * 64 + whole[middle + 64 :]):
        (run / "last.pt").write_bytes(content)
        with pytest.raises(ProductError, match=r"last\.pt: .*damaged.*previous\.pt") as error:
            fit(LineTask(), config(), run)
        assert "\n" not in str(error.value)
    (run / "last.pt").unlink()
    fit(LineTask(), config(), run)
    fit(LineTask(), config(), tmp_path / "whole")
    assert_same(state(run), state(tmp_path / "whole"))


def test_a_state_that_would_run_code_is_refused(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    torch.save({"version": 1, "model": Bomb()}, tmp_path / "last.pt")
    with pytest.raises(ProductError):
        fit(LineTask(), config(), tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_loss_that_is_not_finite_stops_the_run_before_it_is_saved(tmp_path):
    class Wild(LineTask):
        def loss(self, model, batch):
            self.calls = getattr(self, "calls", 0) + model.training
            factor = float("nan") if self.calls == 6 else 1.0
            return {k: v * factor for k, v in super().loss(model, batch).items()}

    with pytest.raises(DataError, match=r"loss is nan at step 6.*optim\.lr"):
        fit(Wild(), config(), tmp_path)
    saved = state(tmp_path)
    assert saved["progress"]["step"] == 5
    assert all(torch.isfinite(v).all() for v in saved["model"].values())


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_of_the_data_is_one_line_also_from_a_worker(tmp_path, workers):
    class Broken(LineTask):
        def dataset(self):
            return BrokenLine(2.0)

    with pytest.raises(StoreError) as error:
        fit(Broken(), config(run={"workers": workers}), tmp_path)
    assert not multiprocessing.active_children()
    assert str(error.value) == "shard.h5: is truncated; make it again"


def test_workers_change_nothing(tmp_path):
    fit(LineTask(), config(), tmp_path / "none")
    fit(LineTask(), config(run={"workers": 2}), tmp_path / "two")
    assert_same(state(tmp_path / "none"), state(tmp_path / "two"))


def test_a_signal_to_the_whole_group_still_saves_the_state(tmp_path):
    class Signalled(LineTask):
        def loss(self, model, batch):
            self.calls = getattr(self, "calls", 0) + model.training
            if self.calls == 7:
                workers = multiprocessing.active_children()
                assert len(workers) == 2
                for worker in workers:
                    os.kill(worker.pid, signal.SIGTERM)
                os.kill(os.getpid(), signal.SIGTERM)
            return super().loss(model, batch)

    with pytest.raises(SystemExit):
        fit(Signalled(), config(run={"workers": 2}), tmp_path)
    assert state(tmp_path)["progress"]["step"] == 7
    assert not multiprocessing.active_children()


def test_tensorboard_events_on_request(tmp_path):
    pytest.importorskip("tensorboard")
    fit(LineTask(), config(steps=4, run={"tensorboard": True}), tmp_path)
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_batches_draw_every_sample_equally_often_and_share_out_over_processes():
    plan = BatchPlan(size=5, batch=4, seed=1)
    draws = [d for step in range(5) for d in plan[step]]
    assert sorted(d.index for d in draws) == sorted(list(range(5)) * 4)
    for epoch in range(4):
        assert sorted(d.index for d in draws if d.epoch == epoch) == list(range(5))
    shares = [list(RankBatches(plan, 2, 4, rank, 2)) for rank in (0, 1)]
    assert [a + b for a, b in zip(*shares, strict=True)] == [plan[2], plan[3]]
    assert [d.index for d in draws] != [
        d.index for step in range(5) for d in BatchPlan(size=5, batch=4, seed=2)[step]
    ]
    with pytest.raises(ConfigError, match=r"optim\.batch.*multiple of 3"):
        RankBatches(plan, 0, 1, 0, 3)
    with pytest.raises(DataError, match="empty"):
        BatchPlan(size=0, batch=1, seed=0)


def in_two_processes(target, run, *rest, ends=0):
    """Run a function as both processes of a launcher."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "GROUP_RANK": "0",
        "TORCHELASTIC_RUN_ID": "test",
        "OMP_NUM_THREADS": "1",
    }
    pair = [
        FORKED.Process(
            target=target, args=(str(run), {**common, "RANK": r, "LOCAL_RANK": r}, *rest)
        )
        for r in ("0", "1")
    ]
    for process in pair:
        process.start()
    for process in pair:
        process.join(60)
        process.kill()
    assert [process.exitcode for process in pair] == [ends, ends]


def test_two_processes_train_as_one_does(tmp_path):
    """Gradients averaged over two processes equal those of the whole batch."""
    in_two_processes(train, tmp_path / "two")
    fit(LineTask(dropout=0.0, norm=False), config(steps=4), tmp_path / "one")
    two, one = state(tmp_path / "two"), state(tmp_path / "one")
    assert two["processes"] == 2 and len(two["rng"]) == 2
    for name in one["model"]:
        torch.testing.assert_close(two["model"][name], one["model"][name], rtol=1e-5, atol=1e-6)
    a, b = (read_lines(tmp_path / n / "metrics.jsonl") for n in ("one", "two"))
    assert [r["step"] for r in a] == [r["step"] for r in b]
    assert b[0]["loss"] == pytest.approx(a[0]["loss"], rel=1e-5)
    assert b[0]["grad_norm"] == pytest.approx(a[0]["grad_norm"], rel=1e-5)


def test_two_processes_that_are_killed_in_a_log_window_leave_the_same_record(tmp_path):
    in_two_processes(train_pair, tmp_path / "whole", 99)
    in_two_processes(train_pair, tmp_path / "killed", 4, ends=-signal.SIGKILL)
    assert state(tmp_path / "killed")["progress"]["step"] == 4, "one update into the window"
    in_two_processes(train_pair, tmp_path / "killed", 99)
    whole, killed = (read_lines(tmp_path / n / "metrics.jsonl") for n in ("whole", "killed"))
    assert killed == whole
    assert_same(state(tmp_path / "killed")["model"], state(tmp_path / "whole")["model"])
