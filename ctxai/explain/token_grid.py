"""Where patch tokens lie: on a grid of cells, and over the pixels that it covers, not always exactly the image's.

With ``dynamic_img_pad`` timm pads images at the right and the bottom to whole patches. Without it, an image size that
is no multiple of the patch size loses its last rows and columns. A map on tokens is stretched over what they cover,
then cut, or filled with 0 where no token has read.
"""

from __future__ import annotations

from dataclasses import dataclass

from timm.layers import HybridEmbed
from torch import Tensor
from torch.nn import functional as F

from ctxai.explain.timm_types import Transformer


@dataclass(frozen=True)
class TokenGrid:
    """Patch tokens of an image on a grid of cells, each of the size of the smallest token.

    Attributes:
        size: rows and columns of cells.
        cells: number of the token over every cell (row, column); none where token i is over cell i, row by row.
    """

    size: tuple[int, int]
    cells: Tensor | None = None

    @property
    def tokens(self) -> int:
        """How many patch tokens there are."""
        return self.size[0] * self.size[1] if self.cells is None else 1 + int(self.cells.max())

    def spread(self, values: Tensor, additive: bool = True) -> Tensor:
        """Values of the tokens (..., token) on the cells (..., row, column).

        Of a token over several cells each gets the same part of its value, so that sums stay the same; with
        ``additive`` False each gets the value itself.
        """
        if self.cells is None:
            return values.unflatten(-1, self.size)
        if additive:
            values = values / self.cells.flatten().bincount()
        return values[..., self.cells]


def covered_pixels(vit: Transformer, grid: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Pixels (rows, columns) that a token grid covers in an image of ``size`` (H, W), from its upper left corner."""
    embed = vit.patch_embed
    if isinstance(embed, HybridEmbed) and not embed.dynamic_img_pad:
        return size  # a convolutional stem reads its margins, whatever its strides leave over
    ratio = getattr(embed, "feature_ratio", (1, 1))
    rows, columns = (n * int(patch) * int(r) for n, patch, r in zip(grid, embed.patch_size, ratio, strict=True))
    return rows, columns


def place_on_image(values: Tensor, covered: tuple[int, int], size: tuple[int, int], mode: str) -> Tensor:
    """Upsample ``values`` (N, T, h, w) to the pixels that they cover, and cut or fill with 0 to ``size`` (H, W)."""
    options = {} if mode == "nearest-exact" else {"align_corners": False}
    pixels = F.interpolate(values, size=covered, mode=mode, **options)
    rows, columns = size
    return F.pad(pixels, (0, max(0, columns - covered[1]), 0, max(0, rows - covered[0])))[..., :rows, :columns]
