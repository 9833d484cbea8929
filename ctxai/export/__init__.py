"""Maps and predictions as NIfTI and DICOM objects in the patient's geometry. Knows nothing of models."""
