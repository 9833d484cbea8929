"""Volumes in files of their own: NIfTI by nibabel, NRRD and MetaImage by SimpleITK."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ctxai.ct.grid import Grid
from ctxai.ct.nifti_file import NiftiFile
from ctxai.errors import InputError

#: Ends of names of files that hold one volume.
SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
#: Much more than a text header takes.
_HEADER_BYTES = 65536
#: More voxels than any CT has.
_MAX_VOXELS = 2**31
_MAX_SIDE = 4096
_SPACING_MM = (1e-3, 1e2)
#: Header fields needed for the geometry, by format. NRRD has further spaces without a known patient orientation.
_NRRD = {
    "space (LPS, RAS or LAS)": re.compile(
        rb"^space: *(lps|ras|las|(left|right)-(anterior|posterior)-superior) *\r?$", re.MULTILINE | re.IGNORECASE
    ),
    "space directions": re.compile(rb"^space directions:", re.MULTILINE | re.IGNORECASE),
}
_METAIMAGE = {
    "ElementSpacing": re.compile(rb"^\s*(ElementSpacing|ElementSize)\s*=", re.MULTILINE),
    "TransformMatrix": re.compile(rb"^\s*(TransformMatrix|Rotation|Orientation)\s*=", re.MULTILINE),
}
_INTENSITY = re.compile(
    rb"^\s*(ElementToIntensityFunctionSlope\s*=\s*(?!1(\.0*)?\s*$)\S+|"
    rb"ElementToIntensityFunctionOffset\s*=\s*(?!-?0(\.0*)?\s*$)\S+)",
    re.MULTILINE,
)
_DATA_FILE = re.compile(rb"^\s*(?:ElementDataFile\s*=|data ?file:)\s*(.*?)\s*$", re.MULTILINE | re.IGNORECASE)


def suffix_of(path: Path) -> str:
    """End of a name that tells the format, in small letters, ``.gz`` included; empty for others."""
    name = path.name.lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")


def read_image(path: Path) -> tuple[sitk.Image, Grid]:
    """A volume with its grid in LPS mm, as the header has it.

    Raises:
        InputError: when the file is missing, damaged, not three-dimensional, names voxels in another folder, or does
            not say where they are.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a volume ({', '.join(SUFFIXES)})")
    suffix = suffix_of(path)
    if not suffix:
        raise InputError(f"{path}: not a volume by its name; expected one of {', '.join(SUFFIXES)}")
    if suffix in (".nii", ".nii.gz"):
        nifti = NiftiFile(path)
        grid = _grid(path, nifti.shape, nifti.affine)
        image = sitk.GetImageFromArray(nifti.array())
        image.SetSpacing(grid.spacing_mm.tolist())
        image.SetOrigin(grid.affine[:3, 3].tolist())
        image.SetDirection((grid.affine[:3, :3] / grid.spacing_mm).ravel().tolist())
        return image, grid
    _check_header(path, suffix)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        affine = np.eye(4)
        if reader.GetDimension() == 3:
            affine[:3, :3] = np.array(reader.GetDirection()).reshape(3, 3) * np.array(reader.GetSpacing())
            affine[:3, 3] = reader.GetOrigin()
        grid = _grid(path, reader.GetSize(), affine)
        return reader.Execute(), grid
    except RuntimeError:
        raise InputError(f"{path}: not a readable volume ({suffix}); get it again") from None


def _grid(path: Path, size: Sequence[int], affine: np.ndarray) -> Grid:
    """Grid of a volume of ``size`` voxels (column, row, slice), checked before any voxel is read."""
    if len(size) != 3 or max(size) > _MAX_SIDE or np.prod(size, dtype=float) > _MAX_VOXELS:
        raise InputError(f"{path}: expected one volume of three dimensions, found {tuple(size)} voxels")
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not (np.isfinite(affine).all() and _SPACING_MM[0] <= spacing.min() and spacing.max() <= _SPACING_MM[1]):
        raise InputError(f"{path}: its voxels are {spacing.tolist()} mm apart, which no CT has")
    if abs(np.linalg.det(affine[:3, :3] / spacing)) < 1e-3:
        raise InputError(f"{path}: the directions of its axes are not independent")
    columns, rows, slices = size
    return Grid((slices, rows, columns), affine)


def _check_header(path: Path, suffix: str) -> None:
    """Refuse a text header that names voxels elsewhere than in itself or beside it, or does not say where they are."""
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    named = _DATA_FILE.search(header)
    name = "LOCAL" if named is None else named[1].decode("utf-8", "replace").strip()
    if name.upper() != "LOCAL" and (Path(name).name != name or "%" in name or name.upper().startswith("LIST")):
        raise InputError(f"{path}: its voxels lie in {name[:80]!r}; expected a file beside it")
    if suffix in (".nrrd", ".nhdr"):
        missing = [words for words, line in _NRRD.items() if not line.search(header)]
    else:
        missing = [words for words, line in _METAIMAGE.items() if not line.search(header)]
        scaled = _INTENSITY.search(header)
        if scaled is not None:
            raise InputError(f"{path}: its values are to be scaled ({scaled[1].decode()}); write it again with HU")
    if missing and header.startswith((b"NRRD", b"ObjectType", b"NDims", b"Comment")):
        raise InputError(f"{path}: does not say where its voxels are; expected {' and '.join(missing)} in its header")
