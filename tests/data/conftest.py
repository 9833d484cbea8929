"""One small synthetic cohort for the tests of this folder."""

import pytest

from cohorts import sphere_store


@pytest.fixture(scope="session")
def spheres(tmp_path_factory):
    """A store of 20 synthetic nodules of ten patients in five folds."""
    return sphere_store(tmp_path_factory.mktemp("spheres") / "store", nodules=20)
