"""DICOM Secondary Capture: the slices of the nodules in colour, for viewers that overlay nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from pydicom.dataset import Dataset

from ctxai.ct.volume import CT
from ctxai.disclaimer import RESEARCH_USE_ONLY
from ctxai.export.dicom.secondary_capture import write_secondary_capture
from ctxai.inference.formats.base import MapOverlay, OutputFormat, SeriesOutput
from ctxai.inference.nodule import ExplainedNodule
from ctxai.inference.overview import edge_letters, image_number
from ctxai.report.slices import SliceMarks, fused_slice
from ctxai.run.explanation import UNMEASURED_DIAMETER_MM


class SecondaryCapture(OutputFormat):
    """Pictures of the CT with the map over it."""

    name = "sc"
    summary = "Secondary Capture: colour slices, deflated"
    order = 60

    def write_map(self, output: SeriesOutput, overlay: MapOverlay) -> list[Dataset]:
        """Write the slices on which a nodule has its map; reports do not cite them."""
        write_secondary_capture(
            output.dicom / "sc", _Pictures(output, overlay), output.source, overlay.provenance, self.deflated
        )
        return []


class PlainSecondaryCapture(SecondaryCapture):
    """The same objects uncompressed, for archives that refuse Deflated Explicit VR Little Endian."""

    name = "sc-plain"
    summary = "Secondary Capture as sc, uncompressed"
    order = 61
    deflated = False


class _Pictures(Mapping[int, np.ndarray]):
    """Slices in colour by their number, each drawn when it is taken."""

    def __init__(self, output: SeriesOutput, overlay: MapOverlay) -> None:
        provenance = overlay.provenance
        shares = overlay.shares
        self._series, self._shares = output.series, shares.array
        self._words = f"{provenance.method} {provenance.target} - {RESEARCH_USE_ONLY}".replace("_", " ")
        self._numbers = sorted(
            set().union(*(_shown(slices_of(output.series, n), shares.slices) for n in output.nodules))
        )

    def __getitem__(self, number: int) -> np.ndarray:
        series = self._series
        spacing_mm = float(series.grid.spacing_mm[0])
        marks = SliceMarks(edge_letters(series.grid), image_number(series, number), spacing_mm, self._words)
        return fused_slice(series.read(number, number + 1)[0], self._shares[number], marks)

    def __iter__(self) -> Iterator[int]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)


def _shown(touched: list[int], mapped: list[int]) -> set[int]:
    """Slices of a nodule on which the map is; all of its slices where there is none, so that its place is shown."""
    return set(touched) & set(mapped) or set(touched)


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
