"""Drop of the output behind a sliding square."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ctxai.errors import InputError
from ctxai.explain.base import Attribution
from ctxai.explain.network import Network
from ctxai.explain.pixels import Replay
from ctxai.explain.targets import Targets

_IMAGES_AT_ONCE = 64


class Occlusion(Attribution):
    """Occlusion: y(x) - y(x with a square set to ``baseline``); a pixel gets the mean over the squares it lies in.

    Args:
        model: as :class:`~ctxai.explain.base.Attribution`.
        window: side of the square in pixels; None takes two tokens.
        stride: step of the square in pixels; None takes one token.
        baseline: what hidden pixels are set to, in the images' own (normalised) units.

    Raises:
        InputError: for a window or stride below 1, or a stride larger than the window.

    Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014; captum's
    implementation.
    """

    name = "occlusion"
    signed = True
    class_specific = True
    resolution = "pixel"
    upsampling = "bilinear"
    reference = "arXiv:1311.2901"

    def __init__(
        self, model: nn.Module, window: int | None = None, stride: int | None = None, baseline: float = 0.0
    ) -> None:
        super().__init__(model)
        given = [side for side in (stride, window) if side is not None]
        if given and (min(given) < 1 or given[0] > given[-1]):
            raise InputError(f"expected a window and a stride of 1 to the window, found {window} and {stride}")
        self.window, self.stride, self.baseline = window, stride, baseline

    def _maps(self, network: Network, images: Tensor, targets: Targets) -> Tensor:
        import captum.attr

        targets.fix(network.run(images).outputs)
        _, channels, height, width = images.shape
        covered = network.covered((height, width))
        token = (covered[0] // network.grid[0], covered[1] // network.grid[1])
        window = tuple(self.window or 2 * side for side in token)
        stride = tuple(self.stride or min(side, whole) for side, whole in zip(token, window, strict=True))
        replay = Replay(lambda batch: targets.scores(network.run(batch), len(batch) // len(images)))
        maps = []
        for position in range(len(targets)):
            attribution = captum.attr.Occlusion(replay.score_of(position)).attribute(
                images,
                sliding_window_shapes=(channels, *window),
                strides=(channels, *stride),
                baselines=self.baseline,
                perturbations_per_eval=max(1, _IMAGES_AT_ONCE // len(images)),
            )
            maps.append(attribution[:, 0])  # a square hides all channels, which share its value
        return torch.stack(maps)
