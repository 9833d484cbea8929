"""A convolutional stem before a vision transformer: tokens of a few pixels that have seen their surroundings."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.functional import relu


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with batch normalisation and a shortcut (He et al. 2016, "Deep residual learning")."""

    def __init__(self, channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != width:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, channels, H, W) → (N, width, H / stride, W / stride)."""
        inner = self.norm2(self.conv2(relu(self.norm1(self.conv1(images)))))
        return relu(inner + self.shortcut(images))


class ConvStem(nn.Sequential):
    """Images (N, channels, H, W) → features (N, widths[-1], H / s, W / s), s = 2 to the power of the number of widths.

    A convolution of stride 2, a residual block, and two residual blocks for each further width, the first of which
    halves the resolution. timm's `HybridEmbed` turns the features into tokens (Xiao et al. 2021, "Early convolutions
    help transformers see better").
    """

    def __init__(self, widths: Sequence[int], channels: int = 3) -> None:
        first, *further = widths
        enter = nn.Sequential(nn.Conv2d(channels, first, 3, 2, 1, bias=False), nn.BatchNorm2d(first), nn.ReLU())
        blocks: list[nn.Module] = [enter, ResidualBlock(first, first)]
        for before, width in zip(widths, further, strict=False):
            blocks += [ResidualBlock(before, width, 2), ResidualBlock(width, width)]
        super().__init__(*blocks)
