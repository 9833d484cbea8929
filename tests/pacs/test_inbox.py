"""The storage service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from ctxai.ct.header import series_key
from ctxai.errors import InputError, PacsError
from ctxai.pacs.client import object_file
from ctxai.pacs.dimse import DimsePeer
from ctxai.pacs.inbox import Inbox


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    service = Inbox(tmp_path / "incoming", aet="CTXAI", host="127.0.0.1", port=0)
    yield service
    service.close()


def send_to(inbox: Inbox, files: list[Path], aet: str = "CTXAI", own_aet: str = "SCANNER") -> list[bool]:
    peer = DimsePeer(aet, "127.0.0.1", inbox.port, own_aet=own_aet)
    return [outcome.accepted for outcome in peer.store(files)]


def test_images_are_kept_under_hashed_names(inbox: Inbox, ct_files: list[Path], tmp_path: Path):
    assert send_to(inbox, ct_files) == [True] * 5
    sent = [dcmread(path) for path in ct_files]
    folder = tmp_path / "incoming" / series_key(sent[0].SeriesInstanceUID)
    assert {path.name for path in folder.iterdir()} == {object_file(one.SOPInstanceUID) for one in sent}
    assert dcmread(folder / object_file(sent[3].SOPInstanceUID)).PixelData == sent[3].PixelData


@pytest.mark.parametrize("place", ["incoming", "earlier"])
@pytest.mark.parametrize(
    "name", ["CT of a patient/1.dcm", "0123456789ab/notes.txt", "0123456789ab/sub/1.dcm", "list.csv"]
)
def test_a_folder_in_which_something_else_lies_is_refused_as_it_is(tmp_path: Path, place: str, name: str):
    own = tmp_path / place / name
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    with pytest.raises(InputError, match="is nothing that `ctxai watch` received; move it elsewhere"):
        Inbox(tmp_path / "incoming", aet="CTXAI", host="127.0.0.1", port=0, earlier=[tmp_path / "earlier"])
    assert own.read_text() == "mine"


def test_what_a_person_lays_beside_images_stays_when_they_go(inbox: Inbox, ct_files: list[Path], tmp_path: Path):
    send_to(inbox, ct_files)
    (series,) = inbox.quiet(0.0)
    (series.folder / "notes.txt").write_text("mine")
    assert inbox.let_go(series)
    assert [path.name for path in series.folder.iterdir()] == ["notes.txt"]


def test_a_series_is_quiet_only_after_the_pause(inbox: Inbox, ct_files: list[Path]):
    send_to(inbox, ct_files)
    assert inbox.quiet(60.0) == []
    assert len(inbox.quiet(0.0)) == 1


def test_a_series_that_grew_meanwhile_is_not_let_go(inbox: Inbox, ct_files: list[Path]):
    send_to(inbox, ct_files[:3])
    (series,) = inbox.quiet(0.0)
    send_to(inbox, ct_files[3:])
    assert not inbox.let_go(series)
    assert len(list(series.folder.iterdir())) == 5
    (series,) = inbox.quiet(0.0)
    assert inbox.let_go(series)
    assert not series.folder.exists()
    assert inbox.quiet(0.0) == []


def test_an_unwanted_image_is_turned_away(ct_files: list[Path], tmp_path: Path):
    def second(image: Dataset) -> bool:
        return image.InstanceNumber == 2

    service = Inbox(tmp_path / "incoming", aet="CTXAI", host="127.0.0.1", port=0, unwanted=second)
    taken = send_to(service, ct_files)
    service.close()
    assert taken == [dcmread(path).InstanceNumber != 2 for path in ct_files]
    assert len(list(tmp_path.glob("incoming/*/*.dcm"))) == taken.count(True) == 4


def test_what_an_earlier_process_left_is_found(ct_files: list[Path], tmp_path: Path):
    service = Inbox(tmp_path / "incoming", aet="CTXAI", host="127.0.0.1", port=0)
    send_to(service, ct_files)
    service.close()
    again = Inbox(tmp_path / "incoming", aet="CTXAI", host="127.0.0.1", port=0)
    assert len(again.quiet(0.0)) == 1
    again.close()


def test_another_class_is_not_taken(inbox: Inbox, ct_files: list[Path]):
    dataset = dcmread(ct_files[0])
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.66.4"
    path = ct_files[0].with_name("seg.dcm")
    dataset.save_as(path)
    with pytest.raises(PacsError, match="none of the services"):
        send_to(inbox, [path])


def test_strangers_are_turned_away(tmp_path: Path, ct_files: list[Path]):
    service = Inbox(tmp_path / "incoming", aet="CTXAI", host="127.0.0.1", port=0, callers=["SCANNER"])
    try:
        with pytest.raises(PacsError, match="refuses"):
            send_to(service, ct_files, own_aet="STRANGER")
        assert send_to(service, ct_files[:1]) == [True]
        with pytest.raises(PacsError, match="refuses"):
            send_to(service, ct_files, aet="OTHER")
    finally:
        service.close()


def test_an_image_that_cannot_be_kept_is_not_confirmed(inbox: Inbox, ct_files: list[Path], tmp_path: Path):
    (tmp_path / "incoming").rmdir()
    (tmp_path / "incoming").write_text("a file where the folder should be")
    assert send_to(inbox, ct_files[:1]) == [False]


def test_a_port_in_use_is_refused(inbox: Inbox, tmp_path: Path):
    with pytest.raises(InputError, match=f"127.0.0.1:{inbox.port}.*choose another --port"):
        Inbox(tmp_path / "other", aet="CTXAI", host="127.0.0.1", port=inbox.port)
