"""DICOM networking: what another system (a PACS, a DICOMweb server) is asked for and given."""
