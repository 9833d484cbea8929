"""A storage service (C-STORE SCP) that keeps the CT images it is sent, one folder for each series."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID, AllTransferSyntaxes, CTImageStorage
from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import C_STORE

from ctxai.ct.header import series_key
from ctxai.errors import CtxaiError, InputError
from ctxai.files import atomic_path
from ctxai.pacs.client import object_file

_VERIFICATION = UID("1.2.840.10008.1.1")
_SUCCESS, _OUT_OF_RESOURCES, _CANNOT_UNDERSTAND, _NOT_WANTED = 0x0000, 0xA700, 0xC000, 0xC001

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
    """Receives CT images; an image is answered with success once its file is on the disk, and not before.

    Other kinds of objects are not accepted, so that results which a PACS sends on to everybody are not explained again.

    Args:
        folder: gets ``<series>/<object>.dcm``, named by hashes of UIDs.
        aet: our application entity title; calls for another one are rejected.
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        callers: application entity titles that may send; none means anyone.
        unwanted: whether an image is to be turned away; None turns none away.

    Raises:
        InputError: when the port cannot be listened on.
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
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)  # before anybody sends
        self._folder, self._unwanted = folder, unwanted
        self._lock = threading.Lock()
        # What an earlier process has left may still be growing elsewhere; it waits like a new arrival.
        now = time.monotonic()
        self._last = {path.name: now for path in folder.glob("*") if path.is_dir()}
        entity = AE(aet)
        entity.require_called_aet = True
        entity.require_calling_aet = list(callers)
        entity.add_supported_context(CTImageStorage, sorted(AllTransferSyntaxes))
        entity.add_supported_context(_VERIFICATION)
        handlers: list[Any] = [(evt.EVT_C_STORE, self._receive), (evt.EVT_C_ECHO, lambda event: _SUCCESS)]
        try:
            server = entity.start_server((host, port), block=False, evt_handlers=handlers)
        except OSError as error:
            raise InputError(
                f"{host}:{port}: cannot be listened on ({error.strerror}); choose another --port"
            ) from None
        assert server is not None
        self._server = server
        self.port: int = server.server_address[1]

    def quiet(self, settle_s: float) -> list[Arrived]:
        """Series that nothing has come for during ``settle_s`` seconds, the longest quiet first."""
        with self._lock:
            now = time.monotonic()
            waiting = sorted((last, key) for key, last in self._last.items() if now - last >= settle_s)
        return [Arrived(self._folder / key, last) for last, key in waiting]

    def let_go(self, series: Arrived, target: Path | None = None) -> bool:
        """Delete a finished series, or move it to ``target``; not when images have come since it was quiet.

        Returns:
            whether it is gone.
        """
        with self._lock:
            if self._last.get(series.folder.name) != series.last:
                return False
            del self._last[series.folder.name]
            if target is None:
                shutil.rmtree(series.folder)
            else:
                shutil.rmtree(target, ignore_errors=True)
                target.parent.mkdir(parents=True, exist_ok=True)
                series.folder.rename(target)
            return True

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()

    def _receive(self, event: evt.Event) -> int:
        try:
            series_uid = str(event.dataset.SeriesInstanceUID)
            unwanted = self._unwanted is not None and self._unwanted(event.dataset)
            content = event.encoded_dataset()
            assert isinstance(event.request, C_STORE)
            sop_uid = str(event.request.AffectedSOPInstanceUID)
        except (AttributeError, ValueError, NotImplementedError) as error:
            logger.warning("an image that cannot be read was turned away (%s)", type(error).__name__)
            return _CANNOT_UNDERSTAND
        if unwanted:
            logger.info("an image that is not wanted was turned away")
            return _NOT_WANTED
        key = series_key(series_uid)
        # Under the lock, so that a series cannot be let go between its image and the note of it.
        with self._lock:
            try:
                with atomic_path(self._folder / key / object_file(sop_uid)) as path:
                    path.write_bytes(content)
            except (CtxaiError, OSError) as error:
                logger.error("an image could not be kept and was turned away: %s", error)
                return _OUT_OF_RESOURCES
            self._last[key] = time.monotonic()
        return _SUCCESS
