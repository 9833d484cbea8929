"""A store for training: rows, targets, image statistics and loaders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl

from ctxai.data.auxiliary import AuxiliarySource
from ctxai.data.labels import permute_patients, split_rows, targets_of
from ctxai.data.loader import CentreViews, TrainingLoader, TrainingViews
from ctxai.data.patches import Patches
from ctxai.data.settings import AugmentConfig, FoldConfig, LabelKind, ViewConfig
from ctxai.data.store import NoduleStore
from ctxai.data.targets import TargetTable
from ctxai.data.views import render_batch
from ctxai.errors import InputError


class NoduleDataModule(pl.LightningDataModule):
    """Rows, targets and image statistics of a store, and its training and validation images.

    After construction: ``table``, ``split`` (rows), ``targets`` (nodule, target), and ``views`` with the mean and the
    standard deviation of the training nodules' HU. Usable in any ``pytorch_lightning.Trainer``; batches are pairs of
    images (N, 3, pixels, pixels) and targets (N, 9), or (N, target) of a table of one's own.

    Args:
        store_dir: the nodule store.
        views: images to make; its statistics are replaced.
        augment: random changes while training.
        folds: which fold is for what.
        label: how malignancy is given (see `targets_of`).
        shuffle_labels: permute the labels between training patients (the chance-level control).
        batch_size: images per step, over all processes together.
        seed: of shuffling, views and augmentation.
        workers: loader processes; 0 renders in a thread of the training process.
        parts: batches that a step is cut into, for a trainer with as many ``accumulate_grad_batches``.
        auxiliary: whether training batches carry auxiliary targets (see `AuxiliarySource`).
        reader_weights: weights of nodules by their number of readers, for auxiliary targets.
        outline_side: parts of an image along each side in which the outline is an auxiliary target; 0 for none.
        features: whether radiomic features in the readers' outline are auxiliary targets.
        own: targets of one's own, in place of LIDC-IDRI's.

    Raises:
        StoreError: when the store cannot be trained on (see `ctxai.data.labels.split_rows`).
        InputError: when the views do not exist in these patches.
    """

    def __init__(
        self,
        store_dir: Path,
        views: ViewConfig,
        augment: AugmentConfig,
        folds: FoldConfig,
        label: LabelKind = "soft",
        shuffle_labels: bool = False,
        batch_size: int = 32,
        seed: int = 0,
        workers: int = 0,
        parts: int = 1,
        auxiliary: bool = False,
        reader_weights: Sequence[float] = (),
        outline_side: int = 0,
        features: bool = False,
        own: TargetTable | None = None,
    ) -> None:
        super().__init__()
        self.store = NoduleStore(store_dir)
        if self.store.patch_shape[0] == 1 and set(views.views) != {"axial"}:
            raise InputError(
                f"{store_dir}: holds single axial slices; set views to axial alone (--views.views '[axial]')"
            )
        self.table = self.store.table
        self.split = split_rows(self.table, folds, own)
        self.targets = targets_of(self.table, label) if own is None else own.values(self.table)
        rows = self.split.training
        if shuffle_labels:
            patients = self.table["patient_id"].to_numpy()[rows]
            self.targets[rows] = permute_patients(self.targets[rows], patients, seed)
        self._patches = Patches(self.store, rows, beyond=views.beyond)
        self.views = with_statistics(views, self._patches, rows)
        if self.store.patch_shape[0] == 1 and augment.volume.active:
            raise InputError(f"{store_dir}: holds single slices; switch the changes of augment.volume off")
        diameters = self.table["diameter_mm"].to_numpy(float)[rows]
        grounded = augment.erase.grounded
        if grounded and not auxiliary:
            raise InputError("augment.erase.grounded: takes heads.readout ordinal, or another auxiliary head")
        extra = None
        if auxiliary:
            extra = AuxiliarySource(self.store, rows, reader_weights, outline_side, grounded, features)
        if extra and shuffle_labels:
            raise InputError("shuffle_labels permutes the targets alone; take heads.readout logit, without other heads")
        training = TrainingViews(self._patches, rows, self.targets[rows], diameters, self.views, augment, seed, extra)
        self._training = TrainingLoader(training, batch_size, parts, workers)

    def train_dataloader(self) -> TrainingLoader:
        """Batches of random views of the training nodules, epoch after epoch."""
        return self._training

    def state_dict(self) -> dict[str, Any]:
        """The place within the epoch, for a checkpoint.

        Lightning asks the loader too, but gives nothing back to it when the number of steps was asked for before.
        """
        return self._training.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from such a place."""
        self._training.load_state_dict(state_dict)

    def val_dataloader(self) -> CentreViews:
        """Batches of the own views of the monitored nodules, or, where none are, of the validation nodules."""
        return self._own_views(self.split.monitor if len(self.split.monitor) else self.split.validation)

    def test_dataloader(self) -> CentreViews:
        """Batches of the test nodules' own views."""
        return self._own_views(self.split.test)

    def predict_dataloader(self) -> CentreViews:
        """Batches of the test nodules' own views."""
        return self.test_dataloader()

    def _own_views(self, rows: np.ndarray) -> CentreViews:
        patches = Patches(self.store, rows, beyond=self.views.beyond)
        return CentreViews(patches, rows, self.targets[rows], self.views, self._training.batch_size)


def with_statistics(views: ViewConfig, patches: Patches, rows: np.ndarray, block: int = 64) -> ViewConfig:
    """``views`` with the mean and standard deviation of the centre slices' clamped HU over the given rows."""
    raw = replace(views, mean=0.0, std=1.0)
    count, total, squares = 0, 0.0, 0.0
    for start in range(0, len(rows), block):
        hu = patches[rows[start : start + block]]
        for view in views.views:
            pixels = render_batch(hu, view, (0.0,), raw)[:, :, 0].double()
            count += pixels.numel()
            total += float(pixels.sum())
            squares += float((pixels**2).sum())
    mean = total / count
    std = max(squares / count - mean**2, 0.0) ** 0.5
    return replace(views, mean=round(mean, 3), std=round(max(std, 1.0), 3))
