"""The chest wall without its bones: skin, fat, breasts and the muscles that CT tells apart."""

from __future__ import annotations

import numpy as np

from ctxai.phantom.anatomy.frame import Frame, Habitus, Layer
from ctxai.phantom.anatomy.shapes import blend, ellipsoid, union

FAT_HU, MUSCLE_HU, SKIN_HU = -105.0, 52.0, 5.0


def back_mm(frame: Frame, habitus: Habitus) -> float:
    """How far behind the cage's centre the back rests on the table."""
    return frame.thorax.spine_mm + 58 + 0.4 * habitus.fat_mm


def body_distance(frame: Frame, habitus: Habitus) -> np.ndarray:
    """Distance to the body's surface."""
    thorax = frame.thorax
    level = frame.level
    shoulder = np.clip((level - 0.72) / 0.3, 0, 1) ** 1.5
    flank = np.clip((level - 0.3) / 0.3, 0, 1)
    half_width = thorax.half_width_mm + 20 * habitus.muscle + 1.1 * habitus.fat_mm + 18 * flank + 24 * shoulder
    half_depth = thorax.half_depth_mm + 24 + 0.6 * habitus.fat_mm - 10 * shoulder
    y = frame.y - 6 - 8 * shoulder
    u, v = np.abs(frame.x / half_width), np.abs(y / half_depth)
    relative = np.exp(np.log(u**2.5 + v**2.5 + 1e-9) / 2.5)
    body = np.hypot(frame.x, y) * (1 - 1 / relative)
    body = blend(body, frame.wall - 14 - 0.5 * habitus.fat_mm, 25)
    if habitus.breasts:
        centre = (0.52 * thorax.half_width_mm, -thorax.half_depth_mm - 12, thorax.z_at(0.36))
        size = 0.6 * habitus.fat_mm
        breast = ellipsoid(np.abs(frame.x), frame.y, frame.z, centre, (52 + size, 24 + size, 55 + size))
        body = blend(body, breast, 22)
    return -blend(-body, back_mm(frame, habitus) - frame.y, 18)  # flattened by the table


def soft_wall(frame: Frame, habitus: Habitus, body: np.ndarray) -> list[Layer]:
    """Skin, fat and muscles, from the outside in."""
    marbling = frame.noise("fat", 14)
    fat = FAT_HU + 7 * marbling
    layers = [
        Layer(body, SKIN_HU),
        Layer(body + 2.2, fat),
    ]
    if habitus.breasts:
        layers.append(Layer(np.maximum(_gland(frame, habitus), body + 6), 8.0, 4.0))
    layers.append(Layer(np.maximum(_muscles(frame, habitus), body + 4), MUSCLE_HU + 9 * frame.noise("muscle", 9), 1.2))
    return layers


def _gland(frame: Frame, habitus: Habitus) -> np.ndarray:
    thorax = frame.thorax
    centre = (0.52 * thorax.half_width_mm, -thorax.half_depth_mm - 24, thorax.z_at(0.36))
    size = 0.4 * habitus.fat_mm
    gland = ellipsoid(np.abs(frame.x), frame.y, frame.z, centre, (30 + size, 12 + size, 34 + size))
    return gland + 9 * frame.noise("gland", 12) + 2


def _muscles(frame: Frame, habitus: Habitus) -> np.ndarray:
    """All muscles as one shape: bands at a distance from the ribcage whose thickness changes round the chest."""
    thorax, wall = frame.thorax, frame.wall
    angle = np.degrees(frame.from_spine)
    level = frame.level

    def hill(centre: float, width: float) -> np.ndarray:
        return np.exp(-(((angle - centre) / width) ** 2))

    def ramp(low: float, high: float) -> np.ndarray:
        return np.clip((level - low) / (high - low), 0, 1)

    wavy = frame.noise("muscle shape", 45)
    strong = habitus.muscle
    between_ribs = np.abs(wall - 4.6) - 4.6
    side = np.abs(wall - 14.5 - wavy) - 4.6 * strong * hill(72, 34) * (1 - 0.5 * ramp(0.8, 1))
    chest = np.abs(wall - 16.5 - 1.5 * wavy) - 9 * strong * hill(138, 24) * ramp(0.42, 0.62)
    blade = np.abs(wall - 24 - 2 * wavy) - 12 * strong * hill(52, 24) * ramp(0.42, 0.62)
    outer = np.abs(wall - 31 - wavy) - 4.5 * strong * hill(28, 30) * ramp(0.3, 0.5)
    depth = thorax.half_depth_mm
    back = (np.hypot((np.abs(frame.x) - 23) / 25, (frame.y - thorax.spine_mm - 35) / 17) - 1) * 17
    neck = (np.hypot(frame.x / 55, (frame.y - 0.35 * depth) / 48) - 1) * 48 + 80 * (1.04 - level)
    centre = (1.0 * thorax.half_width_mm, 0.12 * depth, thorax.z_at(1.04))
    shoulder = ellipsoid(np.abs(frame.x), frame.y, frame.z, centre, (50, 44, 66))
    shoulder = np.maximum(shoulder + 4 * wavy, 1.4 - np.abs(shoulder + 16 + 3 * wavy))  # a seam of fat between muscles
    return union(between_ribs, side + 0.3, chest + 0.4, blade + 0.4, outer + 0.4, back, neck, shoulder)
