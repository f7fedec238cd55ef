"""The original network: numbers recorded from its release with random weights."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from trifuse.core import WeightsError
from trifuse.core.resample import upsample
from trifuse.fusformer import FusformerConfig, build_model, load_original_state, rename_original
from trifuse.fusformer.mixers import GlobalMixer

RECORDS = ["s2s3_21_12_x15_30", "cave31_x4_32"]


@pytest.fixture(params=RECORDS)
def record(request, fixtures_dir):
    with np.load(fixtures_dir / f"{request.param}.npz") as archive:
        return dict(archive)


def original(record):
    return load_original_state(
        {k.removeprefix("param/"): torch.tensor(v) for k, v in record.items() if "param/" in k}
    )


def inputs(record):
    return torch.tensor(record["msi"]), torch.tensor(record["up"])


def close(actual, expected, atol):
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=0, atol=atol)


def test_skip_is_the_clamped_bicubic(record):
    ratio = record["msi"].shape[-1] // record["lrhsi"].shape[-1]
    close(upsample(record["lrhsi"], ratio).clip(0, 1), record["up"], 1e-5)


def test_activations_and_output(record):
    model, seen = original(record), []
    for branch in [model.embedding, *model.encoder, *model.decoder]:
        branch.register_forward_hook(lambda _module, _input, out: seen.append(out))
    with torch.no_grad():
        out = model(*inputs(record))
        highpass = model.highpass(*inputs(record))
    names = sorted(k for k in record if k.startswith("act/"))
    assert len(names) == 11
    for name, tokens in zip(names, seen, strict=False):
        close(tokens.flatten(1, 2), record[name], 1e-5)
    close(highpass, record["highpass"], 1e-5)
    close(out, record["out"], 1e-5)


def test_gradients_and_one_adam_step(record):
    model, target = original(record), torch.tensor(record["gt"])
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    loss = F.l1_loss(model(*inputs(record)), target)
    loss.backward()
    assert loss.item() == pytest.approx(float(record["loss0"]), abs=1e-6)
    recorded = {
        rename_original(k.removeprefix("gradnorm/")): float(v)
        for k, v in record.items()
        if k.startswith("gradnorm/")
    }
    norms = {k: p.grad.norm().item() for k, p in model.named_parameters()}
    assert norms == pytest.approx(recorded, rel=1e-3)
    optimiser.step()
    with torch.no_grad():
        out = model(*inputs(record))
    close(out, record["out_after_adam_step"], 5e-4)
    assert F.l1_loss(out, target).item() == pytest.approx(float(record["loss1"]), abs=5e-5)


def test_parameter_counts():
    def count(hr, lr):
        model = build_model(FusformerConfig.original(hr, lr))
        return sum(p.numel() for p in model.parameters())

    assert [count(3, 31), count(12, 19), count(12, 21)] == [111_247, 105_907, 106_869]


def explicit_attention(mixer: GlobalMixer, x: torch.Tensor) -> torch.Tensor:
    """The release's form: every score stored, softmax over all tokens."""
    b, h, w, c = x.shape
    q, k, v = (
        t.reshape(b, h * w, mixer.heads, -1).transpose(1, 2) for t in mixer.qkv(x).chunk(3, dim=-1)
    )
    scores = (q @ k.transpose(-2, -1) * (c // mixer.heads) ** -0.5).softmax(-1)
    return mixer.out((scores @ v).transpose(1, 2).reshape(b, h, w, c))


def test_fused_attention_equals_the_explicit_form():
    torch.manual_seed(0)
    mixer = GlobalMixer(FusformerConfig.original(3, 31), 0)
    x = torch.randn(2, 9, 14, 48)
    torch.testing.assert_close(mixer(x), explicit_attention(mixer, x), rtol=0, atol=1e-6)


def test_foreign_weights_are_refused():
    with pytest.raises(WeightsError, match="original Fusformer"):
        load_original_state({"conv1.weight": torch.zeros(3, 3)})
    own = build_model(FusformerConfig.original(4, 5)).state_dict()
    del own["decoder.5.fn.fc2.bias"]
    with pytest.raises(WeightsError, match=r"decoder\.5\.fn\.fc2\.bias"):
        load_original_state(own)
