"""DICOM RT Structure Set: closed planar contours, and points, in LPS mm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
from matplotlib.path import Path as Polygon
from pydicom.uid import RTStructureSetStorage

from ctxai.annotations.base import AnnotatedNodule, Annotations, AnnotationSource, CTDescription
from ctxai.annotations.dicom_objects import NODULE_WORDS, grid_of_slices, nodule_names, numbers, read_object, sop_class
from ctxai.ct.dicom_errors import PARSE_ERRORS
from ctxai.ct.grid import Grid
from ctxai.ct.identity import exact_text
from ctxai.ct.mask import VoxelMask
from ctxai.errors import InputError, kind_of

#: A pixel's centre this near a contour, in pixels, lies on it: much software draws through the centres of its pixels.
_ON_CONTOUR = 0.01
#: RT ROI Interpreted Types that are no nodule.
_OTHER_TYPES = {"EXTERNAL", "ORGAN", "SUPPORT", "FIXATION", "AVOIDANCE", "CONTROL", "DOSE_REGION", "PTV", "CTV"}


class RTStruct(AnnotationSource):
    """Regions of an RT Structure Set; where some are called nodules, lesions or GTV, only those.

    Contours of one slice that lie in each other are holes (even-odd rule). Source: DICOM PS3.3 C.8.8.5 and C.8.8.6.

    Raises:
        InputError: when it is missing, no RT Structure Set, damaged, or has no contour.
    """

    name = "rtstruct"
    description = "DICOM RT Structure Set: one nodule a region"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        dataset = read_object(path, [RTStructureSetStorage], "a DICOM RT Structure Set")
        try:
            self._frames = {
                int(roi.ROINumber): str(roi.get("ReferencedFrameOfReferenceUID", ""))
                for roi in dataset.StructureSetROISequence
            }
            self._regions = _regions(dataset)
        except PARSE_ERRORS as error:
            raise InputError(f"{path}: not a readable RT Structure Set ({kind_of(error)}: {error})") from None
        if not self._regions:
            raise InputError(f"{path}: none of its regions of interest has a contour")
        self._patient = exact_text(dataset, "PatientID")

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether its SOP class is RT Structure Set."""
        return sop_class(path) == RTStructureSetStorage

    def nodules(self, cts: Sequence[CTDescription]) -> Annotations:
        """Every region, rasterised on the CT of its frame of reference."""
        names = nodule_names([label for _, label, _ in self._regions])
        found = []
        for (number, _, contours), name in zip(self._regions, names, strict=True):
            frame = self._frames[number]
            same = [ct for ct in cts if ct.headers and ct.headers[0].frame_of_reference_uid == frame]
            known = same or [ct for ct in cts if ct.headers]
            grid = grid_of_slices(known[0].headers) if known else None
            mask = None if grid is None else _rasterised(contours, grid)
            points = np.concatenate(contours)
            centre = (points.min(axis=0) + points.max(axis=0)) / 2 if mask is None else mask.centre_lps
            diameter = None if mask is None else mask.diameter_mm
            found.append(
                AnnotatedNodule(
                    name,
                    centre,
                    diameter_mm=diameter,
                    mask=mask,
                    frame_of_reference_uid=frame,
                    patient_id=self._patient,
                    origin=str(self.path),
                )
            )
        return Annotations(found)


def _regions(dataset: pydicom.Dataset) -> list[tuple[int, str, list[np.ndarray]]]:
    """Number, name and contours (point, LPS mm) of the regions that may be nodules."""
    labels = {int(roi.ROINumber): str(roi.get("ROIName", "")) for roi in dataset.StructureSetROISequence}
    kinds = {
        int(each.ReferencedROINumber): str(each.get("RTROIInterpretedType", ""))
        for each in dataset.get("RTROIObservationsSequence", [])
    }
    contours: dict[int, list[np.ndarray]] = {}
    for roi in dataset.get("ROIContourSequence", []):
        number = int(roi.ReferencedROINumber)
        for contour in roi.get("ContourSequence", []):
            points = numbers(contour.ContourData).reshape(-1, 3)
            if len(points):
                contours.setdefault(number, []).append(points)
    possible = [n for n in contours if n in labels and kinds.get(n, "") not in _OTHER_TYPES]
    named = [n for n in possible if NODULE_WORDS.search(f"{labels[n]} {kinds.get(n, '')}")]
    return [(n, labels[n], contours[n]) for n in named or possible]


def _rasterised(contours: Sequence[np.ndarray], grid: Grid) -> VoxelMask | None:
    """Voxels whose centre lies in a contour of their slice or on it, by the even-odd rule; None where there is none."""
    index = [grid.to_index(points) for points in contours if len(points) > 2]  # [column, row, slice]
    if not index:
        return None
    everything = np.concatenate(index)
    low = np.clip(np.floor(everything.min(axis=0)).astype(int), 0, np.array(grid.shape[::-1]) - 1)
    high = np.clip(np.ceil(everything.max(axis=0)).astype(int) + 1, low + 1, grid.shape[::-1])
    columns, rows = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]))
    voxels = np.zeros((high[2] - low[2], *rows.shape), bool)
    centres = np.column_stack([columns.ravel(), rows.ravel()])
    for points in index:
        number = int(np.rint(points[:, 2].mean())) - low[2]
        if 0 <= number < len(voxels):
            voxels[number] ^= _inside(points[:, :2], centres).reshape(rows.shape)
    if not voxels.any():
        return None
    return VoxelMask(voxels, grid.crop(low[::-1].tolist(), voxels.shape))


def _inside(contour: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Whether each centre (centre, 2) lies in a contour (point, 2) or on it, bool (centre,), whichever way it turns."""
    polygon = Polygon(contour)
    reach = 2 * _ON_CONTOUR  # matplotlib widens by half of it, or narrows, by the way that the contour turns
    return polygon.contains_points(centres, radius=reach) | polygon.contains_points(centres, radius=-reach)
