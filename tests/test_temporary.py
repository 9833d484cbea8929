"""Temporary folders: gone after use, and after a kill with the next one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from ctxai.temporary import temporary_folder

_HOLD = """
import time
from ctxai.temporary import temporary_folder
with temporary_folder() as folder:
    (folder / "image.dcm").write_text("a patient")
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def age(folder: Path) -> None:
    """Let a folder be as one of a while ago."""
    os.utime(folder, (time.time() - 3600,) * 2)


@pytest.fixture
def holder(place: Path):
    """A process that holds a temporary folder, and that folder."""
    with subprocess.Popen([sys.executable, "-c", _HOLD], stdout=subprocess.PIPE, text=True) as process:
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def test_a_folder_is_gone_after_use(place):
    with temporary_folder() as folder:
        (folder / "image.dcm").write_text("")
        assert folder.parent == place and folder.stat().st_mode & 0o077 == 0
    assert list(place.iterdir()) == []


def test_what_a_killed_process_left_is_removed_by_the_next(holder):
    process, left = holder
    process.send_signal(signal.SIGKILL)
    process.wait()
    age(left)
    assert (left / "image.dcm").exists()
    with temporary_folder():
        assert not left.exists()


def test_the_folder_of_a_living_process_stays(holder):
    _, held = holder
    age(held)
    with temporary_folder():
        assert (held / "image.dcm").exists()


def test_folders_of_others_stay(place):
    mine = [place / name for name in ("ctxai-results", "ctxai-temporary-results", "ctxai-temporary-12345678")]
    for folder in mine:
        folder.mkdir()
        age(folder)
    mine[2].touch()  # as one that is being made
    with temporary_folder():
        assert all(folder.exists() for folder in mine)
