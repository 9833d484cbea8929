"""Check that a nodule lies at the mark and whole within the images, as a prediction assumes."""

from __future__ import annotations

import numpy as np

from ctxai.ct.roundness import roundness
from ctxai.run.explanation import UNMEASURED_DIAMETER_MM
from ctxai.run.run import Run

_NEAR_MM = 4.0


def check_mark(run: Run, marked: np.ndarray, patch: np.ndarray, diameter_mm: float | None) -> dict[str, float]:
    """Columns of predictions.csv that tell a nodule from other tissue, and a whole one from one that is cut off.

    ``roundness``: of the HU at the nodule's size, see :func:`~ctxai.ct.roundness.roundness`. Of a run that has learnt
    outlines also ``nodule_at_mark``: the largest share of nodule that it sees within 4 mm of the mark, mean of the
    views; and ``outline_at_border``: the largest share on the border of any of its images.

    Args:
        run: the model.
        marked: patch about the mark (superior, posterior, left) at 1 mm, HU.
        patch: the same about the place that is predicted, which the run may have moved.
        diameter_mm: predicted size; 12 mm where it is not known.
    """
    found = {"roundness": roundness(patch, diameter_mm or UNMEASURED_DIAMETER_MM)}
    if run.model.has_outline:
        at_mark, about = (run.outlines(hu[None])[0].numpy() for hu in (marked, patch))
        side = at_mark.shape[-1]
        rows, columns = np.indices((side, side)) - (side - 1) / 2
        near = np.hypot(rows, columns) * run.views.field_of_view_mm / side < _NEAR_MM
        border = np.ones((side, side), bool)
        border[1:-1, 1:-1] = False
        found["nodule_at_mark"] = float(at_mark[:, near].max(axis=1).mean())
        found["outline_at_border"] = float(about[:, border].max())
    return found
