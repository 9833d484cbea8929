"""Outlines and ratings of each reader, as Segmentations and a Structured Report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from pydicom.dataset import Dataset

from ctxai.ct.grid import Grid
from ctxai.export.dicom.segmentation import SegmentedNodule, write_nodule_segmentation
from ctxai.export.dicom.structured_report import write_structured_report
from ctxai.export.nodule_summary import NoduleSummary
from ctxai.export.outline import outline_of_mask
from ctxai.export.provenance import Provenance
from ctxai.export.sparse import SparseVolume, zeros
from ctxai.inference.formats.base import OutputFormat, SeriesOutput
from ctxai.inference.nodules import NoduleCandidate

_SEGMENTATION_SERIES_NUMBER = 9010
_REPORT_SERIES_NUMBER = 9202


class Readers(OutputFormat):
    """A Segmentation for each reading, and one report of all ratings.

    LIDC-IDRI does not tell which reader is which: reading 1 of two nodules may be two persons'.
    """

    name = "readers"
    summary = "each reader's outlines and ratings"
    order = 80

    def write_report(self, output: SeriesOutput, references: Sequence[Dataset]) -> None:
        """Write the readings of all nodules with outlines; nothing where no reader drew anything."""
        outlined = [nodule.candidate for nodule in output.nodules if nodule.candidate.masks is not None]
        written: list[Dataset] = []
        summaries: list[NoduleSummary] = []
        for number in range(max((len(candidate.readings) for candidate in outlined), default=0)):
            labels, drawn = _reading(outlined, number, output.series.grid)
            if not drawn:
                continue
            summaries += drawn
            ids = tuple(one.nodule_id for one in drawn)
            written.append(
                write_nodule_segmentation(
                    output.dicom / "seg" / f"reading_{number + 1}.dcm",
                    labels,
                    [SegmentedNodule(nodule_id) for nodule_id in ids],
                    output.source,
                    Provenance(f"reading {number + 1}", "outlines", explained=ids),
                    _SEGMENTATION_SERIES_NUMBER + number,
                    deflated=self.deflated,
                )
            )
        if summaries:
            write_structured_report(
                output.dicom / "sr" / "readings.dcm",
                summaries,
                output.source,
                Provenance("readers", "outlines and ratings", explained=tuple(one.nodule_id for one in summaries)),
                written,
                title="Readers' ratings",
                series_number=_REPORT_SERIES_NUMBER,
            )


class PlainReaders(Readers):
    """The same objects uncompressed, for archives that refuse Deflated Explicit VR Little Endian."""

    name = "readers-plain"
    summary = "as readers, uncompressed"
    order = 81
    deflated = False


def _reading(
    candidates: Sequence[NoduleCandidate], number: int, grid: Grid
) -> tuple[SparseVolume, list[NoduleSummary]]:
    """Labels 1, 2, …, uint16 on the CT's grid, of the nodules of a reading, and what each was rated."""
    labels = zeros(grid.shape, np.uint16)
    drawn: list[NoduleSummary] = []
    places: list[tuple[slice, ...]] = []
    for candidate, mask, start in _outlines(candidates, number):
        place = tuple(slice(a, a + n) for a, n in zip(start, mask.shape, strict=True))
        part = labels[place]
        free = mask & (part == 0)
        if not free.any():
            continue
        part[free] = len(drawn) + 1
        places.append(place)
        drawn.append(
            NoduleSummary(
                f"{candidate.nodule_id} reading {number + 1}",
                outline_of_mask(mask, start),
                ratings=(candidate.readings[number],),
                volume_mm3=float(mask.sum()) * grid.voxel_volume_mm3,
            )
        )
    return SparseVolume.within(labels, places), drawn


def _outlines(
    candidates: Sequence[NoduleCandidate], number: int
) -> Iterator[tuple[NoduleCandidate, np.ndarray, tuple[int, int, int]]]:
    for candidate in candidates:
        masks = candidate.masks
        if masks is not None and number < len(candidate.readings) and masks.masks[number].any():
            yield candidate, masks.masks[number], masks.start
