"""Outputs of a model for perturbed images: one stream of large batches, whatever the number of perturbations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from ctxai.errors import InputError, ModelError
from ctxai.evaluate.explanations.batch import ExplanationBatch, given
from ctxai.evaluate.explanations.perturbation_baselines import make_fill

Order = Literal["MoRF", "LeRF"]
"""Order of removal: most relevant first or least relevant first (Samek et al., 2017)."""

_ORDERS: tuple[Order, ...] = ("MoRF", "LeRF")


def run_stream(batch: ExplanationBatch, total: int, make: Callable[[Tensor], Tensor]) -> Tensor:
    """The model's outputs (total, K) for images that are made as they are needed.

    Args:
        batch: holds the model and the batch size.
        total: number of images.
        make: from the numbers (M,) of some images to them, (M, C, H, W).

    Raises:
        ModelError: when the outputs are not finite, or not (M, K).
    """
    outputs = []
    with torch.inference_mode():
        model = given(batch.model)
        for numbers in torch.arange(total, device=batch.images.device).split(batch.batch_size):
            answer = model(make(numbers))
            if answer.ndim != 2 or len(answer) != len(numbers) or not answer.isfinite().all():
                raise ModelError(f"expected finite outputs ({len(numbers)}, K), found shape {tuple(answer.shape)}")
            outputs.append(answer)
    return torch.cat(outputs)


def filled(batch: ExplanationBatch, fill: str, draw: int = 0) -> Tensor:
    """The fill of every image, (N, C, H, W); a random fill is another one for every ``draw``."""
    return batch.recall(("fill", fill, draw), lambda: make_fill(fill, batch.images, batch.views, batch.seed + draw))


def outputs_of_images(batch: ExplanationBatch) -> Tensor:
    """The outputs (N, K) of the images as they are."""
    return batch.recall("outputs", lambda: run_stream(batch, len(batch), lambda numbers: batch.images[numbers]))


def outputs_without(
    batch: ExplanationBatch, removed: Callable[[Tensor, Tensor], Tensor], count: int, fill: str, draw: int = 0
) -> Tensor:
    """The outputs (N, count, K) of ``count`` changes of every image.

    Args:
        batch: the images and the model.
        removed: from numbers of images (M,) and of changes (M,) to the pixels that are filled, (M, H, W) bool.
        count: changes of each image.
        fill: see :func:`~ctxai.evaluate.explanations.perturbation_baselines.make_fill`.
        draw: as for :func:`filled`.
    """
    fills = filled(batch, fill, draw)

    def make(numbers: Tensor) -> Tensor:
        image, change = numbers // count, numbers % count
        return torch.where(removed(image, change)[:, None], fills[image], batch.images[image])

    return run_stream(batch, len(batch) * count, make).unflatten(0, (len(batch), count))


def ranks(scores: Tensor, order: Order) -> Tensor:
    """The place (N, n) of every entry of ``scores`` (N, n) when the most, or the least, important one comes first.

    Equal scores are in the order of their index for both orders, so that a map of the opposite sign swaps the orders
    and a constant one makes them the same.
    """
    sign = -1 if order == "MoRF" else 1
    positions = torch.argsort(sign * scores, dim=1, stable=True)
    places = torch.empty_like(positions)
    places.scatter_(1, positions, torch.arange(scores.shape[1], device=scores.device).expand_as(positions))
    return places


def outputs_after_removal(
    batch: ExplanationBatch, orders: Sequence[Order], counts: Sequence[int], fill: str
) -> list[Tensor]:
    """The outputs after removing pixels one by one in the order of the map, seen after some numbers of pixels.

    Whatever another metric asked for before, with the same fill, is not run again.

    Args:
        batch: the images, the maps and the model.
        orders: "MoRF" and "LeRF", or one of them.
        counts: how many pixels are gone, each from 0 to H * W.
        fill: see :func:`~ctxai.evaluate.explanations.perturbation_baselines.make_fill`.

    Returns:
        for each order the outputs (N, len(counts), K).
    """
    pixels = batch.images[0, 0].numel()
    known: dict[tuple[Order, int], Tensor] = batch.recall(("removed", fill), dict)
    known["MoRF", 0] = outputs_of_images(batch)
    wanted = dict.fromkeys(_key(order, count, pixels) for order in orders for count in counts)
    missing = [key for key in wanted if key not in known]
    if missing:
        places = batch.recall("places", lambda: _places(batch.pixel_maps))
        rows = torch.tensor([_ORDERS.index(order) for order, _ in missing], device=places.device)
        limits = torch.tensor([count for _, count in missing], device=places.device)

        def removed(image: Tensor, change: Tensor) -> Tensor:
            return places[rows[change], image] < limits[change, None, None]

        outputs = outputs_without(batch, removed, len(missing), fill)
        known.update(zip(missing, outputs.unbind(dim=1), strict=True))
    return [torch.stack([known[_key(order, count, pixels)] for count in counts], dim=1) for order in orders]


def share_ends(source: ExplanationBatch, batch: ExplanationBatch, fill: str) -> None:
    """Let a batch take the ends of its curves, where nothing or everything is removed, from another one.

    They do not depend on the maps.

    Args:
        source: the images.
        batch: the same images, once or several times one after another, with other maps.
        fill: see :func:`~ctxai.evaluate.explanations.perturbation_baselines.make_fill`.
    """
    copies, pixels = len(batch) // len(source), batch.images[0, 0].numel()
    ends = outputs_after_removal(source, ["MoRF"], [0, pixels], fill)[0].repeat(copies, 1, 1)
    batch.recall("outputs", lambda: ends[:, 0])
    batch.recall(("removed", fill), dict)["MoRF", pixels] = ends[:, 1]


def steps_of(batch: ExplanationBatch, steps: int) -> list[int]:
    """floor(k / steps · H · W) for k = 0 .. steps: the numbers of pixels along a curve.

    Raises:
        InputError: for a number of steps below 1.
    """
    if steps < 1:
        raise InputError(f"expected at least one step, found {steps}")
    pixels = batch.images[0, 0].numel()
    return [k * pixels // steps for k in range(steps + 1)]


def _key(order: Order, count: int, pixels: int) -> tuple[Order, int]:
    """Curves of both orders share their ends."""
    return ("MoRF" if count in (0, pixels) else order), count


def _places(maps: Tensor) -> Tensor:
    """Places (2, N, H, W) of the pixels in both orders."""
    return torch.stack([ranks(maps.flatten(1), order).int().view(maps.shape) for order in _ORDERS])
