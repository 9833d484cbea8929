"""A CT from an array instead of DICOM files: voxels and where they are, without headers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np
import SimpleITK as sitk

from ctxai.ct.geometry import STRICT, Fault, GeometryReport
from ctxai.ct.grid import Grid
from ctxai.ct.series import AIR_HU, CTSeries
from ctxai.ct.volume_file import read_image
from ctxai.errors import GeometryError, InputError

#: Some voxel of every chest CT is this dark.
_SOME_AIR_HU = -200
_INT16_MAX = np.iinfo(np.int16).max


class CTVolume:
    """A CT in memory, with the interface of :class:`ctxai.ct.series.CTSeries` as far as it needs no header.

    Args:
        hu: Hounsfield units [slice, row, column], any real type; rounded to int16, below -1024 clipped.
        spacing_mm: distance of voxels along (column, row, slice), as SimpleITK has it.
        origin_lps: LPS mm of the centre of the first voxel.
        direction: directions of the (column, row, slice) axes in LPS, the columns of a 3x3 matrix, row by row as
            SimpleITK has them; by default columns run to the left, rows to posterior, slices to superior.

    Attributes:
        hu: int16 [slice, row, column].
        grid: where the voxels are.

    Raises:
        InputError: for another number of axes, values that are not finite, or a spacing or origin that is none.
        GeometryError: for a direction whose axes are not independent.
    """

    regular = True
    rules = STRICT
    manufacturer = ""
    slice_thickness_mm: float | None = None
    #: There is none; a series' own is never empty.
    series_uid = ""
    source_label = "the CT"

    def __init__(
        self,
        hu: np.ndarray,
        spacing_mm: Sequence[float],
        origin_lps: Sequence[float] = (0.0, 0.0, 0.0),
        direction: Sequence[float] | np.ndarray | None = None,
    ) -> None:
        hu = np.asarray(hu)
        if hu.ndim != 3 or 0 in hu.shape:
            raise InputError(f"CT: expected an array [slice, row, column], found the shape {hu.shape}")
        if hu.dtype.kind not in "iuf" or not np.isfinite(hu).all():
            raise InputError(f"CT: expected finite Hounsfield units, found {hu.dtype} or values that are not finite")
        spacing = np.asarray(spacing_mm, dtype=float)
        origin = np.asarray(origin_lps, dtype=float)
        axes = np.eye(3) if direction is None else np.asarray(direction, dtype=float).reshape(-1)
        if spacing.shape != (3,) or not (np.isfinite(spacing).all() and (spacing > 0).all()):
            raise InputError(f"CT: expected a spacing of 3 positive mm (column, row, slice), found {spacing_mm}")
        if origin.shape != (3,) or not np.isfinite(origin).all():
            raise InputError(f"CT: expected an origin of 3 mm LPS, found {origin_lps}")
        if axes.size != 9 or not np.isfinite(axes).all():
            raise InputError(f"CT: expected a direction of 3x3 numbers, found {direction}")
        affine = np.eye(4)
        affine[:3, :3] = axes.reshape(3, 3) * spacing
        affine[:3, 3] = origin
        if abs(np.linalg.det(axes.reshape(3, 3))) < 1e-3:
            raise GeometryError(f"CT: the axes of its direction are not independent: {direction}")
        self.hu = np.clip(np.rint(hu) if hu.dtype.kind == "f" else hu, AIR_HU, _INT16_MAX).astype(np.int16)
        shape = self.hu.shape
        self.grid = Grid((shape[0], shape[1], shape[2]), affine)
        self.slice_coordinates = np.arange(shape[0])
        self.pixel_faults: dict[Fault, str] = {}
        self.report = GeometryReport(self.source_label, {})

    @classmethod
    def from_image(cls, image: sitk.Image) -> CTVolume:
        """A CT from a SimpleITK image, in Hounsfield units.

        Raises:
            InputError: when it has other than 3 dimensions, or several values in a voxel.
        """
        if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
            raise InputError(
                f"CT: expected a SimpleITK image of 3 dimensions and 1 value a voxel, found {image.GetDimension()} and "
                f"{image.GetNumberOfComponentsPerPixel()}"
            )
        return cls(sitk.GetArrayViewFromImage(image), image.GetSpacing(), image.GetOrigin(), image.GetDirection())

    @classmethod
    def from_file(cls, path: Path) -> CTVolume:
        """A CT from a NIfTI, NRRD or MetaImage file, in Hounsfield units; orientation and place are the header's.

        Raises:
            InputError: when the file cannot be read, or its values are no Hounsfield units: a CT has air in it.
        """
        image, _ = read_image(path)
        if image.GetNumberOfComponentsPerPixel() != 1:
            raise InputError(f"{path}: several values in a voxel; expected a CT in Hounsfield units")
        lowest = float(sitk.GetArrayViewFromImage(image).min())
        if not np.isfinite(lowest):
            raise InputError(
                f"{path}: some of its values are no numbers (NaN or infinite); write it again with -1024 there"
            )
        if not lowest <= _SOME_AIR_HU:
            raise InputError(
                f"{path}: its lowest value is {lowest:g}, so these are no Hounsfield units, where air is about -1000; "
                "give the CT before it was normalised or shifted, or its DICOM files"
            )
        volume = cls.from_image(image)
        volume.source_label = str(path)
        return volume

    @cached_property
    def key(self) -> str:
        """Name for folders and logs, from the voxels and where they are."""
        return self.content_sha256[:12]

    @cached_property
    def content_sha256(self) -> str:
        """SHA-256 of the voxels and the grid."""
        content = hashlib.sha256(f"{self.grid.shape} {self.grid.affine.tolist()}".encode())
        content.update(np.ascontiguousarray(self.hu).data)
        return content.hexdigest()

    @property
    def slice_z_mm(self) -> np.ndarray:
        """z (LPS mm) of the first voxel of each slice."""
        return self.grid.affine[2, 3] + self.grid.affine[2, 2] * self.slice_coordinates

    def read(self, start: int = 0, stop: int | None = None, window: tuple[slice, slice] | None = None) -> np.ndarray:
        """Hounsfield units of the slices ``start`` to ``stop``, int16 [slice, row, column].

        Args:
            start: first slice.
            stop: one past the last slice; by default to the end.
            window: rows and columns; by default all.
        """
        rows, columns = window or (slice(None), slice(None))
        return self.hu[start:stop, rows, columns]


#: A CT to explain: of DICOM files, or of an array.
CT: TypeAlias = CTSeries | CTVolume
