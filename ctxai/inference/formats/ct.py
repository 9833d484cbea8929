"""A NIfTI copy of the CT."""

from __future__ import annotations

from pydicom.dataset import Dataset

from ctxai.export.nifti import write_nifti_ct
from ctxai.inference.formats.base import OutputFormat, SeriesOutput
from ctxai.results_folder import CT_NIFTI


class CTCopy(OutputFormat):
    """The CT beside its maps, for programs that read no DICOM; most of the bytes of the results."""

    name = "ct"
    summary = "NIfTI copy of the CT"
    dicom = False
    order = 15

    def write_nodules(self, output: SeriesOutput) -> list[Dataset]:
        """Write the CT in Hounsfield units."""
        series = output.series
        slices = (series.read(number, number + 1)[0] for number in range(series.grid.shape[0]))
        write_nifti_ct(output.folder / CT_NIFTI, slices, series.grid)
        return []
