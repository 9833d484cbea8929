"""Targets beside the means of the readers' ratings: the share of readers above each cut-off, and their outline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import adaptive_avg_pool2d

from ctxai.data.outline_features import nodule_features, normal_scores
from ctxai.data.views import ViewConfig, cut_planes
from ctxai.errors import StoreError

if TYPE_CHECKING:
    from ctxai.data.store import NoduleStore

CUT_OFFS = 4
"""Between the five steps of the malignancy scale."""


class AuxiliaryTargets(TypedDict):
    """Auxiliary targets of N images.

    - ``shares`` (N, 4): share of the readers whose rating is above 1, 2, 3, 4;
    - ``weight`` (N,): of the nodule in losses of malignancy;
    - ``outline`` (N, side, side): share of each part of the image that lies inside the readers' outline; empty where
      it is not asked for;
    - ``features`` (N, F): radiomic features in the readers' outline (`OUTLINE_FEATURES`), as normal scores of their
      ranks among the rows; empty where they are not asked for.

    Fillers of a batch that no loss counts are NaN.
    """

    shares: torch.Tensor
    weight: torch.Tensor
    outline: torch.Tensor
    features: torch.Tensor


class AuxiliarySource:
    """Auxiliary targets of some rows of a store.

    Args:
        store: the store.
        rows: the rows that will be asked for.
        reader_weights: weight of nodules of one, two, … readers; the last is that of all with more. None: all 1.
        outline_side: parts of an image along each side in which the outline is learnt; 0 leaves it out.
        grounded: whether images come with parts removed (see `EraseConfig`).
        features: whether radiomic features are learnt.

    Raises:
        StoreError: when the store has no ratings of single readers.
    """

    def __init__(
        self,
        store: NoduleStore,
        rows: np.ndarray,
        reader_weights: Sequence[float] = (),
        outline_side: int = 0,
        grounded: bool = False,
        features: bool = False,
    ) -> None:
        table = store.table.iloc[rows]
        self.shares = torch.from_numpy(reader_shares(table, str(store.path)))
        weights = np.asarray(reader_weights or (1.0,), np.float32)
        readers = table["n_readers"].to_numpy(int)
        self.weight = torch.from_numpy(weights[np.clip(readers, 1, len(weights)) - 1])
        self.outline_side = outline_side
        self._mean_shares = torch.nanmean(self.shares, dim=0)
        self.features = torch.empty(len(rows), 0)
        if outline_side or grounded or features:
            self._inside = torch.from_numpy(np.stack([consensus(store.agreement(int(row))) for row in rows]))
        if features:
            pairs = zip(rows, self._inside.numpy(), strict=True)
            found = np.stack([nodule_features(store.hu(int(row)), inside) for row, inside in pairs])
            self.features = torch.from_numpy(normal_scores(found))

    def __call__(
        self, places: Sequence[int], planes: torch.Tensor, views: ViewConfig, removed: torch.Tensor | None = None
    ) -> AuxiliaryTargets:
        """Targets of images of the rows at ``places``, each cut along its plane (N, 3, 3).

        Args:
            places: places in the rows.
            planes: of the images.
            views: field of view and pixels.
            removed: part of each image that was removed, bool (N, pixels, pixels), where targets are grounded.
        """
        outline = torch.empty(len(places), 0, 0)
        if self.outline_side:
            outline = outline_shares(self._inside[list(places)], planes, views, self.outline_side)
        chosen = torch.as_tensor(places)
        shares, features = self.shares[chosen], self.features[chosen]
        if removed is not None:
            inside = outline_shares(self._inside[list(places)], planes, views, views.pixels)
            kept = kept_share(inside, removed)[:, None]
            shares = torch.lerp(self._mean_shares.expand_as(shares), shares, kept)
            features = features * kept  # the mean of normal scores is 0
        return {"shares": shares, "weight": self.weight[chosen], "outline": outline, "features": features}


def kept_share(inside: torch.Tensor, removed: torch.Tensor) -> torch.Tensor:
    """Share of outlines (N, H, W) outside of removed parts of the same shape, (N,); 1 where there is no outline."""
    area = inside.sum((1, 2))
    kept = (inside * ~removed).sum((1, 2))
    return torch.where(area > 0, kept / area.clamp(min=1e-6), torch.ones_like(area))


def consensus(agreement: np.ndarray) -> np.ndarray:
    """Voxels that at least half of the outlines include, bool, from how many do.

    A collection may have one outline of a nodule that several readers rated; so the most that agree count as all.
    """
    return agreement >= max(float(agreement.max()) / 2, 0.5)


def reader_shares(table: pd.DataFrame, source: str) -> np.ndarray:
    """Share of the readers who rate malignancy above 1, 2, 3 and 4, float32 (row, 4); NaN where nobody rated.

    Args:
        table: rows with the column ``malignancy_ratings``, such as ``5|5|4``.
        source: named in errors.

    Raises:
        StoreError: when there is no such column.
    """
    if "malignancy_ratings" not in table:
        raise StoreError(
            f"{source}: no ratings of single readers (column malignancy_ratings), which ordinal and auxiliary heads "
            "learn from; take heads.readout logit, or ingest the readers' annotations"
        )
    found = np.full((len(table), CUT_OFFS), np.nan, np.float32)
    for row, text in enumerate(table["malignancy_ratings"].fillna("").astype(str)):
        given = np.array([float(rating) for rating in text.split("|") if rating])
        if len(given):
            found[row] = [(given > cut).mean() for cut in range(1, CUT_OFFS + 1)]
    return found


def outline_shares(inside: torch.Tensor, planes: torch.Tensor, views: ViewConfig, side: int) -> torch.Tensor:
    """Share of an outline in the parts of an image, (N, side, side) float32.

    Args:
        inside: voxels of the outline, bool (N, superior, posterior, left).
        planes: of the images (N, 3, 3), as `ctxai.data.views.cut_planes` takes them.
        views: field of view and pixels.
        side: parts along each side.
    """
    cut = cut_planes(inside, planes[:, None], views, (0.0, 1.0))[:, 0]
    return adaptive_avg_pool2d((cut >= 0.5).float()[:, None], side)[:, 0]
