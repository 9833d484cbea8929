"""Enhanced CT objects made for tests: one file with the frames of a volume (PS3.3 A.38)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedCTImageStorage

from ctxai.ct.grid import Grid

from synthetic_ct import write_ct


def write_enhanced(
    path: Path,
    hu: np.ndarray,
    grid: Grid,
    *,
    order: Sequence[int] | None = None,
    rescale: Callable[[int], tuple[float, float]] = lambda number: (1.0, -1024.0),
    content: Callable[[int], dict[str, Any]] = lambda number: {},
    seed: str = "enhanced",
) -> Path:
    """Write one Enhanced CT; orientation and spacing are shared, positions and rescaling are the frames' own.

    Args:
        path: file to write.
        hu: Hounsfield units, int16 [slice, row, column].
        grid: where the voxels are.
        order: slice numbers in the order of the frames; ascending by default.
        rescale: slope and intercept of a slice; (HU - intercept) / slope is stored, rounded.
        content: attributes of a slice's Frame Content Sequence.
        seed: of the UIDs.
    """
    files = write_ct(path.parent / f"{path.stem}-frames", hu, grid, seed=seed)
    images = [pydicom.dcmread(file) for file in files]
    for file in files:
        file.unlink()
    files[0].parent.rmdir()
    enhanced = images[0]
    enhanced.SOPClassUID = enhanced.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    frames, pixels = [], []
    for number in order or range(len(hu)):
        image, (slope, intercept) = images[number], rescale(number)
        groups = {
            "PlanePositionSequence": {"ImagePositionPatient": image.ImagePositionPatient},
            "FrameContentSequence": {"FrameAcquisitionNumber": 1, "StackID": "1"} | content(number),
            "PixelValueTransformationSequence": {
                "RescaleSlope": str(slope),
                "RescaleIntercept": str(intercept),
                "RescaleType": "HU",
            },
        }
        frames.append(functional_groups(groups))
        pixels.append(np.rint((hu[number] - intercept) / slope).astype("<i2").tobytes())
    shared = {
        "PixelMeasuresSequence": {
            "PixelSpacing": enhanced.PixelSpacing,
            "SliceThickness": enhanced.SliceThickness,
        },
        "PlaneOrientationSequence": {"ImageOrientationPatient": enhanced.ImageOrientationPatient},
        "CTImageFrameTypeSequence": {"FrameType": ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]},
    }
    gone = ("PixelSpacing", "SliceThickness", "ImageOrientationPatient", "ImagePositionPatient", "AcquisitionNumber")
    for keyword in (*gone, "RescaleSlope", "RescaleIntercept", "RescaleType", "KVP", "AcquisitionTime", "ContentTime"):
        delattr(enhanced, keyword)
    enhanced.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "MIXED"]
    enhanced.NumberOfFrames = len(frames)
    enhanced.SharedFunctionalGroupsSequence = [functional_groups(shared)]
    enhanced.PerFrameFunctionalGroupsSequence = frames
    enhanced.PixelData = b"".join(pixels)
    path.parent.mkdir(parents=True, exist_ok=True)
    enhanced.save_as(path, enforce_file_format=True)
    return path


def functional_groups(groups: dict[str, dict[str, Any]]) -> Dataset:
    """An item of functional groups, each of one item."""
    item = Dataset()
    for sequence, attributes in groups.items():
        group = Dataset()
        for keyword, value in attributes.items():
            setattr(group, keyword, value)
        setattr(item, sequence, [group])
    return item
