"""A CT slice in colour, with the map laid over it and what it is written on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ctxai.report.tiles import MARKS, NODULE_WINDOW_HU, draw_marks, evidence_colours

_SCALE_BAR_MM = 50
_STRONGEST_ALPHA = 0.7
_WEAKEST_SHARE = 0.1


@dataclass(frozen=True)
class SliceMarks:
    """Texts on the picture of a slice.

    Attributes:
        letters: patient directions at the top, bottom, left and right edge.
        image: number of the image.
        pixel_mm: distance of columns.
        words: in the lower left corner.
    """

    letters: str
    image: int
    pixel_mm: float
    words: str


def fused_slice(hu: np.ndarray, share: np.ndarray, marks: SliceMarks | None = None) -> np.ndarray:
    """Colours uint8 [row, column, (red, green, blue)] of a slice in the window of the other stills.

    Evidence is the more opaque the stronger it is; below 10 % of the scale nothing is drawn.

    Args:
        hu: Hounsfield units [row, column].
        share: the map / the scale of its colours, same shape; what is beyond -1 and 1 is drawn as these.
        marks: directions, image number, a bar of 50 mm, and words.
    """
    low, high = NODULE_WINDOW_HU
    grey = np.clip((hu.astype(np.float32) - low) / (high - low), 0, 1) * 255
    picture = np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, axis=2)
    strength = np.abs(share).clip(max=1)
    drawn = strength > _WEAKEST_SHARE
    colours = np.array([evidence_colours()[side] for side in ("for", "against")], dtype=np.float32)
    index = np.rint(strength[drawn] * 255).astype(int).clip(max=255)
    colour = colours[(share[drawn] < 0).astype(int), index]
    alpha = np.sqrt(strength[drawn])[:, None] * _STRONGEST_ALPHA
    picture[drawn] = np.rint(grey[drawn][:, None] * (1 - alpha) + colour * alpha)
    image = Image.fromarray(picture)
    if marks is not None:
        size = max(hu.shape[0] // 40, 8)
        draw_marks(image, marks.letters, f"image {marks.image}", _SCALE_BAR_MM, marks.pixel_mm, size)
        place = (size // 2, hu.shape[0] - 2 * size)
        ImageDraw.Draw(image).text(place, marks.words, fill=MARKS, font=ImageFont.load_default(size * 0.7))
    return np.asarray(image)
