"""The coded concepts of the DICOM objects, once.

Sources: DICOM PS3.16, annex D (DCM concepts) and context groups 7150 (segmentation property categories) and 7162
(algorithm families); the SNOMED CT concepts are those of LIDC-IDRI's published DICOM segmentations.
"""

from __future__ import annotations

from pydicom.sr.coding import Code

#: What the values of an explanation map are.
CLASS_ACTIVATION = Code("130402", "DCM", "Class activation")
NO_UNITS = Code("1", "UCUM", "no units")

NODULE = Code("27925004", "SCT", "Nodule")
LUNG = Code("39607008", "SCT", "Lung")
ABNORMAL_STRUCTURE = Code("49755003", "SCT", "Morphologically Abnormal Structure")
#: Category of a region that is drawn from a map and is no tissue.
SPATIAL_CONCEPT = Code("309825002", "SCT", "Spatial and Relational Concept")

ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")
PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")
