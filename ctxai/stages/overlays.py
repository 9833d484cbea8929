"""Everything that is written for one explained series: NIfTI, Parametric Maps, Segmentations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ctxai.ct.grid import Grid
from ctxai.ct.series import CTSeries
from ctxai.errors import InputError
from ctxai.explain.base import Attribution
from ctxai.export.nifti import write_nifti
from ctxai.export.overlay import merge_maps, scale_of, to_ct_grid
from ctxai.export.parametric_map import write_parametric_maps
from ctxai.export.provenance import Provenance
from ctxai.export.segmentation import SegmentedNodule, write_heat_bands, write_nodule_segmentation
from ctxai.export.source import SourceSeries
from ctxai.models.run import Run
from ctxai.stages.nodule import ExplainedNodule
from ctxai.stages.targets import NamedTarget, identity_of, name_of

FORMATS = ("nifti", "pmap", "seg")


def parse_formats(text: str) -> tuple[str, ...]:
    """``"nifti,pmap"`` as names out of :data:`FORMATS`.

    Raises:
        InputError: for another name.
    """
    formats = tuple(part.strip() for part in text.split(",") if part.strip())
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise InputError(f"--formats {text}: expected some of {','.join(FORMATS)}")
    return formats


def write_overlays(
    folder: Path,
    series: CTSeries,
    nodules: Sequence[ExplainedNodule],
    run: Run,
    methods: Sequence[Attribution],
    targets: Sequence[NamedTarget],
    formats: Sequence[str],
    spread: bool = False,
) -> None:
    """Write the objects of ``formats`` into ``folder``, each on the CT's own grid; ``spread`` goes with nifti.

    Raises:
        InputError: when the disk is full, or the CT lacks what a DICOM object must refer to.
    """
    dicom = SourceSeries.from_series(series) if {"pmap", "seg"} & set(formats) else None
    labels, outlined = _nodule_labels(series, nodules)
    readers = Provenance("readers", "50 % consensus", explained=tuple(n.finding.nodule_id for n in outlined))
    if "nifti" in formats:
        write_nifti(folder / "ct.nii.gz", series.read(), series.grid)
        if outlined:
            write_nifti(folder / "nodules.nii.gz", labels, series.grid, readers)
    if "seg" in formats and outlined:
        segments = [SegmentedNodule(nodule.finding.nodule_id) for nodule in outlined]
        write_nodule_segmentation(folder / "dicom" / "seg" / "nodules.dcm", labels, segments, dicom, readers)
    for method in methods:
        for target in targets:
            provenance = Provenance(
                method=method.name,
                target=name_of(target),
                options=method.options | identity_of(target),
                reference=method.reference,
                run=run.name,
                weights_sha256=run.weights_sha256,
                explained=tuple(nodule.finding.nodule_id for nodule in nodules),
                signed=method.signed,
            )
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
                write_parametric_maps(folder / "dicom" / "pmap", volume, dicom, provenance, scale)
            if "seg" in formats:
                path = folder / "dicom" / "seg" / f"{provenance.stem}_bands.dcm"
                write_heat_bands(path, volume, dicom, provenance, scale)


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
        spread = to_ct_grid(fused.spread, nodule.patch.grid, grid)
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
        masks = nodule.finding.masks
        if masks is None or not masks.consensus().any():
            continue
        outlined.append(nodule)
        mask = masks.consensus()
        part = labels[tuple(slice(a, a + n) for a, n in zip(masks.start, mask.shape, strict=True))]
        part[mask & (part == 0)] = len(outlined)
    return labels, outlined
