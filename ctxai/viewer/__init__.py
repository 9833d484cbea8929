"""A viewer on this machine: Orthanc holds the DICOM objects, OHIF draws them in a browser."""

from ctxai.viewer.ohif import find_ohif, viewer_url
from ctxai.viewer.orthanc import Orthanc, find_orthanc
from ctxai.viewer.server import ViewerServer

__all__ = ["Orthanc", "ViewerServer", "find_ohif", "find_orthanc", "viewer_url"]
