"""DICOM networking: what another system (a PACS, a DICOMweb server) is asked for and given."""

from ctxai.pacs.client import Outcome, PacsClient, RemoteSeries
from ctxai.pacs.endpoint import peer_of
from ctxai.pacs.tls import Tls

__all__ = ["Outcome", "PacsClient", "RemoteSeries", "Tls", "peer_of"]
