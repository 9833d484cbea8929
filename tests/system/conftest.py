"""Servers and browsers that system tests share."""

from __future__ import annotations

import pytest

from system.browser import opened_page, started_chromium
from system.orthanc import started_orthanc
from system.slurm import Slurm


@pytest.fixture
def orthanc():
    """An empty Orthanc; see orthanc.py."""
    with started_orthanc() as server:
        yield server


@pytest.fixture(scope="session")
def slurm():
    """A SLURM of two nodes; see slurm.py."""
    with Slurm() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def chromium():
    """A browser; see browser.py."""
    with started_chromium() as browser:
        yield browser


@pytest.fixture
def page(chromium):
    """A fresh page of that browser."""
    with opened_page(chromium) as fresh:
        yield fresh
