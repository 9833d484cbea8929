"""NIfTI files of the readers' consensus and every map."""

from __future__ import annotations

from dataclasses import replace

from pydicom.dataset import Dataset

from ctxai.export.nifti import write_nifti
from ctxai.inference.consensus import READERS, consensus_labels
from ctxai.inference.formats.base import MapOverlay, OutputFormat, SeriesOutput
from ctxai.results_folder import MAPS, NODULES_NIFTI


class Nifti(OutputFormat):
    """Volumes on the CT's grid, for ITK-SNAP, 3D Slicer and Python."""

    name = "nifti"
    summary = "NIfTI volumes of the maps and the readers' consensus"
    dicom = False
    order = 10

    def write_nodules(self, output: SeriesOutput) -> list[Dataset]:
        """Write labels of the readers' consensus, where they agree on a nodule."""
        labels, outlined = consensus_labels(output.series.grid, output.nodules)
        if outlined:
            readers = replace(READERS, explained=tuple(outlined))
            write_nifti(output.folder / NODULES_NIFTI, labels, output.series.grid, readers)
        return []

    def write_map(self, output: SeriesOutput, overlay: MapOverlay) -> list[Dataset]:
        """Write a map and, where asked for, its standard deviation over the views."""
        provenance, maps = overlay.provenance, output.folder / MAPS
        write_nifti(maps / f"{provenance.stem}.nii.gz", overlay.content, overlay.grid, provenance)
        if output.std:
            statistic = {**provenance.options, "statistic": "standard deviation over views"}
            over_views = replace(provenance, options=statistic, signed=False)
            write_nifti(maps / f"{provenance.stem}_spread.nii.gz", overlay.std, overlay.grid, over_views)
        return []
