"""Whether a map's sum inside boxes says what the output loses with them."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from ctxai.errors import InputError
from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.evaluate.explanations.metric import Metric, option
from ctxai.evaluate.explanations.perturb import outputs_of_images, outputs_without
from ctxai.evaluate.explanations.similarity import pearson


@dataclass(frozen=True)
class BoxSensitivity(Metric):
    """CDAM's box sensitivity: correlation, over random squares, of the map's sum inside with f(x) - f(x without it).

    Sensitivity-n with boxes in the place of scattered pixels. The same squares for every image. Pearson's correlation;
    NaN for a constant map on which all squares sum to the same.

    Args:
        fill: see :func:`~ctxai.evaluate.explanations.perturbation_baselines.make_fill`.
        boxes: squares per image.
        side: of a square, as a share of the image's height; results depend on it, so give several.

    Raises:
        InputError: for fewer than 2 boxes or a side outside 0 to 1.
    """

    fill: str = option("lung_mean", "fill")
    boxes: int = option(100, "boxes")
    side: float = 0.25

    name = "box_sensitivity"
    higher_is_better = True
    units = "Pearson correlation"
    needs = frozenset({"model"})
    reference = "arXiv:2312.02364"
    published = MappingProxyType({"fill": "blur_14"})
    zero_by_chance = True
    summary_column = 1

    def __post_init__(self) -> None:
        if self.boxes < 2 or not 0 < self.side < 1:
            raise InputError(f"expected 2 boxes or more of a side between 0 and 1, found {self.boxes} of {self.side}")

    def _score(self, batch: ExplanationBatch) -> Tensor:
        regions = self.regions(batch)
        maps = batch.pixel_maps
        middle = (maps.amax(dim=(1, 2), keepdim=True) + maps.amin(dim=(1, 2), keepdim=True)) / 2
        # All squares have one size: a constant changes no correlation, and a constant map sums to 0 without rounding.
        inside = torch.einsum("rhw,nhw->nr", regions.double(), maps - middle)
        outputs = outputs_without(batch, lambda image, box: regions[box], len(regions), self.fill)
        drops = batch.explained(outputs_of_images(batch))[:, None] - batch.explained(outputs)
        return pearson(inside, drops)

    def regions(self, batch: ExplanationBatch) -> Tensor:
        """The squares, (boxes, H, W) bool."""
        height, width = batch.images.shape[2:]
        side = max(1, round(self.side * height))
        if side >= width:
            raise InputError(f"{self.name}: expected boxes narrower than {width} pixels, found {side}; choose a side")
        generator = torch.Generator().manual_seed(batch.seed)
        top = torch.randint(height - side, (self.boxes, 1), generator=generator)
        left = torch.randint(width - side, (self.boxes, 1), generator=generator)
        row, column = torch.arange(height) - top, torch.arange(width) - left
        in_rows, in_columns = (row >= 0) & (row < side), (column >= 0) & (column < side)
        return (in_rows[:, :, None] & in_columns[:, None, :]).to(batch.images.device)
