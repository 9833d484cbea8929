"""The chest's frame: its size and place in the image, the thoracic cage, the diaphragm, and the lungs between them.

Coordinates: x and y in mm from the centre of pixel 0 (x towards the patient's left, y towards the back), z in LPS mm.
The level u of a slice is 0 at the deepest point of the lungs and 1 at their apex.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.interpolate import PchipInterpolator

from ctxai.lidc.database import Nodule, Scan
from ctxai.phantom.anatomy.shapes import blend, carve

_LEVELS = np.linspace(-0.6, 1.5, 400)


@dataclass(frozen=True)
class Parts:
    """Cage coordinates and distances (mm) of some points.

    Attributes:
        x, y: position about the cage's centre, bent as the chest is.
        wall: outwards from the inside of the chest wall, along the ray from the cage's centre.
        under: to what lies under the diaphragm.
        between: to the space between the lungs.
        lung: to the lungs.
    """

    x: np.ndarray
    y: np.ndarray
    wall: np.ndarray
    under: np.ndarray
    between: np.ndarray
    lung: np.ndarray


def _profile(*knots: tuple[float, float]) -> np.ndarray:
    levels, values = np.array(knots).T
    return PchipInterpolator(levels, values)(np.clip(_LEVELS, levels[0], levels[-1]))


#: Half width, half depth and backward shift of the cage by level, in units of its greatest half width and depth.
_WIDTH = _profile((-0.6, 0.9), (0, 0.98), (0.25, 1.0), (0.5, 0.97), (0.7, 0.88), (0.85, 0.7), (0.95, 0.46), (1.02, 0.3))
_DEPTH = _profile((-0.6, 0.9), (0, 0.95), (0.3, 1.0), (0.6, 0.95), (0.8, 0.76), (0.93, 0.5), (1.02, 0.34))
_SHIFT = _profile((-0.6, 0.05), (0.3, 0.0), (0.6, 0.03), (0.85, 0.16), (1.02, 0.3))


@dataclass(frozen=True)
class Thorax:
    """Measures of one chest, all in mm unless noted; arrays that broadcast stand for several candidates at once.

    Attributes:
        x_mm, y_mm: centre of the cage.
        half_width_mm, half_depth_mm: of the cage's inside where it is widest.
        base_mm, apex_mm: z of the lungs' lowest and highest point.
        dome_mm: height of the right dome of the diaphragm over ``base_mm``.
        heart: size of the heart, 1 for an ordinary one.
        squareness: exponent of the cage's outline, 2 for an ellipse.
        waves: (wave, [x, y, z wave number, phase, x shift, y shift]): slow bends of everything.
        pockets: (nodule, [x, y, z, radius]): places that must be lung.
    """

    x_mm: float
    y_mm: float
    half_width_mm: float
    half_depth_mm: float
    base_mm: float
    apex_mm: float
    dome_mm: float = 75.0
    heart: float = 1.0
    squareness: float = 2.3
    waves: np.ndarray = field(default_factory=lambda: np.zeros((0, 6)))
    pockets: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))

    @property
    def height_mm(self) -> float:
        """From the lungs' lowest to their highest point."""
        return self.apex_mm - self.base_mm

    @property
    def spine_mm(self) -> float:
        """How far behind the cage's centre the vertebral bodies' centres lie."""
        return 0.74 * self.half_depth_mm

    def level(self, z: np.ndarray) -> np.ndarray:
        """Level u of the positions ``z``."""
        return (z - self.base_mm) / self.height_mm

    def z_at(self, level: float) -> float:
        """Position z of a level."""
        return self.base_mm + level * self.height_mm

    def local(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Image positions to positions about the cage's centre, bent as this chest is bent."""
        dx, dy = x - self.x_mm, y - self.y_mm
        for wx, wy, wz, phase, shift_x, shift_y in self.waves.tolist():
            wave = np.sin(wx * x + wy * y + (wz * z + phase))
            dx, dy = dx + shift_x * wave, dy + shift_y * wave
        return dx, dy

    def pocket(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Distance to the nearest place that must be lung (a large number where there is none)."""
        nearest = np.full(np.broadcast_shapes(np.shape(x), np.shape(y), np.shape(z)), 1e3, dtype=np.float32)
        for px, py, pz, radius in self.pockets.tolist():
            nearest = np.minimum(nearest, np.sqrt((x - px) ** 2 + (y - py) ** 2 + (z - pz) ** 2) - radius)
        return nearest

    def cage(self, dx: np.ndarray, dy: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The inside of the chest wall at cage positions: (distance along the ray, relative radius, 1 on the wall)."""
        level = self.level(z)
        a = self.half_width_mm * _at(level, _WIDTH)
        b = self.half_depth_mm * _at(level, _DEPTH)
        dy = dy - self.half_depth_mm * _at(level, _SHIFT)
        gutter = 1 + 0.1 * np.exp(-(((np.abs(dx) / a - 0.5) / 0.3) ** 2)) * np.clip(dy / 50, 0, 1)
        u, v = np.abs(dx / a), np.abs(dy / (b * gutter))
        relative = np.exp(np.log(u**self.squareness + v**self.squareness + 1e-9) / self.squareness)
        return np.hypot(dx, dy) * (1 - 1 / relative), relative

    def diaphragm(self, dx: np.ndarray, dy: np.ndarray, z: np.ndarray, relative: np.ndarray) -> np.ndarray:
        """Distance to what lies under the diaphragm; ``relative`` is the cage's relative radius."""
        side = np.tanh(dx / 20)
        dome = self.dome_mm * (0.93 - 0.1 * side) + 6 * np.cos(dx / 22) * np.cos(dy / 27)
        forward = np.clip(-dy / self.half_depth_mm, -1, 1)
        edge = self.height_mm * 0.13 * (0.5 + 0.5 * forward) ** 2
        off_centre = np.hypot((np.abs(dx) - 0.45 * self.half_width_mm) / 75, (dy + 0.15 * self.half_depth_mm) / 85)
        shape = np.sqrt(np.clip(1 - relative**5, 0, 1)) * np.clip(1.08 - 0.45 * off_centre**2, 0, 1)
        return 0.6 * (z - self.base_mm - edge - (dome - 0.6 * edge) * shape)

    def mediastinum(self, dx: np.ndarray, dy: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Distance to the space between the lungs: heart, great vessels, oesophagus, spine, and the fat about them."""
        level, width, depth = self.level(z), self.half_width_mm, self.half_depth_mm
        # heart: lies to the left, its long axis towards the left front
        hx, hy = dx - 0.17 * width, dy + 0.24 * depth
        hz = (z - self.base_mm - 0.3 * self.height_mm) / (0.25 * self.height_mm * self.heart)
        along, across = 0.85 * hx - 0.52 * hy, 0.52 * hx + 0.85 * hy
        heart = np.sqrt((along / (0.54 * width)) ** 2 + (across / (0.5 * depth)) ** 2 + 1e-6)
        heart = (np.sqrt((heart / self.heart) ** 2 + hz**2) - 1) * 0.5 * width
        # upper part: narrow, a little wider in front
        column = np.hypot(dx / (0.25 * width), (dy - 0.06 * depth) / (0.54 * depth)) - 1
        column = column * 0.24 * width + 25 * np.clip(0.45 - level, 0, 1) + 14 * np.clip(level - 0.86, 0, 1)
        septum = np.abs(dx) - 1.6 - 16 * np.clip(-dy / depth - 0.78, 0, 1) - 12 * np.clip(dy / depth - 0.3, 0, 1)
        # hila
        hilum_z = (z - self.base_mm - 0.5 * self.height_mm) / 26
        hilum = np.sqrt(((np.abs(dx - 3) - 0.28 * width) / 14) ** 2 + ((dy - 4) / 15) ** 2 + hilum_z**2 + 1e-6)
        # spine, in front of which the lungs reach round on both sides
        spine = np.hypot(dx / 23, (dy - self.spine_mm - 13) / 32) - 1
        shift = self.half_depth_mm * _at(level, _SHIFT)
        aorta = np.hypot(dx - 20, dy - 0.5 * depth - 0.5 * shift) - 14
        result = blend(heart, column, 16)
        result = blend(result, 12 * (hilum - 1), 14)
        result = blend(result, 22 * spine, 14)
        result = blend(result, np.where(level < 0.7, aorta, aorta + 40 * (level - 0.7) * 4), 8)
        return blend(result, septum, 8)

    def parts(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> Parts:
        """Where image positions x, y, z (broadcast against each other) lie in this chest."""
        dx, dy = self.local(x, y, z)
        pocket = self.pocket(x, y, z)
        cage, relative = self.cage(dx, dy, z)
        between, under = self.mediastinum(dx, dy, z), self.diaphragm(dx, dy, z, relative)
        lung = carve(np.maximum(cage, z - self.apex_mm), blend(between, under, 6), 5)
        return Parts(dx, dy, blend(cage, pocket, 14), under, between, blend(lung, pocket, 14))


def _at(level: np.ndarray, profile: np.ndarray) -> np.ndarray:
    return np.interp(level, _LEVELS, profile).astype(np.result_type(level))


def draw_thorax(scan: Scan, nodules: tuple[Nodule, ...], rng: np.random.Generator, rows: int = 512) -> Thorax:
    """A chest for this scan in which its nodules lie in the lungs.

    Size and place are drawn at random about what the field of view suggests; of some hundred candidates the one is kept
    that needs the least to hold every outline. What still lies outside becomes a pocket of lung.
    """
    field_mm = rows * scan.pixel_spacing_mm
    bottom, top = float(scan.slice_z_mm[0]), float(scan.slice_z_mm[-1])
    outlines = [_sample_mm(nodule) for nodule in nodules]
    points = np.concatenate(outlines) if outlines else np.zeros((0, 3))
    waves = np.column_stack(
        [
            rng.normal(0, 1 / 50, (5, 2)),
            rng.normal(0, 1 / 70, 5),
            rng.uniform(0, 2 * np.pi, 5),
            rng.normal(0, 1.8, (5, 2)),
        ]
    )
    chest = Thorax(
        x_mm=0.5 * field_mm + rng.normal(0, 4),
        y_mm=0.47 * field_mm + rng.normal(0, 5),
        half_width_mm=float(np.clip(0.315 * field_mm + rng.normal(0, 5), 96, 146)),
        half_depth_mm=0.0,
        base_mm=max(bottom + rng.uniform(15, 60), top - 330),
        apex_mm=top - rng.uniform(8, 30),
        dome_mm=rng.uniform(68, 98),
        heart=rng.uniform(0.92, 1.1),
        squareness=rng.uniform(2.4, 2.75),
        waves=waves,
    )
    chest = replace(chest, half_depth_mm=chest.half_width_mm * rng.uniform(0.67, 0.78))
    if len(points) == 0:
        return chest
    low, high = float(points[:, 2].min()), float(points[:, 2].max())
    chest = replace(chest, base_mm=min(chest.base_mm, low - 12), apex_mm=max(chest.apex_mm, high + 14))
    first, spread = chest, 1.0
    for _ in range(8):
        chest = _best_of(chest, first, points, spread, rng)
        spread *= 0.75
    return replace(chest, pockets=np.array([_pocket(chest, outline) for outline in outlines]))


#: What may change to hold the nodules, and by how much that is ordinary: mm, or the logarithm of a size.
_CHANGES = {
    "x_mm": (7.0, False),
    "y_mm": (10.0, False),
    "half_width_mm": (0.06, True),
    "half_depth_mm": (0.06, True),
    "base_mm": (14.0, False),
    "apex_mm": (8.0, False),
    "dome_mm": (0.16, True),
}


def _best_of(
    chest: Thorax, first: Thorax, points: np.ndarray, spread: float, rng: np.random.Generator, count: int = 128
) -> Thorax:
    """The candidate about ``chest`` whose lungs hold the points best for the least change from ``first``."""
    values: dict[str, np.ndarray] = {}
    price = np.zeros(count)
    for name, (scale, is_size) in _CHANGES.items():
        change = rng.normal(0, spread * scale, count)
        change[0] = 0
        now, origin = getattr(chest, name), getattr(first, name)
        values[name] = now * np.exp(change) if is_size else now + change
        price += ((np.log(values[name] / origin) if is_size else values[name] - origin) / scale) ** 2
    candidates = _changed(chest, {name: value[:, None] for name, value in values.items()})
    outside = np.maximum(candidates.parts(*points.T).lung + 1.0, 0)
    cost = np.minimum(outside, 50).mean(axis=1) + 0.006 * price
    best = int(cost.argmin())
    return _changed(chest, {name: float(value[best]) for name, value in values.items()})


def _changed(chest: Thorax, values: dict[str, Any]) -> Thorax:
    """The chest with other sizes; arrays of sizes give many chests at once."""
    return replace(chest, **values)


def _pocket(chest: Thorax, outline: np.ndarray) -> np.ndarray:
    """A ball about the middle of one nodule: of half its radius, so that a nodule on the pleura stays there."""
    centre = outline.mean(axis=0)
    radius = 0.5 * np.linalg.norm((outline - centre)[:, :2], axis=1).mean()
    return np.array([*centre, radius])


def _sample_mm(nodule: Nodule, count: int = 32) -> np.ndarray:
    """Some outline points and the middle of a nodule as x, y, z in mm."""
    scan = nodule.scan
    points = np.concatenate(
        [
            np.column_stack([c.points[:, ::-1] * scan.pixel_spacing_mm, np.full(len(c.points), c.z_mm)])
            for reading in nodule.readings
            for c in reading.contours
        ]
    )
    picked = points[np.linspace(0, len(points) - 1, min(count, len(points))).astype(int)]
    return np.vstack([picked, points.mean(axis=0)])
