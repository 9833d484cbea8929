"""Smooth random fields that are the same wherever and in whatever pieces they are asked for."""

from __future__ import annotations

from zlib import crc32

import numpy as np


class Texture:
    """Random fields over one chest: cubic B-splines over lattices of random numbers.

    Args:
        seed: of the lattices.
        z_range: first and last position (mm) that will be asked for.
        extent_mm: side of the image; in the plane, positions run from 0 to this.
    """

    def __init__(self, seed: int, z_range: tuple[float, float], extent_mm: float) -> None:
        self._seed, self._z_range, self._extent = seed, z_range, extent_mm
        self._lattices: dict[tuple[str, float], np.ndarray] = {}

    def field(self, name: str, size_mm: float, nodes_mm: np.ndarray, z_mm: np.ndarray) -> np.ndarray:
        """The field called ``name`` at ``z_mm`` and, in both directions of the plane, ``nodes_mm``.

        Returns:
            float32 (z, node, node), of zero mean and unit variance, with bumps about ``size_mm`` wide.
        """
        step = 0.42 * size_mm
        if (name, size_mm) not in self._lattices:
            rng = np.random.default_rng([self._seed, crc32(name.encode())])
            depth = int((self._z_range[1] - self._z_range[0]) / step) + 5
            side = int(self._extent / step) + 5
            self._lattices[name, size_mm] = rng.standard_normal((depth, side, side), dtype=np.float32)
        values = _spline(self._lattices[name, size_mm], 0, (z_mm - self._z_range[0]) / step)
        values = _spline(values, 1, nodes_mm / step)
        return _spline(values, 2, nodes_mm / step) * np.float32(_UNIT)


def _spline(values: np.ndarray, axis: int, position: np.ndarray) -> np.ndarray:
    """Cubic B-spline along ``axis`` at ``position`` (in lattice steps; the first lattice point lies at -1)."""
    first = np.floor(position).astype(int)
    t = (position - first).astype(np.float32)
    weights = ((1 - t) ** 3 / 6, (3 * t**3 - 6 * t**2 + 4) / 6, (3 * (t + t**2 - t**3) + 1) / 6, t**3 / 6)
    shape = [-1 if a == axis else 1 for a in range(values.ndim)]
    return sum(np.take(values, first + k, axis) * w.reshape(shape) for k, w in enumerate(weights))


#: One over the standard deviation of a cubic B-spline of unit noise, over three axes, averaged over positions.
_UNIT = (315 / 151) ** 1.5
