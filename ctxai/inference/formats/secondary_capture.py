"""DICOM Secondary Capture: the slices of the nodules in colour, for viewers that overlay nothing."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset

from ctxai.ct.volume import CT
from ctxai.disclaimer import RESEARCH_USE_ONLY
from ctxai.export.dicom.secondary_capture import write_secondary_capture
from ctxai.inference.formats.base import MapOverlay, OutputFormat, SeriesOutput
from ctxai.inference.nodule import ExplainedNodule
from ctxai.report.slices import fused_slice
from ctxai.run.explanation import UNMEASURED_DIAMETER_MM


class SecondaryCapture(OutputFormat):
    """Pictures of the CT with the map over it."""

    name = "sc"
    summary = "Secondary Capture: colour slices"
    order = 60

    def write_map(self, output: SeriesOutput, overlay: MapOverlay) -> list[Dataset]:
        """Write every slice that a nodule touches; reports do not cite them."""
        provenance, read, shares = overlay.provenance, output.series.read, overlay.shares
        words = f"{provenance.method} {provenance.target} - {RESEARCH_USE_ONLY}"
        numbers = sorted({number for nodule in output.nodules for number in slices_of(output.series, nodule)})
        pictures = {n: fused_slice(read(n, n + 1)[0], shares[n], words) for n in numbers}
        write_secondary_capture(output.dicom / "sc", pictures, output.source, provenance)
        return []


def slices_of(series: CT, nodule: ExplainedNodule) -> list[int]:
    """Slices of the CT that a nodule touches: where a reader drew, or within its radius of a point."""
    candidate = nodule.candidate
    if candidate.masks is not None:
        touched = np.flatnonzero(candidate.masks.agreement.any(axis=(1, 2))) + candidate.masks.start[0]
        return [int(number) for number in touched]
    radius = (candidate.diameter_mm or UNMEASURED_DIAMETER_MM) / 2
    middle = float(series.grid.to_index(candidate.centre_lps)[2])
    reach = radius / series.grid.slice_distance_mm
    first, last = int(np.ceil(middle - reach)), int(np.floor(middle + reach))
    inside = [n for n in range(first, last + 1) if 0 <= n < series.grid.shape[0]]
    return inside or [int(np.clip(round(middle), 0, series.grid.shape[0] - 1))]
