"""DICOM's confidentiality profile (PS3.15 Annex E), pseudonyms and the deidentified CT."""
