"""The readers' consensus of all nodules of a series, on the CT's grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ctxai.ct.grid import Grid
from ctxai.export.provenance import Provenance
from ctxai.export.sparse import SparseVolume, zeros
from ctxai.inference.nodule import ExplainedNodule

#: How the outlines came to be.
READERS = Provenance("readers", "50 % consensus")


def consensus_labels(grid: Grid, nodules: Sequence[ExplainedNodule]) -> tuple[SparseVolume, list[str]]:
    """Masks of at least half of the readers as labels.

    Args:
        grid: the CT's grid.
        nodules: nodules without a consensus are left out; of two that overlap, the first keeps a voxel.

    Returns:
        Labels 1, 2, …, uint16 [slice, row, column], and the ids of the nodules that they stand for.
    """
    labels = zeros(grid.shape, np.uint16)
    outlined: list[str] = []
    places: list[tuple[slice, ...]] = []
    for nodule in nodules:
        masks = nodule.candidate.masks
        if masks is None or not masks.consensus().any():
            continue
        outlined.append(nodule.candidate.nodule_id)
        mask = masks.consensus()
        places.append(tuple(slice(a, a + n) for a, n in zip(masks.start, mask.shape, strict=True)))
        part = labels[places[-1]]
        part[mask & (part == 0)] = len(outlined)
    return SparseVolume.within(labels, places), outlined
