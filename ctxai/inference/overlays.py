"""Everything that is written for one explained series, chosen by format."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from ctxai.ct.grid import Grid
from ctxai.ct.series import CTSeries
from ctxai.deidentification.ct import CLEAN_CT, write_clean_ct
from ctxai.deidentification.profile import Confidentiality
from ctxai.errors import InputError
from ctxai.explain.base import Attribution
from ctxai.export.dicom.fractional import write_fractional_evidence
from ctxai.export.dicom.parametric_map import untried_in_ohif, write_parametric_maps
from ctxai.export.dicom.segmentation import SegmentedNodule, write_heat_bands, write_nodule_segmentation
from ctxai.export.dicom.source import SourceSeries
from ctxai.export.dicom.structured_report import write_structured_report
from ctxai.export.nifti import write_nifti
from ctxai.export.overlay import merge_maps, scale_of, to_ct_grid
from ctxai.export.provenance import Provenance
from ctxai.inference.crops import provenance_of
from ctxai.inference.dicom_reports import provenance_of_all, write_colour_slices, write_pdf, write_readings
from ctxai.inference.nodule import ExplainedNodule
from ctxai.inference.summary import reported_nodule
from ctxai.inference.targets import NamedTarget, name_of
from ctxai.run.run import Run
from ctxai.suggestions import did_you_mean

FORMATS = ("nifti", "pmap", "seg", "fractional", "sr", "sc", "pdf", "readers")

#: Files that a new run replaces or takes away.
_WRITTEN = ("ct.*", "nodules.nii.gz", "nodules.json", "maps/*", "dicom/*/*.dcm")

logger = logging.getLogger(__name__)


def parse_formats(text: str) -> tuple[str, ...]:
    """``"nifti,pmap"`` as names out of :data:`FORMATS`.

    Raises:
        InputError: for another name.
    """
    formats = tuple(part.strip() for part in text.split(",") if part.strip())
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        meant = did_you_mean(unknown[0], FORMATS) if unknown else ""
        raise InputError(f"--formats {text}: expected some of {','.join(FORMATS)}{meant}")
    return formats


def write_overlays(
    folder: Path,
    series: CTSeries,
    nodules: Sequence[ExplainedNodule],
    rows: Sequence[Mapping[str, Any]],
    run: Run,
    methods: Sequence[Attribution],
    targets: Sequence[NamedTarget],
    formats: Sequence[str],
    spread: bool = False,
    confidentiality: Confidentiality | None = None,
) -> None:
    """Write the objects of ``formats`` into ``folder``, each on the CT's own grid, in place of what was there.

    Args:
        folder: the series' folder of results.
        series: the CT.
        nodules: what was explained.
        rows: the nodules' lines of predictions.csv.
        run: the model.
        methods: the methods that explained them.
        targets: the targets that were explained.
        formats: out of :data:`FORMATS`.
        spread: write the spread over views beside each NIfTI map.
        confidentiality: where given, everything is deidentified; DICOM objects get the CT beside them that they lie on.

    Raises:
        InputError: when the disk is full, or the CT lacks what a DICOM object must refer to.
    """
    before = {path: path.stat().st_ino for pattern in _WRITTEN for path in folder.glob(pattern)}
    dicom = SourceSeries.from_series(series, confidentiality) if set(formats) - {"nifti"} else None
    objects = folder / "dicom"
    if dicom is not None and confidentiality is not None and not confidentiality.keeps_references:
        write_clean_ct(objects / CLEAN_CT, series, confidentiality)
    untried = "pmap" in formats and untried_in_ohif(series.grid)
    if untried:
        logger.warning("%s: %s; OHIF may misplace its Parametric Map, use the bands in dicom/seg", folder, untried)
    written = _write_nodules(folder, series, nodules, formats, dicom)
    each = []
    for method in methods:
        for target in targets:
            provenance = provenance_of(method, target, run, nodules)
            each.append(provenance)
            key = method.name, name_of(target)
            volume = merge_maps(((n.maps[key].values, n.patch.grid) for n in nodules), series.grid)
            if "nifti" in formats:
                write_nifti(folder / "maps" / f"{provenance.stem}.nii.gz", volume, series.grid, provenance)
            if "nifti" in formats and spread:
                over_views = replace(
                    provenance,
                    options=provenance.options | {"statistic": "standard deviation over views"},
                    signed=False,
                )
                path = folder / "maps" / f"{provenance.stem}_spread.nii.gz"
                write_nifti(path, merge_spreads(nodules, key, series.grid), series.grid, over_views)
            scale = scale_of(volume)
            if "pmap" in formats:
                written += write_parametric_maps(objects / "pmap", volume, dicom, provenance, scale)
            if "seg" in formats or untried:
                path = objects / "seg" / f"{provenance.stem}_bands.dcm"
                written.append(write_heat_bands(path, volume, dicom, provenance, scale))
            if "fractional" in formats:
                path = objects / "seg" / f"{provenance.stem}_graded.dcm"
                written.append(write_fractional_evidence(path, volume, dicom, provenance, scale))
            if "sc" in formats:
                write_colour_slices(objects / "sc", series, volume, scale, nodules, dicom, provenance)
    if {"sr", "pdf"} & set(formats):
        said = [reported_nodule(series, nodule, row) for nodule, row in zip(nodules, rows, strict=True)]
        provenance = provenance_of_all(each)
        if "sr" in formats:
            write_structured_report(objects / "sr" / "nodules.dcm", said, dicom, provenance, written)
        if "pdf" in formats:
            write_pdf(objects / "pdf" / "nodules.dcm", series, nodules, said, dicom, provenance)
    if "readers" in formats:
        write_readings(objects, series, nodules, dicom)
    for path, inode in before.items():
        if path.stat().st_ino == inode:  # left by an earlier run with other methods, targets or formats
            path.unlink()


def _write_nodules(
    folder: Path,
    series: CTSeries,
    nodules: Sequence[ExplainedNodule],
    formats: Sequence[str],
    dicom: SourceSeries | None,
) -> list[Dataset]:
    """The CT and the readers' consensus as NIfTI and Segmentation; references to the DICOM objects."""
    labels, outlined = _nodule_labels(series, nodules)
    readers = Provenance("readers", "50 % consensus", explained=tuple(n.candidate.nodule_id for n in outlined))
    if "nifti" in formats:
        write_nifti(folder / "ct.nii.gz", series.read(), series.grid)
        if outlined:
            write_nifti(folder / "nodules.nii.gz", labels, series.grid, readers)
    if "seg" not in formats or not outlined:
        return []
    segments = [SegmentedNodule(nodule.candidate.nodule_id) for nodule in outlined]
    return [write_nodule_segmentation(folder / "dicom" / "seg" / "nodules.dcm", labels, segments, dicom, readers)]


def merge_spreads(nodules: Sequence[ExplainedNodule], key: tuple[str, str], grid: Grid) -> np.ndarray:
    """The spread over views of what :func:`~ctxai.export.overlay.merge_maps` shows, float32 on the CT's grid.

    Where patches overlap, it is that of the nodule whose value stands there. 0 where no two views cover a voxel.
    """
    shown = np.zeros(grid.shape, dtype=np.float32)
    volume = np.zeros(grid.shape, dtype=np.float32)
    taken = np.zeros(grid.shape, dtype=bool)
    for nodule in nodules:
        fused = nodule.maps[key]
        values = to_ct_grid(fused.values, nodule.patch.grid, grid)
        spread = to_ct_grid(fused.std, nodule.patch.grid, grid)
        place = values.place
        stands = values.covered & (~taken[place] | (np.abs(values.values) > np.abs(shown[place])))
        np.copyto(shown[place], values.values, where=stands)
        np.copyto(volume[place], spread.values, where=stands)
        taken[place] |= stands
    return volume


def _nodule_labels(series: CTSeries, nodules: Sequence[ExplainedNodule]) -> tuple[np.ndarray, list[ExplainedNodule]]:
    """Consensus masks as labels 1, 2, … on the CT's grid, and the nodules they belong to; the first keeps a voxel."""
    labels = np.zeros(series.grid.shape, dtype=np.uint16)
    outlined: list[ExplainedNodule] = []
    for nodule in nodules:
        masks = nodule.candidate.masks
        if masks is None or not masks.consensus().any():
            continue
        outlined.append(nodule)
        mask = masks.consensus()
        part = labels[tuple(slice(a, a + n) for a, n in zip(masks.start, mask.shape, strict=True))]
        part[mask & (part == 0)] = len(outlined)
    return labels, outlined
