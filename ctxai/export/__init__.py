"""Maps and predictions as NIfTI and DICOM objects in the patient's geometry. Knows nothing of models.

One file per kind of object; what all DICOM objects share is in ``derived``. A writer takes arrays on the CT's grid
(made by ``overlay``), a :class:`SourceSeries` and a :class:`Provenance`.
"""

from importlib import import_module
from typing import Any

_MODULES = {
    "Block": "ctxai.export.overlay",
    "Doubt": "ctxai.export.nodule_summary",
    "Estimate": "ctxai.export.nodule_summary",
    "Evidence": "ctxai.export.dicom.parametric_map",
    "HEAT_BANDS": "ctxai.export.dicom.segmentation",
    "NamedValue": "ctxai.export.nodule_summary",
    "NodulePage": "ctxai.export.pdf",
    "NoduleSummary": "ctxai.export.nodule_summary",
    "Outline": "ctxai.export.outline",
    "Provenance": "ctxai.export.provenance",
    "RESEARCH_USE_ONLY": "ctxai.disclaimer",
    "SegmentedNodule": "ctxai.export.dicom.segmentation",
    "SourceSeries": "ctxai.export.dicom.source",
    "colour_scale_of": "ctxai.export.overlay",
    "merge_maps": "ctxai.export.overlay",
    "merge_masks": "ctxai.export.overlay",
    "outline_of_mask": "ctxai.export.outline",
    "outline_of_point": "ctxai.export.outline",
    "pdf_report": "ctxai.export.pdf",
    "scale_of": "ctxai.export.overlay",
    "to_ct_grid": "ctxai.export.overlay",
    "write_encapsulated_pdf": "ctxai.export.dicom.encapsulated_pdf",
    "write_fractional_evidence": "ctxai.export.dicom.fractional",
    "write_heat_bands": "ctxai.export.dicom.segmentation",
    "write_nifti": "ctxai.export.nifti",
    "write_nodule_segmentation": "ctxai.export.dicom.segmentation",
    "write_parametric_map": "ctxai.export.dicom.parametric_map",
    "write_parametric_maps": "ctxai.export.dicom.parametric_map",
    "write_secondary_capture": "ctxai.export.dicom.secondary_capture",
    "write_structured_report": "ctxai.export.dicom.structured_report",
}
"""Where each public name is; it is imported at its first use, for a prediction alone writes no objects."""

__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
