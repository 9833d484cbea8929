"""A small but real DICOM application entity on loopback, for tests that talk DIMSE without a PACS at hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

from pydicom import Dataset, dcmread
from pydicom.uid import AllTransferSyntaxes, CTImageStorage
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)


class Archive:
    """What the entity holds, and how it misbehaves."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.stored = 0
        self.status = 0x0000
        self.refuse_uids: set[str] = set()
        self.abort_after: int | None = None
        self.port = 0
        self.move_ports: dict[str, int] = {}

    def datasets(self) -> list[Dataset]:
        return [dcmread(BytesIO(content)) for content in self.files.values()]

    def _store(self, event: evt.Event) -> int:
        if self.abort_after is not None and self.stored >= self.abort_after:
            event.assoc.abort()
            return 0x0000
        uid = str(event.request.AffectedSOPInstanceUID)
        if uid in self.refuse_uids:
            return 0xA900
        if self.status:
            return self.status
        self.files[uid] = event.encoded_dataset()
        self.stored += 1
        return 0x0000

    def _matching(self, query: Dataset) -> list[Dataset]:
        keys = [name for name in ("StudyInstanceUID", "SeriesInstanceUID", "Modality") if query.get(name)]
        return [one for one in self.datasets() if all(one[name].value == query[name].value for name in keys)]

    def _find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        series: dict[str, list[Dataset]] = {}
        for one in self._matching(event.identifier):
            series.setdefault(one.SeriesInstanceUID, []).append(one)
        for uid, images in series.items():
            answer = Dataset()
            answer.QueryRetrieveLevel = "SERIES"
            answer.StudyInstanceUID = images[0].StudyInstanceUID
            answer.SeriesInstanceUID = uid
            answer.Modality = images[0].Modality
            answer.NumberOfSeriesRelatedInstances = len(images)
            yield 0xFF00, answer

    def _get(self, event: evt.Event) -> Iterator:
        found = self._matching(event.identifier)
        yield len(found)
        for one in found:
            yield 0xFF00, one

    def _move(self, event: evt.Event) -> Iterator:
        port = self.move_ports.get(event.move_destination)
        if port is None:
            yield None, None
            return
        yield "127.0.0.1", port
        yield from self._get(event)


@contextmanager
def dicom_peer(aet: str = "PACS", *, callers: tuple[str, ...] = (), contexts: list | None = None) -> Iterator[Archive]:
    """The entity, listening on a free port of loopback until the block ends."""
    archive = Archive()
    entity = AE(aet)
    entity.require_called_aet = True
    entity.require_calling_aet = list(callers)
    entity.supported_contexts = AllStoragePresentationContexts if contexts is None else contexts
    if contexts is None:
        for context in entity.supported_contexts:
            context.scu_role = context.scp_role = True
            context.transfer_syntax = sorted(AllTransferSyntaxes)
    entity.maximum_associations = 5
    entity.add_requested_context(CTImageStorage)  # what C-MOVE sends
    for model in (
        StudyRootQueryRetrieveInformationModelFind,
        StudyRootQueryRetrieveInformationModelGet,
        StudyRootQueryRetrieveInformationModelMove,
    ):
        entity.add_supported_context(model)
    handlers = [
        (evt.EVT_C_STORE, archive._store),
        (evt.EVT_C_FIND, archive._find),
        (evt.EVT_C_GET, archive._get),
        (evt.EVT_C_MOVE, archive._move),
    ]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    archive.port = server.server_address[1]
    try:
        yield archive
    finally:
        server.shutdown()
