"""The bones of the chest: ribs with their cartilage, vertebrae, sternum, shoulder blades, collar bones."""

from __future__ import annotations

import numpy as np

from ctxai.phantom.anatomy.frame import Frame, Habitus, Layer
from ctxai.phantom.anatomy.shapes import capsule, union

RIB_SPACING_MM = 27.0
RIB_FALL_MM = 72.0
VERTEBRA_MM = 24.0


def bones(frame: Frame, habitus: Habitus, phase: float) -> list[Layer]:
    """Layers of all bones; ``phase`` (0..1) shifts ribs and vertebrae along z."""
    grain = frame.noise("bone", 6)
    rib, cartilage = _ribs(frame, phase)
    spine, disc = _vertebrae(frame, phase)
    flat = union(rib, _sternum(frame), _clavicles(frame), _arms(frame))
    dense = habitus.bone
    layers = [Layer(cartilage, 105.0 + 14 * grain, 1.3)]
    outer, inner = _blades(frame)
    layers.append(Layer(outer, 480 * dense, 1.2, inner))
    layers.append(Layer(outer + 1.4, 210 * dense + 40 * grain, 1.2, inner + 1.4))
    layers += _bone(flat, 560 * dense, 190 * dense + 60 * grain, 1.5)
    layers += _bone(spine, 430 * dense, 185 * dense + 45 * grain, 1.3)
    layers += [Layer(disc, 85.0, 2.0), Layer(_canal(frame), 22.0, 1.2)]
    return layers


def _bone(distance: np.ndarray, cortex_hu: float, marrow_hu: np.ndarray, cortex_mm: float) -> list[Layer]:
    return [Layer(distance, cortex_hu, 1.2), Layer(distance + cortex_mm, marrow_hu, 1.2)]


def _ribs(frame: Frame, phase: float) -> tuple[np.ndarray, np.ndarray]:
    """Ribs fall from the spine forwards; in front of the bend they are cartilage and rise again."""
    angle = frame.from_spine
    fall = RIB_FALL_MM * (1 - np.cos(np.minimum(angle, 2.6) * 1.05))
    slope = RIB_FALL_MM * 1.05 * np.sin(np.minimum(angle, 2.6) * 1.05) / frame.thorax.half_width_mm
    steep = 1 / np.sqrt(1 + slope**2)
    turn = (frame.z + fall) / RIB_SPACING_MM + phase
    along = (turn - np.round(turn)) * RIB_SPACING_MM * steep
    section = (np.sqrt((along / 7.2) ** 2 + ((frame.wall - 5.6) / 3.5) ** 2 + 1e-6) - 1) * 3.5
    # none inside the spine, none over the apex
    section = np.maximum(section, np.maximum(20 * (0.14 - angle), 150 * (frame.level - 1.08)))
    front = (angle - 2.25) * frame.thorax.half_width_mm
    return np.maximum(section, front), np.maximum(section, -front + 0.5)


def _vertebrae(frame: Frame, phase: float) -> tuple[np.ndarray, np.ndarray]:
    y = frame.y - frame.thorax.spine_mm
    turn = frame.z / VERTEBRA_MM + phase
    along = (turn - np.round(turn)) * VERTEBRA_MM
    body = (np.sqrt((frame.x / 17) ** 2 + (y / 13.5) ** 2 + 1e-6) - 1) * 13.5
    body = np.maximum(body, 4.5 - np.hypot(frame.x, y - 17))
    hole = np.hypot(frame.x, y - 19.5)
    arch = np.maximum(np.abs(hole - 10.5) - 2.6, -y + 6)
    side_x, side_y = np.abs(frame.x), y - 22
    t = np.clip((side_x - 9) / 26, 0, 1)
    transverse = np.maximum(np.hypot(side_x - 9 - 26 * t, side_y - 9 * t) - 4.2, np.abs(along - 4) - 6)
    t = np.clip((y - 30) / 22, 0, 1)
    spinous = np.maximum(np.hypot(frame.x, y - 30 - 22 * t) - 2.6, np.abs(along + 10 * t) - 8)
    disc = np.maximum(body + 0.8, np.abs(np.abs(along) - VERTEBRA_MM / 2) - 2.6)
    return union(body, arch, transverse, spinous), disc


def _canal(frame: Frame) -> np.ndarray:
    return np.hypot(frame.x, frame.y - frame.thorax.spine_mm - 19.5) - 8


def _sternum(frame: Frame) -> np.ndarray:
    half = 15 + 12 * np.clip((frame.level - 0.72) / 0.08, 0, 1)
    plate = (np.sqrt(np.hypot((frame.x / half) ** 2, ((frame.wall - 8) / 5.5) ** 2) + 1e-6) - 1) * 5.5
    behind = np.where(frame.y < 0, 0, 50.0)
    ends = 250 * np.maximum(0.3 - frame.level, frame.level - 0.88)
    return np.maximum(plate + behind, ends)


def _blades(frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """Shoulder blades: curved plates at the back, wider towards the top; each the meeting of two smooth shapes."""
    angle, level = frame.from_spine, frame.level
    width = np.interp(level, (0.46, 0.6, 0.8, 1.1), (0.05, 0.32, 0.5, 0.52))
    middle = np.interp(level, (0.46, 0.7, 1.1), (0.95, 0.9, 1.05))
    bent = frame.wall - 21 - 5 * np.sin(4 * (angle - middle)) - 3 * np.cos(9 * (angle - middle))
    thick = 2.4 + 2.2 * np.exp(-(((angle - middle - 0.8 * width) / 0.12) ** 2))
    ends = np.maximum((np.abs(angle - middle) - width) * frame.thorax.half_width_mm, 250 * (0.46 - level))
    crest = 10 * np.exp(-((((angle - middle - 0.1) * frame.thorax.half_width_mm) / 3.5) ** 2))
    crest = crest * np.clip((level - 0.74) / 0.1, 0, 1)
    return np.maximum(bent - thick - crest, ends), -bent - thick


def _arms(frame: Frame) -> np.ndarray:
    """Heads of the upper arm bones; the arms are raised."""
    thorax = frame.thorax
    inner = (1.12 * thorax.half_width_mm, 0.12 * thorax.half_depth_mm, thorax.z_at(1.0))
    outer = (1.2 * thorax.half_width_mm, 0.0, thorax.z_at(1.3))
    return capsule(np.abs(frame.x), frame.y, frame.z, inner, outer, 21.0, 12.0)


def _clavicles(frame: Frame) -> np.ndarray:
    thorax = frame.thorax
    depth = thorax.half_depth_mm
    inner = (17, -0.5 * depth, thorax.z_at(0.9))
    outer = (thorax.half_width_mm * 1.05, -0.1 * depth, thorax.z_at(1.08))
    return capsule(np.abs(frame.x), frame.y, frame.z, inner, outer, 7.0, 5.5)
