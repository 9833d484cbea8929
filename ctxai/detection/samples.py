"""Training data of a detector: CTs as its network takes them, with boxes, and random patches of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pytorch_lightning as pl
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from ctxai.ct.volume import CT
from ctxai.detection.bundle import DetectorSettings
from ctxai.detection.detector import boxes_in, network_input

#: Share of patches that hold a nodule for certain.
_WITH_NODULE = 0.7
#: Random change of a patch's values: standard deviation of their offset, and of the noise of each voxel at most.
_OFFSET, _NOISE = 0.03, 0.03

#: Patches (N, 1, right, anterior, superior), and of each its ``box`` (K, 6) and ``label`` (K).
Batch: TypeAlias = tuple[torch.Tensor, list[dict[str, torch.Tensor]]]


@dataclass(frozen=True, eq=False)
class Sample:
    """One CT and its nodules.

    Attributes:
        image: (1, right, anterior, superior) as the network takes it, in half precision: a whole chest at 2 mm takes
            10 MB.
        boxes: (nodule, [low corner, high corner]) in its voxels.
    """

    image: torch.Tensor
    boxes: torch.Tensor


def make_sample(ct: CT, centres_lps: np.ndarray, diameters_mm: np.ndarray, settings: DetectorSettings) -> Sample:
    """A CT as the detector's network takes it.

    Args:
        ct: the CT.
        centres_lps: LPS mm (nodule, 3).
        diameters_mm: (nodule); the boxes are cubes of them.
        settings: of the detector.
    """
    image = network_input(ct, settings)
    return Sample(image.as_tensor().half(), boxes_in(image, centres_lps, diameters_mm))


def random_patch(
    sample: Sample, shape: Sequence[int], rng: np.random.Generator
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """A patch at random, mirrored at random, and the boxes whose middle lies in it.

    Args:
        sample: the CT; where it is smaller than the patch it is extended by air.
        shape: voxels of the patch.
        rng: source of randomness.
    """
    image, boxes = sample.image, sample.boxes
    lacking = [max(0, wanted - there) for wanted, there in zip(shape, image.shape[1:], strict=True)]
    image = functional.pad(image, [pad for each in reversed(lacking) for pad in (0, each)], value=float(image.min()))
    room = np.array(image.shape[1:], dtype=int) - np.array(shape, dtype=int)
    start = rng.integers(0, room + 1)
    if len(boxes) and rng.random() < _WITH_NODULE:
        middle = boxes[int(rng.integers(len(boxes)))].reshape(2, 3).mean(0).numpy()
        reach = rng.uniform(0.2, 0.8, 3) * shape
        start = np.clip(np.rint(middle - reach), 0, room).astype(int)
    patch = image[(slice(None), *(slice(at, at + side) for at, side in zip(start, shape, strict=True)))].float()
    corners = boxes.reshape(-1, 2, 3) - torch.from_numpy(start).float()
    last = torch.tensor(shape) - 1
    middles = corners.mean(1)
    corners = corners[((middles >= 0) & (middles <= last)).all(1)]
    for axis in np.flatnonzero(rng.random(3) < 0.5):
        patch = patch.flip(1 + int(axis))
        corners[..., axis] = (last[axis] - corners[..., axis]).flip(1)
    noise = torch.from_numpy(rng.standard_normal(patch.shape, dtype=np.float32))
    patch = (patch + _OFFSET * rng.standard_normal() + rng.uniform(0, _NOISE) * noise).clip(0, 1)
    kept = torch.minimum(corners.clip(min=0), last).reshape(-1, 6)
    return patch, {"box": kept, "label": torch.zeros(len(kept), dtype=torch.long)}


class PatchDataModule(pl.LightningDataModule):
    """Batches of random patches, the same for the same seed, also after an interruption.

    Args:
        samples: CTs, of which each is as likely.
        shape: voxels of a patch.
        batch_size: patches of a step.
        steps: of an epoch.
        seed: of every random draw.
    """

    def __init__(self, samples: Sequence[Sample], shape: Sequence[int], batch_size: int, steps: int, seed: int) -> None:
        super().__init__()
        self._batches = _Batches(samples, shape, batch_size, steps, seed)

    def train_dataloader(self) -> DataLoader:
        """Batches of the trainer's current epoch; ask again for every epoch."""
        self._batches.epoch = self.trainer.current_epoch if self.trainer else 0
        return DataLoader(self._batches, batch_size=None)


class _Batches(Dataset[Batch]):
    def __init__(self, samples: Sequence[Sample], shape: Sequence[int], batch_size: int, steps: int, seed: int) -> None:
        self._samples, self._shape, self._batch_size = samples, tuple(shape), batch_size
        self._steps, self._seed, self.epoch = steps, seed, 0

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, number: int) -> Batch:
        if number >= len(self):
            raise IndexError(number)
        rng = np.random.default_rng((self._seed, self.epoch, number))
        chosen = [self._samples[int(rng.integers(len(self._samples)))] for _ in range(self._batch_size)]
        patches, boxes = zip(*(random_patch(sample, self._shape, rng) for sample in chosen), strict=True)
        return torch.stack(patches), list(boxes)
