"""CT series made for tests: valid CT Image objects on any grid, with the same bytes every time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from ctxai.ct.grid import Grid

AXIAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
#: Rows run to the patient's right and slices to inferior: the scan of a patient who entered feet first.
FEET_FIRST = ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
CORONAL = ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0))


def ct_grid(
    shape: tuple[int, int, int] = (12, 24, 32),
    spacing_mm: tuple[float, float, float] = (0.7, 0.8, 2.5),
    origin_lps: Sequence[float] = (-50.0, -40.0, -120.0),
    orientation: tuple[Sequence[float], Sequence[float]] = AXIAL,
    tilt_deg: float = 0.0,
) -> Grid:
    """The grid of a scan.

    Args:
        shape: voxels (slice, row, column).
        spacing_mm: distance of neighbouring columns, rows and slices.
        origin_lps: centre of the first voxel.
        orientation: direction of a row and of a column, as ImageOrientationPatient has them.
        tilt_deg: gantry tilt: the slices are stacked this far off the normal of the image plane, about the row.
    """
    row, column = (np.asarray(direction, dtype=float) for direction in orientation)
    normal = np.cross(row, column)
    affine = np.eye(4)
    affine[:3, 0] = row * spacing_mm[0]
    affine[:3, 1] = column * spacing_mm[1]
    affine[:3, 2] = (normal + np.tan(np.radians(tilt_deg)) * column) * spacing_mm[2]
    affine[:3, 3] = origin_lps
    return Grid(tuple(shape), affine)


def rotated(degrees: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Axial row and column directions turned by ``degrees`` about an axis that is none of the patient's."""
    axis = np.array([2.0, -1.0, 2.0]) / 3
    angle = np.radians(degrees)
    cross = np.cross(np.eye(3), axis)
    rotation = np.eye(3) * np.cos(angle) + cross.T * np.sin(angle) + np.outer(axis, axis) * (1 - np.cos(angle))
    return tuple(rotation[:, 0].tolist()), tuple(rotation[:, 1].tolist())


def write_ct(
    folder: Path,
    hu: np.ndarray,
    grid: Grid | None = None,
    *,
    file_order: Sequence[int] | None = None,
    seed: str = "synthetic",
    attributes: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Write a CT series, one file per slice, named by its place in ``file_order``.

    Args:
        folder: where; made when absent.
        hu: Hounsfield units, int16 [slice, row, column].
        grid: where the voxels are; axial by default.
        file_order: slice numbers in the order of file names and InstanceNumber; ascending by default.
        seed: series of different seeds have different UIDs, and the same patient and study.
        attributes: keyword to value, put in every image; None removes the attribute.

    Returns:
        The files, slice by slice as in ``hu``.
    """
    grid = ct_grid(hu.shape) if grid is None else grid
    if hu.shape != grid.shape:
        raise ValueError(f"hu {hu.shape} does not fit the grid {grid.shape}")
    folder.mkdir(parents=True, exist_ok=True)
    order = list(range(len(hu))) if file_order is None else list(file_order)
    files = [Path()] * len(hu)
    for place, number in enumerate(order):
        dataset = _image(hu[number], grid, number, seed)
        dataset.InstanceNumber = place + 1
        for keyword, value in (attributes or {}).items():
            if value is None:
                dataset.pop(keyword, None)
            else:
                setattr(dataset, keyword, value)
        files[number] = folder / f"{place + 1:03d}.dcm"
        dataset.save_as(files[number], enforce_file_format=True)
    return files


def _image(hu: np.ndarray, grid: Grid, number: int, seed: str) -> Dataset:
    """One CT image."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = _uid(seed, "image", number)
    dataset.StudyInstanceUID = _uid("study")
    dataset.SeriesInstanceUID = _uid(seed, "series")
    dataset.FrameOfReferenceUID = _uid(seed, "frame of reference")
    dataset.PatientName = "Phantom^Synthetic"
    dataset.PatientID = "SYNTHETIC-1"
    dataset.PatientBirthDate = "19600101"
    dataset.PatientSex = "O"
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = "20000101"
    dataset.StudyTime = dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = "120000"
    dataset.AccessionNumber = "1"
    dataset.StudyID = "1"
    dataset.ReferringPhysicianName = ""
    dataset.Modality = "CT"
    dataset.Manufacturer = "ctxai tests"
    dataset.SeriesNumber = 1
    dataset.SeriesDescription = "synthetic CT"
    dataset.BodyPartExamined = "CHEST"
    dataset.PatientPosition = "HFS"
    dataset.PositionReferenceIndicator = ""
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.AcquisitionNumber = 1
    dataset.KVP = 120
    spacing = grid.spacing_mm
    dataset.ImageOrientationPatient = _decimals(
        [*(grid.affine[:3, 0] / spacing[0]), *(grid.affine[:3, 1] / spacing[1])]
    )
    dataset.ImagePositionPatient = _decimals(grid.to_lps(np.array([0, 0, number])))
    dataset.PixelSpacing = _decimals([spacing[1], spacing[0]])
    dataset.SliceThickness = f"{abs(grid.affine[:3, 2] @ grid.normal):.6g}"
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = hu.shape
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 1
    dataset.RescaleIntercept = "-1024"
    dataset.RescaleSlope = "1"
    dataset.RescaleType = "HU"
    dataset.PixelData = (hu.astype(np.int32) + 1024).astype("<i2").tobytes()
    return dataset


def _uid(*entropy: object) -> str:
    return generate_uid(entropy_srcs=["ctxai", *map(str, entropy)])


def _decimals(values: Sequence[float]) -> list[str]:
    """Decimal strings of at most 16 characters."""
    return [f"{value:.10f}"[:16] for value in values]


#: Scans of 12 slices by name: how the images lie, and in which order the files come (the latter for `write_ct`).
SCANS: dict[str, dict[str, Any]] = {
    "axial": {},
    "permuted files": {"file_order": [7, 0, 11, 3, 9, 1, 5, 10, 2, 8, 4, 6]},
    "files from the top": {"file_order": list(range(11, -1, -1))},
    "feet first": {"orientation": FEET_FIRST, "origin_lps": (-27.6, -40.0, -92.5)},
    "oblique by 20 degrees": {"orientation": rotated(20)},
    "coronal": {"orientation": CORONAL, "origin_lps": (-50.0, -40.0, -90.0)},
}
