"""Prediction and maps of one patch: every method and target, on all slices through the nodule in each view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ctxai.data.views import PATCH_SPACING_MM, as_patches, render_views
from ctxai.errors import InputError
from ctxai.explain.base import Attribution
from ctxai.explain.fuse import FusedMap, ViewStack, fuse_views
from ctxai.run.targets import NamedTarget, name_of

if TYPE_CHECKING:
    from ctxai.run.run import Run

#: Diameter that is assumed for a nodule that nobody measured: how far from its centre views are explained.
UNMEASURED_DIAMETER_MM = 12.0
_BATCH = 64


@dataclass(frozen=True, eq=False)
class PatchExplanation:
    """Prediction and maps of one patch.

    Attributes:
        prediction: by column name, see :meth:`ctxai.run.run.Run.predict`.
        fused: by names of method and target, maps with standard deviation and cover.
        central: images (view, channel, h, w) of the views' central slices, for checks of the maps.
        central_maps: the maps of these images, (view, h, w), by names of method and target.
    """

    prediction: Mapping[str, float]
    fused: Mapping[tuple[str, str], FusedMap]
    central: torch.Tensor
    central_maps: Mapping[tuple[str, str], torch.Tensor]

    @property
    def maps(self) -> dict[tuple[str, str], np.ndarray]:
        """Maps by names of method and target, float32 (superior, posterior, left) on the patch."""
        return {key: fused.values for key, fused in self.fused.items()}


def explain_patch(
    run: Run,
    hu: np.ndarray,
    methods: Sequence[Attribution],
    targets: Sequence[NamedTarget],
    views: Sequence[str],
    diameter_mm: float | None = None,
) -> PatchExplanation:
    """Predict a nodule and explain every target by every method.

    Args:
        run: the model.
        hu: patch (superior, posterior, left) at 1 mm, HU, the nodule in its centre; air where nothing was scanned.
        methods: explanation methods of the run's model.
        targets: what is explained.
        views: out of axial, coronal, sagittal.
        diameter_mm: size of the nodule: slices through it are explained; 12 mm when not given.

    Raises:
        InputError: for a patch that is not 3-dimensional.
    """
    if hu.ndim != 3:
        raise InputError(f"patch: expected (superior, posterior, left) at 1 mm, found the shape {hu.shape}")
    offsets = slice_offsets(diameter_mm, run.views.field_of_view_mm)
    images = torch.cat([render_views(hu, view, offsets, run.views) for view in views])
    central = [number * len(offsets) + len(offsets) // 2 for number in range(len(views))]
    fused, central_maps = {}, {}
    for method in methods:
        # Gradients of several targets at once differ in the last digit from those of each alone, and a map that
        # depends on what else was asked for gets another UID and stands twice in an archive.
        apart = [[one] for one in targets] if "gradients" in method.needs else [list(targets)]
        stacks = torch.cat(
            [
                torch.cat([method.attribute(block.to(run.model.device), target=part) for part in apart], dim=1).cpu()
                for block in images.split(_BATCH)
            ]
        )  # (view x slice, target, h, w)
        for number, target in enumerate(targets):
            key = method.name, name_of(target)
            central_maps[key] = stacks[central, number]
            fused[key] = fuse_views(
                {
                    view: ViewStack(stack, torch.tensor(offsets), run.views.field_of_view_mm)
                    for view, stack in zip(views, stacks[:, number].split(len(offsets)), strict=True)
                },
                hu.shape,
                PATCH_SPACING_MM,
                in_plane="nearest" if method.upsampling == "nearest" else "linear",
            )
    prediction = {str(name): value for name, value in run.predict(as_patches(hu)[None]).iloc[0].to_dict().items()}
    return PatchExplanation(prediction, fused, images[central], central_maps)


def slice_offsets(diameter_mm: float | None, field_of_view_mm: float) -> list[float]:
    """Offsets (mm, ascending, 1 mm apart) of the slices that pass through a nodule, within the field of view."""
    radius = (UNMEASURED_DIAMETER_MM if diameter_mm is None else diameter_mm) / 2
    reach = int(min(max(radius, 2.0), field_of_view_mm / 2 - 1))
    return [float(offset) for offset in range(-reach, reach + 1)]
