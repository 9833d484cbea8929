"""A CT with one bright ball, and every kind of overlay with its heat on that ball: nothing about it is symmetric."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ctxai.ct.series import read_series
from ctxai.export import (
    Estimate,
    NamedValue,
    NoduleSummary,
    Provenance,
    SegmentedNodule,
    SourceSeries,
    outline_of_mask,
    write_heat_bands,
    write_nodule_segmentation,
    write_parametric_maps,
    write_structured_report,
)

from synthetic_ct import ct_grid, write_ct

SHAPE = (30, 128, 128)
SPACING_MM = (1.6, 1.6, 2.5)
#: Where the ball is: [slice, row, column] as the CT is drawn, off the middle in each direction.
BALL = np.array([20, 44, 88])
RADIUS_MM = 12.4
#: What the report says about it.
MALIGNANCY, LOW, HIGH = 3.72, 2.65, 4.81


@dataclass(frozen=True)
class PhantomStudy:
    """Files of the phantom.

    Attributes:
        folder: ``ct/`` and ``dicom/{pmap,seg,sr}/``.
        study_uid: Study Instance UID.
        centre: the ball's, LPS mm.
        mirrored: the same place in the slice as far from the other end of the scan, LPS mm; nothing is there.
    """

    folder: Path
    study_uid: str
    centre: np.ndarray
    mirrored: np.ndarray

    @property
    def files(self) -> list[Path]:
        return sorted(self.folder.rglob("*.dcm"))


def write_phantom(folder: Path, name: str = "axial", file_order: list[int] | None = None, **grid: Any) -> PhantomStudy:
    """Write a study of its own.

    Args:
        folder: where.
        name: studies of different names have different UIDs.
        file_order: as for `write_ct`.
        grid: how the scan lies, as for `ct_grid`.
    """
    drawn = ct_grid(SHAPE, SPACING_MM, **{"origin_lps": (-120.0, -110.0, -40.0)} | grid)
    squared_mm = _squared_distance_mm(BALL)
    _, y, x = np.indices(SHAPE)
    body = ((x - 64) / 60) ** 2 + ((y - 64) / 50) ** 2
    hu = np.where(body > 1, -1000, -850).astype(np.int16)
    hu[(body <= 1) & (body > 0.8)] = 40
    hu[:, 90:94, 30:60] = 100
    hu[squared_mm <= RADIUS_MM**2] = 60
    study_uid = f"1.2.826.0.1.3680043.8.498.{sum(ord(c) * 31**i for i, c in enumerate(name))}"
    write_ct(folder / "ct", hu, drawn, file_order=file_order, seed=name, attributes={"StudyInstanceUID": study_uid})
    series = read_series(folder / "ct")
    centre = drawn.to_lps(BALL[::-1])
    ball = np.round(series.grid.to_index(centre))[::-1].astype(int)
    _write_overlays(folder / "dicom", SourceSeries.from_series(series), ball)
    mirrored = np.array([SHAPE[0] - 1 - ball[0], ball[1], ball[2]])
    return PhantomStudy(folder, study_uid, centre, series.grid.to_lps(mirrored[::-1]))


def _write_overlays(folder: Path, source: SourceSeries, ball: np.ndarray) -> None:
    squared_mm = _squared_distance_mm(ball)
    heat = np.where(squared_mm < 400, np.exp(-squared_mm / 128), 0).astype(np.float32)
    labels = (squared_mm <= RADIUS_MM**2).astype(np.uint8)
    provenance = Provenance("cdam", "malignancy", explained=("phantom/1",))
    readers = Provenance("readers", "50 % consensus")
    written = [
        *write_parametric_maps(folder / "pmap", heat, source, provenance),
        write_heat_bands(folder / "seg" / "bands.dcm", heat, source, provenance),
        write_nodule_segmentation(
            folder / "seg" / "nodules.dcm", labels, [SegmentedNodule("phantom/1")], source, readers
        ),
    ]
    nodule = NoduleSummary(
        "phantom/1",
        outline_of_mask(labels > 0),
        (Estimate("malignancy", MALIGNANCY, LOW, HIGH), Estimate("spiculation", 1.43)),
        (NamedValue("cdam: fidelity", 0.87),),
    )
    write_structured_report(folder / "sr" / "report.dcm", [nodule], source, provenance, written)


def _squared_distance_mm(centre: np.ndarray) -> np.ndarray:
    distance_mm = (np.indices(SHAPE).T - centre).T * np.array(SPACING_MM[::-1])[:, None, None, None]
    return (distance_mm**2).sum(axis=0)
