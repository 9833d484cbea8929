"""Label volumes as nodules: one a label, or one a connected component where there is a single label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import find_objects, label

from ctxai.annotations.base import AnnotatedNodule
from ctxai.annotations.dicom_objects import nodule_names
from ctxai.ct.grid import Grid
from ctxai.ct.mask import VoxelMask

#: Voxels that touch at a corner belong together.
_TOUCHING = np.ones((3, 3, 3), bool)


def components(voxels: np.ndarray) -> list[np.ndarray]:
    """Connected components of a mask, bool [slice, row, column] each, in the order of their first voxels."""
    numbered, count = label(voxels, _TOUCHING)
    return [numbered == number for number in range(1, count + 1)]


def nodules_of(masks: Sequence[np.ndarray], labels: Sequence[str], grid: Grid, origin: str) -> list[AnnotatedNodule]:
    """Nodules of masks on one grid.

    Args:
        masks: bool [slice, row, column]; empty ones are left out; a single one is split into its components.
        labels: names, one a mask.
        grid: of the masks.
        origin: file, for messages.
    """
    found = [(mask, text) for mask, text in zip(masks, labels, strict=True) if mask.any()]
    if len(found) == 1 and len(parts := components(found[0][0])) > 1:
        found = [(part, "") for part in parts]
    names = nodule_names([text for _, text in found])
    nodules = []
    for (mask, _), name in zip(found, names, strict=True):
        box = find_objects(mask.astype(np.uint8))[0]
        cropped = VoxelMask(mask[box], grid.crop([side.start for side in box], mask[box].shape))
        nodules.append(
            AnnotatedNodule(name, cropped.centre_lps, diameter_mm=cropped.diameter_mm, mask=cropped, origin=origin)
        )
    return nodules
