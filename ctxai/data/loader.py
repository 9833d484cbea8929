"""Batches of random views, the same for the same seed on any number of workers, processes and interruptions."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import distributed
from torch.utils.data import DataLoader, Dataset

from ctxai.data.augment import jitter_intensity, random_plane
from ctxai.data.auxiliary import AuxiliarySource, AuxiliaryTargets
from ctxai.data.erase import erase
from ctxai.data.patches import Patches
from ctxai.data.settings import AugmentConfig, ViewConfig
from ctxai.data.views import cut_planes, render_own_views, standardise
from ctxai.data.volume import change_volume
from ctxai.errors import InputError

Key = tuple[int, int]
"""Epoch, and place in the training rows; place -1 stands for a filler that no loss counts."""

Batch = tuple[torch.Tensor, torch.Tensor] | tuple[torch.Tensor, torch.Tensor, AuxiliaryTargets]
"""Images (N, 3, pixels, pixels) and targets (N, target), NaN where unknown; and auxiliary targets."""


class TrainingViews(Dataset):
    """One random image per (epoch, place in ``rows``) key; a list of keys gives a batch, rendered at once.

    Every random number comes from (seed, epoch, row), so that an image does not depend on its batch, its worker or an
    interruption.
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
        auxiliary: AuxiliarySource | None = None,
    ) -> None:
        self.patches, self.rows, self.diameters_mm = patches, rows, diameters_mm
        self.targets = torch.from_numpy(targets)
        self.views, self.augment, self.seed, self.auxiliary = views, augment, seed, auxiliary

    def __getitem__(self, keys: list[Key]) -> Batch:
        places = [max(place, 0) for _, place in keys]
        hu = self.patches[self.rows[places]]
        single = hu.shape[1] == 1
        seeds = [(self.seed, epoch, int(self.rows[place])) for (epoch, _), place in zip(keys, places, strict=True)]
        if self.augment.volume.active:
            volume = self.augment.volume
            hu = torch.stack([change_volume(patch, volume, seed) for patch, seed in zip(hu, seeds, strict=True)])
        generators = [np.random.default_rng(seed) for seed in seeds]
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
        removed = None
        if self.augment.erase.share:
            erased = [
                erase(g, image, self.augment.erase, self.views) for g, image in zip(generators, jittered, strict=True)
            ]
            jittered = [image for image, _ in erased]
            if self.augment.erase.grounded:
                removed = torch.stack([part for _, part in erased])
        images, targets = standardise(torch.stack(jittered), self.views), self.targets[places]
        fillers = [place < 0 for _, place in keys]
        targets[fillers] = float("nan")
        if self.auxiliary is None:
            return images, targets
        auxiliary = self.auxiliary(places, planes, self.views, removed)
        for name in ("shares", "outline", "features"):
            auxiliary[name][fillers] = float("nan")
        return images, targets, auxiliary


class _Schedule:
    """Lists of keys, one for each batch that is still to come in the current epoch."""

    def __init__(self) -> None:
        self.batches: list[list[Key]] = []

    def __iter__(self) -> Iterator[list[Key]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


class TrainingLoader:
    """Batches of one epoch after another, in a new order each; any Lightning trainer takes it as its loader.

    Every step of ``batch_size`` nodules is cut into ``parts``, which come one after another, and each of these into
    one batch for every process of ``torch.distributed``; so a step sees the same nodules however it is divided.
    Lightning says which epoch comes next (``set_epoch``) and keeps the place within it with its checkpoints
    (``state_dict``), so that a resumed training goes on with the next batch.

    Args:
        views: the images.
        batch_size: nodules of one step.
        parts: batches, per process, of one step.
        workers: processes that render images; with 0, one thread renders the next batch during the current step.
    """

    def __init__(self, views: TrainingViews, batch_size: int, parts: int = 1, workers: int = 0) -> None:
        self.views, self.batch_size, self.parts = views, batch_size, parts
        self.epoch, self.start, self.done = 0, 0, 0
        self._batches = -(-len(views.rows) // batch_size) * parts
        self._schedule = _Schedule()
        self._workers: DataLoader | None = None
        if workers:
            self._workers = DataLoader(
                views, sampler=self._schedule, batch_size=None, num_workers=workers, persistent_workers=True
            )

    @property
    def sampler(self) -> TrainingLoader:
        """The object that Lightning calls ``set_epoch`` of."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration is of."""
        self.epoch = epoch

    def state_dict(self) -> dict[str, Any]:
        """The place within the epoch."""
        return {"done": self.done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after the batches that were done, or with a new epoch after the last one."""
        self.start = state["done"] % len(self)

    def __len__(self) -> int:
        """Batches of one epoch, per process."""
        return self._batches

    def limit(self, most: float | None) -> None:
        """Give fewer batches an epoch: a whole number of them, or a share below 1; None gives all.

        Raises:
            InputError: when none would be left.
        """
        whole = -(-len(self.views.rows) // self.batch_size) * self.parts
        kept = whole if most is None else int(whole * most) if isinstance(most, float) and most <= 1 else int(most)
        if kept < 1:
            raise InputError(f"limit_train_batches is {most}, which leaves none of {whole} batches; give more")
        self._batches = min(kept, whole)

    def __iter__(self) -> Iterator[Batch]:
        self._schedule.batches = self._keys()[self.start : len(self)]
        self.done, self.start = self.start, 0
        for batch in self._workers or self._ahead(self._schedule.batches):
            self.done += 1
            yield batch

    def _ahead(self, batches: list[list[Key]]) -> Iterator[Batch]:
        with ThreadPoolExecutor(1) as thread:
            coming = thread.submit(self.views.__getitem__, batches[0])
            for following in [*batches[1:], None]:
                batch = coming.result()
                if following is not None:
                    coming = thread.submit(self.views.__getitem__, following)
                yield batch

    def _keys(self) -> list[list[Key]]:
        """Keys of every batch of the epoch that this process gets."""
        count, process = 1, 0
        if distributed.is_available() and distributed.is_initialized():
            count, process = distributed.get_world_size(), distributed.get_rank()
        order = np.random.default_rng((self.views.seed, self.epoch)).permutation(len(self.views.rows))
        keys = [(self.epoch, int(place)) for place in order]
        steps = [keys[start : start + self.batch_size] for start in range(0, len(keys), self.batch_size)]
        shares = self.parts * count
        return [
            step[part * count + process :: shares] or [(self.epoch, -1)] for step in steps for part in range(self.parts)
        ]


class CentreViews:
    """Batches of the images that predictions are made from, without any change; every process gets all of them.

    Args:
        patches: voxels.
        rows: nodules.
        targets: (nodule, target) of these rows.
        views: images; each view and slice of a nodule is one image.
        batch_size: nodules of a batch.
    """

    def __init__(
        self, patches: Patches, rows: np.ndarray, targets: np.ndarray, views: ViewConfig, batch_size: int
    ) -> None:
        self.patches, self.rows, self.targets = patches, rows, torch.from_numpy(targets)
        self.views, self.batch_size = views, batch_size

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        for start in range(0, len(self.rows), self.batch_size):
            part = slice(start, start + self.batch_size)
            images = render_own_views(self.patches[self.rows[part]], self.views)
            yield images.flatten(0, 1), self.targets[part].repeat_interleave(images.shape[1], 0)
