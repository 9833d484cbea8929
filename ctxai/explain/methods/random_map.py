"""Random map, the lower bound of every metric."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn

from ctxai.explain.base import Attribution
from ctxai.explain.network import Network
from ctxai.explain.targets import Targets


class RandomMap(Attribution):
    """Uniform random values from 0 to 1: the floor that every metric is compared with.

    A map depends on the image's pixels and the seed, not on the model, the target or the rest of the batch.

    Args:
        model: as :class:`~ctxai.explain.base.Attribution`.
        seed: of the draws.
    """

    name = "random_map"
    signed = False
    class_specific = False
    reference = "a baseline without a source"

    def __init__(self, model: nn.Module, seed: int = 0) -> None:
        super().__init__(model)
        self.seed = seed

    def _maps(self, network: Network, images: Tensor, targets: Targets) -> Tensor:
        targets.fix(network.run(images).outputs)
        maps = []
        for image in images:
            pixels = image.float().cpu().contiguous().numpy().tobytes()
            digest = hashlib.sha256(self.seed.to_bytes(8, "big", signed=True) + pixels).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))
            maps.append(torch.rand(network.grid, generator=generator))
        return torch.stack(maps)[None].to(images)
