"""Weights that give no value at all: one line, and nothing is written."""

import pytest
import torch

from trifuse.core import BandSet, DataError, MemorySource
from trifuse.core.weights import save_weights
from trifuse.flows.fuse import fuse
from trifuse.fusformer import FUSION, FusformerConfig, FusionCard
from trifuse.simulate import procedural_scene, scene_views


@pytest.fixture(scope="module")
def pair():
    s2, s3, _ = scene_views(MemorySource(procedural_scene((40, 40), seed=11)), ratio=10)
    return s2, s3


@pytest.mark.parametrize("size", [1e30, 1.0])
def test_weights_that_have_blown_up(pair, size, tmp_path):
    s2, s3 = pair
    config = FusformerConfig(
        len(s2.bands), len(s3.bands), width=8, heads=2, encoder=1, decoder=1, mixer="none"
    )
    (kind,) = [k for k in FUSION if k.config is FusformerConfig]
    torch.manual_seed(0)
    network = kind.build(config)
    with torch.no_grad():
        for value in network.parameters():
            value *= size
    card = FusionCard(config, BandSet.of(s2.bands.names), BandSet.of(s3.bands.names))
    path = tmp_path / "w.safetensors"
    save_weights(path, network, card)
    out = tmp_path / "out"
    if size == 1.0:
        assert fuse(s2, s3, out / "f.tif", weights=path, coregister="off").path.exists()
        return
    for where in (out / "f.tif", None):
        with pytest.raises(DataError, match="no pixel of the result has a value") as failure:
            fuse(s2, s3, where, weights=path, coregister="off", uncertainty=False)
        assert str(failure.value).startswith(str(path))
    assert not out.exists() or not list(out.iterdir())
