"""Explanations that are killed and sent: the PACS gets the objects of exactly one finished explanation."""

import os
import signal
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from dicom_peer import dicom_peer
from pydicom import Dataset, dcmread

from ctxai.cli import main

from faults.inputs import GRID, Inputs, make_inputs
from faults.test_interruptions import state

#: Processes that the long test kills.
MANY = int(os.environ.get("CTXAI_KILLS", 50))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Inputs:
    found = make_inputs(tmp_path_factory.mktemp("delivered") / "inputs")
    found.options = ["--formats", "pmap,seg,sr"]
    return found


def command(inputs: Inputs, out: Path, offset_mm: float) -> list[str]:
    """Explain a point so far beside the centre."""
    inputs.points.write_text("x,y,z\n{},{},{}\n".format(*np.add(GRID.centre, (offset_mm, 0, 0))))
    return inputs.command("explain", out)


def objects(files: list) -> dict[str, Dataset]:
    """DICOM objects by UID, without what the transfer adds."""
    found = [dcmread(file) for file in files]
    return {str(one.SOPInstanceUID): Dataset(one) for one in found}


def writing(words: list[str], out: Path) -> subprocess.Popen:
    """A process that has just written for the first time."""
    before = state(out)
    process = subprocess.Popen([sys.executable, "-m", "ctxai", *words], stderr=subprocess.PIPE)
    while process.poll() is None and state(out) == before:
        time.sleep(0.005)
    return process


def undisturbed_seconds(words: list[str], out: Path) -> float:
    """Time from the first write to the end of the process."""
    process = writing(words, out)
    begin = time.monotonic()
    _, said = process.communicate()
    assert process.returncode == 0, said.decode()
    return time.monotonic() - begin


def killed(words: list[str], out: Path, share: float, seconds: float) -> bool:
    """Whether the process was killed, so much of its time after its first write."""
    process = writing(words, out)
    time.sleep(share * seconds)
    process.kill()
    _, said = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), said.decode()
    return process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    "kills", [pytest.param(2, marks=pytest.mark.system), pytest.param(MANY, marks=pytest.mark.soak)]
)
def test_what_arrives_after_a_kill_is_exactly_one_finished_explanation(inputs, tmp_path, kills):
    offsets = (0.0, 3.0)
    finished, out, done = {}, tmp_path / "shared" / "out", 0
    for offset in offsets:
        folder = tmp_path / f"alone{offset}"
        assert main(command(inputs, folder, offset)) == 0
        finished[offset] = objects([*folder.glob("*/dicom/*/*.dcm")])
    assert not finished[0.0].keys() & finished[3.0].keys()
    assert main(command(inputs, out, offsets[1])) == 0
    seconds = undisturbed_seconds(command(inputs, out, offsets[0]), out)
    chance, arrivals = np.random.default_rng(0), []
    for number in range(1, 10 * kills):
        share = 1 - chance.uniform() ** 3  # more often near the end, where results are put in place
        done += killed(command(inputs, out, offsets[number % 2]), out, share, seconds)
        with dicom_peer() as archive:
            assert main(["send", str(out), "--dimse", f"PACS@127.0.0.1:{archive.port}", "--no-resume"]) == 0
        arrived = objects([BytesIO(content) for content in archive.files.values()])
        arrivals.append([offset for offset in offsets if arrived == finished[offset]])
        assert arrivals[-1], f"after {done} kills: {sorted(arrived)}"
        each = [arrivals.count([offset]) for offset in offsets]
        print(f"{done} of {number} killed, arrivals of the two explanations: {each}", flush=True)
        if done == kills:
            break
    assert done == kills
    assert kills < 10 or all(each), "no kill fell near the switch"
