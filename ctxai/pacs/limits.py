"""Storage service with bounds: size of a PDU and of an object, memory in flight, connections, time of a read."""

from __future__ import annotations

import socket
import time
from typing import Any, cast

from pynetdicom import evt
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

#: Length that any PDU may claim. P-DATA never exceeds the 16 KiB that the service offers (PS3.8 D.1), an association
#: request with all presentation contexts has some 100 KiB.
MAX_PDU_BYTES = 2**20
#: What may arrive between two complete messages of one connection: a CT image of 4096 x 4096 has 32 MiB.
MAX_OBJECT_BYTES = 2**26
#: The same over all connections.
MAX_IN_FLIGHT_BYTES = 3 * 2**26
MAX_CONNECTIONS = 100
#: Seconds in which a connection has to become an association, and a begun PDU has to end.
PATIENCE_S = 10.0
_BLOCK = 2**16


class _BoundedSocket(AssociationSocket):
    """A connection; an error of ``recv`` closes it."""

    server: BoundedServer
    received = 0

    def recv(self, nr_bytes: int) -> bytearray:
        """Read exactly that many bytes, fewer only where the peer has closed.

        Raises:
            OSError: for more than the bounds allow, or when they do not come in time.
        """
        if nr_bytes > MAX_PDU_BYTES or self.received + nr_bytes > MAX_OBJECT_BYTES:
            raise OSError(f"a message of more than {MAX_OBJECT_BYTES >> 20} MiB, or a PDU of {nr_bytes} bytes")
        if self.server.in_flight() + nr_bytes > MAX_IN_FLIGHT_BYTES:
            raise OSError("too much is in flight over all connections")
        self.received += nr_bytes
        connection = cast(socket.socket, self.socket)
        deadline = time.monotonic() + PATIENCE_S
        content = bytearray()
        while len(content) < nr_bytes:
            connection.settimeout(max(deadline - time.monotonic(), 0.001))
            block = connection.recv(min(_BLOCK, nr_bytes - len(content)))
            if not block:
                break
            content += block
        connection.settimeout(PATIENCE_S)
        return content


class _Handler(RequestHandler):
    def _create_association(self) -> Any:
        association = super()._create_association()
        connection = association.dul.socket
        assert connection is not None
        connection.__class__ = _BoundedSocket  # pynetdicom makes the socket itself, and leaves no other way in
        assert isinstance(connection, _BoundedSocket)
        connection.server = cast(BoundedServer, self.server)
        association.bind(evt.EVT_DIMSE_RECV, _message_ended)
        return association


class BoundedServer(ThreadedAssociationServer):
    """An association server with these bounds; for ``AE.make_server(server_class=...)``."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options | {"request_handler": _Handler})

    def in_flight(self) -> int:
        """Bytes of incomplete messages over all connections."""
        connections = [association.dul.socket for association in self.active_associations]
        return sum(one.received for one in connections if isinstance(one, _BoundedSocket))

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is room for one more connection."""
        return len(self.active_associations) < MAX_CONNECTIONS


def _message_ended(event: evt.Event) -> None:
    connection = event.assoc.dul.socket
    if isinstance(connection, _BoundedSocket):
        connection.received = 0
