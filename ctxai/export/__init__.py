"""Maps and predictions as NIfTI and DICOM objects in the patient's geometry. Knows nothing of models.

One file per kind of object; what all DICOM objects share is in ``derived``. A writer takes arrays on the CT's grid
(made by ``overlay``), a :class:`SourceSeries` and a :class:`Provenance`.
"""

from ctxai.disclaimer import RESEARCH_USE_ONLY
from ctxai.export.dicom.encapsulated_pdf import write_encapsulated_pdf
from ctxai.export.dicom.fractional import write_fractional_evidence
from ctxai.export.dicom.parametric_map import Evidence, write_parametric_map, write_parametric_maps
from ctxai.export.dicom.secondary_capture import write_secondary_capture
from ctxai.export.dicom.segmentation import HEAT_BANDS, SegmentedNodule, write_heat_bands, write_nodule_segmentation
from ctxai.export.dicom.source import SourceSeries
from ctxai.export.dicom.structured_report import write_structured_report
from ctxai.export.nifti import write_nifti
from ctxai.export.nodule_summary import Estimate, NamedValue, NoduleSummary
from ctxai.export.outline import Outline, outline_of_mask, outline_of_point
from ctxai.export.overlay import Block, merge_maps, merge_masks, scale_of, to_ct_grid
from ctxai.export.pdf import NodulePage, pdf_report
from ctxai.export.provenance import Provenance

__all__ = [
    "HEAT_BANDS",
    "RESEARCH_USE_ONLY",
    "Block",
    "Estimate",
    "Evidence",
    "NamedValue",
    "NodulePage",
    "NoduleSummary",
    "Outline",
    "Provenance",
    "SegmentedNodule",
    "SourceSeries",
    "merge_maps",
    "merge_masks",
    "outline_of_mask",
    "outline_of_point",
    "pdf_report",
    "scale_of",
    "to_ct_grid",
    "write_encapsulated_pdf",
    "write_fractional_evidence",
    "write_heat_bands",
    "write_nifti",
    "write_nodule_segmentation",
    "write_parametric_map",
    "write_parametric_maps",
    "write_secondary_capture",
    "write_structured_report",
]
