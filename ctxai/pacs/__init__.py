"""DICOM networking: store, find and fetch with a PACS or a DICOMweb server, and a storage service."""
