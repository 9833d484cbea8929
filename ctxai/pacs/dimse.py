"""A peer that speaks DIMSE over TCP: C-STORE, C-FIND, C-GET and C-MOVE (DICOM PS3.4, PS3.7)."""

from __future__ import annotations

import queue
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, AllTransferSyntaxes, CTImageStorage
from pynetdicom import AE, _config, build_role, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation

from ctxai.ct.dicom_errors import PARSE_ERRORS
from ctxai.errors import PacsError
from ctxai.pacs.client import STORED_WITH_WARNING, Outcome, RemoteSeries, describe_status, is_temporary, plain_advice

_CONNECT_S = 10.0
_TIMEOUT_S = 60.0
_CONTEXTS = 128  # presentation contexts of one association, PS3.8 9.3.2.2
_PENDING = {0xFF00, 0xFF01}
_Fetched = tuple[str, bytes]
_Handlers = list[Any]  # pynetdicom's own union is invariant

# Query/Retrieve, Study Root, PS3.4 C.6.2.
_FIND = UID("1.2.840.10008.5.1.4.1.2.2.1")
_MOVE = UID("1.2.840.10008.5.1.4.1.2.2.2")
_GET = UID("1.2.840.10008.5.1.4.1.2.2.3")

# Files are read in pieces while they are sent, not held in memory.
_config.STORE_SEND_CHUNKED_DATASET = True


@dataclass(frozen=True)
class _File:
    path: Path
    sop_class: UID
    transfer_syntax: UID


class DimsePeer:
    """An application entity of a PACS.

    Args:
        aet: its application entity title.
        host: its name or address.
        port: its port.
        own_aet: our title; many systems talk to known titles only.
        tls: encryption; None without.
        move_port: our own port that C-MOVE sends objects to; without it objects are fetched with C-GET.
    """

    def __init__(
        self,
        aet: str,
        host: str,
        port: int,
        *,
        own_aet: str = "CTXAI",
        tls: ssl.SSLContext | None = None,
        move_port: int | None = None,
    ) -> None:
        self.name = f"{aet}@{host}:{port}"
        self.move_port = move_port
        self._aet, self._host, self._port, self._own_aet, self._tls = aet, host, port, own_aet, tls

    def store(self, paths: Sequence[Path]) -> Iterator[Outcome]:
        """C-STORE, in one association for every 128 kinds of object; each file in its own transfer syntax.

        Raises:
            PacsError: when the peer cannot be reached, rejects the association or ends it early.
        """
        files = [_file_of(path) for path in paths]
        kinds = sorted({(file.sop_class, file.transfer_syntax) for file in files})
        for start in range(0, len(kinds), _CONTEXTS):
            chosen = kinds[start : start + _CONTEXTS]
            entity = self._entity()
            for sop_class, transfer_syntax in chosen:
                entity.add_requested_context(sop_class, transfer_syntax)
            with self._associated(entity) as association:
                for file in files:
                    if (file.sop_class, file.transfer_syntax) in chosen:
                        yield self._store_one(association, file)

    def _store_one(self, association: Association, file: _File) -> Outcome:
        taken = {(context.abstract_syntax, context.transfer_syntax[0]) for context in association.accepted_contexts}
        if (file.sop_class, file.transfer_syntax) not in taken:
            reason = f"it does not accept {file.sop_class.name} in {file.transfer_syntax.name}"
            return Outcome(file.path, False, reason + plain_advice(file.transfer_syntax))
        try:
            status = association.send_c_store(file.path)
        except RuntimeError:  # the association is gone
            status = Dataset()
        if "Status" not in status:
            raise PacsError(
                f"{self.name}: the association ended early; check that the service runs and that {self._own_aet} "
                "is known there, then try again"
            )
        code = status.Status
        if code == 0x0000:
            return Outcome(file.path, True)
        return Outcome(file.path, code in STORED_WITH_WARNING, _status_text(status), is_temporary(code))

    def find(self, study_uid: str, modality: str | None = None) -> list[RemoteSeries]:
        """C-FIND for the series of a study (Study Root), by rising UID.

        Raises:
            PacsError: when the peer cannot be reached or the query fails.
        """
        query = Dataset()
        query.QueryRetrieveLevel = "SERIES"
        query.StudyInstanceUID = study_uid
        query.SeriesInstanceUID = ""
        query.Modality = modality or ""
        query.NumberOfSeriesRelatedInstances = None
        entity = self._entity()
        entity.add_requested_context(_FIND)
        found = []
        with self._associated(entity) as association:
            for status, answer in association.send_c_find(query, _FIND):
                self._check(status, "query")
                if answer is not None:
                    number = answer.get("NumberOfSeriesRelatedInstances")
                    found.append(
                        RemoteSeries(
                            study_uid,
                            str(answer.SeriesInstanceUID),
                            str(answer.get("Modality", "")),
                            None if number is None else int(number),
                        )
                    )
        # Some systems ignore the modality of a query.
        kept = [one for one in found if not modality or one.modality in ("", modality)]
        return sorted(kept, key=lambda one: one.series_uid)

    def fetch(self, series: RemoteSeries) -> Iterator[_Fetched]:
        """CT images of a series, by C-GET, or by C-MOVE to our own ``move_port``.

        Raises:
            PacsError: when the peer cannot be reached or refuses; also after some objects have come.
        """
        arrived: queue.SimpleQueue[_Fetched] = queue.SimpleQueue()

        def keep(event: evt.Event) -> int:
            content = event.encoded_dataset()
            if _series_of(content) != series.series_uid:
                return 0xA900  # of another series than was asked for
            assert isinstance(event.request, C_STORE)
            arrived.put((str(event.request.AffectedSOPInstanceUID), content))
            return 0x0000

        query = Dataset()
        query.QueryRetrieveLevel = "SERIES"
        query.StudyInstanceUID = series.study_uid
        query.SeriesInstanceUID = series.series_uid
        handlers: _Handlers = [(evt.EVT_C_STORE, keep)]
        if self.move_port is None:
            yield from self._get(query, handlers, arrived)
        else:
            yield from self._move(query, handlers, arrived, self.move_port)

    def _get(self, query: Dataset, handlers: _Handlers, arrived: queue.SimpleQueue[_Fetched]) -> Iterator[_Fetched]:
        entity = self._entity()
        entity.add_requested_context(_GET)
        entity.add_requested_context(CTImageStorage, sorted(AllTransferSyntaxes))
        role = build_role(CTImageStorage, scp_role=True)
        with self._associated(entity, ext_neg=[role], evt_handlers=handlers) as association:
            for status, _ in association.send_c_get(query, _GET):
                yield from _drain(arrived)
                self._check(status, "C-GET")
        yield from _drain(arrived)

    def _move(
        self, query: Dataset, handlers: _Handlers, arrived: queue.SimpleQueue[_Fetched], port: int
    ) -> Iterator[_Fetched]:
        entity = self._entity()
        entity.add_requested_context(_MOVE)
        receiver = AE(self._own_aet)
        receiver.add_supported_context(CTImageStorage, sorted(AllTransferSyntaxes))
        own_side = "" if self._host not in ("127.0.0.1", "localhost", "::1") else "127.0.0.1"
        try:
            server = receiver.start_server((own_side, port), block=False, evt_handlers=handlers)
        except OSError as error:
            raise PacsError(f"port {port}: cannot be listened on ({error.strerror}); choose another") from None
        try:
            with self._associated(entity) as association:
                for status, _ in association.send_c_move(query, self._own_aet, _MOVE):
                    yield from _drain(arrived)
                    self._check(status, f"C-MOVE to {self._own_aet}")
        finally:
            assert server is not None
            server.shutdown()
        yield from _drain(arrived)

    def _entity(self) -> AE:
        entity = AE(self._own_aet)
        entity.acse_timeout = entity.connection_timeout = _CONNECT_S
        entity.dimse_timeout = entity.network_timeout = _TIMEOUT_S
        return entity

    @contextmanager
    def _associated(
        self,
        entity: AE,
        ext_neg: list[SCP_SCU_RoleSelectionNegotiation] | None = None,
        evt_handlers: _Handlers | None = None,
    ) -> Iterator[Association]:
        association = entity.associate(
            self._host,
            self._port,
            ae_title=self._aet,
            ext_neg=None if ext_neg is None else list(ext_neg),
            tls_args=None if self._tls is None else (self._tls, self._host),
            evt_handlers=evt_handlers,
        )
        if not association.is_established:
            answer = association.acceptor.primitive
            if association.is_rejected and answer is not None:
                why = f"it refuses the association ({answer.reason_str.lower()})"
            elif association.is_aborted and answer is not None:
                why = "it accepts none of the services asked for" + _plain_advice_for(entity)
            else:
                why = "no connection"
            raise PacsError(f"{self.name}: {why}; check title, address and that {self._own_aet} is known there")
        try:
            yield association
        finally:
            if association.is_established:
                association.release()

    def _check(self, status: Dataset, what: str) -> None:
        if "Status" not in status:
            raise PacsError(f"{self.name}: {what} ended without an answer; check that the service runs, then try again")
        if status.Status not in {0x0000, *_PENDING}:
            raise PacsError(f"{self.name}: {what} failed, {_status_text(status)}")


def _series_of(content: bytes) -> str | None:
    """Series Instance UID of a received file; None where it cannot be read."""
    try:
        header = dcmread(BytesIO(content), stop_before_pixels=True, specific_tags=["SeriesInstanceUID"])
        return str(header.SeriesInstanceUID)
    except (InvalidDicomError, *PARSE_ERRORS):
        return None


def _file_of(path: Path) -> _File:
    header = dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID"])
    return _File(path, header.SOPClassUID, header.file_meta.TransferSyntaxUID)


def _plain_advice_for(entity: AE) -> str:
    """Advice for an association that asked for deflated objects only; empty for another."""
    advices = {plain_advice(syntax) for context in entity.requested_contexts for syntax in context.transfer_syntax}
    return advices.pop() if len(advices) == 1 else ""


def _status_text(status: Dataset) -> str:
    comment = str(status.get("ErrorComment", "")).strip()
    return f"{describe_status(status.Status)}{': ' + comment if comment else ''}"


def _drain(arrived: queue.SimpleQueue[_Fetched]) -> Iterator[_Fetched]:
    while True:
        try:
            yield arrived.get_nowait()
        except queue.Empty:
            return
