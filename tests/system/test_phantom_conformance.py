"""Every slice of the phantom is a valid CT Image Storage object, and a series is consistent."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ctxai.commands.phantom import phantom

pytestmark = pytest.mark.system

#: Contrast medium and none, padding circle and none, thin and thick slices.
PATIENTS = ["LIDC-IDRI-0001", "LIDC-IDRI-0015", "LIDC-IDRI-0072", "LIDC-IDRI-0484"]


def tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        message = f"{name} is absent: install the Debian package dicom3tools (make test-system does)"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    return path


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("phantom")
    phantom(out, patients=PATIENTS, margin_mm=0)
    return out


def test_dciodvfy_finds_nothing_to_say(tree):
    validator = tool("dciodvfy")
    for file in tree.rglob("*.dcm"):
        found = subprocess.run([validator, "-new", file], capture_output=True, text=True, check=False)
        remarks = [line for line in (found.stdout + found.stderr).splitlines() if "Error" in line or "Warning" in line]
        assert not remarks, f"{file.name}: {remarks[:5]}"


def test_dcentvfy_finds_each_series_consistent(tree):
    validator = tool("dcentvfy")
    for folder in {file.parent for file in tree.rglob("*.dcm")}:
        found = subprocess.run([validator, *sorted(folder.iterdir())], capture_output=True, text=True, check=False)
        assert "Error" not in found.stdout + found.stderr, (found.stdout + found.stderr)[:500]
