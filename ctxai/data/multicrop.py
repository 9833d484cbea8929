"""Crops of CT patches for self-supervised pretraining: several looks at the same tissue, all at its own size.

DINO's multi-crop for photographs zooms in and out, because the same object may stand near or far. A CT voxel has a size
in millimetres, and size is evidence (a nodule's diameter is the strongest sign of malignancy), so nothing is zoomed
here. Global crops are the run's own field of view, shifted, rotated and mirrored; local crops are smaller fields of
view at the same millimetres per pixel. What else may differ between two looks is what differs between two scans of the
same tissue: the window's position (HU calibration, contrast agent), noise (dose) and sharpness (reconstruction kernel).
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import pytorch_lightning as pl
import torch
from torch import distributed
from torch.nn.functional import conv2d, pad
from torch.utils.data import DataLoader, Dataset

from ctxai.data.settings import MultiCropConfig, ViewConfig
from ctxai.data.views import cut_planes, standardise, view_frame
from ctxai.errors import InputError

GLOBAL_CROPS = 2
_KERNEL_REACH = 3.0  # standard deviations

Crops = tuple[torch.Tensor, torch.Tensor]


class PatchSource(Protocol):
    """Patches by number: a tensor (patch, superior, posterior, left) in HU at 1 mm."""

    def __len__(self) -> int: ...

    def __getitem__(self, numbers: np.ndarray) -> torch.Tensor: ...


def multi_crop(hu: torch.Tensor, views: ViewConfig, config: MultiCropConfig, generator: np.random.Generator) -> Crops:
    """Global and local crops of a batch of patches, as the model takes them.

    Args:
        hu: patches (N, superior, posterior, left) at 1 mm, HU; one voxel deep for single slices.
        views: which views there are, the global crops' field of view, pixels, window and statistics.
        config: how far crops may differ.
        generator: every number is drawn from it.

    Returns:
        Global crops (2 * N, 3, pixels, pixels) and local crops (local_crops * N, 3, p, p); crop c of patch n is number
        c * N + n.
    """
    names = generator.choice(views.views, len(hu))
    frames = torch.stack([view_frame(str(name)) for name in names])
    sizes = (
        (GLOBAL_CROPS, views, config.global_shift_mm),
        (config.local_crops, config.local_views(views), config.local_shift_mm),
    )
    batches = []
    for count, size, shift_mm in sizes:
        changes = _random_planes((len(hu), count), shift_mm, config, generator, single_slice=hu.shape[1] == 1)
        images = cut_planes(hu, frames[:, None] @ changes, size).transpose(0, 1).flatten(0, 1)
        batches.append(standardise(_change_intensity(images, size, config, generator), size))
    return batches[0], batches[1]


def _random_planes(
    shape: tuple[int, int], shift_mm: float, config: MultiCropConfig, generator: np.random.Generator, single_slice: bool
) -> torch.Tensor:
    """Random planes near the view's own, (*shape, 3, 3), in the view's frame; same count of draws for all options."""

    def symmetric(limit: float) -> np.ndarray:
        return limit * generator.uniform(-1, 1, shape)

    angle = np.radians(symmetric(config.rotation_deg))
    quarter, mirror = generator.integers(4, size=shape), generator.integers(2, size=shape)
    if config.turns:
        angle = angle + quarter * (math.pi / 2)
    tilts = np.radians([symmetric(config.tilt_deg), symmetric(config.tilt_deg)])
    shift = np.stack([symmetric(shift_mm), symmetric(shift_mm), symmetric(config.offset_mm)], axis=-1)
    if single_slice:
        tilts, shift[..., 2] = np.zeros_like(tilts), 0.0
    change = _rotations(1, 2, tilts[0]) @ _rotations(2, 0, tilts[1]) @ _rotations(0, 1, angle)
    if config.turns:
        change[..., 0] *= np.where(mirror, -1.0, 1.0)[..., None]
    change[..., 2] = shift
    return torch.from_numpy(change).float()


def _rotations(first: int, second: int, angle: np.ndarray) -> np.ndarray:
    matrix = np.zeros((*angle.shape, 3, 3))
    matrix[..., range(3), range(3)] = 1.0
    matrix[..., first, first] = matrix[..., second, second] = np.cos(angle)
    matrix[..., first, second], matrix[..., second, first] = -np.sin(angle), np.sin(angle)
    return matrix


def _change_intensity(
    images: torch.Tensor, views: ViewConfig, config: MultiCropConfig, generator: np.random.Generator
) -> torch.Tensor:
    """Images (N, H, W) in clamped HU with noise, blur and the window moved, in the unmoved window's HU."""

    def uniform(low: float, high: float) -> torch.Tensor:
        return torch.from_numpy(generator.uniform(low, high, (len(images), 1, 1)).astype(np.float32))

    noise = torch.from_numpy(generator.standard_normal(tuple(images.shape), dtype=np.float32))
    images = images + uniform(0, config.noise_hu) * noise
    images = _blur(images, uniform(0, config.blur_mm).flatten() * views.pixels / views.field_of_view_mm)
    (low, high), (reach_low, reach_high) = views.hu_window, config.window_shift_hu
    moved_low, moved_high = low + uniform(-reach_low, reach_low), high + uniform(-reach_high, reach_high)
    return (low + (images - moved_low) * ((high - low) / (moved_high - moved_low))).clamp_(low, high)


def _blur(images: torch.Tensor, sigmas: torch.Tensor) -> torch.Tensor:
    """Images (N, H, W), each with its own Gaussian blur of a standard deviation in pixels (N,)."""
    reach = math.ceil(_KERNEL_REACH * float(sigmas.max()))
    if reach == 0:
        return images
    steps = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernels = torch.softmax(-(steps**2) / (2 * sigmas.clamp(min=1e-3)[:, None] ** 2), dim=1)
    batch = pad(images[None], (reach,) * 4, mode="replicate")
    batch = conv2d(batch, kernels[:, None, None, :], groups=len(images))
    return conv2d(batch, kernels[:, None, :, None], groups=len(images))[0]


class _CropBatches(Dataset):
    """Whole batches of crops by number; batch b of epoch e depends on (seed, e, b) alone.

    Several processes share the patches of a batch out, and each draws its own changes.
    """

    def __init__(
        self, patches: PatchSource, views: ViewConfig, config: MultiCropConfig, batch_size: int, seed: int
    ) -> None:
        self._patches, self._views, self._config = patches, views, config
        self._batch_size, self._seed = batch_size, seed
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Shuffle the patches for one epoch.

        Raises:
            InputError: when a batch cannot be shared out in equal parts.
        """
        self._count, self._process = 1, 0
        if distributed.is_available() and distributed.is_initialized():
            self._count, self._process = distributed.get_world_size(), distributed.get_rank()
        if self._batch_size % self._count:
            raise InputError(
                f"optim.batch_size: expected a multiple of {self._count} processes, found {self._batch_size}"
            )
        self._epoch = epoch
        self._order = np.random.default_rng((self._seed, epoch)).permutation(len(self._patches))

    def __len__(self) -> int:
        return len(self._patches) // self._batch_size

    def __getitem__(self, number: int) -> Crops:
        if number >= len(self):
            raise IndexError(number)
        numbers = self._order[number * self._batch_size : (number + 1) * self._batch_size][self._process :: self._count]
        generator = np.random.default_rng(
            (self._seed, self._epoch, number, *([self._process] if self._process else []))
        )
        return multi_crop(self._patches[numbers], self._views, self._config, generator)


class MultiCropDataModule(pl.LightningDataModule):
    """Batches of crops, the same for the same seed on any number of workers and after an interruption.

    Args:
        patches: what crops are made of.
        views: the global crops, with the statistics of the patches.
        config: how far crops may differ.
        batch_size: patches per step; an epoch leaves out the patches that fill no batch.
        seed: of shuffling and of every random change.
        workers: loader processes; 0 renders in the training process.

    Raises:
        InputError: when there are fewer patches than one batch takes, or the local crops do not fit.
    """

    def __init__(
        self,
        patches: PatchSource,
        views: ViewConfig,
        config: MultiCropConfig,
        batch_size: int,
        seed: int = 0,
        workers: int = 0,
    ) -> None:
        super().__init__()
        config.local_views(views)
        if len(patches) < batch_size:
            raise InputError(f"{len(patches)} patches for batches of {batch_size}; lower optim.batch_size")
        self._batches = _CropBatches(patches, views, config, batch_size, seed)
        self._workers = workers

    def train_dataloader(self) -> DataLoader:
        """Batches of the trainer's current epoch; ask again for every epoch."""
        self._batches.start_epoch(self.trainer.current_epoch if self.trainer else 0)
        return DataLoader(self._batches, batch_size=None, num_workers=self._workers)
