"""Check that a nodule lies at the mark and whole within the images, as a prediction assumes."""

from __future__ import annotations

import numpy as np

from ctxai.ct.roundness import roundness
from ctxai.data.settings import ViewConfig
from ctxai.run.explanation import UNMEASURED_DIAMETER_MM
from ctxai.run.recentring import displacement_mm
from ctxai.run.run import Run

_NEAR_MM = 4.0


def check_mark(run: Run, marked: np.ndarray, patch: np.ndarray, diameter_mm: float | None) -> dict[str, float]:
    """Columns of predictions.csv that tell a nodule from other tissue, and a whole one from one that is cut off.

    ``roundness``: of the HU at the nodule's size, see :func:`~ctxai.ct.roundness.roundness`. Of a run that has learnt
    outlines also the columns of :func:`check_outlines`.

    Args:
        run: the model.
        marked: patch about the mark (superior, posterior, left) at 1 mm, HU.
        patch: the same about the place that is predicted, which the run may have moved.
        diameter_mm: predicted size; 12 mm where it is not known.
    """
    found = {"roundness": roundness(patch, diameter_mm or UNMEASURED_DIAMETER_MM)}
    if run.model.has_outline:
        at_mark, about = (run.outlines(hu[None])[0].numpy() for hu in (marked, patch))
        found |= check_outlines(run.views, at_mark, about)
    return found


def check_outlines(views: ViewConfig, at_mark: np.ndarray, about: np.ndarray) -> dict[str, float]:
    """Columns of predictions.csv that the outlines of one nodule give.

    ``nodule_at_mark``: the largest share of nodule within 4 mm of the mark, mean of the views. ``outline_at_border``:
    the largest share on the border of any image. ``outline_off_centre_mm``: from the centre of the images, which follow
    a mark by at most ``views.recentre_mm``, to the middle of the outline; left out where images stay on the mark.

    Args:
        views: of the run that drew the outlines.
        at_mark: share of nodule in the images about the mark (view, row, column).
        about: the same about the place that is predicted.
    """
    side = at_mark.shape[-1]
    rows, columns = np.indices((side, side)) - (side - 1) / 2
    near = np.hypot(rows, columns) * views.field_of_view_mm / side < _NEAR_MM
    border = np.ones((side, side), bool)
    border[1:-1, 1:-1] = False
    found = {
        "nodule_at_mark": float(at_mark[:, near].max(axis=1).mean()),
        "outline_at_border": float(about[:, border].max()),
    }
    if views.recentre_mm:
        off_centre = displacement_mm(about, views.views, views.field_of_view_mm)
        found["outline_off_centre_mm"] = float(np.linalg.norm(off_centre))
    return found
