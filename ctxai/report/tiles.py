"""Still picture of a nodule: three planes of the CT, and the same planes under its map."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import LinearSegmentedColormap
from PIL import Image, ImageDraw, ImageFont

from ctxai.export.overlay import colour_scale_of

#: A window in which a solid nodule is grey, so that colours on it are seen.
NODULE_WINDOW_HU = (-1200.0, 1000.0)
_ZOOM = 4
_GAP = 6
_OUTLINE = np.array([80, 255, 120], np.uint8)
#: Evidence for the target is drawn from yellow to red, against it from light to deep blue; both stand out from grey.
_FOR = colormaps["autumn_r"]
_AGAINST = LinearSegmentedColormap.from_list("against", ["#b4e4ff", "#4aa3ff", "#1f4dff"])
MARKS = (235, 235, 235)
#: Directions at the top, bottom, left and right of the axial, coronal and sagittal plane.
_LETTERS = ("APRL", "HFRL", "HFAP")
_SCALE_BAR_MM = 10
_STRONGEST_ALPHA = 0.75
_WEAKEST_SHARE = 0.1


def evidence_colours() -> dict[str, list[list[int]]]:
    """256 colours [red, green, blue], weak to strong, of evidence ``for`` and ``against`` a target."""
    shares = np.linspace(0, 1, 256)
    return {
        name: np.rint(colours(shares)[:, :3] * 255).astype(int).tolist()
        for name, colours in (("for", _FOR), ("against", _AGAINST))
    }


def nodule_tile(
    hu: np.ndarray, values: np.ndarray, inside: np.ndarray | None, image: int | None = None, reach_mm: int = 20
) -> Image.Image:
    """Two rows of three planes through the patch centre: axial, coronal, sagittal; below, with the map over them.

    The map is scaled by `colour_scale_of`; weak evidence is transparent. The readers' consensus is outlined in
    green. Coronal and sagittal planes have the head at the top; the patient's left is on the right, as in radiology.
    Letters name the directions, a bar is 10 mm long.

    Args:
        hu: Hounsfield units (superior, posterior, left) at 1 mm.
        values: the map, same shape.
        inside: the readers' consensus, same shape; None draws no outline.
        image: number of the axial image through the centre, written on the axial plane.
        reach_mm: half the side of the square that is shown.
    """
    scale = colour_scale_of(values)
    rows = []
    for with_map in (False, True):
        tiles = []
        for plane in range(3):
            grey = _grey(_cut(hu, plane, reach_mm))
            picture = np.repeat(grey[..., None], 3, axis=2)
            if with_map:
                picture = _blend(picture, _cut(values, plane, reach_mm) / scale)
            if inside is not None:
                picture = _draw_outline(picture, _cut(inside, plane, reach_mm))
            picture = _draw_marks(picture, plane, f"image {image}" if plane == 0 and image is not None else "")
            tiles.append(np.pad(picture, ((0, _GAP), (0, _GAP), (0, 0)), constant_values=255))
        rows.append(np.concatenate(tiles, axis=1))
    return Image.fromarray(np.concatenate(rows)[:-_GAP, :-_GAP])


def plane_picture(hu: np.ndarray, values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """One image under its map, enlarged four times, uint8 (row, column, RGB); scaled and outlined as a tile.

    Args:
        hu: Hounsfield units (row, column).
        values: the map, same shape; zeros show the image alone.
        inside: what is outlined, same shape.
    """
    picture = np.repeat(_grey(hu)[..., None], 3, axis=2)
    picture = _blend(picture, values / colour_scale_of(values))
    return _draw_outline(picture, inside)


def _cut(volume: np.ndarray, plane: int, reach: int) -> np.ndarray:
    """Central plane 0 axial, 1 coronal, 2 sagittal, as it is looked at."""
    centre = tuple(n // 2 for n in volume.shape)
    cut = np.take(volume, centre[plane], axis=plane)
    rows, columns = (n // 2 for n in cut.shape)
    cut = cut[max(rows - reach, 0) : rows + reach, max(columns - reach, 0) : columns + reach]
    return cut if plane == 0 else cut[::-1]


def _grey(hu: np.ndarray) -> np.ndarray:
    low, high = NODULE_WINDOW_HU
    grey = np.clip((hu.astype(float) - low) / (high - low), 0, 1) * 255
    image = Image.fromarray(grey.astype(np.uint8))
    return np.asarray(image.resize((hu.shape[1] * _ZOOM, hu.shape[0] * _ZOOM), Image.Resampling.BICUBIC))


def _blend(picture: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Lay evidence, in shares of its scale, over a picture."""
    share = np.repeat(np.repeat(share, _ZOOM, axis=0), _ZOOM, axis=1)
    strength = np.abs(share).clip(max=1)
    colour = np.where((share >= 0)[..., None], _FOR(strength), _AGAINST(strength))[..., :3] * 255
    alpha = (np.sqrt(strength) * _STRONGEST_ALPHA * (strength > _WEAKEST_SHARE))[..., None]
    return (picture * (1 - alpha) + colour * alpha).astype(np.uint8)


def _draw_marks(picture: np.ndarray, plane: int, words: str) -> np.ndarray:
    image = Image.fromarray(picture)
    draw_marks(image, _LETTERS[plane], words, bar_mm=_SCALE_BAR_MM, pixel_mm=1 / _ZOOM)
    return np.asarray(image)


def draw_marks(image: Image.Image, letters: str, words: str, bar_mm: float, pixel_mm: float, size: float = 11) -> None:
    """Draw patient directions at the edges, words in the upper left corner, and a scale bar in the lower right one.

    Args:
        image: RGB; drawn on.
        letters: directions at the top, bottom, left and right.
        words: such as the image number.
        bar_mm: length of the bar.
        pixel_mm: distance of columns.
        size: height of the letters, pixels.
    """
    draw = ImageDraw.Draw(image)
    width, height = image.size
    font = ImageFont.load_default(size)
    far = round(4 * size / 11)
    texts = [
        (letters[0], (width / 2, far / 2), "mt"),
        (letters[1], (width / 2, height - far / 2), "mb"),
        (letters[2], (far, height / 2), "lm"),
        (letters[3], (width - far, height / 2), "rm"),
        (f"{bar_mm:g} mm", (width - far, height - 2 * far), "rb"),
        (words, (far, far / 2), "lt"),
    ]
    for text, place, anchor in texts:
        draw.text(place, text, MARKS, font, anchor, stroke_width=1, stroke_fill=(0, 0, 0))
    end = width - far, height - far
    draw.line((end[0] - bar_mm / pixel_mm, end[1], *end), MARKS, max(round(size / 6), 2))


def _draw_outline(picture: np.ndarray, inside: np.ndarray) -> np.ndarray:
    mask = np.repeat(np.repeat(inside, _ZOOM, axis=0), _ZOOM, axis=1)
    padded = np.pad(mask, 1)
    core = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    picture = picture.copy()
    picture[mask & ~core] = _OUTLINE
    return picture
