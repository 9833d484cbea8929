"""Label volumes: NIfTI, NRRD, MetaImage, and Slicer's ``.seg.nrrd``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ctxai.annotations.base import Annotations, AnnotationSource, CTDescription
from ctxai.annotations.voxels import nodules_of
from ctxai.ct.volume_file import SUFFIXES, read_image, suffix_of
from ctxai.errors import InputError

#: More labels than anyone marks nodules; a CT has thousands of values.
_MOST_LABELS = 200


class LabelVolume(AnnotationSource):
    """Nodules as labels of a volume: one a label, or one a connected component of the only label.

    Raises:
        InputError: when the file is missing, damaged, empty, or has more values than labels.
    """

    name = "mask"
    description = "label volume (NIfTI, NRRD, MetaImage, Slicer's .seg.nrrd): one nodule a label or component"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        image, grid = read_image(path)
        array = sitk.GetArrayViewFromImage(image)
        layers = array[..., None] if array.ndim == 3 else array
        segments = _segments(image)
        masks, labels = [], []
        for number in range(layers.shape[-1]):
            layer = layers[..., number]
            values = np.unique(layer)
            if len(values) > _MOST_LABELS or not (values == np.round(values)).all():
                raise InputError(
                    f"{path}: {len(values)} different values: a label volume has whole numbers, few of them"
                )
            for value in values[values != 0].tolist():
                masks.append(layer == value)
                labels.append(segments.get((number, int(value)), f"label-{int(value)}"))
        if not masks:
            raise InputError(f"{path}: no voxel has a label")
        self._nodules = nodules_of(masks, labels, grid, str(path))

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether its name ends as that of a volume."""
        return path.is_file() and suffix_of(path) in SUFFIXES

    def nodules(self, cts: Sequence[CTDescription]) -> Annotations:
        """Every label or component."""
        return Annotations(self._nodules)


def _segments(image: sitk.Image) -> dict[tuple[int, int], str]:
    """Names of Slicer's segments, by layer and label value."""
    found: dict[tuple[int, int], str] = {}
    number = 0
    while image.HasMetaDataKey(f"Segment{number}_LabelValue"):
        prefix = f"Segment{number}_"
        layer = image.GetMetaData(f"{prefix}Layer") if image.HasMetaDataKey(f"{prefix}Layer") else "0"
        name = image.GetMetaData(f"{prefix}Name") if image.HasMetaDataKey(f"{prefix}Name") else ""
        found[int(layer), int(image.GetMetaData(f"{prefix}LabelValue"))] = name
        number += 1
    return found
