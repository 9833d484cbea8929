"""Outlines that a run itself sees, and radiomic features in them for a logistic regression beside its pixels."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import interpolate

from ctxai.data.auxiliary import consensus, outline_shares
from ctxai.data.outline_features import outline_features
from ctxai.data.settings import ViewConfig
from ctxai.data.store import NoduleStore
from ctxai.data.views import render_own_views, view_planes
from ctxai.run.recentring import nodule_part
from ctxai.run.run import Run


def own_masks(run: Run, hu: torch.Tensor, centres_mm: torch.Tensor) -> np.ndarray:
    """The nodule in the central axial images of a run, bool (nodule, pixel row, pixel column).

    Args:
        run: a run that has learnt outlines and reads one axial slice.
        hu: patches, as `Run.outlines`.
        centres_mm: where the images lie, as `Run.recentre` gives it.
    """
    shares = run.outlines(hu, centres_mm)[:, :1]
    fine = interpolate(shares, size=run.views.pixels, mode="bilinear", align_corners=False)[:, 0].numpy()
    pixel_mm = run.views.field_of_view_mm / run.views.pixels
    return np.stack([nodule_part(one, pixel_mm) for one in fine])


def readers_masks(store: NoduleStore, rows: np.ndarray, views: ViewConfig, centres_mm: torch.Tensor) -> torch.Tensor:
    """Where at least half of the readers saw nodule, bool (nodule, pixel row, pixel column), on axial images.

    Args:
        store: nodules with the readers' outlines.
        rows: those of the nodules.
        views: field of view and pixels of the images.
        centres_mm: where the images lie (nodule, 3), from the patches' centres.
    """
    inside = torch.from_numpy(np.stack([consensus(store.agreement(int(row))) for row in rows]))
    planes = view_planes("axial", (0.0,))[0].repeat(len(rows), 1, 1)
    planes[..., 2] += centres_mm
    return outline_shares(inside, planes, views, views.pixels) >= 0.5


def own_features(run: Run, hu: torch.Tensor, centres_mm: torch.Tensor) -> np.ndarray:
    """Features (nodule, feature) of the nodules in the run's own outlines.

    Args:
        run, hu, centres_mm: as :func:`own_masks`.
    """
    views = run.views
    images = render_own_views(hu, views, (0.0,), centres_mm)[:, 0, 0] * views.std + views.mean
    masks = own_masks(run, hu, centres_mm)
    pixel_mm = views.field_of_view_mm / views.pixels
    return np.array([outline_features(*pair, pixel_mm) for pair in zip(images.numpy(), masks, strict=True)])
