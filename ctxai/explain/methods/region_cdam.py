"""CDAM summed up over the regions of an image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ctxai.errors import InputError
from ctxai.explain.base import Attribution
from ctxai.explain.images import image_size
from ctxai.explain.last_block import LastBlock
from ctxai.explain.network import Network
from ctxai.explain.targets import Targets
from ctxai.explain.token_grid import place_on_image

SIDE = 224
"""Images are segmented at this size, which the scales and sizes below are made for."""
SCALES = (50, 100, 150, 250, 500, 1200)
SIGMA = 0.8
MINIMUM_SIZE = 150
SMALLEST_GAIN = 50
"""Regions that would add fewer pixels are left out."""


class RegionCDAM(Attribution):
    """Region CDAM: image segments, taken in the order of their mean CDAM, as XRAI does with integrated gradients.

    The image is segmented at several scales; each segment is grown by a disk. Then the segment with the highest mean
    over the pixels that it newly covers is added, and those pixels get that mean, until no segment adds
    50 pixels; what is left gets its own mean.

    Args:
        model: as :class:`~ctxai.explain.base.Attribution`.
        radius: of the disk that segments are grown by, in pixels of the image at 224 x 224.
        approximate: order the segments once by their mean, instead of again after every addition.
        scales: of Felzenszwalb and Huttenlocher's segmentation.

    Raises:
        InputError: for a negative radius, or scales that are not positive.

    Source: Brocki, Binda and Chung, TMLR 2024; XRAI: Kapishnikov et al., ICCV 2019.
    """

    name = "region_cdam"
    signed = True
    class_specific = True
    resolution = "pixel"
    needs = frozenset({"attention", "gradients"})
    reference = "arXiv:2312.02364"

    def __init__(
        self, model: nn.Module, radius: int = 3, approximate: bool = False, scales: Sequence[float] = SCALES
    ) -> None:
        super().__init__(model)
        if radius < 0:
            raise InputError(f"expected a radius of 0 or more pixels, found {radius}")
        if not scales or min(scales) <= 0:
            raise InputError(f"expected positive scales of segmentation, found {list(scales)}")
        self.radius, self.approximate, self.scales = radius, approximate, tuple(scales)

    def _maps(self, network: Network, images: Tensor, targets: Targets) -> Tensor:
        last = LastBlock(network, images, targets)
        maps, size = last.scores(last.normed, last.stream), image_size(images)
        if network.covered(size) != size:
            maps = place_on_image(maps, network.covered(size), size, "nearest-exact")
        maps = F.interpolate(maps, size=(SIDE, SIDE), mode="nearest-exact")
        scaled = F.interpolate(images, size=(SIDE, SIDE), mode="bilinear", antialias=True)
        regions = maps.new_empty(maps.shape)
        for position, image in enumerate(scaled):
            found = segments(image.movedim(0, -1).double().cpu().numpy(), self.radius, self.scales)
            for target in range(len(targets)):
                values = maps[target, position].double().cpu().numpy()
                summed = sum_up(values, found, self.approximate)
                regions[target, position] = torch.from_numpy(summed).to(regions)
        return F.interpolate(regions, size=images.shape[2:], mode="nearest-exact")


def segments(image: NDArray[np.float64], radius: int, scales: Sequence[float] = SCALES) -> list[NDArray[np.intp]]:
    """Segments of an image (h, w, C) at several scales, each grown by a disk: the flat indices of their pixels."""
    from scipy import ndimage
    from skimage.morphology import disk
    from skimage.segmentation import felzenszwalb

    span = image.max() - image.min()
    image = (image - image.min()) / (span if span > 0 else 1.0) * 2 - 1
    height, width = image.shape[:2]
    found = []
    for scale in scales:
        labels = felzenszwalb(image, scale=scale, sigma=SIGMA, min_size=MINIMUM_SIZE, channel_axis=-1) + 1
        for label, box in enumerate(ndimage.find_objects(labels), start=1):
            rows = slice(max(box[0].start - radius, 0), min(box[0].stop + radius, height))
            columns = slice(max(box[1].start - radius, 0), min(box[1].stop + radius, width))
            inside = labels[rows, columns] == label
            if radius:
                inside = ndimage.binary_dilation(inside, disk(radius))
            row, column = np.nonzero(inside)
            found.append((row + rows.start) * width + column + columns.start)
    return found


def sum_up(
    values: NDArray[np.float64], found: list[NDArray[np.intp]], approximate: bool = False
) -> NDArray[np.float64]:
    """Replace ``values`` (h, w) by means over segments, given as flat indices, in the order of their mean.

    Means that agree in five digits of the largest value count as equal; the earlier segment goes first.
    """
    from scipy import sparse

    flat = values.ravel()
    digits = 1e-5 * max(np.abs(flat).max(), np.finfo(flat.dtype).tiny)
    pixels = np.concatenate(found)
    starts = np.cumsum([0, *map(len, found)])
    members = sparse.csr_array((np.ones(len(pixels)), pixels, starts), shape=(len(found), len(flat)))
    by_pixel = members.tocsc()
    result = np.zeros_like(flat)
    uncovered = np.ones(len(flat), dtype=bool)
    sums, counts = members @ flat, members @ uncovered
    waiting = np.ones(len(found), dtype=bool)
    order = iter(np.argsort(-np.round(sums / counts / digits), kind="stable"))
    while True:
        waiting &= counts >= SMALLEST_GAIN
        if not waiting.any():
            break
        if approximate:
            chosen = next(candidate for candidate in order if waiting[candidate])
        else:
            means = np.round(sums / np.maximum(counts, 1) / digits)
            chosen = int(np.where(waiting, means, -np.inf).argmax())
        added = found[chosen][uncovered[found[chosen]]]
        result[added] = flat[added].mean()
        uncovered[added] = False
        waiting[chosen] = False
        newly = by_pixel[:, added]
        sums, counts = sums - newly @ flat[added], counts - newly @ np.ones(len(added))
    if uncovered.any():
        result[uncovered] = flat[uncovered].mean()
    return result.reshape(values.shape)
