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

#: Kinds of region in a structured report: a border, or a mark about the place (PS3.16 CID 219).
OUTLINE = Code("111041", "DCM", "Outline")
BOUNDED_BY = Code("75958009", "SCT", "Bounded by")
CT_CHEST = Code("24627-2", "LN", "CT Chest Report")
DIAMETER = Code("81827009", "SCT", "Diameter")
VOLUME = Code("118565006", "SCT", "Volume")
MEAN = Code("373098007", "SCT", "Mean")

MILLIMETRE = Code("mm", "UCUM", "mm")
CUBIC_MILLIMETRE = Code("mm3", "UCUM", "cubic millimeter")
PERCENT = Code("%", "UCUM", "Percent")
RATIO = Code("{ratio}", "UCUM", "ratio")
COUNT = Code("{counts}", "UCUM", "Counts")
SCORE = Code("{score}", "UCUM", "score")

#: Why an object refers to a CT image.
SOURCE_FOR_PROCESSING = Code("121322", "DCM", "Source image for image processing operation")
