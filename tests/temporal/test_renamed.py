"""Old names of values in memory: they work, and say what they are called now."""

from datetime import date

import numpy as np
import pytest
import torch

from trifuse.core import Grid, Window
from trifuse.temporal.area import Area
from trifuse.temporal.config import LANDSAT, SENTINEL2, TamrfConfig
from trifuse.temporal.inference import context, sensor_halo
from trifuse.temporal.losses import Target
from trifuse.temporal.model import Dates, Tamrf
from trifuse.temporal.stack import Stack


def test_days_were_called_doy():
    days = np.array([3.0, 400.0])
    stack = Stack(np.zeros((2, 1, 3, 3)), np.ones((2, 3, 3), bool), days)
    with pytest.warns(DeprecationWarning, match=r"Stack\.doy is now days"):
        assert stack.doy is days
    when = torch.tensor([3.0, 400.0])
    with pytest.warns(DeprecationWarning, match=r"Target\.doy is now days"):
        assert Target(torch.zeros(2), torch.ones(2), when).doy is when
    with pytest.warns(DeprecationWarning, match=r"Dates\.doy is now days"):
        assert Dates(torch.zeros(1, 2), when[None]).doy.tolist() == [[3, 400]]


def test_windows_of_an_area_were_called_places():
    windows = {"sentinel2": Window(0, 3, 6, 6)}
    grid = Grid.from_origin("EPSG:32633", 0, 0, 10, 6, 6)
    area = Area(TamrfConfig((SENTINEL2,)), grid, {}, windows, date(2022, 1, 1))
    with pytest.warns(DeprecationWarning, match=r"Area\.places is now windows"):
        assert area.places is windows


def test_the_halo_was_called_context():
    model = Tamrf(TamrfConfig((LANDSAT, SENTINEL2), features=8, growth=4, layers=1, hidden=16))
    with pytest.warns(DeprecationWarning, match=r"context\(\) is now sensor_halo\(\)"):
        assert context(model, LANDSAT) == sensor_halo(model, LANDSAT) == 2 + 15 + 3 + 1
