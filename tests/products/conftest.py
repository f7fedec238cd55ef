"""A temporary folder of our own, so that tests of leftovers see nobody else's."""

import tempfile

import pytest


@pytest.fixture(scope="session", autouse=True)
def private_temporary_folder(tmp_path_factory):
    before = tempfile.tempdir
    tempfile.tempdir = str(tmp_path_factory.mktemp("temporary"))
    yield
    tempfile.tempdir = before
