"""DICOM networking: what another system (a PACS, a DICOMweb server) is asked for and given."""

from ctxai.pacs.address import Tls, peer_of
from ctxai.pacs.peer import Outcome, Peer, RemoteSeries

__all__ = ["Outcome", "Peer", "RemoteSeries", "Tls", "peer_of"]
