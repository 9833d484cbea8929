"""Storage service (C-STORE SCP) that keeps received CT images, one folder for each series."""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, AllTransferSyntaxes, CTImageStorage
from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import C_STORE

from ctxai.ct.dicom_errors import PARSE_ERRORS
from ctxai.ct.header import series_key
from ctxai.errors import CtxaiError, InputError, kind_of
from ctxai.files import atomic_path, is_unfinished
from ctxai.pacs.client import object_file
from ctxai.pacs.limits import MAX_CONNECTIONS, PATIENCE_S, BoundedServer

_VERIFICATION = UID("1.2.840.10008.1.1")
_SUCCESS, _OUT_OF_RESOURCES, _CANNOT_UNDERSTAND, _NOT_WANTED = 0x0000, 0xA700, 0xC000, 0xC001

REASON = "reason.txt"
_SERIES, _OBJECT = re.compile(r"[0-9a-f]{12}"), re.compile(r"[0-9a-f]{24}\.dcm")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Arrived:
    """A series that has come.

    Args:
        folder: its images.
        last: when the last one came, in seconds of a monotonic clock.
    """

    folder: Path
    last: float


class Inbox:
    """Receive CT images; an image is answered with success once its file is on the disk, and not before.

    Other kinds of objects are not accepted, so that results which a PACS sends on to everybody are not explained again.
    Connections are bounded in number, memory and time, see :mod:`ctxai.pacs.limits`.

    Args:
        folder: gets ``<series>/<object>.dcm``, named by hashes of UIDs.
        aet: our application entity title; calls for another one are rejected.
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        callers: application entity titles that may send; none means anyone.
        unwanted: whether an image is to be turned away, by its header; None turns none away.
        earlier: folders ``<series>`` of images that have left the inbox; a late image brings those of its series back,
            so that a series that is not complete is never explained alone.

    Raises:
        InputError: when the port cannot be listened on, or something else lies in one of the folders.
    """

    def __init__(
        self,
        folder: Path,
        *,
        aet: str,
        host: str,
        port: int,
        callers: Sequence[str] = (),
        unwanted: Callable[[Dataset], bool] | None = None,
        earlier: Sequence[Path] = (),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)  # before anybody sends
        for place in (folder, *earlier):
            _refuse_others(place)
        self._folder, self._unwanted, self._earlier = folder, unwanted, tuple(earlier)
        self._lock = threading.Lock()
        # What an earlier process has left may still be growing elsewhere; it waits like a new arrival.
        now = time.monotonic()
        self._last = {path.name: now for path in folder.glob("*") if path.is_dir()}
        self._open: dict[Any, set[str]] = {}
        entity = AE(aet)
        entity.require_called_aet = True
        entity.require_calling_aet = list(callers)
        entity.maximum_associations = MAX_CONNECTIONS
        entity.acse_timeout = PATIENCE_S
        entity.add_supported_context(CTImageStorage, sorted(AllTransferSyntaxes))
        entity.add_supported_context(_VERIFICATION)
        ends = (evt.EVT_RELEASED, evt.EVT_ABORTED, evt.EVT_CONN_CLOSE)
        handlers: list[Any] = [(evt.EVT_C_STORE, self._receive), (evt.EVT_C_ECHO, lambda event: _SUCCESS)]
        handlers += [(end, self._association_ended) for end in ends]
        try:
            self._server = entity.make_server((host, port), evt_handlers=handlers, server_class=BoundedServer)
        except OSError as error:
            raise InputError(
                f"{host}:{port}: cannot be listened on ({error.strerror}); choose another --port"
            ) from None
        entity._servers.append(self._server)  # as AE.start_server does, which takes no server class
        threading.Thread(target=self._server.serve_forever, name="inbox", daemon=True).start()
        self.port: int = self._server.server_address[1]

    def quiet(self, settle_s: float) -> list[Arrived]:
        """Series without a new image during ``settle_s`` seconds whose senders have closed, the longest quiet first."""
        with self._lock:
            now = time.monotonic()
            sending = set().union(*(keys for association, keys in self._open.items() if association.is_alive()))
            waiting = sorted(
                (last, key) for key, last in self._last.items() if now - last >= settle_s and key not in sending
            )
        return [Arrived(self._folder / key, last) for last, key in waiting]

    def let_go(self, series: Arrived, target: Path | None = None) -> bool:
        """Delete a finished series, or move it to ``target``; not when images have come since it was quiet.

        Returns:
            whether it is gone.
        """
        with self._lock:
            if self._last.get(series.folder.name) != series.last:
                return False
            if target is None:
                remove_images(series.folder)
            else:
                remove_images(target)
                target.parent.mkdir(parents=True, exist_ok=True)
                series.folder.rename(target)
            del self._last[series.folder.name]
            return True

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()

    def _receive(self, event: evt.Event) -> int:
        try:
            assert isinstance(event.request, C_STORE)
            content = event.encoded_dataset()
            header = dcmread(BytesIO(content), stop_before_pixels=True)
            key = series_key(str(header.SeriesInstanceUID))
            name = object_file(str(event.request.AffectedSOPInstanceUID))
            unwanted = self._unwanted is not None and self._unwanted(header)
        except (InvalidDicomError, *PARSE_ERRORS) as error:
            logger.warning("an image that cannot be read was turned away (%s)", kind_of(error))
            return _CANNOT_UNDERSTAND
        if unwanted:
            logger.info("an image that is not wanted was turned away")
            return _NOT_WANTED
        # Under the lock, so that a series cannot be let go between its image and the note of it.
        with self._lock:
            try:
                self._reopen(key)
                with atomic_path(self._folder / key / name) as path:
                    path.write_bytes(content)
            except (CtxaiError, OSError) as error:
                logger.error("an image could not be kept and was turned away: %s", error)
                return _OUT_OF_RESOURCES
            self._last[key] = time.monotonic()
            self._open.setdefault(event.assoc, set()).add(key)
        return _SUCCESS

    def _reopen(self, key: str) -> None:
        """Bring the earlier images of a series back."""
        if (self._folder / key).is_dir():
            return
        for place in self._earlier:
            if (place / key).is_dir():
                (place / key).rename(self._folder / key)
                (self._folder / key / REASON).unlink(missing_ok=True)
                logger.info("series %s: late images; it is explained again", key)
                return

    def _association_ended(self, event: evt.Event) -> None:
        with self._lock:
            self._open.pop(event.assoc, None)


def remove_images(folder: Path) -> None:
    """Remove the images of a series and the reason of a refusal; the folder stays where anything else lies in it."""
    for path in folder.glob("*"):
        if _is_ours(path):
            path.unlink()
    with contextlib.suppress(OSError):  # it holds something, or is gone
        folder.rmdir()


def _refuse_others(place: Path) -> None:
    """Refuse a folder of series in which something else lies than what was received.

    Raises:
        InputError: naming it.
    """
    for folder in sorted(place.glob("*")):
        known = _SERIES.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink()
        strange = [path for path in sorted(folder.iterdir()) if not _is_ours(path)] if known else [folder]
        if strange:
            raise InputError(f"{strange[0]}: is nothing that `ctxai watch` received; move it elsewhere")


def _is_ours(path: Path) -> bool:
    return bool(_OBJECT.fullmatch(path.name) or path.name == REASON or is_unfinished(path)) and not path.is_dir()
