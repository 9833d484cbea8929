"""Whether a map stays where it is when the mark of the nodule moves."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ctxai.errors import InputError
from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.evaluate.explanations.metric import Metric, option
from ctxai.evaluate.explanations.similarity import spearman

_FIRST_ANGLE, _TURN = 0.5, 2.4  # the golden angle: directions of few draws lie apart


@dataclass(frozen=True)
class MarkStability(Metric):
    """Mean over draws of Spearman's correlation, place by place in mm, with the map about a mark moved in the image.

    The image is moved by ``shift_mm`` in a direction of each draw's own, its edges repeated; the new map is moved back
    and compared where both show the patient. Two readers click millimetres apart, half a token or more.

    Args:
        shift_mm: distance of the marks.
        draws: directions.

    Raises:
        InputError: for fewer draws than 1, or a shift of 0 or beyond the image.
    """

    shift_mm: float = 2.0
    draws: int = option(4, "draws")

    name = "mark_stability"
    higher_is_better = True
    units = "Spearman correlation"
    needs = frozenset({"method", "views"})
    reference = "this project"

    def __post_init__(self) -> None:
        if self.draws < 1 or self.shift_mm <= 0:
            raise InputError(f"expected a draw or more and a shift above 0 mm, found {self}")

    def _score(self, batch: ExplanationBatch) -> Tensor:
        reach = math.ceil(self.shift_mm / batch.mm_per_pixel)
        height, width = batch.images.shape[2:]
        if reach >= min(height, width):
            raise InputError(f"{self.name}: expected a shift within the image, found {self.shift_mm} mm")
        wide = F.pad(batch.images, (reach, reach, reach, reach), mode="replicate")
        angles = [_FIRST_ANGLE + draw * _TURN for draw in range(self.draws)]
        radius = self.shift_mm / batch.mm_per_pixel
        shifts = [(round(radius * math.sin(angle)), round(radius * math.cos(angle))) for angle in angles]
        moved = torch.cat(
            [
                wide[:, :, reach + down : reach + down + height, reach + right : reach + right + width]
                for down, right in shifts
            ]
        )
        maps = batch.explain(moved, batch.target)
        others = ExplanationBatch(moved, maps, method=batch.method, upsampling=batch.upsampling).pixel_maps
        scores = []
        for (down, right), other in zip(shifts, others.split(len(batch)), strict=True):
            first = batch.pixel_maps[:, _from(down, height), _from(right, width)]
            second = other[:, _from(-down, height), _from(-right, width)]
            scores.append(spearman(first.flatten(1), second.flatten(1)))
        return torch.stack(scores).mean(dim=0)


def _from(shift: int, length: int) -> slice:
    """Pixels of an axis that are still there after a move by ``shift``."""
    return slice(max(0, shift), length + min(0, shift))
