"""Base class of LIME and KernelSHAP: a linear model of an output over parts of the image, shown or hidden."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ctxai.explain.base import Attribution
from ctxai.explain.network import Network
from ctxai.explain.pixels import Replay, check_count
from ctxai.explain.targets import Targets

if TYPE_CHECKING:
    import captum.attr

_IMAGES_AT_ONCE = 64


class SurrogateAttribution(Attribution):
    """A method that fits a linear model to outputs for images with parts hidden; each part gets its coefficient.

    Every image is explained by itself, with draws from the same seed.

    Args:
        model: as :class:`~ctxai.explain.base.Attribution`.
        n_samples: how many partly hidden images are run; a linear model needs several for every part.
        seed: of the draws.

    Raises:
        InputError: for a number of samples below 1.
    """

    signed = True
    class_specific = True
    resolution = "pixel"
    upsampling = "bilinear"

    def __init__(self, model: nn.Module, n_samples: int = 1000, seed: int = 0) -> None:
        super().__init__(model)
        check_count("n_samples", n_samples)
        self.n_samples, self.seed = n_samples, seed

    def _maps(self, network: Network, images: Tensor, targets: Targets) -> Tensor:
        readout = network.run(images)
        own = [targets.of_image(position, readout.outputs) for position in range(len(images))]
        maps = [self._image(network, image[None], alone) for image, alone in zip(images, own, strict=True)]
        return torch.stack(maps, dim=1)

    def _image(self, network: Network, image: Tensor, own: Targets) -> Tensor:
        """Maps (T, H, W) of one image (1, C, H, W)."""
        replay = Replay(lambda batch: own.scores(network.run(batch), len(batch)))
        parts = self._parts(image[0], network)
        hidden = self._hidden(image)
        maps = []
        for target in range(len(own)):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.seed)
                attribution = self._explainer(replay.score_of(target)).attribute(
                    image,
                    baselines=hidden,
                    feature_mask=parts[None, None].expand(1, image.shape[1], -1, -1),
                    n_samples=self.n_samples,
                    perturbations_per_eval=_IMAGES_AT_ONCE,
                )
            maps.append(attribution[0, 0])  # a part hides all channels, which share its value
        return torch.stack(maps)

    @abstractmethod
    def _explainer(self, score: Callable[[Tensor], Tensor]) -> captum.attr.Lime:
        """captum's explainer of ``score``."""

    @abstractmethod
    def _parts(self, image: Tensor, network: Network) -> Tensor:
        """The part (0, 1, ...) that each pixel of ``image`` (C, H, W) belongs to, (H, W)."""

    @abstractmethod
    def _hidden(self, image: Tensor) -> Tensor | float:
        """Values of hidden pixels of ``image`` (1, C, H, W)."""
