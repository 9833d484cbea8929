"""DICOM objects of a session: the nodules as a Segmentation, the reader's verdicts as a Structured Report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from highdicom.seg import SegmentAlgorithmTypeValues
from pydicom.dataset import Dataset

from ctxai.annotations import AnnotatedNodule
from ctxai.ct.series import CTSeries
from ctxai.ct.volume import CT
from ctxai.errors import InputError
from ctxai.export.dicom.segmentation import SegmentedNodule, write_nodule_segmentation
from ctxai.export.dicom.source import SourceSeries, why_no_objects
from ctxai.export.dicom.structured_report import write_structured_report
from ctxai.export.nodule_summary import NamedValue, NoduleSummary
from ctxai.export.outline import outline_of_mask
from ctxai.export.provenance import Provenance
from ctxai.export.sparse import zeros
from ctxai.files import json_sha256
from ctxai.generations import new_generation
from ctxai.inference.summary import summarise_nodule
from ctxai.open.marks import VERDICTS, Mark
from ctxai.open.outline import VoxelBlock, nodule_mask
from ctxai.results_folder import DICOM

if TYPE_CHECKING:
    from ctxai.run.run import Run

_AGREE, _DISAGREE, _MISLEADING = VERDICTS


def write_objects(
    folder: Path,
    series: CT,
    marks: Sequence[Mark],
    reviews: Mapping[str, Mapping[str, Any]],
    run: Run,
) -> list[str]:
    """Write the nodules of a series and what the reader says of them; they replace those written before.

    Args:
        folder: the series' folder in the session; ``ctxai send`` takes what is in it.
        series: the CT.
        marks: marked and accepted nodules.
        reviews: the last verdict of each nodule that has one, a row of review.csv, by nodule id.
        run: the model, which measures the outlines.

    Returns:
        Paths of the files in ``folder``.

    Raises:
        InputError: without a nodule, for a CT that no DICOM object can lie on, or when the disk is full.
    """
    if not marks:
        raise InputError("there is no marked or accepted nodule to write")
    if not isinstance(series, CTSeries):
        raise InputError(
            "DICOM objects need the headers of a DICOM series, which this CT lacks; points.csv has the marks"
        )
    if reason := why_no_objects(series):
        raise InputError(f"no DICOM object can lie on this CT: {reason}")
    source = SourceSeries.from_series(series)
    provenance = Provenance(
        "outline",
        "nodule",
        run=run.name,
        weights_sha256=run.weights_sha256,
        explained=tuple(mark.nodule_id for mark in marks),
        signed=False,
    )
    measured = [_measured(series, mark, reviews.get(mark.nodule_id, {}), run) for mark in marks]
    digest = json_sha256([[mark.to_json() for mark in marks], {name: dict(row) for name, row in reviews.items()}])
    with new_generation(folder, digest, None, ()) as generation:
        dicom = generation.folder / DICOM
        references = _write_segmentation(dicom / "seg" / "nodules.dcm", measured, source, provenance)
        summaries = [summary for summary, _ in measured]
        title = "Reader's verdict on nodules"
        write_structured_report(dicom / "sr" / "nodules.dcm", summaries, source, provenance, references, title)
        return [path.relative_to(generation.folder).as_posix() for path in sorted(dicom.rglob("*.dcm"))]


def _measured(
    series: CTSeries, mark: Mark, review: Mapping[str, Any], run: Run
) -> tuple[NoduleSummary, VoxelBlock | None]:
    """A nodule with prediction, outline and verdict."""
    from ctxai import api

    nodule = AnnotatedNodule(mark.nodule_id, np.array(mark.lps), None, mark.diameter_mm)
    found = api.explain(series, [nodule], run=run, methods=(), trust=False, device=str(run.model.device))
    summary = summarise_nodule(series, found.nodules[0], found.rows[0], run.own)
    block = nodule_mask(run, found.nodules[0].patch, series.grid)
    if block is not None:
        start, mask = block
        volume = float(mask.sum()) * series.grid.voxel_volume_mm3
        summary = replace(summary, outline=outline_of_mask(mask, start), volume_mm3=volume)
    rating = review.get("rating")
    ratings: tuple[Mapping[str, int], ...] = () if rating is None else ({"malignancy": rating},)
    return replace(summary, ratings=ratings, figures=(*summary.figures, *_verdict(review))), block


def _verdict(review: Mapping[str, Any]) -> Iterator[NamedValue]:
    """Answers of the reader; the free text may name anyone and stays in review.csv."""
    verdict = review.get("verdict")
    if verdict in (_AGREE, _DISAGREE):
        yield NamedValue("Reader agrees with the model", float(verdict == _AGREE), answer=True)
    elif verdict == _MISLEADING:
        yield NamedValue("Reader finds the map misleading", 1.0, answer=True)
    if verdict:
        yield NamedValue("Reader had seen the map", float(bool(review.get("map_shown"))), answer=True)


def _write_segmentation(
    path: Path,
    measured: Sequence[tuple[NoduleSummary, VoxelBlock | None]],
    source: SourceSeries,
    provenance: Provenance,
) -> list[Dataset]:
    """Write the outlined nodules; of two that overlap, the first keeps a voxel."""
    labels = zeros((len(source.images), source.images[0].Rows, source.images[0].Columns), np.uint16)
    segments: list[SegmentedNodule] = []
    for summary, block in measured:
        if block is None:
            continue
        start, mask = block
        part = labels[tuple(slice(a, a + n) for a, n in zip(start, mask.shape, strict=True))]
        free = mask & (part == 0)
        if free.any():
            segments.append(SegmentedNodule(summary.nodule_id, SegmentAlgorithmTypeValues.SEMIAUTOMATIC))
            part[free] = len(segments)
    return [write_nodule_segmentation(path, labels, segments, source, provenance, deflated=False)] if segments else []
