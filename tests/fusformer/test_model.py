"""The shell and its mixers: reach, exact tiles, skips, configuration."""

from dataclasses import replace

import pytest
import torch

from trifuse.core import ConfigError, DataError
from trifuse.fusformer import MIXERS, FusformerConfig, build_model

SMALL = FusformerConfig(
    hr_bands=2,
    lr_bands=3,
    width=12,
    heads=3,
    encoder=1,
    decoder=1,
    kernel=5,
    window=4,
    input_scale=1.0,
    output_scale=1.0,
)
FINITE = ["conv", "dwconv", "spectral", "window", "none"]
UNLIMITED = ["global", "channel"]


def small(mixer, **changes):
    torch.manual_seed(1)
    return build_model(replace(SMALL, mixer=mixer, skip="prior", **changes)).double()


def random_head(model):
    """A zero head would hide everything before it."""
    torch.nn.init.normal_(model.head[2].weight, std=0.1)
    return model


def images(height, width, seed=2):
    g = torch.Generator().manual_seed(seed)
    return [torch.rand(1, n, height, width, generator=g, dtype=torch.float64) for n in (2, 3)]


def footprint(model, row, col, size):
    """Rows and columns of the input that one output pixel depends on."""
    hrmsi, skip = (x.requires_grad_() for x in images(size, size))
    model(hrmsi, skip)[0, :, row, col].sum().backward()
    seen = (hrmsi.grad.abs().sum((0, 1)) + skip.grad.abs().sum((0, 1))) > 0
    at = seen.nonzero()
    return at.min(0).values, at.max(0).values


def test_every_mixer_is_tested():
    assert sorted(MIXERS) == sorted(FINITE + UNLIMITED)


@pytest.mark.parametrize("mixer", FINITE)
def test_halo_is_the_receptive_field(mixer):
    model = random_head(small(mixer))
    size, centre = 2 * model.halo + 21, model.halo + 10
    reached = 0
    for step in range(model.alignment):
        low, high = footprint(model, centre, centre + step, size)
        gaps = torch.stack([centre - low[1] + step, high[1] - centre - step])
        reached = max(reached, int(gaps.max()))
    assert reached == model.halo


@pytest.mark.parametrize("mixer", UNLIMITED)
def test_unlimited_reach_is_said(mixer):
    model = random_head(small(mixer))
    low, high = footprint(model, 20, 20, 41)
    assert model.halo is None
    assert low.tolist() == [0, 0] and high.tolist() == [40, 40]


@pytest.mark.parametrize("mixer", sorted(MIXERS))
@pytest.mark.parametrize("shape", [(5, 7), (12, 16), (1, 1)])
def test_any_size_runs_forward_and_backward(mixer, shape):
    model = random_head(small(mixer))
    out = model(*images(*shape))
    assert out.shape == (1, 3, *shape)
    out.square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("mixer", ["global", "none"])
def test_tokens_carry_no_position(mixer):
    """Up to the head, shuffled pixels give shuffled tokens."""
    model = small(mixer)
    x = torch.rand(1, 6, 8, 5, dtype=torch.float64)
    order = torch.randperm(48)

    def tokens(image):
        return model.decoder(model.encoder(model.embedding(image))).flatten(1, 2)

    shuffled = x.flatten(1, 2)[:, order].reshape(x.shape)
    torch.testing.assert_close(tokens(shuffled), tokens(x)[:, order])


def test_untrained_network_returns_the_prior():
    hrmsi, prior = images(9, 9)
    prior = prior * 3 - 1  # a prior may leave 0–1
    for mixer in MIXERS:
        torch.testing.assert_close(small(mixer)(hrmsi, prior), prior, rtol=0, atol=0)


def test_bicubic_skip_is_clamped_on_both_sides():
    model = build_model(replace(SMALL, skip="bicubic")).double()
    hrmsi, skip = images(9, 9)
    out = model(hrmsi, skip * 5 - 2)
    torch.testing.assert_close(out, model(hrmsi, (skip * 5 - 2).clamp(0, 1)))
    assert out.min() >= 0 and out.max() <= 1


def test_scales_change_units_only():
    """A network in other units, fed in these units, gives the same image in them."""
    one = random_head(small("dwconv"))
    torch.manual_seed(1)
    other = small("dwconv", input_offset=3.0, input_scale=100.0, output_scale=100.0)
    other.load_state_dict(one.state_dict())
    hrmsi, skip = images(8, 8)
    expected = one(hrmsi, skip) * 100 + 3
    torch.testing.assert_close(other(hrmsi * 100 + 3, skip * 100 + 3), expected)


def test_wrong_bands_are_one_line():
    hrmsi, skip = images(4, 4)
    with pytest.raises(DataError, match=r"2 and 3 bands"):
        small("none")(skip, hrmsi)


@pytest.mark.parametrize(
    "changes",
    [
        {"heads": 5},
        {"kernel": 4},
        {"window": 5},
        {"width": 0},
        {"skip": "none"},
        {"output_scale": float("nan")},
    ],
)
def test_values_out_of_range_are_refused(changes):
    with pytest.raises(ConfigError):
        replace(SMALL, **changes)


def test_unknown_keys_types_and_mixers_are_refused():
    assert FusformerConfig.from_json(SMALL.to_json()) == SMALL
    with pytest.raises(ConfigError, match="unknown keys colour"):
        FusformerConfig.from_json({"colour": 1})
    with pytest.raises(ConfigError, match="width is '48'"):
        FusformerConfig.from_json({"width": "48"})
    with pytest.raises(ConfigError, match="unknown mixer 'hyena'"):
        build_model(replace(SMALL, mixer="hyena"))


def test_the_feed_forward_is_that_of_timm():
    from timm.layers import Mlp

    from trifuse.fusformer.model import FeedForward

    torch.manual_seed(0)
    theirs = Mlp(8, 16, act_layer=torch.nn.LeakyReLU)
    torch.manual_seed(0)
    ours = FeedForward(8, 16)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x = torch.rand(2, 3, 3, 8)
    assert torch.equal(ours(x), theirs(x))
