"""The DICOM objects that say something beyond a map: structured report, PDF, colour slices, readers' outlines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from ctxai.ct.series import CTSeries
from ctxai.disclaimer import RESEARCH_USE_ONLY
from ctxai.export.dicom.encapsulated_pdf import write_encapsulated_pdf
from ctxai.export.dicom.secondary_capture import write_secondary_capture
from ctxai.export.dicom.segmentation import SegmentedNodule, write_nodule_segmentation
from ctxai.export.dicom.source import SourceSeries
from ctxai.export.dicom.structured_report import write_structured_report
from ctxai.export.nodule_summary import NoduleSummary
from ctxai.export.outline import outline_of_mask
from ctxai.export.pdf import NodulePage, pdf_report
from ctxai.export.provenance import Provenance
from ctxai.inference.nodule import UNMEASURED_DIAMETER_MM, ExplainedNodule
from ctxai.report.slices import fused_slice
from ctxai.report.tiles import nodule_tile

_READINGS_SERIES_NUMBER = 9010
_READINGS_REPORT_NUMBER = 9202


def write_colour_slices(
    folder: Path,
    series: CTSeries,
    volume: np.ndarray,
    scale: float,
    nodules: Sequence[ExplainedNodule],
    source: SourceSeries,
    provenance: Provenance,
) -> None:
    """Write every slice that a nodule touches, with the map over it, as Secondary Capture.

    Args:
        folder: where.
        series: the CT.
        volume: the map on the CT's grid.
        scale: its largest magnitude.
        nodules: the nodules.
        source: the CT as source of DICOM objects.
        provenance: how the map was made.
    """
    words = f"{provenance.method} {provenance.target} - {RESEARCH_USE_ONLY}"
    numbers = sorted({number for nodule in nodules for number in slices_of(series, nodule)})
    pictures = {n: fused_slice(series.read(n, n + 1)[0], volume[n] / scale, words) for n in numbers}
    write_secondary_capture(folder, pictures, source, provenance)


def slices_of(series: CTSeries, nodule: ExplainedNodule) -> list[int]:
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


def write_pdf(
    path: Path,
    series: CTSeries,
    nodules: Sequence[ExplainedNodule],
    said: Sequence[NoduleSummary],
    source: SourceSeries,
    provenance: Provenance,
) -> None:
    """Write a page per nodule with the first method's map of the first target.

    Args:
        path: file to write.
        series: the CT.
        nodules: what was explained.
        said: what is said of each.
        source: the CT as source of DICOM objects.
        provenance: how predictions and maps came to be.
    """
    pages = []
    for nodule, words in zip(nodules, said, strict=True):
        (method, target), fused = next(iter(nodule.maps.items()))
        number = source.images[words.outline.slice_index].get("InstanceNumber")
        x, y, z = nodule.candidate.centre_lps
        image = f"image {number}" if number is not None else f"slice {words.outline.slice_index + 1}"
        outline = "; green: the readers' consensus" if nodule.inside is not None else ""
        pages.append(
            NodulePage(
                words,
                f"{image} of {len(source.images)}, centre ({x:.1f}, {y:.1f}, {z:.1f}) mm LPS",
                nodule_tile(nodule.patch.hu, fused.values, nodule.inside),
                f"Axial, coronal, sagittal; below with the map of {method} for {target}: yellow to red speaks for it, "
                f"blue against it{outline}.",
            )
        )
    write_encapsulated_pdf(path, pdf_report(pages, provenance), source, provenance)


def write_readings(
    folder: Path, series: CTSeries, nodules: Sequence[ExplainedNodule], source: SourceSeries
) -> list[Dataset]:
    """Write what each reader drew and rated: a Segmentation per reading, and one report of all ratings.

    LIDC-IDRI does not tell which reader is which: reading 1 of two nodules may be two persons'.

    Args:
        folder: where ``seg`` and ``sr`` are.
        series: the CT.
        nodules: the nodules; mere points are passed over.
        source: the CT as source of DICOM objects.

    Returns:
        References to the objects; none where no reader drew anything.
    """
    written: list[Dataset] = []
    said: list[NoduleSummary] = []
    read = [nodule.candidate for nodule in nodules if nodule.candidate.masks is not None]
    for number in range(max((len(candidate.readings) for candidate in read), default=0)):
        labels = np.zeros(series.grid.shape, dtype=np.uint16)
        drawn: list[SegmentedNodule] = []
        for candidate in read:
            if number >= len(candidate.readings) or not candidate.masks.masks[number].any():
                continue
            mask, start = candidate.masks.masks[number], candidate.masks.start
            part = labels[tuple(slice(a, a + n) for a, n in zip(start, mask.shape, strict=True))]
            free = mask & (part == 0)
            if not free.any():
                continue
            name = f"{candidate.nodule_id} reading {number + 1}"
            drawn.append(SegmentedNodule(name))
            part[free] = len(drawn)
            said.append(
                NoduleSummary(
                    name,
                    outline_of_mask(mask, start),
                    ratings=(candidate.readings[number],),
                    volume_mm3=float(mask.sum()) * series.grid.voxel_volume_mm3,
                )
            )
        if drawn:
            made = Provenance(f"reading {number + 1}", "outlines", explained=tuple(one.nodule_id for one in drawn))
            path = folder / "seg" / f"reading_{number + 1}.dcm"
            written.append(
                write_nodule_segmentation(path, labels, drawn, source, made, _READINGS_SERIES_NUMBER + number)
            )
    if said:
        made = Provenance("readers", "outlines and ratings", explained=tuple(one.nodule_id for one in said))
        written.append(
            write_structured_report(
                folder / "sr" / "readings.dcm",
                said,
                source,
                made,
                list(written),
                title="Readers' ratings",
                series_number=_READINGS_REPORT_NUMBER,
            )
        )
    return written


def provenance_of_all(each: Sequence[Provenance]) -> Provenance:
    """How everything that is said came to be: all methods and targets at once."""
    return replace(
        each[0],
        method=", ".join(dict.fromkeys(one.method for one in each)),
        target=", ".join(dict.fromkeys(one.target for one in each)),
        options={one.stem: one.options for one in each} if len(each) > 1 else each[0].options,
        reference="; ".join(dict.fromkeys(one.reference for one in each)),
    )
