"""Cases whose scores can be told beforehand: models that add up weighted pixels, and slow ways to perturb."""

from __future__ import annotations

import torch
from torch import Tensor

from ctxai.data.settings import ViewConfig
from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.evaluate.explanations.perturbation_baselines import make_fill

VIEWS = ViewConfig(field_of_view_mm=12.0, pixels=6, mean=-600.0, std=400.0)


class AddingUp:
    """Outputs (M, K): constant + sum of weights (K, C, H, W) times pixels. Keeps the sizes of the batches it saw."""

    def __init__(self, weights: Tensor, constant: float = 0.0) -> None:
        self.weights, self.constant = weights, constant
        self.batches: list[int] = []

    def __call__(self, images: Tensor) -> Tensor:
        self.batches.append(len(images))
        return torch.einsum("mchw,kchw->mk", images, self.weights) + self.constant


def random_case(seed: int = 0, **changes: object) -> ExplanationBatch:
    """Three images of 2 x 6 x 6, a model of three outputs that adds up, and the exact contributions to output 1."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(3, 2, 6, 6, generator=generator, dtype=torch.float64)
    weights = torch.randn(3, 2, 6, 6, generator=generator, dtype=torch.float64)
    masks = torch.rand(3, 6, 6, generator=generator) < 0.4
    given = {"images": images, "maps": (images * weights[1]).sum(dim=1), "model": AddingUp(weights), "target": 1}
    return ExplanationBatch(**(given | {"views": VIEWS, "masks": masks} | changes))


def one_pixel_case(shape: tuple[int, int] = (4, 4), **changes: object) -> ExplanationBatch:
    """One image in which one pixel alone makes the output 1, and the map that says so."""
    images = torch.zeros(1, 1, *shape, dtype=torch.float64)
    images[0, 0, 1, 2] = 1
    given = {"images": images, "maps": images[:, 0].clone(), "model": AddingUp(torch.ones(1, 1, *shape).double())}
    return ExplanationBatch(**(given | changes))


def order_of(values: Tensor, most: bool) -> list[int]:
    """Indices of a flat map's values in the order of removal; equal ones by index."""
    listed = values.tolist()
    return sorted(range(len(listed)), key=lambda i: -listed[i] if most else listed[i])


def without(batch: ExplanationBatch, place: int, pixels: list[int], fill: str, draw: int = 0) -> Tensor:
    """The outputs (K,) of image ``place`` with some pixels (flat indices) filled, run by itself."""
    replaced = make_fill(fill, batch.images, batch.views, batch.seed + draw)[place]
    image = batch.images[place].clone()
    width = image.shape[2]
    for pixel in pixels:
        image[:, pixel // width, pixel % width] = replaced[:, pixel // width, pixel % width]
    return batch.model(image[None])[0]


def slow_curve(batch: ExplanationBatch, place: int, most: bool, counts: list[int], fill: str) -> Tensor:
    """Outputs (len(counts), K) of one image along a curve, one image at a time."""
    order = order_of(batch.pixel_maps[place].flatten(), most)
    return torch.stack([without(batch, place, order[:count], fill) for count in counts])


def mask_case(maps: Tensor | list, masks: Tensor | list, **changes: object) -> ExplanationBatch:
    """Maps (N, h, w) against masks (N, H, W), without a model; images are blank."""
    masks = torch.as_tensor(masks).bool()
    maps = torch.as_tensor(maps, dtype=torch.float64)
    return ExplanationBatch(torch.zeros(len(masks), 1, *masks.shape[1:]), maps, masks=masks, **changes)


def square_mask(side: int = 8, low: int = 2, high: int = 5) -> Tensor:
    """One mask (1, side, side) with a square of ones."""
    mask = torch.zeros(1, side, side, dtype=torch.bool)
    mask[0, low:high, low:high] = True
    return mask
