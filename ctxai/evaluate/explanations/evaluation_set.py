"""The nodules that explanations are evaluated on, as the images that the run sees of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ctxai.data.patches import Patches
from ctxai.data.planted import PlantedTruth
from ctxai.data.settings import ViewConfig
from ctxai.data.store import NoduleStore
from ctxai.data.targets import Target, TargetTable
from ctxai.data.views import cut_planes, render_own_views, view_planes


@dataclass(frozen=True, eq=False)
class EvaluationSet:
    """Nodules, view by view; an image belongs to the nodule of number ``nodule``.

    Attributes:
        nodule_ids: (nodule,).
        patient_ids: (nodule,).
        images: (image, 3, H, W), preprocessed.
        nodule: (image,), the number of its nodule.
        labels: (image,) float, the nodule's malignancy label; NaN where it is undecided.
        masks: (image, H, W) bool by name: ``readers``, the consensus of the outlines; ``evidence``, the planted trait
            of the nodules that have it. An image without such a place has an empty mask.
        hu: central axial slice of each nodule, (nodule, row, column) int16, for pictures.
    """

    nodule_ids: np.ndarray
    patient_ids: np.ndarray
    images: Tensor
    nodule: np.ndarray
    labels: Tensor
    masks: dict[str, Tensor]
    hu: np.ndarray

    def __len__(self) -> int:
        return len(self.nodule_ids)

    def to(self, device: torch.device) -> EvaluationSet:
        """The same nodules, with images, labels and masks on a device."""
        masks = {name: mask.to(device) for name, mask in self.masks.items()}
        return replace(self, images=self.images.to(device), labels=self.labels.to(device), masks=masks)

    def first(self, count: int) -> EvaluationSet:
        """The first ``count`` nodules alone."""
        images = torch.from_numpy(np.flatnonzero(self.nodule < count))
        return EvaluationSet(
            self.nodule_ids[:count],
            self.patient_ids[:count],
            self.images[images],
            self.nodule[images.numpy()],
            self.labels[images],
            {name: mask[images] for name, mask in self.masks.items()},
            self.hu[:count],
        )

    def per_nodule(self, scores: np.ndarray) -> np.ndarray:
        """Mean of the images' scores (image,) that are defined, by nodule; NaN without any."""
        known = ~np.isnan(scores)
        total = np.bincount(self.nodule[known], scores[known], len(self))
        count = np.bincount(self.nodule[known], minlength=len(self))
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def read_subjects(
    store: NoduleStore,
    rows: Sequence[int] | np.ndarray,
    views: ViewConfig,
    truth: PlantedTruth | None = None,
    binary: Target | None = None,
) -> EvaluationSet:
    """Rows of a store as a run of these views sees them.

    A pixel is inside where half of the readers whose outlines the store has include it.

    Args:
        store: the nodules.
        rows: of the nodules.
        views: of the run.
        truth: planted evidence.
        binary: a target of one's own whose labels stand in place of malignancy's.

    Raises:
        InputError: for views across single slices.
    """
    table = store.table.iloc[np.asarray(rows)]
    patches = Patches(store, rows, memory_limit_bytes=0)[rows]
    images = render_own_views(patches, views)
    per_nodule = images.shape[1]
    counts = [int(count) for count in table["n_readers"]]
    outlines = [_consensus(store, int(row), count) for row, count in zip(rows, counts, strict=True)]
    masks = {"readers": _rendered(outlines, views)}
    if truth is not None:
        has_trait = table["label_malignancy"].to_numpy() == 1
        evidence = [truth.evidence(int(row)) & bool(has) for row, has in zip(rows, has_trait, strict=True)]
        masks["evidence"] = _rendered(evidence, views)
    labels = table["label_malignancy"].to_numpy(np.float64)
    if binary is not None:
        labels = binary.values(table[binary.column]).astype(np.float64)
    return EvaluationSet(
        table["nodule_id"].astype(str).to_numpy(),
        table["patient_id"].astype(str).to_numpy(),
        images.flatten(0, 1),
        np.repeat(np.arange(len(rows)), per_nodule),
        torch.from_numpy(np.repeat(labels, per_nodule)),
        masks,
        patches[:, patches.shape[1] // 2].numpy(),
    )


def choose_rows(
    table: pd.DataFrame, rows: np.ndarray, limit: int, seed: int, own: TargetTable | None = None
) -> np.ndarray:
    """At most ``limit`` of the rows that have a label, as many of each class as there can be, in random order.

    Classes are those of malignancy, or of the first binary or multiclass target of one's own; of numbers alone, the
    lower and the upper half.
    """
    label = table["label_malignancy"].to_numpy(float) if own is None else _classes(table, rows, own)
    generator = np.random.default_rng(seed)
    classes = [generator.permutation(rows[label[rows] == value]) for value in range(_count(own))]
    most = max(map(len, classes))
    alternating = [group[place] for place in range(most) for group in classes if place < len(group)]
    return np.array(alternating[:limit], dtype=int)


def first_binary(own: TargetTable | None) -> Target | None:
    """The binary target whose labels an evaluation set of a run of such targets has; None without any."""
    return next((one for one in own or () if one.kind == "binary"), None)


def _count(own: TargetTable | None) -> int:
    sorts = [] if own is None else [one for one in own if one.kind in ("binary", "multiclass")]
    return max(len(sorts[0].classes), 2) if sorts else 2


def _classes(table: pd.DataFrame, rows: np.ndarray, own: TargetTable) -> np.ndarray:
    """The class (row,) by which nodules are chosen; NaN without a label."""
    target = next((one for one in own if one.kind in ("binary", "multiclass")), None)
    if target is not None:
        return target.values(table[target.column])
    values = own.targets[0].values(table[own.targets[0].column])
    return np.where(np.isnan(values), np.nan, values > np.nanmedian(values[rows]))


def _consensus(store: NoduleStore, row: int, n_readers: int) -> np.ndarray:
    agreement = store.agreement(int(row))
    return agreement >= max(min(n_readers, int(agreement.max())) / 2, 1)


def _rendered(masks: list[np.ndarray], views: ViewConfig) -> Tensor:
    """Masks of patches as the images' pixels, (image, H, W) bool."""
    low, high = views.hu_window
    volume = torch.from_numpy(np.stack(masks)).float() * (high - low) + low
    cut = [
        cut_planes(volume, view_planes(view, views.slice_offsets_mm).expand(len(volume), -1, -1, -1), views)
        for view in views.views
    ]
    return (torch.cat(cut, dim=1) >= (low + high) / 2).flatten(0, 1)
