"""Training images of a store: random views of random nodules, the same for the same seed on any number of workers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from ctxai.data.augment import AugmentConfig, jitter_intensity, random_plane
from ctxai.data.labels import FoldConfig, LabelKind, permute_patients, split_rows, targets_of
from ctxai.data.patches import Patches
from ctxai.data.store import NoduleStore
from ctxai.data.views import ViewConfig, cut_planes, render_batch, standardise
from ctxai.errors import InputError

Key = tuple[int, int]
Batch = tuple[torch.Tensor, torch.Tensor]


class TrainingViews(Dataset):
    """One random image per (epoch, place in ``rows``) key; batches are rendered at once.

    Items are (image (3, pixels, pixels), targets (target,)), batches have one more leading axis. Every random number
    comes from (seed, epoch, row), so that an image does not depend on its batch, its worker or an interruption.
    """

    def __init__(
        self,
        patches: Patches,
        rows: np.ndarray,
        targets: np.ndarray,
        diameters_mm: np.ndarray,
        views: ViewConfig,
        augment: AugmentConfig,
        seed: int,
    ) -> None:
        self.patches, self.rows, self.diameters_mm = patches, rows, diameters_mm
        self.targets = torch.from_numpy(targets)
        self.views, self.augment, self.seed = views, augment, seed
        self.keys: list[Key] = []

    def start_epoch(self, epoch: int) -> None:
        """Shuffle the nodules for one epoch."""
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.rows))
        self.keys = [(epoch, int(place)) for place in order]

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Batch:
        images, targets = self.__getitems__([index])
        return images[0], targets[0]

    def __getitems__(self, indices: list[int]) -> Batch:
        keys = [self.keys[index] for index in indices]
        places = [place for _, place in keys]
        hu = self.patches[self.rows[places]]
        single = hu.shape[1] == 1
        generators = [np.random.default_rng((self.seed, epoch, int(self.rows[place]))) for epoch, place in keys]
        planes = torch.stack(
            [
                random_plane(g, str(g.choice(self.views.views)), self.diameters_mm[place], self.augment, single)
                for g, place in zip(generators, places, strict=True)
            ]
        )
        cut = cut_planes(hu, planes[:, None], self.views)[:, 0]
        jittered = [
            jitter_intensity(g, image, self.augment, self.views) for g, image in zip(generators, cut, strict=True)
        ]
        return standardise(torch.stack(jittered), self.views), self.targets[places]


def _already_a_batch(batch: Batch) -> Batch:
    return batch


class NoduleDataModule(pl.LightningDataModule):
    """Rows, targets and image statistics of a store, cut by patient.

    After construction: ``table``, ``split`` (rows), ``targets`` (nodule, target), and ``views`` with the mean and the
    standard deviation of the training nodules' HU.

    Args:
        store_dir: the nodule store.
        views: images to make; its statistics are replaced.
        augment: random changes while training.
        folds: which fold is for what.
        label: soft or hard malignancy labels.
        shuffle_labels: permute the labels between training patients (the chance-level control).
        batch_size: images per step.
        seed: of shuffling, views and augmentation.
        workers: loader processes; 0 renders in the training process.

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
    ) -> None:
        super().__init__()
        self.store = NoduleStore(store_dir)
        if self.store.patch_shape[0] == 1 and set(views.views) != {"axial"}:
            raise InputError(
                f"{store_dir}: holds single axial slices; set views to axial alone (--views.views '[axial]')"
            )
        self.table = self.store.table
        self.split = split_rows(self.table, folds)
        self.targets = targets_of(self.table, label)
        rows = self.split.training
        if shuffle_labels:
            patients = self.table["patient_id"].to_numpy()[rows]
            self.targets[rows] = permute_patients(self.targets[rows], patients, seed)
        self._patches = Patches(self.store, rows)
        self.views = with_statistics(views, self._patches, rows)
        self._batch_size, self._workers = batch_size, workers
        diameters = self.table["diameter_mm"].to_numpy(float)[rows]
        self._training = TrainingViews(self._patches, rows, self.targets[rows], diameters, self.views, augment, seed)

    def train_dataloader(self) -> DataLoader:
        """Batches of the trainer's current epoch; ask again for every epoch."""
        self._training.start_epoch(self.trainer.current_epoch if self.trainer else 0)
        return DataLoader(
            self._training, batch_size=self._batch_size, collate_fn=_already_a_batch, num_workers=self._workers
        )


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
