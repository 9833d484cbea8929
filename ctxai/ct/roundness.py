"""How round the tissue about a point is: a nodule is curved along every axis, a vessel or a wall is not."""

from __future__ import annotations

import numpy as np

_HU = (-1000.0, 200.0)
_SMALLEST_MM = 1.0


def roundness(hu: np.ndarray, diameter_mm: float, spacing_mm: float = 1.0) -> float:
    """Smallest over largest curvature of the HU at the centre of a patch.

    The eigenvalues of the Hessian under a Gaussian of a quarter of the diameter: 1 for a ball, 0 for a straight vessel
    or a flat wall, below 0 where it is no maximum along some axis.

    Args:
        hu: patch (superior, posterior, left) about the point, of cubic voxels.
        diameter_mm: size of what is looked at.
        spacing_mm: side of a voxel.

    Source: eigenvalues of the Hessian as in Frangi et al., "Multiscale vessel enhancement filtering", MICCAI 1998.
    """
    sigma = max(_SMALLEST_MM, diameter_mm / 4)
    values = np.clip(np.asarray(hu, float), *_HU)
    kernels = [_derivatives(size, sigma, spacing_mm) for size in values.shape]
    hessian = np.empty((3, 3))
    for i in range(3):
        for j in range(3):
            order = [(i == axis) + (j == axis) for axis in range(3)]
            along = (kernels[axis][order[axis]] for axis in range(3))
            hessian[i, j] = np.einsum("zyx,z,y,x->", values, *along, optimize=True)
    curvatures = np.sort(-np.linalg.eigvalsh(hessian))
    largest = np.abs(curvatures).max()
    return float(curvatures[0] / largest) if largest else 0.0


def _derivatives(size: int, sigma: float, spacing_mm: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A Gaussian about the middle of an axis, and its first and second derivative."""
    x = (np.arange(size) - (size - 1) / 2) * spacing_mm
    gaussian = np.exp(-0.5 * (x / sigma) ** 2)
    gaussian /= gaussian.sum()
    return gaussian, x / sigma**2 * gaussian, (x**2 / sigma**4 - 1 / sigma**2) * gaussian
