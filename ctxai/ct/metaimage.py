"""CTs as MetaImage files (``.mhd`` beside ``.raw`` or ``.zraw``), as LUNA16 has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ctxai.ct.geometry import STRICT, Fault, GeometryReport
from ctxai.ct.grid import Grid
from ctxai.ct.series import AIR_HU
from ctxai.errors import InputError


class MetaImage:
    """A CT in a MetaImage file, read like a :class:`ctxai.ct.series.CTSeries`: header first, slices on demand.

    Args:
        path: the ``.mhd`` (or ``.mha``) file; its stem is the Series Instance UID.

    Raises:
        InputError: when the file is missing, damaged or not three-dimensional.
    """

    rules = STRICT
    regular = True
    manufacturer = ""
    slice_thickness_mm: float | None = None

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._reader = sitk.ImageFileReader()
        self._reader.SetImageIO("MetaImageIO")
        self._reader.SetFileName(str(self.path))
        try:
            self._reader.ReadImageInformation()
        except RuntimeError:
            raise InputError(f"{self.path}: not a readable MetaImage file (.mhd); get it again") from None
        if self._reader.GetDimension() != 3 or self._reader.GetNumberOfComponents() != 1:
            raise InputError(f"{self.path}: expected one value per voxel in three dimensions")
        columns, rows, slices = self._reader.GetSize()
        direction = np.array(self._reader.GetDirection()).reshape(3, 3)
        affine = np.eye(4)
        affine[:3, :3] = direction * np.array(self._reader.GetSpacing())
        affine[:3, 3] = self._reader.GetOrigin()
        self.grid = Grid((slices, rows, columns), affine)
        self.places = np.arange(slices, dtype=float)
        self.report = GeometryReport(self.path.name, {})
        self.pixel_faults: dict[Fault, str] = {}

    @property
    def series_uid(self) -> str:
        """Series Instance UID: LUNA16 names its files by it."""
        return self.path.stem

    @property
    def slice_z_mm(self) -> np.ndarray:
        """z (LPS mm) of the first voxel of each slice."""
        return self.grid.to_lps(np.column_stack([np.zeros((len(self.places), 2)), self.places]))[:, 2]

    def read(self, start: int = 0, stop: int | None = None, window: tuple[slice, slice] | None = None) -> np.ndarray:
        """Hounsfield units of the slices ``start`` to ``stop``, int16 [slice, row, column]; padding becomes -1024.

        Args:
            start: first slice.
            stop: one past the last slice; by default to the end.
            window: rows and columns; by default all.

        Raises:
            InputError: when the voxels cannot be read.
        """
        slices, rows, columns = self.grid.shape
        stop = slices if stop is None else stop
        inside_rows, inside_columns = window or (slice(0, rows), slice(0, columns))
        self._reader.SetExtractIndex([inside_columns.start, inside_rows.start, start])
        self._reader.SetExtractSize(
            [inside_columns.stop - inside_columns.start, inside_rows.stop - inside_rows.start, stop - start]
        )
        try:
            values = sitk.GetArrayFromImage(self._reader.Execute())
        except RuntimeError:
            raise InputError(f"{self.path}: voxels cannot be read (is the .raw or .zraw file beside it?)") from None
        if values.min() < AIR_HU:
            self.pixel_faults[Fault.PADDING] = f"values down to {values.min():g} HU became {AIR_HU}"
        return np.clip(np.rint(values), AIR_HU, np.iinfo(np.int16).max).astype(np.int16)
