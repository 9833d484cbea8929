"""Maps and predictions as NIfTI and DICOM objects in the patient's geometry. Knows nothing of models.

One file per kind of object; what all DICOM objects share is in ``derived``. A writer takes arrays on the CT's grid
(made by ``overlay``), a :class:`SourceSeries` and a :class:`Provenance`.
"""

from ctxai.export.nifti import write_nifti
from ctxai.export.overlay import Block, merge_maps, merge_masks, scale_of, to_ct_grid
from ctxai.export.parametric_map import Evidence, write_parametric_map, write_parametric_maps
from ctxai.export.provenance import RESEARCH_USE_ONLY, Provenance
from ctxai.export.segmentation import HEAT_BANDS, SegmentedNodule, write_heat_bands, write_nodule_segmentation
from ctxai.export.source import SourceSeries

__all__ = [
    "HEAT_BANDS",
    "RESEARCH_USE_ONLY",
    "Block",
    "Evidence",
    "Provenance",
    "SegmentedNodule",
    "SourceSeries",
    "merge_maps",
    "merge_masks",
    "scale_of",
    "to_ct_grid",
    "write_heat_bands",
    "write_nifti",
    "write_nodule_segmentation",
    "write_parametric_map",
    "write_parametric_maps",
]
