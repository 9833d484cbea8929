"""Heart, great vessels, trachea, oesophagus, and what lies under the diaphragm."""

from __future__ import annotations

import numpy as np

from ctxai.phantom.anatomy.frame import Frame, Habitus, Layer
from ctxai.phantom.anatomy.shapes import capsule, ellipsoid, union

FAT_HU = -98.0


def organs(frame: Frame, habitus: Habitus) -> list[Layer]:
    """Layers of everything inside the ribcage except the lungs, from the outside in."""
    layers = [Layer(frame.wall, FAT_HU + 8 * frame.noise("inner fat", 12))]
    if float(frame.under.min()) < 5:
        layers += _abdomen(frame, habitus)
    return layers + _heart(frame, habitus) + _vessels(frame, habitus) + _airway(frame)


def _place(frame: Frame, x: float, y: float, level: float) -> tuple[float, float, float]:
    """A point given in shares of the cage's half width and depth, and its level."""
    return x * frame.thorax.half_width_mm, y * frame.thorax.half_depth_mm, frame.thorax.z_at(level)


def _heart(frame: Frame, habitus: Habitus) -> list[Layer]:
    thorax, size = frame.thorax, frame.thorax.heart
    width, depth, height = thorax.half_width_mm, thorax.half_depth_mm, thorax.height_mm
    x, y = frame.x - 0.17 * width, frame.y + 0.24 * depth
    along, across = 0.85 * x - 0.52 * y, 0.52 * x + 0.85 * y
    z = frame.z - thorax.z_at(0.3)

    def chamber(c: tuple[float, float, float], r: tuple[float, float, float]) -> np.ndarray:
        radii = tuple(value * size for value in (r[0] * width, r[1] * depth, r[2] * height))
        return ellipsoid(along, across, z, (c[0] * width, c[1] * depth, c[2] * height), radii)

    muscle = chamber((0, 0, 0), (0.48, 0.43, 0.22))
    muscle = np.maximum(muscle, -frame.under + 1)
    left = chamber((0.17, 0.12, -0.02), (0.22, 0.17, 0.14))
    right = chamber((0.02, -0.2, -0.03), (0.3, 0.14, 0.15))
    left_atrium = chamber((-0.14, 0.3, 0.09), (0.26, 0.13, 0.09))
    right_atrium = chamber((-0.32, -0.05, 0.02), (0.13, 0.24, 0.14))
    uneven = 1.5 * frame.noise("heart", 16)
    return [
        Layer(muscle, 50.0 + 0.25 * (habitus.artery_hu - 42), 1.4),
        Layer(np.maximum(union(left, left_atrium) + uneven, muscle + 2), habitus.artery_hu, 1.4),
        Layer(np.maximum(union(right, right_atrium) + uneven, muscle + 2), habitus.vein_hu, 1.4),
    ]


def _vessels(frame: Frame, habitus: Habitus) -> list[Layer]:
    x, y, z = frame.x, frame.y, frame.z

    def tube(
        a: tuple[float, float, float], b: tuple[float, float, float], r: float, end: float | None = None
    ) -> np.ndarray:
        return capsule(x, y, z, _place(frame, *a), _place(frame, *b), r, end)

    aorta = union(
        tube((-0.04, -0.22, 0.42), (-0.1, -0.3, 0.52), 15),
        tube((-0.1, -0.3, 0.52), (-0.07, -0.25, 0.66), 14.5),
        tube((-0.07, -0.25, 0.68), (0.1, 0.12, 0.72), 13),
        tube((0.1, 0.12, 0.72), (0.17, 0.42, 0.67), 12.5),
        tube((0.17, 0.42, 0.67), (0.18, 0.55, 0.4), 12),
        tube((0.18, 0.55, 0.4), (0.06, 0.58, 0.0), 11.5),
        tube((0.06, 0.58, 0.0), (0.04, 0.5, -0.4), 11),
        tube((-0.02, -0.12, 0.73), (-0.12, 0.0, 1.0), 6),
        tube((0.07, 0.0, 0.73), (0.1, 0.1, 1.05), 4.2),
        tube((0.11, 0.14, 0.73), (0.24, 0.25, 1.02), 5),
    )
    lung_artery = union(
        tube((0.16, -0.36, 0.46), (0.14, -0.18, 0.55), 13),
        tube((0.14, -0.16, 0.55), (0.3, 0.06, 0.54), 11, 8.5),
        tube((0.1, -0.12, 0.54), (-0.3, 0.0, 0.51), 10.5, 8.5),
        tube((0.3, 0.06, 0.54), (0.34, 0.16, 0.44), 8.5, 6.5),
        tube((-0.3, 0.0, 0.51), (-0.33, 0.12, 0.42), 8.5, 6.5),
    )
    vein = union(
        tube((-0.24, -0.2, 0.42), (-0.25, -0.22, 0.72), 9),
        tube((-0.25, -0.22, 0.72), (-0.22, -0.16, 1.0), 7),
        tube((-0.24, -0.28, 0.74), (0.2, -0.22, 0.84), 6),
        tube((-0.12, 0.66, 0.0), (-0.1, 0.6, 0.66), 3.2),
        lung_artery,
    )
    lung_vein = union(
        tube((-0.06, 0.06, 0.42), (-0.3, -0.02, 0.44), 7, 6),
        tube((0.1, 0.1, 0.42), (0.33, 0.0, 0.45), 7, 6),
    )
    nodes = union(
        *(ellipsoid(x, y, z, _place(frame, *c), (4.5, 3.2, 5)) for c in ((-0.12, 0.02, 0.64), (0.12, -0.05, 0.6))),
        ellipsoid(x, y, z, _place(frame, 0.02, 0.22, 0.5), (7, 4, 6)),
    )
    oesophagus = np.maximum(np.hypot((x - 6) / 1.25, y - 0.42 * frame.thorax.half_depth_mm) - 6, -frame.under - 30)
    return [
        Layer(nodes, 38.0, 1.2),
        Layer(oesophagus, 40.0, 1.4),
        Layer(union(aorta, lung_vein), habitus.artery_hu, 1.3),
        Layer(vein, habitus.vein_hu, 1.3),
    ]


def _airway(frame: Frame) -> list[Layer]:
    x, y, z = frame.x, frame.y, frame.z
    parts = (
        ((0.0, 0.16, 1.3), (0.01, 0.22, 0.585), 8.8, 8.8),
        ((0.01, 0.22, 0.585), (-0.27, 0.2, 0.5), 7.2, 6),
        ((0.01, 0.22, 0.585), (0.3, 0.24, 0.485), 6.8, 5.6),
        ((-0.27, 0.2, 0.5), (-0.32, 0.26, 0.4), 5, 4),
        ((-0.26, 0.18, 0.53), (-0.38, 0.06, 0.58), 4, 3),
        ((0.3, 0.24, 0.485), (0.34, 0.3, 0.38), 5, 4),
        ((0.3, 0.22, 0.49), (0.4, 0.08, 0.55), 4, 3),
    )
    lumen = union(*(capsule(x, y, z, _place(frame, *a), _place(frame, *b), r, end) for a, b, r, end in parts))
    return [Layer(lumen - 1.6, 25.0, 1.0), Layer(lumen, -985.0, 1.0)]


def _abdomen(frame: Frame, habitus: Habitus) -> list[Layer]:
    inside = np.maximum(frame.under + 2.5, frame.wall + 3)
    enhanced = habitus.artery_hu > 100
    width, depth = frame.thorax.half_width_mm, frame.thorax.half_depth_mm
    level_z = frame.thorax.z_at(0.05)
    edge = 0.8 * (frame.x - 0.12 * width + 0.5 * (frame.y + 0.2 * depth))
    liver = np.maximum(inside, edge + 5 * frame.noise("liver shape", 40))
    spleen = ellipsoid(frame.x, frame.y, frame.z, (0.66 * width, 0.42 * depth, level_z), (34, 42, 58))
    stomach = ellipsoid(frame.x, frame.y, frame.z, (0.42 * width, -0.15 * depth, level_z), (38, 40, 60))
    gas = np.maximum(stomach + 3.5, frame.y + 0.28 * depth)
    return [
        Layer(np.maximum(frame.under, frame.wall), 40.0, 1.5, -frame.under - 2.4),  # the diaphragm itself
        Layer(liver, (98.0 if enhanced else 56.0) + 4 * frame.noise("liver", 25), 1.6),
        Layer(np.maximum(spleen, inside), 108.0 if enhanced else 48.0, 1.6),
        Layer(np.maximum(stomach, inside), 32.0, 1.6),
        Layer(np.maximum(gas, inside), -950.0, 1.6),
    ]
