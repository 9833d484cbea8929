"""A slow reference of maps along paths: one image, one gradient at a time, filters by scipy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from ctxai.explain.clinical_baselines import ClinicalBaseline, ImageScale, make_clinical_baseline
from ctxai.explain.path import make_design

SCALE = ImageScale(-600.0, 400.0, 0.5)


def path_map(
    image: Tensor,
    one_gradient: Callable[[Tensor, Tensor, float], Tensor],
    draws: int,
    baselines: Sequence[ClinicalBaseline],
    shift_mm: float,
    turns: int,
    sigma_mm: float,
) -> np.ndarray:
    """The map (H, W) of one image (1, C, H, W).

    Args:
        image: standardised by :data:`SCALE`.
        one_gradient: from the moved image x (1, C, H, W), its baseline x0 and the step to the map (H, W) of x.
        draws, baselines, shift_mm, turns, sigma_mm: the method's options.
    """
    height, width = image.shape[2:]
    reach = round(shift_mm / SCALE.mm_per_pixel)
    total = np.zeros((height, width))
    for number, baseline in enumerate(baselines):
        found, cover = np.zeros((height, width)), np.zeros((height, width))
        for down, right, turn, step in make_design(draws, reach, turns, number):
            rows, columns = (np.arange(n) + by for n, by in ((height, down), (width, right)))
            moved = image[:, :, rows.clip(0, height - 1)][..., columns.clip(0, width - 1)]
            moved = torch.rot90(moved, turn % 4, (2, 3))
            moved = moved.flip(3) if turn >= 4 else moved
            one = one_gradient(moved, make_clinical_baseline(baseline, moved, SCALE), step).double().numpy()
            one = np.rot90(one[:, ::-1] if turn >= 4 else one, -(turn % 4))
            for i, row in enumerate(rows):
                for j, column in enumerate(columns):
                    if 0 <= row < height and 0 <= column < width:
                        found[row, column] += one[i, j]
                        cover[row, column] += 1
        found /= np.maximum(cover, 1)
        if sigma_mm:
            found = gaussian_filter(found, sigma_mm / SCALE.mm_per_pixel, mode="nearest", truncate=4)
        total += found / np.abs(found).mean()
    return total
