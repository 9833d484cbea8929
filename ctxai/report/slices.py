"""A CT slice in colour, with the map laid over it and what it is written on it."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ctxai.report.tiles import evidence_colours

_WINDOW_HU = (-1350.0, 150.0)
_STRONGEST_ALPHA = 0.7
_WEAKEST_SHARE = 0.1


def fused_slice(hu: np.ndarray, share: np.ndarray, words: str) -> np.ndarray:
    """Colours uint8 [row, column, (red, green, blue)] of a slice in the lung window.

    Evidence is the more opaque the stronger it is; below 10 % of the scale nothing is drawn.

    Args:
        hu: Hounsfield units [row, column].
        share: the map / the scale of its colours, same shape; what is beyond -1 and 1 is drawn as these.
        words: written in the lower left corner.
    """
    low, high = _WINDOW_HU
    grey = np.clip((hu.astype(np.float32) - low) / (high - low), 0, 1) * 255
    picture = np.repeat(grey[..., None], 3, axis=2)
    strength = np.abs(share).clip(max=1)
    drawn = strength > _WEAKEST_SHARE
    colours = np.array([evidence_colours()[side] for side in ("for", "against")], dtype=np.float32)
    index = np.rint(strength[drawn] * 255).astype(int).clip(max=255)
    colour = colours[(share[drawn] < 0).astype(int), index]
    alpha = np.sqrt(strength[drawn])[:, None] * _STRONGEST_ALPHA
    picture[drawn] = picture[drawn] * (1 - alpha) + colour * alpha
    image = Image.fromarray(np.rint(picture).astype(np.uint8))
    size = max(hu.shape[0] // 40, 8)
    place = (size // 2, hu.shape[0] - 2 * size)
    ImageDraw.Draw(image).text(place, words, fill=(230, 230, 230), font=ImageFont.load_default(size))
    return np.asarray(image)
