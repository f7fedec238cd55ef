import pickle

import pytest

from trifuse.core import EXIT_CODES, ProductError, TrifuseError, errors


def kinds():
    return [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, TrifuseError)]


@pytest.mark.parametrize("kind", kinds())
def test_a_message_is_one_line_with_what_where_and_fix(kind):
    text = str(kind("is cut\nshort", where="a.tif", fix="download it again"))
    assert text == "a.tif: is cut short; download it again"


@pytest.mark.parametrize("kind", kinds())
def test_errors_cross_process_borders(kind):
    error = kind("what", where="here", fix="so")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)


def test_every_kind_has_its_own_documented_exit_code():
    codes = [k.exit_code for k in kinds()]
    assert len(set(codes)) == len(codes)
    assert set(codes) <= set(EXIT_CODES)


def test_built_in_families_still_catch():
    with pytest.raises(OSError, match="gone"):
        raise ProductError("gone")
