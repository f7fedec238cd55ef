"""One procedural scene and one store for all tests of the command line."""

import json

import pytest

from trifuse.cli.main import run as run_command


@pytest.fixture(scope="session")
def command():
    """Run ``trifuse …`` in this process: (exit code, stdout, stderr)."""

    def run(capsys, *arguments):
        code = run_command([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def trifuse(command, capsys):
    def run(*arguments):
        return command(capsys, *arguments)

    return run


@pytest.fixture
def fails(trifuse):
    """Run a command that must fail with a code and one line on stderr that holds some words."""

    def run(code, words, *arguments):
        got, out, err = trifuse(*arguments)
        assert got == code, err
        assert out == ""
        lines = [line for line in err.splitlines() if line.startswith("Error: ")]
        assert len(lines) == 1
        assert "Traceback" not in err
        assert words in lines[0]
        return lines[0]

    return run


@pytest.fixture(scope="session")
def scene(tmp_path_factory):
    """Folder of a scene of 120×120 pixels: enmap, s2, s3, truth."""
    from trifuse.simulate import write_scene

    return write_scene(tmp_path_factory.mktemp("scene") / "a", size=120, seed=3)


@pytest.fixture(scope="session")
def store(scene, tmp_path_factory):
    from trifuse.simulate import SimulateConfig, simulate_store

    folder = tmp_path_factory.mktemp("store") / "store"
    config = SimulateConfig(patch=40, split=(1.0, 0.0, 0.0))
    simulate_store([scene.enmap], folder, config)
    return folder


@pytest.fixture(scope="session")
def weights(store, tmp_path_factory):
    """Weights of a network of a few updates."""
    from trifuse.train import TrainConfig, load_config, train_fusion

    small = [
        "optim.steps=2",
        "optim.warmup=0",
        "optim.batch=2",
        "model.width=8",
        "model.heads=1",
        "model.encoder=1",
        "model.decoder=1",
        "model.skip=prior",
        "validation.every=2",
    ]
    run = tmp_path_factory.mktemp("run") / "run"
    return train_fusion(load_config(TrainConfig, overrides=small), store, run).weights


@pytest.fixture
def as_json():
    return json.loads
