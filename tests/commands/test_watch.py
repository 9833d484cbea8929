"""``ctxai watch`` as a process: CT in, objects out, nothing lost in between."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dicom_peer import dicom_peer
from pydicom import dcmread

from ctxai.cli import main
from ctxai.pacs.dimse import DimsePeer
from ctxai.viewer.orthanc import free_port

_PATIENCE_S = 300.0
_QUICK = ("--settle_s", "0.5", "--retry_s", "0.5")


def until(condition: Callable[[], object], process: subprocess.Popen) -> None:
    """Wait until ``condition`` holds; a process that ended or takes for ever fails the test."""
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        assert process.poll() is None, process.stderr.read()
        if time.monotonic() >= deadline:
            process.kill()
            pytest.fail(f"nothing happened; it said: {process.stderr.read()}")
        time.sleep(0.1)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def watching(spool: Path, port: int, *options: str) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "ctxai",
            "watch",
            spool,
            "--port",
            str(port),
            "--formats",
            "seg,pmap",
            *_QUICK,
            *options,
        ],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    try:
        until(lambda: listens(port), process)
        yield process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def pacs_at(port: int) -> list[str]:
    return ["--dimse", f"PACS@127.0.0.1:{port}"]


def send_ct(port: int, folder: Path) -> None:
    outcomes = list(DimsePeer("CTXAI", "127.0.0.1", port).store(sorted(folder.iterdir())))
    assert all(outcome.accepted for outcome in outcomes)


@pytest.fixture
def options(run_folder: Path, write_points: Callable[[str], Path]) -> list[str]:
    return ["--run", str(run_folder), "--points", str(write_points())]


def test_a_ct_is_explained_its_objects_are_delivered_and_it_stops_when_told(
    tmp_path: Path, sphere_ct: Path, options: list[str]
):
    port, spool = free_port(), tmp_path / "spool"
    with dicom_peer() as pacs, watching(spool, port, *pacs_at(pacs.port), *options) as process:
        send_ct(port, sphere_ct)
        until(lambda: pacs.stored and not list((spool / "incoming").iterdir()), process)
        assert {one.Modality for one in pacs.datasets()} >= {"SEG"}
        process.send_signal(signal.SIGTERM)
        assert process.wait(_PATIENCE_S) == 0


def test_a_killed_service_goes_on_when_it_is_started_again_and_the_pacs_is_back(
    tmp_path: Path, sphere_ct: Path, options: list[str]
):
    port, spool, pacs_port = free_port(), tmp_path / "spool", free_port()
    with watching(spool, port, *pacs_at(pacs_port), *options) as process:
        send_ct(port, sphere_ct)
        # Explained, but there is no PACS to deliver to.
        until(lambda: list(spool.glob("results/*/predictions.csv")), process)
    assert len(list(spool.glob("incoming/*/*.dcm"))) == len(list(sphere_ct.iterdir()))
    with dicom_peer() as pacs, watching(spool, free_port(), *pacs_at(pacs.port), *options) as process:
        until(lambda: pacs.stored and not list((spool / "incoming").iterdir()), process)
        assert pacs.stored == len(list(spool.glob("results/*/*/dicom/**/*.dcm")))


def test_a_ct_on_which_no_object_can_lie_is_kept_with_the_reason(tmp_path: Path, sphere_ct: Path, options: list[str]):
    """NIfTI is written, but nothing reaches the PACS, so the images are not let go."""
    (tmp_path / "ct").mkdir()
    for file in sphere_ct.iterdir():
        dataset = dcmread(file)
        dataset.FrameOfReferenceUID = ""
        dataset.save_as(tmp_path / "ct" / file.name)
    port, spool = free_port(), tmp_path / "spool"
    with (
        dicom_peer() as pacs,
        watching(spool, port, *pacs_at(pacs.port), *options, "--formats", "nifti,seg") as process,
    ):
        send_ct(port, tmp_path / "ct")
        until(lambda: list(spool.glob("refused/*/reason.txt")), process)
        assert pacs.stored == 0
    assert "no DICOM object can lie on this CT" in next(spool.glob("refused/*/reason.txt")).read_text()
    assert len(list(spool.glob("refused/*/*.dcm"))) == len(list(sphere_ct.iterdir()))
    assert list(spool.glob("results/*/*/maps/*.nii.gz"))


def test_a_series_that_nobody_marked_is_kept_with_the_reason(tmp_path: Path, sphere_ct: Path, run_folder: Path):
    port, spool = free_port(), tmp_path / "spool"
    with dicom_peer() as pacs, watching(spool, port, *pacs_at(pacs.port), "--run", str(run_folder)) as process:
        send_ct(port, sphere_ct)
        until(lambda: list(spool.glob("refused/*/reason.txt")), process)
    assert "points" in next(spool.glob("refused/*/reason.txt")).read_text()
    assert len(list(spool.glob("refused/*/*.dcm"))) == len(list(sphere_ct.iterdir()))
    assert pacs.stored == 0


def test_a_spool_that_cannot_be_written_is_refused_before_anybody_sends(tmp_path: Path, capsys):
    (tmp_path / "spool").write_text("")
    assert main(["watch", str(tmp_path / "spool"), "--dicomweb", "http://127.0.0.1:9", "--port", "0"]) == 2
    assert "cannot be read or written" in capsys.readouterr().err


def test_a_service_that_would_make_nothing_for_a_pacs_is_refused(tmp_path: Path, capsys):
    assert main(["watch", str(tmp_path / "spool"), "--dimse", "PACS@127.0.0.1:1", "--formats", "nifti"]) == 2
    assert "a PACS takes DICOM objects only" in capsys.readouterr().err
