"""Networks by command: trained by their names, used by what the cards of their weights say."""

import pytest

from trifuse.train.networks import NETWORKS

FUSES = [name for name, network in NETWORKS.items() if network.data == "store"]


def test_the_group_lists_the_registry(trifuse):
    code, out, _ = trifuse("train", "-h")
    assert code == 0
    for name in NETWORKS:
        assert name in out
        assert trifuse("train", name, "-h")[0] == 0
    code, _, err = trifuse("train", "hyena", "-h")
    assert code == 2 and "No such command 'hyena'" in err


@pytest.mark.parametrize("name", FUSES)
def test_a_network_is_trained_and_fuses(trifuse, as_json, store, scene, name, tmp_path):
    settings = ("optim.steps=1", "optim.warmup=0", "optim.batch=1", "data.normalise=false")
    given = ("train", name, store, "-o", tmp_path / "run", *(f"--set={s}" for s in settings))
    code, out, _ = trifuse(*given, "--dry-run", "--json")
    assert code == 0 and as_json(out)["model"]["hr_bands"] == 12
    code, out, err = trifuse(*given, "--json")
    assert code == 0, err
    weights = as_json(out)["weights"]
    images = ("--s2", scene.s2, "--s3", scene.s3)
    fused = tmp_path / "fused.tif"
    code, out, err = trifuse("fuse", *images, "--weights", weights, "-o", fused)
    assert code == 0, err
    record = as_json((tmp_path / "fused.tif.json").read_text(encoding="utf-8"))
    assert record["model"]["network"] == name and len(record["model"]["sha256"]) == 64
