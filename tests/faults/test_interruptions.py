"""Processes that are killed, meet each other, or meet a clock that jumped: no byte of a result is lost or different."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ctxai.cli import main
from ctxai.data.store import NoduleStore

from cohorts import sphere_store
from faults.inputs import Inputs, make_inputs
from folders import contents

#: Of the long test; each at a random moment of a run that never gets further than the one before.
MANY = 50


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Inputs:
    return make_inputs(tmp_path_factory.mktemp("interrupted") / "inputs")


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("interrupted") / "store"
    sphere_store(folder, 12, depth=1)
    return folder


def commands(inputs: Inputs, store: Path, out: Path) -> dict[str, list[str]]:
    small = ["--views.pixels", "16", "--views.views", '["axial"]', "--backbone.depth", "1", "--accelerator", "cpu"]
    train = ["train", str(store), str(out), *small, "--optim.epochs", "3", "--optim.batch_size", "4"]
    return {"ingest": inputs.command("ingest", out), "explain": inputs.command("explain", out), "train": train}


def kill_at_random(command: list[str], out: Path, kills: int, seed: int = 0) -> int:
    """Start the command and kill it at a random moment after it has begun to write, many times.

    Returns:
        How many processes died by the signal; the others had finished.
    """
    generator = np.random.default_rng(seed)
    killed = 0
    for _ in range(kills):
        before = state(out)
        process = subprocess.Popen(
            [sys.executable, "-m", "ctxai", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while process.poll() is None and state(out) == before:
            time.sleep(0.005)
        time.sleep(generator.exponential(0.1))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    return killed


def state(out: Path) -> list[tuple[str, int]]:
    """Names and times of what lies at ``out`` and beside it."""
    found = []
    for path in out.parent.rglob("*"):
        try:
            found.append((str(path), path.stat().st_mtime_ns))
        except FileNotFoundError:  # renamed just now
            found.append((str(path), 0))
    return sorted(found)


@pytest.mark.soak
@pytest.mark.parametrize("stage", ["ingest", "explain", "train"])
def test_a_stage_killed_many_times_ends_with_the_bytes_of_an_undisturbed_one(inputs, store, tmp_path, stage):
    kills = int(os.environ.get("CTXAI_KILLS", MANY))
    whole, broken = tmp_path / "whole" / "out", tmp_path / "broken" / "out"
    for out in (whole, broken):
        out.parent.mkdir()
    assert main(commands(inputs, store, whole)[stage]) == 0
    command = commands(inputs, store, broken)[stage]
    killed = kill_at_random(command, broken, kills)
    assert main(command) == 0
    lost = lost_files(contents(whole), contents(broken))
    print(f"{stage}: {killed} of {kills} killed, {len(lost)} file(s) differ")
    assert killed
    assert not lost
    assert not [path for path in broken.parent.rglob("*") if "partial" in path.name or "retired" in path.name]


def lost_files(whole: dict[str, bytes], broken: dict[str, bytes]) -> list[str]:
    """Files that are missing, more, or of other bytes; a report that shows the time of day is none of them."""
    return [name for name in whole.keys() | broken.keys() if whole.get(name) != broken.get(name)]


def test_two_processes_on_one_store_end_with_the_bytes_of_one(inputs, tmp_path):
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    assert main(inputs.command("ingest", alone)) == 0
    command = [sys.executable, "-m", "ctxai", *inputs.command("ingest", shared)]
    both = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(2)]
    errors = [process.communicate()[1].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    assert contents(alone) == contents(shared)


def test_files_from_the_future_are_neither_newer_nor_older(inputs, tmp_path):
    copy = Inputs(tmp_path / "inputs")
    shutil.copytree(inputs.folder, copy.folder)
    assert main(copy.command("ingest", tmp_path / "store")) == 0
    before = contents(tmp_path / "store")
    for path in [*copy.folder.rglob("*"), *(tmp_path / "store").rglob("*")]:
        os.utime(path, (4e9, 4e9))  # the year 2096
    assert main(copy.command("ingest", tmp_path / "store")) == 0
    assert contents(tmp_path / "store") == before
    copy.edit(5, Manufacturer="another")
    assert len(NoduleStore(tmp_path / "store")) == 1


@pytest.mark.skipif(
    os.geteuid() == 0, reason="root writes into read-only folders; tests/system mounts a read-only disk"
)
def test_a_read_only_folder_is_told_in_one_line(inputs, tmp_path, capsys):
    tmp_path.chmod(0o555)
    try:
        assert main(inputs.command("ingest", tmp_path / "store")) == 2
    finally:
        tmp_path.chmod(0o755)
    assert "cannot be read or written" in capsys.readouterr().err
