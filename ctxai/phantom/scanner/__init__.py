"""From drawn anatomy to the HU of a CT and its DICOM files."""
