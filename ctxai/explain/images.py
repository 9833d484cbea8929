"""Validation of a batch of images."""

from __future__ import annotations

from torch import Tensor

from ctxai.errors import InputError


def image_size(images: Tensor) -> tuple[int, int]:
    """(H, W) of images (N, C, H, W)."""
    return images.shape[2], images.shape[3]


def check_images(images: Tensor) -> None:
    """Refuse what is no batch of images (N, C, H, W) in floating point, or holds NaN or infinity.

    Raises:
        InputError: naming the shape, or the first image that is not finite.
    """
    if not isinstance(images, Tensor) or images.ndim != 4 or not images.is_floating_point() or len(images) == 0:
        found = f"{tuple(images.shape)} of {images.dtype}" if isinstance(images, Tensor) else type(images).__name__
        raise InputError(f"expected images of shape (N, C, H, W) in floating point, found {found}")
    finite = images.isfinite().flatten(1).all(dim=1)
    if not finite.all():
        raise InputError(
            f"image {int(finite.logical_not().nonzero()[0])}: expected finite pixels, found NaN or infinity; "
            "check the preprocessing"
        )
