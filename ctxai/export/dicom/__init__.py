"""DICOM objects in the CT's own geometry."""
