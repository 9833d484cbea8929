"""What a model says about changed images: one stream of big batches, whatever the number of changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from ctxai.errors import InputError, ModelError
from ctxai.evaluate.case import Case
from ctxai.evaluate.fills import make_fill

Order = Literal["most", "least"]
"""Which pixels go first: the most important ones or the least important ones."""

_ORDERS: tuple[Order, ...] = ("most", "least")


def run_stream(case: Case, total: int, make: Callable[[Tensor], Tensor]) -> Tensor:
    """The model's outputs (total, K) for images that are made as they are needed.

    Args:
        case: holds the model and the batch size.
        total: number of images.
        make: from the numbers (M,) of some images to them, (M, C, H, W).

    Raises:
        ModelError: when the outputs are not finite, or not (M, K).
    """
    outputs = []
    with torch.inference_mode():
        for numbers in torch.arange(total, device=case.images.device).split(case.batch_size):
            answer = case.model(make(numbers))
            if answer.ndim != 2 or len(answer) != len(numbers) or not answer.isfinite().all():
                raise ModelError(f"expected finite outputs ({len(numbers)}, K), found shape {tuple(answer.shape)}")
            outputs.append(answer)
    return torch.cat(outputs)


def filled(case: Case, fill: str, draw: int = 0) -> Tensor:
    """The fill of every image, (N, C, H, W); a random fill is another one for every ``draw``."""
    return case.recall(("fill", fill, draw), lambda: make_fill(fill, case.images, case.views, case.seed + draw))


def outputs_of_images(case: Case) -> Tensor:
    """The outputs (N, K) of the images as they are."""
    return case.recall("outputs", lambda: run_stream(case, len(case), lambda numbers: case.images[numbers]))


def outputs_without(
    case: Case, removed: Callable[[Tensor, Tensor], Tensor], count: int, fill: str, draw: int = 0
) -> Tensor:
    """The outputs (N, count, K) of ``count`` changes of every image.

    Args:
        case: the images and the model.
        removed: from numbers of images (M,) and of changes (M,) to the pixels that are filled, (M, H, W) bool.
        count: changes of each image.
        fill: see :func:`~ctxai.evaluate.fills.make_fill`.
        draw: as for :func:`filled`.
    """
    fills = filled(case, fill, draw)

    def make(numbers: Tensor) -> Tensor:
        image, change = numbers // count, numbers % count
        return torch.where(removed(image, change)[:, None], fills[image], case.images[image])

    return run_stream(case, len(case) * count, make).unflatten(0, (len(case), count))


def ranks(scores: Tensor, order: Order) -> Tensor:
    """The place (N, n) of every entry of ``scores`` (N, n) when the most, or the least, important one comes first.

    Equal scores are in the order of their index for both orders, so that a map of the opposite sign swaps the orders
    and a constant one makes them the same.
    """
    sign = -1 if order == "most" else 1
    positions = torch.argsort(sign * scores, dim=1, stable=True)
    places = torch.empty_like(positions)
    places.scatter_(1, positions, torch.arange(scores.shape[1], device=scores.device).expand_as(positions))
    return places


def outputs_after_removal(case: Case, orders: Sequence[Order], counts: Sequence[int], fill: str) -> list[Tensor]:
    """The outputs after removing pixels one by one in the order of the map, seen after some numbers of pixels.

    Whatever another metric asked for before, with the same fill, is not run again.

    Args:
        case: the images, the maps and the model.
        orders: "most" and "least", or one of them.
        counts: how many pixels are gone, each from 0 to H * W.
        fill: see :func:`~ctxai.evaluate.fills.make_fill`.

    Returns:
        for each order the outputs (N, len(counts), K).
    """
    pixels = case.images[0, 0].numel()
    known: dict[tuple[Order, int], Tensor] = case.recall(("removed", fill), dict)
    known["most", 0] = outputs_of_images(case)
    wanted = dict.fromkeys(_key(order, count, pixels) for order in orders for count in counts)
    missing = [key for key in wanted if key not in known]
    if missing:
        places = case.recall("places", lambda: _places(case.pixel_maps))
        rows = torch.tensor([_ORDERS.index(order) for order, _ in missing], device=places.device)
        limits = torch.tensor([count for _, count in missing], device=places.device)

        def removed(image: Tensor, change: Tensor) -> Tensor:
            return places[rows[change], image] < limits[change, None, None]

        outputs = outputs_without(case, removed, len(missing), fill)
        known.update(zip(missing, outputs.unbind(dim=1), strict=True))
    return [torch.stack([known[_key(order, count, pixels)] for count in counts], dim=1) for order in orders]


def steps_of(case: Case, steps: int) -> list[int]:
    """floor(k / steps · H · W) for k = 0 .. steps: the numbers of pixels along a curve.

    Raises:
        InputError: for a number of steps below 1.
    """
    if steps < 1:
        raise InputError(f"expected at least one step, found {steps}")
    pixels = case.images[0, 0].numel()
    return [k * pixels // steps for k in range(steps + 1)]


def _key(order: Order, count: int, pixels: int) -> tuple[Order, int]:
    """Curves of both orders share their ends."""
    return ("most" if count in (0, pixels) else order), count


def _places(maps: Tensor) -> Tensor:
    """Places (2, N, H, W) of the pixels in both orders."""
    return torch.stack([ranks(maps.flatten(1), order).int().view(maps.shape) for order in _ORDERS])
