"""2-D views of a patch: what a vision transformer sees of a nodule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import grid_sample

from ctxai.data.settings import VIEWS, ViewConfig
from ctxai.errors import InputError

PATCH_SPACING_MM = 1.0
"""Voxel size of the patches that views are cut from."""


# Rows: superior, posterior, left. Columns: along image columns, along image rows, along the normal.
# Coronal and sagittal images have the head at the top, so their rows run towards the feet.
_FRAMES = {
    "axial": ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
    "coronal": ((0.0, -1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0)),
    "sagittal": ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
}


def view_frame(view: str) -> torch.Tensor:
    """Axes of a view as a rotation or reflection, (3, 3).

    Rows are the patient's superior, posterior and left; the columns are the directions of the image's columns
    (left to right on the screen), of its rows (top to bottom) and of its normal (rising slice offset).

    - axial: columns to the left, rows to posterior, normal to superior;
    - coronal: columns to the left, rows to inferior, normal to posterior;
    - sagittal: columns to posterior, rows to inferior, normal to the left.

    Raises:
        InputError: for any other name.
    """
    if view not in _FRAMES:
        raise InputError(f"view {view!r}: expected one of {', '.join(VIEWS)}")
    return torch.tensor(_FRAMES[view])


def as_patches(hu: np.ndarray | torch.Tensor) -> torch.Tensor:
    """HU as a tensor; arrays are copied, since tensors cannot share read-only memory."""
    return torch.tensor(hu) if isinstance(hu, np.ndarray) else hu


def view_planes(view: str, offsets_mm: Sequence[float]) -> torch.Tensor:
    """Planes of parallel slices, (offset, 3, 3), in the form that :func:`cut_planes` takes."""
    frame = view_frame(view)
    offsets = torch.as_tensor(offsets_mm, dtype=frame.dtype)
    planes = frame.repeat(len(offsets), 1, 1)
    planes[:, :, 2] = offsets[:, None] * frame[:, 2]
    return planes


def cut_planes(
    hu: torch.Tensor, planes: torch.Tensor, config: ViewConfig, window: tuple[float, float] | None = None
) -> torch.Tensor:
    """Sample oblique planes of patches, trilinearly, in Hounsfield units clamped to the window.

    Args:
        hu: patches (N, superior, posterior, left) at 1 mm. A patch one voxel deep is a slice 1 mm thick.
        planes: (N, M, 3, 3), each with columns (step of one mm along image columns, step along image rows,
            centre from the patch centre in mm), all in (superior, posterior, left). The patch centre is index
            (n - 1) / 2 of every axis.
        config: field of view, pixels and window.
        window: values that are clamped to, for patches of other units; the config's window when not given.

    Returns:
        (N, M, pixels, pixels), not standardised. Outside of the patch is air, the window's lower end, or, as
        ``config.beyond`` has it, the patch's nearest voxel.
    """
    low, high = window or config.hu_window
    side = config.field_of_view_mm
    along = (torch.arange(config.pixels, dtype=torch.float32) + 0.5) / config.pixels * side - side / 2
    rows, columns = torch.meshgrid(along, along, indexing="ij")
    image = torch.stack([columns, rows, torch.ones_like(rows)])  # homogeneous, (3, pixels, pixels)
    points = torch.einsum("nmad,dhw->nmhwa", planes.to(torch.float32), image)
    # grid_sample counts axes backwards and puts -1 and 1 at the outer faces of the first and last voxel.
    extent = torch.tensor(hu.shape[1:], dtype=torch.float32) * PATCH_SPACING_MM
    grid = (2 * points / extent).flip(-1)
    above_air = hu.to(torch.float32).clamp(low, high).sub_(low)
    padding = "border" if config.beyond == "nearest" and window is None else "zeros"
    cut = grid_sample(above_air[:, None], grid, mode="bilinear", padding_mode=padding, align_corners=False)
    return cut[:, 0] + low


def standardise(images_hu: torch.Tensor, config: ViewConfig) -> torch.Tensor:
    """Images in clamped HU (..., H, W) as the model takes them, (..., 3, H, W): z-scored, three equal channels."""
    scaled = (images_hu - config.mean) / config.std
    return scaled.unsqueeze(-3).expand(*scaled.shape[:-2], 3, *scaled.shape[-2:])


def render_batch(
    hu: torch.Tensor,
    view: str,
    offsets_mm: Sequence[float],
    config: ViewConfig,
    centres_mm: torch.Tensor | None = None,
) -> torch.Tensor:
    """Images of many nodules, (nodule, offset, 3, pixels, pixels).

    Args:
        hu: patches (nodule, superior, posterior, left) at 1 mm, any real dtype, HU. Voxels that were not scanned
            have to hold air (any value at or below the window's lower end).
        view: axial, coronal or sagittal.
        offsets_mm: slice positions along the view's normal, mm from the patch centre.
        config: field of view, pixels, window and statistics.
        centres_mm: centre of each nodule's images, mm (superior, posterior, left) from the patch's (nodule, 3).

    Raises:
        InputError: for an unknown view, patches that are not 4-dimensional, or a view across single slices.
    """
    if hu.ndim != 4:
        raise InputError(f"patches: expected (nodule, superior, posterior, left), found shape {tuple(hu.shape)}")
    if hu.shape[1] == 1 and view != "axial":
        raise InputError(f"view {view!r}: these patches are single axial slices; use the axial view alone")
    planes = view_planes(view, offsets_mm).repeat(len(hu), 1, 1, 1)
    if centres_mm is not None:
        planes[..., 2] += centres_mm[:, None].to(planes)
    return standardise(cut_planes(hu, planes, config), config)


def render_own_views(
    hu: torch.Tensor,
    config: ViewConfig,
    offsets_mm: Sequence[float] | None = None,
    centres_mm: torch.Tensor | None = None,
) -> torch.Tensor:
    """The images that a run of these views sees of nodules, (nodule, view x offset, 3, pixels, pixels).

    Args:
        hu: as :func:`render_batch`.
        config: the run's views.
        offsets_mm: slice positions; the run's own when not given.
        centres_mm: as :func:`render_batch`.

    Raises:
        InputError: as :func:`render_batch`.
    """
    offsets_mm = config.slice_offsets_mm if offsets_mm is None else offsets_mm
    return torch.cat([render_batch(hu, view, offsets_mm, config, centres_mm) for view in config.views], dim=1)


def turn(images: torch.Tensor, number: int) -> torch.Tensor:
    """Turn ``number`` of an image's eight quarter turns and mirror images, of (..., H, W); 0 is the image itself."""
    turned = torch.rot90(images, number % 4, (-2, -1))
    return turned.flip(-1) if number >= 4 else turned


def turn_back(images: torch.Tensor, number: int) -> torch.Tensor:
    """The reverse of :func:`turn`."""
    return torch.rot90(images.flip(-1) if number >= 4 else images, -(number % 4), (-2, -1))


def render_views(
    hu: np.ndarray | torch.Tensor, view: str, offsets_mm: Sequence[float], config: ViewConfig
) -> torch.Tensor:
    """Images of one nodule, (offset, 3, pixels, pixels); ``hu`` (superior, posterior, left), else as `render_batch`."""
    return render_batch(as_patches(hu)[None], view, offsets_mm, config)[0]
