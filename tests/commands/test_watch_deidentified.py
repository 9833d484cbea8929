"""``ctxai watch --deidentify``: no identity reaches the PACS, what reaches it lies on a CT that is there, too."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from dicom_peer import Archive, dicom_peer
from hidden_text import holding
from marked_identity import BIRTH_DATE, MARK, marked_ct, text_marks
from pydicom import Dataset, dcmread
from pydicom.uid import CTImageStorage

from ctxai.cli import main
from ctxai.deidentification.secret_key import read_key
from ctxai.pacs.dimse import DimsePeer
from ctxai.viewer.orthanc import free_port

from commands.test_watch import pacs_at, send_ct, until, watching
from folders import record_series


@pytest.fixture
def ct(tmp_path: Path) -> Path:
    marked_ct(tmp_path / "ct", 1)
    return tmp_path / "ct"


@pytest.fixture
def options(run_folder: Path, tmp_path: Path) -> list[str]:
    """A point for any series, as a markup has it: what comes back from the PACS would be explained for ever."""
    points = tmp_path / "points.csv"
    points.write_text("x,y,z,nodule_id,diameter_mm\n4,-9,17,DoeJane,14\n")
    key = str(tmp_path / "secret.key")
    return ["--run", str(run_folder), "--points", str(points), "--deidentify", "--key", key]


def marks_of(ct: Path) -> set[str]:
    """Everything that tells who it is."""
    images = [dcmread(path) for path in sorted(ct.iterdir())]
    uids = {str(images[0][name].value) for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")}
    return {MARK, BIRTH_DATE, "DoeJane", *text_marks(), *uids, *(str(image.SOPInstanceUID) for image in images)}


def delivered(pacs: Archive) -> tuple[list[Dataset], list[Dataset]]:
    """The CT images and the other objects that a PACS has."""
    images = [one for one in pacs.datasets() if one.SOPClassUID == CTImageStorage]
    return images, [one for one in pacs.datasets() if one.SOPClassUID != CTImageStorage]


def test_objects_arrive_with_the_ct_that_they_lie_on_and_no_identity(tmp_path, ct, options):
    port, spool = free_port(), tmp_path / "spool"
    with dicom_peer() as pacs, watching(spool, port, *pacs_at(pacs.port), *options) as process:
        send_ct(port, ct)
        until(lambda: pacs.stored and not list((spool / "incoming").iterdir()), process)
        process.terminate()
        said = process.stderr.read()
    images, objects = delivered(pacs)
    assert len(images) == len(list(ct.iterdir())) and {one.Modality for one in objects} >= {"SEG"}
    (frame,) = {str(one.FrameOfReferenceUID) for one in images}
    (study,) = {str(one.StudyInstanceUID) for one in pacs.datasets()}
    known = {str(one.SOPInstanceUID) for one in pacs.datasets()}
    for one in objects:
        assert one.FrameOfReferenceUID == frame
        assert {str(part.value) for part in one.iterall() if part.keyword == "ReferencedSOPInstanceUID"} <= known
    assert all(one.PatientIdentityRemoved == "YES" for one in pacs.datasets())
    marks = marks_of(ct)
    assert [mark for mark in marks if any(mark.encode() in content for content in pacs.files.values())] == []
    assert [mark for mark in marks if mark in said] == []
    assert holding(spool, tuple(mark.encode() for mark in marks)) == []
    assert study not in marks


def test_what_comes_back_from_the_pacs_is_turned_away(tmp_path, ct, options):
    port, spool = free_port(), tmp_path / "spool"
    with dicom_peer() as pacs, watching(spool, port, *pacs_at(pacs.port), *options) as process:
        send_ct(port, ct)
        until(lambda: pacs.stored and not list((spool / "incoming").iterdir()), process)
        images = tmp_path / "back"
        images.mkdir()
        for number, content in enumerate(pacs.files.values()):
            if dcmread(BytesIO(content)).SOPClassUID == CTImageStorage:
                (images / f"{number}.dcm").write_bytes(content)
        outcomes = list(DimsePeer("CTXAI", "127.0.0.1", port).store(sorted(images.iterdir())))
        assert outcomes and not any(outcome.accepted for outcome in outcomes)
        assert not list(spool.glob("incoming/*/*.dcm"))


def test_a_killed_service_leaves_images_as_they_came_in_incoming_alone_and_goes_on(tmp_path, ct, options):
    port, spool = free_port(), tmp_path / "spool"
    with watching(spool, port, *pacs_at(free_port()), *options) as process:
        send_ct(port, ct)
        until(lambda: list(spool.glob("results/*/predictions.csv")), process)
    marks = tuple(mark.encode() for mark in marks_of(ct))
    assert holding(spool / "incoming", marks)
    assert holding(spool / "results", marks) == []
    assert not {path.name for path in spool.glob("results/*")} & {path.name for path in spool.glob("incoming/*")}
    with dicom_peer() as pacs, watching(spool, free_port(), *pacs_at(pacs.port), *options) as process:
        until(lambda: pacs.stored and not list((spool / "incoming").iterdir()), process)
    images, objects = delivered(pacs)
    assert images and objects


def test_with_retained_uids_no_ct_is_sent(tmp_path, ct, options):
    port, spool = free_port(), tmp_path / "spool"
    options = [*options, "--retain", "uids", "device"]
    with dicom_peer() as pacs, watching(spool, port, *pacs_at(pacs.port), *options) as process:
        send_ct(port, ct)
        until(lambda: pacs.stored and not list((spool / "incoming").iterdir()), process)
    images, objects = delivered(pacs)
    original = dcmread(next(ct.iterdir()))
    assert images == [] and {one.StudyInstanceUID for one in objects} == {original.StudyInstanceUID}
    assert {one.PatientID for one in objects}.isdisjoint({original.PatientID})


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--retain", "dates"], "--retain belongs to --deidentify"),
        (["--deidentify", "--retain", "name"], "expected some of uids dates"),
        ([], "holds results that are deidentified otherwise, or not; give another folder"),
    ],
)
def test_what_would_mix_or_makes_no_sense_is_refused_before_it_listens(tmp_path, run_folder, capsys, flags, words):
    done = tmp_path / "spool" / "results" / "abc" / "def"
    record_series(done, deidentified=["113100", "113104", "113105"])
    read_key(tmp_path / "key")
    command = [
        "watch",
        tmp_path / "spool",
        "--dimse",
        "PACS@127.0.0.1:9",
        "--run",
        run_folder,
        "--key",
        tmp_path / "key",
    ]
    assert main([*map(str, command), *flags]) == 2
    assert words in capsys.readouterr().err
