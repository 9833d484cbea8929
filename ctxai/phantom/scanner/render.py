"""One chest with its nodules, painted slice by slice and scanned."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ctxai.lidc.database import Nodule, Scan
from ctxai.phantom.anatomy.bones import bones
from ctxai.phantom.anatomy.frame import Frame, Habitus, Layer, draw_habitus
from ctxai.phantom.anatomy.organs import organs
from ctxai.phantom.anatomy.shapes import CoarseGrid, box, coverage, paint, pixels_of, upsample
from ctxai.phantom.anatomy.thorax import Thorax, draw_thorax
from ctxai.phantom.anatomy.trees import LungTrees, grow_lungs
from ctxai.phantom.anatomy.wall import back_mm, body_distance, soft_wall
from ctxai.phantom.nodule.nodule import Lesion, draw_lesion
from ctxai.phantom.nodule.texture import Texture
from ctxai.phantom.nodule.traits import appearance
from ctxai.phantom.scanner.scanner import AIR_HU, PADDING_STORED, Noise, Scanner, blur, couch, draw_scanner
from ctxai.phantom.splat import share_of_voxels

ROWS = 512
INTERCEPT = -1024
#: Slices painted together; bounds the memory.
CHUNK = 24


class Chest:
    """One synthetic chest: everything random about it is drawn here, so that any of its slices can be painted.

    Args:
        scan: gives the geometry.
        nodules: all nodules of the scan.
        z_mm: positions of the slices to paint, ascending and evenly spaced.
        seed: the same seed gives the same voxels.
        planted: draw this trait of the nodules alone (see :func:`ctxai.phantom.nodule.traits.appearance`).
    """

    def __init__(
        self, scan: Scan, nodules: tuple[Nodule, ...], z_mm: np.ndarray, seed: int, planted: str | None = None
    ) -> None:
        self.scan, self.z_mm = scan, z_mm
        body, lesions, self._noise_rng = (
            np.random.default_rng(s) for s in np.random.SeedSequence([seed, scan.scan_id]).spawn(3)
        )
        extent_mm = ROWS * scan.pixel_spacing_mm
        self._texture = Texture(int(body.integers(2**63)), (float(z_mm[0]), float(z_mm[-1])), extent_mm)
        self.thorax: Thorax = draw_thorax(scan, nodules, body, ROWS)
        self.habitus: Habitus = draw_habitus(body, scan.contrast_used)
        self.scanner: Scanner = draw_scanner(body)
        self._phase = body.uniform(0, 1, 3)
        self._trees: LungTrees = grow_lungs(self.thorax, (float(z_mm[0]), float(z_mm[-1])), body)
        drawn = (
            draw_lesion(nodule, appearance(nodule, planted), z_mm, ROWS, self.habitus.lung_hu, rng)
            for nodule, rng in zip(nodules, lesions.spawn(len(nodules)), strict=True)
        )
        self.lesions: list[Lesion] = [lesion for lesion in drawn if lesion is not None]

    def slices(self) -> Iterator[np.ndarray]:
        """Stored values, int16 (row, column), slice by slice; add :data:`INTERCEPT` for Hounsfield units."""
        noise = Noise(self.scanner, ROWS, self.scan.pixel_spacing_mm, self._noise_rng)
        outside = _outside_circle(ROWS) if self.scanner.circle else None
        for first in range(0, len(self.z_mm), CHUNK):
            for index, (image, level) in enumerate(self._clean(first), first):
                for lesion in self.lesions:
                    lesion.paint(image, index)
                image = blur(image, 0.2 - 0.1 * self.scanner.sharpness)
                streaks = self.scanner.streaks * (1 + max(level - 0.7, 0))
                image += self.scanner.noise_hu * noise.slice(min(streaks, 0.8))
                stored = np.rint(np.clip(image, -1024, 3071) - INTERCEPT).astype(np.int16)
                if outside is not None:
                    stored[outside] = PADDING_STORED
                yield stored

    def _clean(self, first: int) -> Iterator[tuple[np.ndarray, float]]:
        """Slices of one chunk without nodules and noise, and their levels."""
        z_mm = self.z_mm[first : first + CHUNK]
        grid = CoarseGrid(ROWS, self.scan.pixel_spacing_mm, z_mm)
        frame = Frame(self.thorax, grid, self._texture)
        body = body_distance(frame, self.habitus)
        before = couch(frame, self.scanner, body, back_mm(frame, self.habitus), self._phase[0])
        before += soft_wall(frame, self.habitus, body) + organs(frame, self.habitus)
        before = [_light(layer) for layer in before]
        after = [_light(layer) for layer in bones(frame, self.habitus, self._phase[1])]
        lungs = [_light(self._parenchyma(frame)), _light(self._fissures(frame))]
        shape = (len(z_mm), ROWS, ROWS)
        size = (self.scan.pixel_spacing_mm, z_mm, self.scan.slice_thickness_mm)
        vessels, wall, lumen = (
            share_of_voxels(cloud, shape, *size) for cloud in (self._trees.vessels, self._trees.wall, self._trees.lumen)
        )
        for k, z in enumerate(z_mm):
            image = np.full((ROWS, ROWS), AIR_HU, np.float32)
            for layer in before:
                _paint(image, layer, k)
            for layer in lungs:
                _paint(image, layer, k)
            where = box(lungs[0].distance[k], 0)
            if where is not None:
                pixels = pixels_of(where[0]), pixels_of(where[1])
                target = image[pixels]
                inside = coverage(upsample(lungs[0].distance[k][where]) + 0.5, 1.0)
                blood = 0.5 * (self.habitus.artery_hu + self.habitus.vein_hu)
                target += inside * vessels[k][pixels] * (blood - target)
                target += inside * wall[k][pixels] * (-60 - target)
                target += inside * lumen[k][pixels] * (-960 - target)
            for layer in after:
                _paint(image, layer, k)
            yield image, float(self.thorax.level(z))

    def _parenchyma(self, frame: Frame) -> Layer:
        """Aerated lung: denser towards the back and the rim below, with a fine and a coarse texture."""
        depth = frame.y / self.thorax.half_depth_mm
        hu = self.habitus.lung_hu + 32 * depth + 9 * frame.noise("lung", 22) + 9 * frame.noise("fine lung", 7)
        holes = np.clip(frame.noise("emphysema", 13) - 0.2, 0, 2) * np.clip(frame.level + 0.2, 0, 1)
        hu -= 70 * self.habitus.emphysema * holes
        hu += 110 * np.clip(depth - 0.35, 0, 1) * np.exp(-np.clip(-frame.lung, 0, None) / 5)
        return Layer(frame.lung, hu, 0.9)

    def _fissures(self, frame: Frame) -> Layer:
        """The oblique fissures: thin sheets that rise towards the back, seen as faint bands."""
        middle = self.thorax.z_at(0.42) + 0.75 * frame.y + 0.1 * np.abs(frame.x) + 4 * np.tanh(frame.x / 30)
        above = 0.75 * (frame.z - middle) + 3 * frame.noise("fissure", 45)
        half = 0.25 * self.scan.slice_thickness_mm + 0.3
        return Layer(np.maximum(above - half, frame.lung), self.habitus.lung_hu + 120.0, 2.4, -above - half)


def _light(layer: Layer) -> Layer:
    value = layer.value.astype(np.float32) if isinstance(layer.value, np.ndarray) else layer.value
    also = None if layer.also is None else layer.also.astype(np.float32)
    return Layer(layer.distance.astype(np.float32), value, layer.softness_mm, also)


def _paint(image: np.ndarray, layer: Layer, k: int) -> None:
    value = layer.value[k] if isinstance(layer.value, np.ndarray) else layer.value
    also = None if layer.also is None else layer.also[k]
    paint(image, layer.distance[k], value, layer.softness_mm, also)


def _outside_circle(rows: int) -> np.ndarray:
    offset = np.arange(rows) - (rows - 1) / 2
    return np.hypot(offset[:, None], offset[None, :]) > rows / 2
