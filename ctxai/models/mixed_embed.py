"""Patch embedding with tokens of two sizes: small ones in the middle of an image, large ones around it."""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import HybridEmbed
from torch.nn.functional import avg_pool2d


class MixedEmbed(HybridEmbed):
    """Tokens of one patch in the middle half of an image's rows and columns, of 2 × 2 patches around it.

    The middle is embedded as it is, and the whole image averaged over 2 × 2 pixels by the same weights, of which the
    tokens under the middle are left out. Images (N, channels, H, W) → tokens (N, token, width): the small ones row by
    row, then the large ones. (Ronen et al. 2023, "Vision transformers with mixed-resolution tokenization".)

    Args:
        args, options: of `HybridEmbed`.

    Attributes:
        grid_size: rows and columns of the grid of small tokens over the whole image, its cells.
        cells: number of the token over every cell (row, column).

    Raises:
        ValueError: when the image is no multiple of 8 patches.
    """

    cells: torch.Tensor
    around: torch.Tensor

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if any(side % 8 for side in self.grid_size):
            raise ValueError(f"a coarse margin needs sides of a multiple of 8 patches, found {self.grid_size}")
        rows, columns = self.grid_size
        middle = slice(rows // 4, -rows // 4), slice(columns // 4, -columns // 4)
        fine = rows * columns // 4
        outside = torch.ones(rows // 2, columns // 2, dtype=torch.bool)
        outside[rows // 8 : -rows // 8, columns // 8 : -columns // 8] = False
        coarse = fine - 1 + outside.flatten().cumsum(0).view_as(outside)
        cells = coarse.repeat_interleave(2, 0).repeat_interleave(2, 1)
        cells[middle] = torch.arange(fine).view(rows // 2, columns // 2)
        self.num_patches = int(cells.max()) + 1
        self.register_buffer("cells", cells, persistent=False)
        self.register_buffer("around", outside.flatten().nonzero()[:, 0], persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images (N, channels, H, W) → tokens (N, token, width)."""
        assert images.shape[-2:] == self.img_size, f"images of {tuple(images.shape[-2:])}, expected {self.img_size}"
        height, width = self.img_size
        middle = images[..., height // 4 : -height // 4, width // 4 : -width // 4]
        both = super().forward(torch.cat([middle, avg_pool2d(images, 2)]))  # one batch for its normalisation
        fine, coarse = both.chunk(2)
        return torch.cat([fine, coarse[:, self.around]], dim=1)

    def per_token(self, values: torch.Tensor) -> torch.Tensor:
        """Mean over the cells of each token, (token, width), of values of the cells row by row (cell, width)."""
        cells = self.cells.flatten()
        total = values.new_zeros(self.num_patches, values.shape[1]).index_add(0, cells, values)
        return total / cells.bincount()[:, None]

    def quarters(self) -> torch.Tensor:
        """Number of the quarter of a token, 4 · token + 2 · lower + right, over each quarter of a cell.

        (2 · rows, 2 · columns); a quarter of a large token is over four of them.
        """
        cells = self.cells.repeat_interleave(2, 0).repeat_interleave(2, 1)
        reach = 1 + (cells >= self.grid_size[0] * self.grid_size[1] // 4).long()  # quarters of a cell, along a side
        lower, right = (
            (torch.arange(count, device=cells.device).view(shape) // reach) % 2
            for count, shape in zip(cells.shape, ((-1, 1), (1, -1)), strict=True)
        )
        return 4 * cells + 2 * lower + right
