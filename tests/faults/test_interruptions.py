"""Processes that are killed, meet each other, or meet a clock that jumped: no byte of a result is lost or different."""

import contextlib
import os
import re
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
from ctxai.output_folder import locked
from ctxai.training.settings import LOGS

from cohorts import sphere_store
from faults.inputs import Inputs, make_inputs
from folders import contents

#: Processes that the long test kills of each stage.
MANY = int(os.environ.get("CTXAI_KILLS", 50))


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


class Interrupted:
    """A stage in processes of their own, each killed at a random moment between its first write and its end.

    A stage that ends before it is killed has its results compared and taken away, so that the next begins afresh.

    Attributes:
        killed: how many processes died by the signal.
        ended: how often the stage got to its end.
        lost: names of files that were then missing, more, or of other bytes; logs aside, since every start has its own.
    """

    def __init__(self, command: list[str], out: Path, whole: dict[str, bytes], seed: int = 0) -> None:
        self._command = [sys.executable, "-m", "ctxai", *command]
        self._out, self._whole = out, whole
        self._chance = np.random.default_rng(seed)
        self.killed = self.ended = 0
        self.lost: set[str] = set()

    def kill(self, times: int) -> None:
        """Start the stage again and again until so many of its processes were killed, then let it end."""
        seconds = self._run(None)
        while self.killed < times:
            self._run(self._chance.uniform(0, seconds))
            assert self.ended < 10 * times, "it is hardly ever killed"
        self._run(None)

    def _run(self, kill_after: float | None) -> float:
        """One process, killed so many seconds after its first write; the seconds from there to its end."""
        before = state(self._out)
        process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        while process.poll() is None and state(self._out) == before:
            time.sleep(0.005)
        begin = time.monotonic()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(kill_after)
        process.kill()
        _, said = process.communicate()
        if process.returncode == -signal.SIGKILL:
            self.killed += 1
        else:
            assert process.returncode == 0, said.decode()
            self._compare()
        return time.monotonic() - begin

    def _compare(self) -> None:
        self.ended += 1
        found = contents(self._out.parent)
        names = {name for name in self._whole.keys() | found.keys() if f"/{LOGS}/" not in name}
        self.lost |= {name for name in names if self._whole.get(name) != found.get(name)}
        shutil.rmtree(self._out)


def state(out: Path) -> list[tuple[str, int]]:
    """Names and times of what lies at ``out`` and beside it."""
    found = []
    for path in out.parent.rglob("*"):
        try:
            found.append((str(path), path.stat().st_mtime_ns))
        except FileNotFoundError:  # renamed just now
            found.append((str(path), 0))
    return sorted(found)


@pytest.mark.parametrize(
    ("stage", "kills"),
    [("explain", 2), *(pytest.param(stage, MANY, marks=pytest.mark.soak) for stage in ("ingest", "explain", "train"))],
)
def test_a_killed_stage_ends_with_the_bytes_of_an_undisturbed_one(inputs, store, tmp_path, stage, kills):
    whole, broken = tmp_path / "whole" / "out", tmp_path / "broken" / "out"
    for out in (whole, broken):
        out.parent.mkdir()
    assert main(commands(inputs, store, whole)[stage]) == 0
    stage_of = Interrupted(commands(inputs, store, broken)[stage], broken, contents(whole.parent))
    stage_of.kill(kills)
    print(f"{stage}: {stage_of.killed} killed, {stage_of.ended} ended, {len(stage_of.lost)} file(s) differ")
    assert not stage_of.lost


def test_of_two_processes_on_one_store_one_writes_and_the_other_is_told_so(inputs, tmp_path):
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    assert main(inputs.command("ingest", alone)) == 0
    with locked(shared, "ingest"):
        command = [sys.executable, "-m", "ctxai", *inputs.command("ingest", shared)]
        second = subprocess.run(command, capture_output=True, text=True)
        assert second.returncode == 2
        assert f"`ctxai ingest` (process {os.getpid()} on " in second.stderr
    assert main(inputs.command("ingest", shared)) == 0
    assert contents(alone) == contents(shared)


def test_ctrl_c_in_a_training_ends_in_one_line(store, tmp_path):
    out = tmp_path / "run"
    command = commands(Inputs(tmp_path), store, out)["train"]
    command[command.index("--optim.epochs") + 1] = "100000"
    with subprocess.Popen(
        [sys.executable, "-m", "ctxai", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored below a job in the background
    ) as process:
        try:
            while process.poll() is None and not list(tmp_path.glob(".run.training/*")):
                time.sleep(0.05)
            time.sleep(5)  # most likely some epochs on
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=120)[1]
        finally:
            process.kill()
    assert process.returncode == 130
    where = r"at its beginning, since no checkpoint was written yet|step \d+, epoch \d+ of 100000"
    assert re.search(rf"interrupted; the same command goes on where it stopped: ({where})\n\Z", said)
    assert "Traceback" not in said


def test_what_is_written_is_not_open_to_everyone(inputs, tmp_path):
    before = os.umask(0o022)
    try:
        assert main(inputs.command("explain", tmp_path / "out")) == 0
        modes = {path: path.stat().st_mode & 0o007 for path in [tmp_path / "out", *(tmp_path / "out").rglob("*")]}
        assert not {path for path, mode in modes.items() if mode}
        assert os.umask(0o022) == 0o022, "the caller's umask is as it was"
    finally:
        os.umask(before)


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
