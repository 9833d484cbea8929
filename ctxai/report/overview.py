"""Whole-slice overview of a nodule: the axial picture, where the nodule is in it, and facts of the series."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ctxai.disclaimer import NOTICE
from ctxai.errors import InputError
from ctxai.results_folder import OVERVIEW, OVERVIEW_PICTURE


@dataclass(frozen=True)
class Overview:
    """An overview.

    Attributes:
        mark: centre of the nodule as shares (column, row) of the picture.
        radius: its radius as a share of the picture's width.
        letters: patient directions at the top, bottom, left and right edge of the picture.
        image: number of the slice through the centre (InstanceNumber, else its place); images in all.
        images: number of images of the series.
        patch_images: image number at each slice of the patch, feet to head; None where the CT has none.
        side: left or right of the middle of the body; None within 15 mm of it.
        slice_distance_mm: distance of slices.
        slice_thickness_mm: SliceThickness; None where there is none.
        pixel_spacing_mm: distance of rows.
        kernel: ConvolutionKernel; empty where there is none.
    """

    mark: tuple[float, float]
    radius: float
    letters: str
    image: int
    images: int
    patch_images: Sequence[int | None]
    side: str | None
    slice_distance_mm: float
    slice_thickness_mm: float | None
    pixel_spacing_mm: float
    kernel: str

    def as_json(self) -> dict[str, object]:
        """Content of the file."""
        return asdict(self) | {"limits": NOTICE}

    @property
    def place(self) -> str:
        """Side and image number, in words."""
        side = "near the midline" if self.side is None else f"{self.side} side"
        of = f" of {self.images}" if self.image <= self.images else ""  # numbers may begin anywhere
        return f"{side}, image {self.image}{of}"

    @property
    def series(self) -> str:
        """Facts of the series, in words."""
        facts = [f"slices {self.slice_distance_mm:.3g} mm apart"]
        if self.slice_thickness_mm is not None:
            facts.append(f"{self.slice_thickness_mm:.3g} mm thick")
        facts.append(f"pixels of {self.pixel_spacing_mm:.2f} mm")
        return ", ".join([*facts, *([f"kernel {self.kernel}"] if self.kernel else [])])


def read_overview(folder: Path) -> Overview | None:
    """The overview in a nodule's folder; None where there is none.

    Raises:
        InputError: when it is damaged.
    """
    path = folder / OVERVIEW
    if not path.is_file() or not (folder / OVERVIEW_PICTURE).is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        thickness, (x, y) = content["slice_thickness_mm"], content["mark"]
        return Overview(
            mark=(float(x), float(y)),
            radius=float(content["radius"]),
            letters=str(content["letters"])[:4].ljust(4),
            image=int(content["image"]),
            images=int(content["images"]),
            patch_images=[None if number is None else int(number) for number in content["patch_images"]],
            side=None if content["side"] is None else str(content["side"]),
            slice_distance_mm=float(content["slice_distance_mm"]),
            slice_thickness_mm=None if thickness is None else float(thickness),
            pixel_spacing_mm=float(content["pixel_spacing_mm"]),
            kernel=str(content["kernel"]),
        )
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path}: damaged; run ctxai explain --no-resume again") from None
