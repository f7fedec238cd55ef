import json

import numpy as np
import pytest
import torch

from trifuse.core import ConfigError
from trifuse.temporal import strategies as st
from trifuse.temporal.config import LANDSAT, SENTINEL2
from trifuse.temporal.observation import blur, compensate_residual, observe, psf_kernels


@pytest.fixture(scope="module")
def recorded(fixtures_dir):
    return dict(np.load(fixtures_dir / "tamrf_losses.npz"))


@pytest.mark.parametrize(("sensor", "key"), [(LANDSAT, "psf.lr"), (SENTINEL2, "psf.hr")])
def test_recorded_kernels(recorded, sensor, key):
    np.testing.assert_allclose(psf_kernels(sensor), recorded[key], atol=1e-6)


@pytest.mark.parametrize(
    ("sensor", "given", "expected"),
    [(LANDSAT, "ds.in", "ds.out"), (SENTINEL2, "ds.hr_in", "ds.hr_out")],
)
def test_recorded_observation(recorded, sensor, given, expected):
    out = observe(torch.from_numpy(recorded[given]), sensor)
    np.testing.assert_allclose(out, recorded[expected], atol=2e-6)


def test_constants_pass():
    x = torch.full((2, 8, 30, 30), 0.25)
    np.testing.assert_allclose(observe(x, LANDSAT), 0.25, rtol=1e-5)


def test_residual_compensation_reproduces_what_was_seen():
    torch.manual_seed(0)
    smooth = blur(torch.rand(1, 8, 60, 60), LANDSAT)
    observed = observe(smooth, LANDSAT)
    better = compensate_residual(0.8 * smooth, observed, LANDSAT)
    before = (observe(0.8 * smooth, LANDSAT) - observed).abs().mean()
    after = (observe(better, LANDSAT) - observed).abs().mean()
    assert after < before / 4


@pytest.fixture(scope="module")
def reference(fixtures_dir):
    return json.loads((fixtures_dir / "tamrf_train_reference.json").read_text())


@pytest.fixture(scope="module")
def days(reference):
    return {"landsat": reference["strategies_lr_doy"], "sentinel2": reference["strategies_hr_doy"]}


class TestStrategies:
    def check(self, selection, wanted):
        for kind, chosen in (("input", selection.visible), ("target", selection.target)):
            for short, sensor in (("lr", "landsat"), ("hr", "sentinel2")):
                assert list(chosen.get(sensor, ())) == (wanted[f"{short}_{kind}"] or [])

    def test_recorded_selections(self, reference, days):
        ls, s2 = "landsat", "sentinel2"
        for name, selection in {
            "GAPS30": st.hide_gaps(days, 30),
            "FORECAST": st.hide_after(days, 183),
            "BACKCAST": st.hide_before(days, 183),
            "NOHR": st.hide_sensor(days, s2),
            "NOLR": st.hide_sensor(days, ls),
            "CONJLRuHR2HR": st.fusion_task(days, ls, s2),
            "CONJLR2HR": st.fusion_task(days, ls, s2, see_other_fine=False),
            "HRNOCONJ2HR": st.fusion_task(days, ls, s2, see_coarse=False),
            "LRuHRNOCONJ2HR": st.fusion_task(days, ls, s2, see_all_coarse=True),
            "ALLHR2ALLHR": st.sharpening_task(days, s2),
        }.items():
            self.check(selection, reference["strategies"][name])

    def test_mixture(self, days):
        rng = np.random.default_rng(0)
        hidden = [st.draw_training(days, rng) for _ in range(400)]
        alone = [s for s in hidden if not all(s.visible.values())]
        assert 20 < len(alone) < 90, "about one draw in eight hides a sensor"
        assert all(s.target == st.everything(days) for s in hidden)

    def test_random_hides_the_share(self, days):
        s = st.hide_random(days, 0.4, np.random.default_rng(0))
        assert len(s.hidden("landsat")) == 5
        assert len(s.hidden("sentinel2")) == 6

    def test_unknown_task(self, days):
        with pytest.raises(ConfigError, match="gap-filling"):
            st.task("magic", days, "landsat", "sentinel2")
