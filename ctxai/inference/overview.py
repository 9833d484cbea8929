"""Whole-slice overview of an explained nodule, for its report: axial slice, side of the body, image numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from ctxai.ct.dicom_errors import open_dataset, without_warnings
from ctxai.ct.grid import Grid
from ctxai.ct.series import CTSeries
from ctxai.ct.volume import CT
from ctxai.disclaimer import NOTICE
from ctxai.files import atomic_path, write_json
from ctxai.inference.nodule import ExplainedNodule
from ctxai.report.overview import Overview
from ctxai.report.tiles import draw_marks
from ctxai.results_folder import OVERVIEW, OVERVIEW_PICTURE, nodule_folder
from ctxai.run.explanation import UNMEASURED_DIAMETER_MM

_WINDOW_HU = (-1350.0, 150.0)
_WIDEST = 320
_BODY_HU = -400
_MIDLINE_MM = 15.0
_RING = (255, 212, 0)
#: Patient directions along +L, +P, +S and against them.
_LETTERS = (("L", "R"), ("P", "A"), ("H", "F"))


def write_overview(folder: Path, series: CT, nodule: ExplainedNodule) -> None:
    """Write ``overview.json`` and ``overview.png`` beside the nodule's other files.

    Args:
        folder: the series' folder of results.
        series: the CT.
        nodule: the nodule.
    """
    place = nodule_folder(folder, nodule.candidate.nodule_id)
    overview, hu = make_overview(series, nodule)
    picture = _grey(hu)
    said = PngInfo()
    said.add_text("Comment", NOTICE)
    with atomic_path(place / OVERVIEW_PICTURE) as temporary:
        picture.save(temporary, pnginfo=said)
    write_json(place / OVERVIEW, overview.as_json())


def _grey(hu: np.ndarray) -> Image.Image:
    """A slice in the lung window, small."""
    low, high = _WINDOW_HU
    grey = np.rint(np.clip((hu.astype(np.float32) - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    height = max(round(_WIDEST * hu.shape[0] / hu.shape[1]), 1)
    return Image.fromarray(grey).resize((_WIDEST, height), Image.Resampling.BOX)


def marked_picture(series: CT, overview: Overview, hu: np.ndarray) -> Image.Image:
    """The slice of an overview for print: directions, image number, a bar of 50 mm, and a ring about the nodule."""
    picture = _grey(hu).convert("RGB")
    width, height = picture.size
    pixel_mm = float(series.grid.spacing_mm[0]) * hu.shape[1] / width
    draw_marks(picture, overview.letters, f"image {overview.image}", bar_mm=50, pixel_mm=pixel_mm, size=16)
    x, y = overview.mark[0] * width, overview.mark[1] * height
    radius = max(overview.radius * width + 6, 11)
    ImageDraw.Draw(picture).ellipse((x - radius, y - radius, x + radius, y + radius), outline=_RING, width=3)
    return picture


def make_overview(series: CT, nodule: ExplainedNodule) -> tuple[Overview, np.ndarray]:
    """The overview of a nodule and its slice, Hounsfield units [row, column]."""
    candidate, grid = nodule.candidate, series.grid
    assert grid is not None
    column, row, _ = (float(index) for index in grid.to_index(candidate.centre_lps))
    number = centre_slice(series, candidate.centre_lps)
    hu = series.read(number, number + 1)[0]
    rows, columns = hu.shape
    radius_mm = (candidate.diameter_mm or UNMEASURED_DIAMETER_MM) / 2
    return (
        Overview(
            mark=(round((column + 0.5) / columns, 4), round((row + 0.5) / rows, 4)),
            radius=round(radius_mm / float(grid.spacing_mm[0]) / columns, 4),
            letters=edge_letters(grid),
            image=image_number(series, number),
            images=len(series.slice_coordinates),
            patch_images=[_patch_image(series, nodule, k) for k in range(nodule.patch.hu.shape[0])],
            side=_side(series, hu, number, float(candidate.centre_lps[0])),
            slice_distance_mm=round(float(grid.slice_distance_mm), 4),
            slice_thickness_mm=series.slice_thickness_mm,
            pixel_spacing_mm=round(float(grid.spacing_mm[1]), 4),
            kernel=_kernel(series.headers[number].path) if isinstance(series, CTSeries) else "",
        ),
        hu,
    )


def centre_slice(series: CT, centre_lps: np.ndarray) -> int:
    """Number of the slice through a nodule's centre, LPS mm, in the order of the CT's grid."""
    return _nearest(series, float(series.grid.to_index(centre_lps)[2]))


def _nearest(series: CT, depth: float) -> int:
    """The slice nearest to an index of the slice axis."""
    return int(np.clip(round(depth), 0, series.grid.shape[0] - 1))


def image_number(series: CT, number: int) -> int:
    """InstanceNumber of a slice, else its place in the CT, from 1."""
    found = series.headers[number].instance_number if isinstance(series, CTSeries) else None
    return number + 1 if found is None else int(found)


def _depth(series: CT, nodule: ExplainedNodule, k: int) -> float:
    """Index on the slice axis of the CT at an axial slice of the patch, by its whole mm from the nodule's centre.

    The page shows slice n // 2 as 0 mm, half a voxel beside the centre where n is even: the image that it names there
    is that of the centre.
    """
    assert series.grid is not None
    slices, rows, columns = nodule.patch.hu.shape
    centre = (slices - 1) / 2
    lps = nodule.patch.grid.to_lps(np.array([(columns - 1) / 2, (rows - 1) / 2, centre + k - slices // 2]))
    return float(series.grid.to_index(lps)[2])


def _patch_image(series: CT, nodule: ExplainedNodule, k: int) -> int | None:
    """Image number at the middle of an axial slice of the patch; None outside the CT."""
    assert series.grid is not None
    depth = _depth(series, nodule, k)
    inside = -0.5 <= depth <= series.grid.shape[0] - 0.5
    return image_number(series, _nearest(series, depth)) if inside else None


def _side(series: CT, hu: np.ndarray, number: int, x: float) -> str | None:
    """Side of the body, by the middle of what is denser than lung and air in the slice."""
    assert series.grid is not None
    body = np.argwhere(hu > _BODY_HU)
    if not len(body):
        return None
    row, column = (body.min(axis=0) + body.max(axis=0)) / 2
    middle = float(series.grid.to_lps(np.array([column, row, number]))[0])
    return None if abs(x - middle) < _MIDLINE_MM else "left" if x > middle else "right"


def edge_letters(grid: Grid) -> str:
    """Patient directions at the top, bottom, left and right edge of a slice."""
    across, down = (grid.affine[:3, axis] / grid.spacing_mm[axis] for axis in (0, 1))

    def letter(direction: np.ndarray) -> str:
        axis = int(np.abs(direction).argmax())
        return _LETTERS[axis][0 if direction[axis] > 0 else 1]

    return letter(-down) + letter(down) + letter(-across) + letter(across)


def _kernel(path: Path) -> str:
    with without_warnings():
        found = open_dataset(path, stop_before_pixels=True, specific_tags=["ConvolutionKernel"]).get(
            "ConvolutionKernel"
        )
    text = "/".join(found) if isinstance(found, list | pydicom.multival.MultiValue) else str(found or "")
    return "".join(letter for letter in text if letter.isprintable())[:32]
