"""The service loop with a real storage service and a real peer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from dicom_peer import Archive, dicom_peer
from pydicom import dcmread

from ctxai.errors import InputError
from ctxai.pacs.dicomweb import DicomWebPeer
from ctxai.pacs.dimse import DimsePeer
from ctxai.pacs.inbox import Inbox
from ctxai.pacs.watcher import Watcher, bring_back_refused, missing_images

from .web_server import answering
from synthetic_ct import write_ct

Make = Callable[..., Watcher]


@pytest.fixture
def archive() -> Iterator[Archive]:
    with dicom_peer() as found:
        yield found


def copied(images: Path, results: Path) -> Sequence[Path]:
    """What is made of a series: its own images, under other names."""
    folder = results / "series" / "dicom"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.dcm"):
        old.unlink()
    for path in images.glob("*.dcm"):
        (folder / path.name).write_bytes(path.read_bytes())
    return sorted(folder.glob("*.dcm"))


@pytest.fixture
def watcher(tmp_path: Path, archive: Archive) -> Iterator[Make]:
    services = []

    def make(explain: Callable = copied, peer: object = None, **changes: object) -> Watcher:
        spool = tmp_path / "spool"
        inbox = Inbox(
            spool / "incoming",
            aet="CTXAI",
            host="127.0.0.1",
            port=0,
            earlier=[spool / "delivered", spool / "refused"],
        )
        services.append(inbox)
        settings = {"settle_s": 0.0, "retry_s": 0.0, "keep_s": 600.0, "ask_peer": True} | changes
        peer = peer or DimsePeer("PACS", "127.0.0.1", archive.port)
        return Watcher(inbox, spool, peer, explain, lambda key: spool / "results" / key, **settings)

    yield make
    for service in services:
        service.close()


def send(watcher: Watcher, files: Sequence[Path]) -> None:
    list(DimsePeer("CTXAI", "127.0.0.1", watcher.inbox.port).store(files))
    deadline = time.monotonic() + 30
    while not watcher.inbox.quiet(0.0):  # the association ends
        assert time.monotonic() < deadline
        time.sleep(0.02)


def places(watcher: Watcher) -> dict[str, int]:
    """Images in each part of the spool."""
    names = ("incoming", "refused", "delivered")
    return {name: count for name in names if (count := len(list(watcher.spool.glob(f"{name}/*/*.dcm"))))}


def test_a_delivered_series_leaves_the_inbox_and_goes_when_nobody_is_late(
    watcher: Make, archive: Archive, ct_files: list[Path]
):
    service = watcher()
    send(service, ct_files)
    service.step()
    assert archive.stored == 5
    assert places(service) == {"delivered": 5}
    service.keep_s = -1.0
    service.step()
    assert places(service) == {}


@pytest.mark.parametrize("status", [0xA700, 0x0110, 0x0124])
def test_what_is_refused_for_the_time_being_is_tried_again(
    status: int, watcher: Make, archive: Archive, ct_files: list[Path]
):
    service = watcher()
    send(service, ct_files)
    archive.status = status
    service.step()
    assert places(service) == {"incoming": 5}
    archive.status = 0
    service.step()
    assert places(service) == {"delivered": 5}


def test_what_is_refused_for_good_is_parked_with_the_reason_and_a_way_back(
    watcher: Make, archive: Archive, ct_files: list[Path]
):
    service = watcher()
    send(service, ct_files)
    archive.status = 0xA900
    service.step()
    assert places(service) == {"refused": 5}
    reason = next(service.spool.glob("refused/*/reason.txt")).read_text()
    assert "5 of 5 objects: status A900H, the object does not match its class" in reason
    assert "--retry" in reason
    archive.status = 0
    assert bring_back_refused(service.spool) == 1
    again = watcher()
    again.step()
    assert places(again) == {"delivered": 5}


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (200, "text/html", "<title>Log in</title>"),
        (200, "application/dicom+json", "{}"),
        (200, "application/dicom+json", "[[[]]]"),
        (204, "text/plain", ""),
        (200, "application/dicom+json", '{"00081199": {"vr": "SQ", "Value": "nonsense"}}'),
        (307, "text/plain", ""),
        (401, "text/plain", ""),
        (507, "text/plain", ""),
    ],
)
def test_no_answer_ends_the_service_or_loses_an_image(
    status: int, content_type: str, body: str, watcher: Make, ct_files: list[Path]
):
    with answering(status, body, content_type) as (url, seen):
        service = watcher(peer=DicomWebPeer(url))
        send(service, ct_files)
        for _ in range(2):
            service.step()
        assert places(service) == {"incoming": 5}
        assert sum("body" in one for one in seen) == 2  # one attempt each time


def test_a_series_that_cannot_be_explained_does_not_keep_the_others(
    watcher: Make, archive: Archive, tmp_path: Path, ct_files: list[Path]
):
    bad = write_ct(tmp_path / "bad", np.zeros((2, 8, 8), np.int16), seed="bad")
    uid = str(dcmread(bad[0]).SeriesInstanceUID)

    def explain(images: Path, results: Path) -> Sequence[Path]:
        if str(dcmread(next(images.glob("*.dcm"))).SeriesInstanceUID) == uid:
            raise RuntimeError("the name of a patient")
        return copied(images, results)

    service = watcher(explain)
    send(service, bad)
    send(service, ct_files)
    service.step()
    assert places(service) == {"refused": 2, "delivered": 5}
    assert "the name of a patient" not in next(service.spool.glob("refused/*/reason.txt")).read_text()


def test_an_open_association_keeps_its_series_from_being_explained(watcher: Make, ct_files: list[Path]):
    service = watcher()
    outcomes = DimsePeer("CTXAI", "127.0.0.1", service.inbox.port).store(ct_files)
    for _ in range(3):
        next(outcomes)
    assert service.inbox.quiet(0.0) == []
    list(outcomes)
    send(service, [])
    assert len(service.inbox.quiet(0.0)) == 1


def test_a_series_with_a_gap_waits_and_goes_when_it_is_filled(watcher: Make, archive: Archive, ct_files: list[Path]):
    service = watcher(settle_s=0.3)
    send(service, [*ct_files[:2], *ct_files[3:]])
    time.sleep(0.4)
    service.step()
    assert places(service) == {"incoming": 4}
    send(service, ct_files[2:3])
    time.sleep(0.4)
    service.step()
    assert places(service) == {"delivered": 5}


def test_a_series_with_a_gap_goes_when_nothing_fills_it(watcher: Make, archive: Archive, ct_files: list[Path]):
    service = watcher(settle_s=0.2)
    send(service, [*ct_files[:2], *ct_files[3:]])
    time.sleep(1.0)
    service.step()
    assert places(service) == {"delivered": 4}


def test_a_peer_that_has_more_images_of_a_series_tells_that_it_is_not_whole(archive: Archive, ct_files: list[Path]):
    peer = DimsePeer("PACS", "127.0.0.1", archive.port)
    list(peer.store(ct_files))
    whole = missing_images(ct_files[0].parent, peer)
    ct_files[4].unlink()
    assert whole == ""
    assert missing_images(ct_files[0].parent, peer).startswith("4 of the 5 images that PACS@")
    assert missing_images(ct_files[0].parent, None) == ""


@pytest.mark.parametrize("place", ["delivered", "refused"])
def test_late_images_bring_the_earlier_ones_of_their_series_back(
    place: str, watcher: Make, archive: Archive, ct_files: list[Path]
):
    def explain(images: Path, results: Path) -> Sequence[Path]:
        if place == "refused" and len(list(images.glob("*.dcm"))) < 5:
            raise InputError("slices are missing")
        return copied(images, results)

    service = watcher(explain)
    send(service, ct_files[:3])
    service.step()
    assert places(service) == {place: 3}
    send(service, ct_files[3:])
    service.step()
    assert places(service) == {"delivered": 5}
    assert archive.stored == 5  # what was stored before is not sent again
