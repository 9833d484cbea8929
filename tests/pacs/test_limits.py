"""Hostile connections to the storage service."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ctxai.errors import PacsError
from ctxai.pacs import limits
from ctxai.pacs.dimse import DimsePeer
from ctxai.pacs.inbox import Inbox

from synthetic_ct import write_ct


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    service = Inbox(tmp_path / "incoming", aet="CTXAI", host="127.0.0.1", port=0)
    yield service
    service.close()


def accepted(inbox: Inbox, files: list[Path]) -> list[bool]:
    return [outcome.accepted for outcome in DimsePeer("CTXAI", "127.0.0.1", inbox.port).store(files)]


def connected(inbox: Inbox) -> socket.socket:
    return socket.create_connection(("127.0.0.1", inbox.port), timeout=30)


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side closes, having sent an abort or nothing."""
    with contextlib.suppress(ConnectionError):
        while connection.recv(4096):
            pass
    return True


def test_a_pdu_that_claims_4_gb_is_not_swallowed(inbox: Inbox, ct_files: list[Path]):
    with connected(inbox) as hostile:
        hostile.sendall(struct.pack(">BBL", 1, 0, 0xFFFFFFFF))
        assert is_closed(hostile)
    assert accepted(inbox, ct_files) == [True] * 5


def test_a_pdu_that_never_ends_is_given_up(inbox: Inbox, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "PATIENCE_S", 0.5)
    with connected(inbox) as hostile:
        hostile.sendall(struct.pack(">BBL", 1, 0, 200) + b"\0")
        for _ in range(3):  # one byte now and then does not prolong it
            time.sleep(0.3)
            with contextlib.suppress(ConnectionError):
                hostile.sendall(b"\0")
        assert is_closed(hostile)


def test_an_object_above_the_limit_is_cut_off_and_the_next_one_is_taken(
    inbox: Inbox, tmp_path: Path, ct_files: list[Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(limits, "MAX_OBJECT_BYTES", 100_000)
    big = write_ct(tmp_path / "big", np.zeros((1, 300, 300), np.int16))
    with pytest.raises(PacsError, match="ended early"):
        accepted(inbox, big)
    assert accepted(inbox, ct_files) == [True] * 5  # together more than one object may be


def test_memory_in_flight_is_bounded_over_all_connections(
    inbox: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(limits, "MAX_IN_FLIGHT_BYTES", 100_000)
    with pytest.raises(PacsError, match="ended early"):
        accepted(inbox, write_ct(tmp_path / "big", np.zeros((1, 300, 300), np.int16)))


def test_sixty_idle_connections_keep_nobody_out_and_cost_little(inbox: Inbox, ct_files: list[Path]):
    accepted(inbox, ct_files[:1])
    before = resident_mb()
    with contextlib.ExitStack() as stack:
        for number in range(60):
            idle = stack.enter_context(connected(inbox))
            if number % 2:
                idle.sendall(struct.pack(">BBL", 1, 0, 0xFFFFFFF0) + bytes(1000))
        assert accepted(inbox, ct_files) == [True] * 5
        assert resident_mb() - before < 300


def test_connections_beyond_the_limit_are_closed_at_once(inbox: Inbox, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "MAX_CONNECTIONS", 2)
    with connected(inbox), connected(inbox):
        time.sleep(1)
        with connected(inbox) as third:
            assert is_closed(third)
