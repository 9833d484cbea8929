"""Orthanc as the project starts it."""

import socket
import urllib.error
import urllib.request

import numpy as np
import pytest
from pynetdicom import AE
from pynetdicom.sop_class import CTImageStorage

from ctxai.errors import PacsError
from ctxai.viewer.orthanc import HOST, Orthanc

from synthetic_ct import write_ct
from system.orthanc import rest, started_orthanc, stored_bytes

pytestmark = pytest.mark.system


def test_what_goes_in_comes_out_byte_for_byte(orthanc, tmp_path):
    files = write_ct(tmp_path, np.random.default_rng(0).integers(-1000, 400, (3, 16, 16)).astype(np.int16))
    assert orthanc.upload(files) == 3
    assert sorted(stored_bytes(orthanc).values()) == sorted(file.read_bytes() for file in files)
    orthanc.upload(files)
    assert len(rest(orthanc, "/instances")) == 3


def test_a_file_that_is_no_dicom_is_refused_by_name(orthanc, tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(PacsError, match=r"notes\.txt: Orthanc refuses it \(400"):
        orthanc.upload([tmp_path / "notes.txt"])


def test_nothing_is_left_of_it(tmp_path):
    with started_orthanc() as server:
        address, process = server.url, server._process
        folder = server._temporary
        assert folder.is_dir()
    assert process.returncode is not None
    assert not folder.exists()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address, timeout=5)


def test_the_same_again_keeps_its_ports_and_what_it_received(tmp_path):
    (image,) = write_ct(tmp_path / "ct", np.zeros((1, 8, 8), dtype=np.int16))
    with started_orthanc(folder=tmp_path / "storage") as first:
        first.upload([image])
    with started_orthanc(folder=tmp_path / "storage", http_port=first.http_port, dimse_port=first.dimse_port) as second:
        assert second.url == first.url
        assert list(stored_bytes(second).values()) == [image.read_bytes()]


def test_titles_that_it_does_not_know_may_not_store(orthanc, tmp_path):
    (image,) = write_ct(tmp_path, np.zeros((1, 8, 8), dtype=np.int16))
    entity = AE()
    entity.add_requested_context(CTImageStorage)
    for title, received in (("STRANGER", 0), ("CTXAI", 1)):
        entity.ae_title = title
        association = entity.associate(HOST, orthanc.dimse_port, ae_title=orthanc.aet)
        status = association.send_c_store(image)
        association.release()
        assert ("Status" in status and status.Status == 0) == bool(received)
        assert len(rest(orthanc, "/instances")) == received


def test_a_port_that_is_taken_gives_its_last_words():
    with socket.create_server((HOST, 0)) as taken, pytest.raises(PacsError, match="does not start; its last words"):
        port = taken.getsockname()[1]
        with Orthanc(http_port=port):
            pytest.fail("it cannot have started")
