"""A small untrained run, as it is kept and as it is loaded."""

import pytest

from runs import untrained_run


@pytest.fixture
def make_run():
    """Factory of untrained runs."""
    return untrained_run


@pytest.fixture
def run_dir(tmp_path):
    """A saved untrained run."""
    untrained_run().save(tmp_path / "untrained")
    return tmp_path / "untrained"
