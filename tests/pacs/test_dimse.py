"""DIMSE with a real application entity on loopback."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path

import pytest
from dicom_peer import Archive, dicom_peer
from pydicom import dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from pynetdicom import build_context

from ctxai.errors import PacsError
from ctxai.inference.formats.base import format_names
from ctxai.pacs.client import RemoteSeries
from ctxai.pacs.dimse import DimsePeer
from ctxai.viewer.orthanc import free_port


def peer_at(archive: Archive, aet: str = "PACS", **options: object) -> DimsePeer:
    return DimsePeer(aet, "127.0.0.1", archive.port, **options)


def series_of(path: Path) -> RemoteSeries:
    header = dcmread(path, stop_before_pixels=True)
    return RemoteSeries(header.StudyInstanceUID, header.SeriesInstanceUID, "CT", 5)


def pixels(content: bytes) -> bytes:
    return dcmread(BytesIO(content)).PixelData


def test_every_stored_file_arrives_with_its_pixels(ct_files: list[Path]):
    with dicom_peer() as archive:
        outcomes = list(peer_at(archive).store(ct_files))
    assert [outcome.path for outcome in outcomes] == ct_files
    assert all(outcome.accepted for outcome in outcomes)
    assert {uid: pixels(content) for uid, content in archive.files.items()} == {
        dcmread(path).SOPInstanceUID: dcmread(path).PixelData for path in ct_files
    }


def test_one_refused_object_does_not_stop_the_others(ct_files: list[Path]):
    with dicom_peer() as archive:
        archive.refuse_uids = {dcmread(ct_files[2]).SOPInstanceUID}
        outcomes = list(peer_at(archive).store(ct_files))
    assert [outcome.accepted for outcome in outcomes] == [True, True, False, True, True]
    assert outcomes[2].message == "status A900H, the object does not match its class"


def test_a_class_that_the_peer_does_not_take_is_named(ct_files: list[Path]):
    with dicom_peer(contexts=[build_context(SecondaryCaptureImageStorage)]) as archive:
        other = dcmread(ct_files[0])
        other.SOPClassUID = other.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
        path = ct_files[0].with_name("other.dcm")
        other.save_as(path)
        outcomes = list(peer_at(archive).store([ct_files[0], path]))
    assert [outcome.accepted for outcome in outcomes] == [False, True]
    assert outcomes[0].message == "it does not accept CT Image Storage in Explicit VR Little Endian"


def test_a_refused_deflated_object_is_told_its_plain_format(ct_files: list[Path], deflated_file: Path):
    classes = (SecondaryCaptureImageStorage, CTImageStorage)
    with dicom_peer(contexts=[build_context(one, ExplicitVRLittleEndian) for one in classes]) as archive:
        deflated, plain = peer_at(archive).store([deflated_file, ct_files[0]])
        with pytest.raises(PacsError, match=r"none of the services.*sc-plain"):
            list(peer_at(archive).store([deflated_file]))
    assert plain.accepted
    assert "Secondary Capture Image Storage in Deflated Explicit VR Little Endian; explain" in deflated.message
    assert set(re.findall(r"[a-z]+-plain", deflated.message)) == {n for n in format_names() if n.endswith("-plain")}


def test_an_association_that_ends_early_is_an_error_after_what_was_stored(ct_files: list[Path]):
    with dicom_peer() as archive:
        archive.abort_after = 2
        stored = []
        with pytest.raises(PacsError, match="ended early"):
            stored.extend(outcome.path for outcome in peer_at(archive).store(ct_files))
    assert len(archive.files) == 2


def test_a_refused_association_says_why(ct_files: list[Path]):
    with (
        dicom_peer(callers=("SOMEBODY",)) as archive,
        pytest.raises(PacsError, match=r"refuses the association.*CTXAI"),
    ):
        list(peer_at(archive).store(ct_files))
    with dicom_peer() as archive, pytest.raises(PacsError, match="called"):
        list(peer_at(archive, "OTHER").store(ct_files))


def test_nobody_at_the_address_is_an_error(ct_files: list[Path]):
    with pytest.raises(PacsError, match="no connection"):
        list(DimsePeer("PACS", "127.0.0.1", free_port()).store(ct_files))


def test_a_study_is_found_and_got(ct_files: list[Path]):
    with dicom_peer() as archive:
        peer = peer_at(archive)
        list(peer.store(ct_files))
        expected = series_of(ct_files[0])
        assert peer.find(expected.study_uid, "CT") == [expected]
        assert peer.find(expected.study_uid, "MR") == []
        assert peer.find("1.2.3") == []
        fetched = dict(peer.fetch(expected))
    assert {uid: pixels(content) for uid, content in fetched.items()} == {
        dcmread(path).SOPInstanceUID: dcmread(path).PixelData for path in ct_files
    }


def test_a_study_is_moved_to_our_own_port(ct_files: list[Path]):
    port = free_port()
    with dicom_peer() as archive:
        archive.move_ports["CTXAI"] = port
        peer = peer_at(archive, move_port=port)
        list(peer.store(ct_files))
        assert len(dict(peer.fetch(series_of(ct_files[0])))) == 5


def test_a_move_to_a_title_that_the_peer_does_not_know_is_an_error(ct_files: list[Path]):
    with dicom_peer() as archive:
        peer = peer_at(archive, move_port=free_port())
        list(peer.store(ct_files))
        with pytest.raises(PacsError, match="C-MOVE to CTXAI failed, status A801H"):
            list(peer.fetch(series_of(ct_files[0])))
