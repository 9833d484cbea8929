"""DICOM networking: store, find and fetch with a PACS or a DICOMweb server, and a storage service."""

from ctxai.pacs.client import Outcome, PacsClient, RemoteSeries
from ctxai.pacs.endpoint import Tls, peer_of

__all__ = ["Outcome", "PacsClient", "RemoteSeries", "Tls", "peer_of"]
