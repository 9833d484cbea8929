"""Prediction and maps of one patch: every method and target, on the slices that the prediction reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ctxai.data.views import PATCH_SPACING_MM, as_patches, render_batch, view_frame
from ctxai.errors import InputError
from ctxai.explain.base import Attribution
from ctxai.explain.fuse import FusedMap, ViewStack, fuse_views
from ctxai.run.recentring import nodule_part
from ctxai.run.targets import NamedTarget, name_of

if TYPE_CHECKING:
    from ctxai.run.run import Run

#: Diameter that is drawn for a nodule that nobody measured.
UNMEASURED_DIAMETER_MM = 12.0


@dataclass(frozen=True, eq=False)
class PatchExplanation:
    """Prediction and maps of one patch.

    Attributes:
        prediction: by column name, see :meth:`ctxai.run.run.Run.predict`.
        fused: by names of method and target, maps with standard deviation and cover.
        images: what was predicted from and explained, (view x slice, channel, h, w).
        image_maps: the maps of these images, (view x slice, h, w), by names of method and target.
    """

    prediction: Mapping[str, float]
    fused: Mapping[tuple[str, str], FusedMap]
    images: torch.Tensor
    image_maps: Mapping[tuple[str, str], torch.Tensor]

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
    *,
    recentre: bool = False,
    spacing_mm: Sequence[float] | None = None,
) -> PatchExplanation:
    """Predict a nodule, and explain every target by every method on the images that the prediction is the mean over.

    Args:
        run: the model.
        hu: patch (superior, posterior, left) at 1 mm, HU, the nodule in its centre; air where nothing was scanned.
        methods: explanation methods of the run's model.
        targets: what is explained.
        views: out of axial, coronal, sagittal; the prediction reads the run's own.
        recentre: move the images from the patch's centre to the middle of the outline that the run sees.
        spacing_mm: distances (superior, posterior, left) of the CT's voxels, which the map of a slice between them
            reaches; half a voxel of the patch when not given.

    Raises:
        InputError: for a patch that is not 3-dimensional.
    """
    if hu.ndim != 3:
        raise InputError(f"patch: expected (superior, posterior, left) at 1 mm, found the shape {hu.shape}")
    patches = as_patches(hu)[None]
    centres = run.recentre(patches) if recentre else torch.zeros(1, 3)
    offsets = sorted(run.views.slice_offsets_mm)
    images = torch.cat([render_batch(patches, view, offsets, run.views, centres)[0] for view in views])
    fused, image_maps = {}, {}
    for method in methods:
        # Gradients of several targets at once differ in the last digit from those of each alone, and a map that
        # depends on what else was asked for gets another UID and stands twice in an archive.
        apart = [[one] for one in targets] if "gradients" in method.needs else [list(targets)]
        on_device = images.to(run.model.device)
        maps = torch.cat([method.attribute(on_device, target=part) for part in apart], dim=1).cpu()
        for number, target in enumerate(targets):
            key = method.name, name_of(target)
            image_maps[key] = maps[:, number]
            stacks = zip(views, maps[:, number].split(len(offsets)), strict=True)
            fused[key] = fuse_views(
                {
                    view: ViewStack(stack, torch.tensor(offsets), run.views.field_of_view_mm, _reach(view, spacing_mm))
                    for view, stack in stacks
                },
                hu.shape,
                PATCH_SPACING_MM,
                in_plane="nearest" if method.upsampling == "nearest" else "linear",
                centre_mm=centres[0].tolist(),
            )
    prediction = {str(name): value for name, value in run.predict(patches, centres).iloc[0].to_dict().items()}
    return PatchExplanation(prediction, fused, images, image_maps)


def seen_nodule(run: Run, hu: np.ndarray, spacing_mm: Sequence[float] | None = None) -> np.ndarray | None:
    """The nodule as the run itself sees it, on the slices that its predictions read.

    Args:
        run: the model.
        hu: as :func:`explain_patch`, with the images about the patch's centre.
        spacing_mm: as :func:`explain_patch`.

    Returns:
        bool (superior, posterior, left) on the patch; None of a run that has learnt no outlines.
    """
    if not run.model.has_outline:
        return None
    views, patches, offsets = run.views, as_patches(hu)[None], sorted(run.views.slice_offsets_mm)
    stacks = {}
    for number, view in enumerate(views.views):
        normal = view_frame(view)[:, 2]
        shares = [run.outlines(patches, offset * normal[None])[0, number].numpy() for offset in offsets]
        pixel_mm = views.field_of_view_mm / shares[0].shape[-1]
        parts = torch.from_numpy(np.stack([nodule_part(share, pixel_mm) for share in shares])).float()
        stacks[view] = ViewStack(parts, torch.tensor(offsets), views.field_of_view_mm, _reach(view, spacing_mm))
    return fuse_views(stacks, hu.shape, PATCH_SPACING_MM, in_plane="linear").values >= 0.5


def _reach(view: str, spacing_mm: Sequence[float] | None) -> float | None:
    """How far a slice reaches, so that interpolation finds it whole at the CT's voxels next to it."""
    if spacing_mm is None:
        return None
    normal = view_frame(view)[:, 2].abs().numpy()
    return float(normal @ np.asarray(spacing_mm)) / 2 + PATCH_SPACING_MM
