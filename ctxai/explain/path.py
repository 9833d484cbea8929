"""Maps along paths from clinical baselines, averaged over shifts, turns and steps that are drawn together.

Every gradient has a shift, a turn, a step and a baseline of its own (a quasi-random design), so that a map costs as
many gradients as it has draws and not their product. A shift of less than a token undoes the grid's place; a turn is
one of the eight quarter turns and mirror images, for models that predict over them.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ctxai.errors import InputError
from ctxai.explain.base import Attribution
from ctxai.explain.clinical_baselines import ClinicalBaseline, ImageScale, gaussian_blur, make_clinical_baseline
from ctxai.explain.images import image_size
from ctxai.explain.network import Network
from ctxai.explain.pixels import check_count
from ctxai.explain.targets import Targets

BASELINES: tuple[ClinicalBaseline, ...] = ("lung", "blur")

_IMAGES_AT_ONCE = 64
_GOLDEN = (0.7548776662466927, 0.5698402909980532)
"""Roberts' R2 sequence in two dimensions."""


class Draw(NamedTuple):
    """One gradient: shift in pixels (rows, columns), turn (0 .. 7) and step (0 .. 1) of the path."""

    rows: int
    columns: int
    turn: int
    step: float


def make_design(draws: int, reach: int, turns: int, first: int = 0) -> list[Draw]:
    """Draws of one baseline: steps in the middles of their strata, shifts and their opposites, turns by rotation."""
    design = []
    stride = next(step for step in (7, 5, 3, 1) if draws % step or step == 1)
    for k in range(draws):
        pair, sign = (k + first) // 2 + 1, 1 - 2 * ((k + first) % 2)
        rows, columns = (round(sign * ((0.5 + golden * pair) % 1 * 2 - 1) * reach) for golden in _GOLDEN)
        step = ((k * stride + 3 * first) % draws + 0.5) / draws
        design.append(Draw(rows, columns, (3 * k + first) % turns, step))
    return design


class PathAttribution(Attribution):
    """A method along straight paths from clinical baselines x0 to the image x.

    Each baseline's map is divided by its mean magnitude, and the maps are added.

    Args:
        model: as :class:`~ctxai.explain.base.Attribution`.
        draws: gradients of each baseline.
        baselines: out of "lung" and "blur".
        shift_mm: largest shift along rows and columns.
        turns: 1, or 8 for a model that predicts over an image's quarter turns and mirror images.
        sigma_mm: standard deviation of a Gaussian over each baseline's map; 0 leaves it out.
        hu_mean, hu_std: HU of a standardised value are value * hu_std + hu_mean.
        mm_per_pixel: side of a pixel.

    Raises:
        InputError: for options outside their range.
    """

    signed = True
    class_specific = True
    resolution = "pixel"
    upsampling = "bilinear"
    needs: ClassVar[frozenset[str]] = frozenset({"gradients"})

    def __init__(
        self,
        model: nn.Module,
        draws: int = 10,
        baselines: Sequence[ClinicalBaseline] = BASELINES,
        shift_mm: float = 2.0,
        turns: int = 1,
        sigma_mm: float = 0.5,
        hu_mean: float = -600.0,
        hu_std: float = 400.0,
        mm_per_pixel: float = 0.5,
    ) -> None:
        super().__init__(model)
        check_count("draws", draws)
        if not baselines or not set(baselines) <= set(BASELINES):
            raise InputError(f"expected baselines out of {', '.join(BASELINES)}, found {list(baselines)}")
        if turns not in (1, 8) or min(shift_mm, sigma_mm) < 0 or min(hu_std, mm_per_pixel) <= 0:
            raise InputError(
                f"expected 1 or 8 turns, shift_mm and sigma_mm of 0 or more, hu_std and mm_per_pixel above 0, found "
                f"{turns}, {shift_mm}, {sigma_mm}, {hu_std} and {mm_per_pixel}"
            )
        self.draws, self.baselines, self.turns = draws, tuple(baselines), turns
        self.shift_mm, self.sigma_mm = shift_mm, sigma_mm
        self.hu_mean, self.hu_std, self.mm_per_pixel = hu_mean, hu_std, mm_per_pixel

    @classmethod
    def options_for(cls, scale: ImageScale, turns: int, outlined: bool) -> dict[str, Any]:
        """Scale and turns of a run's images."""
        return {**dataclasses.asdict(scale), "turns": turns}

    def _maps(self, network: Network, images: Tensor, targets: Targets) -> Tensor:
        targets.fix(network.run(images).outputs)
        total = images.new_zeros(len(targets), len(images), *image_size(images))
        for number, baseline in enumerate(self.baselines):
            found = self._along(network, images, targets, baseline, number)
            if self.sigma_mm:
                sigma = self.sigma_mm / self.mm_per_pixel
                found = gaussian_blur(found, sigma, max(1, round(4 * sigma)))
            size = found.abs().mean(dim=(2, 3), keepdim=True)
            total += found / size.where(size > 0, 1)
        return total

    def _along(
        self, network: Network, images: Tensor, targets: Targets, baseline: ClinicalBaseline, number: int
    ) -> Tensor:
        """Mean map (T, N, H, W) over the draws of one baseline, not scaled."""
        height, width = image_size(images)
        reach = round(self.shift_mm / self.mm_per_pixel)
        wide = F.pad(images, (reach, reach, reach, reach), mode="replicate")
        total = images.new_zeros(len(targets), len(images), height + 2 * reach, width + 2 * reach)
        cover = torch.zeros_like(total[0, 0])
        design = make_design(self.draws, reach, self.turns, number)
        if height != width:  # quarter turns have another shape
            design = [draw._replace(turn=draw.turn - draw.turn % 2) for draw in design]
        for part in self._parts(design, len(images)):
            windows = [
                (slice(reach + d.rows, reach + d.rows + height), slice(reach + d.columns, reach + d.columns + width))
                for d in part
            ]
            moved = torch.cat(
                [turned(wide[:, :, rows, columns], d.turn) for d, (rows, columns) in zip(part, windows, strict=True)]
            )
            start = make_clinical_baseline(baseline, moved, self._scale)
            step = moved.new_tensor([d.step for d in part]).repeat_interleave(len(images))[:, None, None, None]
            maps = self._path_maps(network, moved, start, step, targets, len(part))
            by_draw = maps.unflatten(1, (len(part), -1)).unbind(1)
            for d, (rows, columns), found in zip(part, windows, by_draw, strict=True):
                total[:, :, rows, columns] += turned_back(found, d.turn)
                cover[rows, columns] += 1
        mean = total / cover.clamp(min=1)
        return mean[:, :, reach : reach + height, reach : reach + width]

    def _parts(self, design: list[Draw], count: int) -> Iterator[list[Draw]]:
        """The draws, few at a time."""
        at_once = max(1, _IMAGES_AT_ONCE // count)
        for start in range(0, len(design), at_once):
            yield design[start : start + at_once]

    @property
    def _scale(self) -> ImageScale:
        return ImageScale(self.hu_mean, self.hu_std, self.mm_per_pixel)

    @abstractmethod
    def _path_maps(
        self, network: Network, images: Tensor, start: Tensor, step: Tensor, targets: Targets, draws: int
    ) -> Tensor:
        """Maps (T, M, H, W) of images (M, C, H, W) with M = draws x N, for one gradient on each one's path.

        Args:
            network: the model.
            images: x.
            start: x0, of the same shape.
            step: place on the path (M, 1, 1, 1), from 0 at x0 to 1 at x.
            targets: what is explained.
            draws: copies of the N images.
        """


def turned(images: Tensor, number: int) -> Tensor:
    """One of the eight quarter turns and mirror images of (..., H, W); 0 is the image itself."""
    rotated = torch.rot90(images, number % 4, (-2, -1))
    return rotated.flip(-1) if number >= 4 else rotated


def turned_back(images: Tensor, number: int) -> Tensor:
    """Reverse of :func:`turned`."""
    return torch.rot90(images.flip(-1) if number >= 4 else images, -(number % 4), (-2, -1))
