"""``ctxai send`` to a real application entity on loopback."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_peer import dicom_peer
from pydicom import dcmread

from ctxai.cli import main
from ctxai.pacs import delivery
from ctxai.viewer.orthanc import free_port

from folders import record_series
from synthetic_ct import write_ct


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A result folder with four objects of two series."""
    for series in ("aaa", "bbb"):
        write_ct(tmp_path / "out" / series / "dicom" / "pmap", np.zeros((2, 8, 8), np.int16), seed=series)
        record_series(tmp_path / "out" / series)
    return tmp_path / "out"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "FIRST_PAUSE_S", 0.0)


def address(port: int) -> list[str]:
    return ["--dimse", f"PACS@127.0.0.1:{port}"]


def uid_of(path: Path) -> str:
    return str(dcmread(path).SOPInstanceUID)


def test_every_object_arrives_and_a_second_time_nothing_is_sent(results: Path):
    with dicom_peer() as archive:
        assert main(["send", str(results), *address(archive.port)]) == 0
        assert set(archive.files) == {uid_of(path) for path in results.glob("*/dicom/pmap/*.dcm")}
        assert main(["send", str(results), *address(archive.port)]) == 0
        assert archive.stored == 4
        assert main(["send", str(results), *address(archive.port), "--no-resume"]) == 0
        assert archive.stored == 8


def test_a_new_explanation_sends_only_what_changed(results: Path):
    with dicom_peer() as archive:
        main(["send", str(results), *address(archive.port)])
        write_ct(results / "aaa" / "dicom" / "pmap", np.zeros((1, 8, 8), np.int16), seed="new")
        record_series(results / "aaa")
        assert main(["send", str(results), *address(archive.port)]) == 0
        assert archive.stored == 5


def test_a_refused_object_is_named_and_the_rest_arrives(results: Path, capsys: pytest.CaptureFixture):
    bad = next(results.glob("bbb/dicom/pmap/*.dcm"))
    with dicom_peer() as archive:
        archive.refuse_uids = {uid_of(bad)}
        assert main(["send", str(results), *address(archive.port)]) == 2
        assert archive.stored == 3
    reason = "status A900H, the object does not match its class"
    assert f"1 of 4 objects were not accepted, the first: {bad}: {reason}" in capsys.readouterr().err


def test_half_a_study_sent_is_finished_by_the_same_command(results: Path, capsys: pytest.CaptureFixture):
    with dicom_peer() as archive:
        archive.abort_after = 3
        assert main(["send", str(results), *address(archive.port), "--attempts", "2"]) == 2
        assert "3 of 4 objects are there, the same command sends the rest" in capsys.readouterr().err
        archive.abort_after = None
        assert main(["send", str(results), *address(archive.port)]) == 0
        assert archive.stored == 4


def test_a_pacs_that_comes_back_between_attempts_gets_everything(results: Path, monkeypatch: pytest.MonkeyPatch):
    with dicom_peer() as archive:
        archive.abort_after = 2
        monkeypatch.setattr(delivery.time, "sleep", lambda _: setattr(archive, "abort_after", None))
        assert main(["send", str(results), *address(archive.port)]) == 0
        assert archive.stored == 4


def test_a_pacs_that_is_down_is_one_line(results: Path, capsys: pytest.CaptureFixture):
    assert main(["send", str(results), *address(free_port()), "--attempts", "2"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "no connection" in error
    assert "0 of 4 objects are there" in error


def test_a_folder_without_objects_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture):
    assert main(["send", str(tmp_path), *address(104)]) == 2
    assert "no DICOM objects" in capsys.readouterr().err
