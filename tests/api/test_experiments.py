import json

import pytest

from trifuse.cli.main import run


def test_wide_field(tmp_path, capsys):
    arguments = ["experiment", "wide-field", "-o", str(tmp_path / "field"), "--size", "180",
                 "--method", "regression", "--json"]  # fmt: skip
    assert run(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["tiles"] == 4 and found["selfcheck"]["cells"] == 36
    assert found["selfcheck"]["cosine"] > 0.999 and found["selfcheck"]["rmse"] < 0.01
    assert (tmp_path / "field" / "fused.html").exists()
    assert run(arguments) == 5


@pytest.mark.parametrize("more", [["--seed", "3"], ["--size", "200"]])
def test_fields_that_are_none(tmp_path, more, capsys):
    assert run(["experiment", "wide-field", "-o", str(tmp_path / "f"), *more]) == 12
    assert not (tmp_path / "f").exists()
    assert capsys.readouterr().err.count("\n") == 1
