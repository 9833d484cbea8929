"""NIfTI volumes, whose header has two descriptions of where the voxels are, or none."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.imageglobals import LoggingOutputSuppressor
from nibabel.spatialimages import HeaderDataError, HeaderTypeError

from ctxai.errors import InputError, kind_of

_DAMAGE = (
    ArithmeticError,
    EOFError,
    HeaderDataError,
    HeaderTypeError,
    ImageFileError,
    KeyError,
    MemoryError,
    OSError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_UNITS_MM = {"unknown": 1.0, "mm": 1.0, "meter": 1000.0, "micron": 1e-3}
#: How far apart, in voxels, the two descriptions may put a corner.
_AGREE_VOXELS = 0.5
_RIGHT_ANGLE = 1e-3


class NiftiFile:
    """A NIfTI-1 or NIfTI-2 file of one volume.

    Attributes:
        shape: voxels [column, row, slice].
        affine: (column, row, slice) to LPS mm.

    Raises:
        InputError: when it is damaged, has other than three dimensions, or says nowhere or in two ways where its
            voxels are.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with LoggingOutputSuppressor():
                loaded = nib.load(path, mmap=False)
                if not isinstance(loaded, nib.Nifti1Pair):  # of which NIfTI-2 is a kind
                    raise ImageFileError
                self._image: nib.Nifti1Pair = loaded
                header = self._image.header
                shape = tuple(int(side) for side in self._image.shape)
                unit = header.get_xyzt_units()[0]
                described = [
                    header.get_sform() if int(header["sform_code"]) > 0 else None,
                    header.get_qform() if int(header["qform_code"]) > 0 else None,
                ]
        except _DAMAGE as error:
            raise InputError(f"{path}: not a readable volume (NIfTI, {kind_of(error)}); get it again") from None
        if len(shape) < 3 or any(side != 1 for side in shape[3:]) or min(shape) < 1:
            raise InputError(f"{path}: expected one volume of three dimensions, found {shape} voxels")
        self.shape = shape[:3]
        self.affine = _TO_LPS @ np.diag([_UNITS_MM[unit]] * 3 + [1.0]) @ self._place(*described)

    def _place(self, sform: np.ndarray | None, qform: np.ndarray | None) -> np.ndarray:
        """The affine to RAS; a sheared sform, which no qform can say, stands alone."""
        if sform is None and qform is None:
            raise InputError(
                f"{self._path}: does not say where its voxels are (sform and qform codes are 0); write it again with "
                "the affine of its CT"
            )
        if sform is None or qform is None or not np.isfinite(sform).all() or _is_sheared(sform):
            return qform if sform is None else sform  # type: ignore[return-value]
        corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(self.shape) - 1)
        apart = np.linalg.norm(corners @ (sform - qform)[:3, :3].T + (sform - qform)[:3, 3], axis=1).max()
        if apart > _AGREE_VOXELS * np.linalg.norm(sform[:3, :3], axis=0).min():
            raise InputError(
                f"{self._path}: its sform and its qform put a corner {apart:.3g} mm apart, so that its voxels have "
                "no certain place; correct one of them"
            )
        return sform

    def array(self) -> np.ndarray:
        """Values [slice, row, column], scaled as the header says.

        Raises:
            InputError: when the voxels are damaged or cut short.
        """
        try:
            with LoggingOutputSuppressor():
                values = np.asarray(self._image.dataobj)
        except _DAMAGE as error:
            raise InputError(f"{self._path}: its voxels cannot be read ({kind_of(error)}); get it again") from None
        if values.dtype.kind not in "iuf":
            raise InputError(f"{self._path}: expected one number in a voxel, found {values.dtype}")
        plain = np.float32 if values.dtype == np.float16 else np.float64 if values.dtype.itemsize > 8 else None
        values = values.astype(plain or values.dtype.newbyteorder("="), copy=False)
        return np.ascontiguousarray(values.reshape(self.shape).transpose(2, 1, 0))


def _is_sheared(affine: np.ndarray) -> bool:
    """Whether axes are not at right angles."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() > _RIGHT_ANGLE)
