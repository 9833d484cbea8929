"""Volumes in files of their own: NIfTI, NRRD and MetaImage, read by SimpleITK."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ctxai.ct.grid import Grid
from ctxai.errors import InputError

#: Ends of names of files that hold one volume.
SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
#: Much more than a text header takes.
_HEADER_BYTES = 65536
#: More voxels than any CT has.
_MAX_VOXELS = 2**31
_MAX_SIDE = 4096
_SPACING_MM = (1e-3, 1e2)
_DATA_FILE = re.compile(rb"^\s*(?:ElementDataFile\s*=|data ?file:)\s*(.*?)\s*$", re.MULTILINE | re.IGNORECASE)


def suffix_of(path: Path) -> str:
    """End of a name that tells the format, in small letters, ``.gz`` included; empty for others."""
    name = path.name.lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")


def read_image(path: Path) -> tuple[sitk.Image, Grid]:
    """A volume with its grid in LPS mm, as the header has it.

    Raises:
        InputError: when the file is missing, damaged, not three-dimensional, or names voxels in another folder.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a volume ({', '.join(SUFFIXES)})")
    suffix = suffix_of(path)
    if suffix in (".mha", ".mhd", ".nrrd", ".nhdr"):
        _refuse_other_files(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        size, spacing = reader.GetSize(), np.array(reader.GetSpacing())
        if reader.GetDimension() != 3 or max(size) > _MAX_SIDE or np.prod(size, dtype=float) > _MAX_VOXELS:
            raise InputError(f"{path}: expected one volume of three dimensions, found {size} voxels")
        if not (np.isfinite(spacing).all() and _SPACING_MM[0] <= spacing.min() and spacing.max() <= _SPACING_MM[1]):
            raise InputError(f"{path}: its voxels are {spacing.tolist()} mm apart, which no CT has")
        image = reader.Execute()
    except RuntimeError:
        raise InputError(f"{path}: not a readable volume ({suffix or 'unknown format'}); get it again") from None
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * spacing
    affine[:3, 3] = image.GetOrigin()
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3] / spacing)) < 1e-3:
        raise InputError(f"{path}: the directions of its axes are not independent")
    columns, rows, slices = size
    return image, Grid((slices, rows, columns), affine)


def _refuse_other_files(path: Path) -> None:
    """Refuse a text header that names voxels elsewhere than in itself or beside it."""
    with path.open("rb") as file:
        named = _DATA_FILE.search(file.read(_HEADER_BYTES))
    if named is None:
        return
    name = named[1].decode("utf-8", "replace").strip()
    if name.upper() != "LOCAL" and (Path(name).name != name or "%" in name or name.upper().startswith("LIST")):
        raise InputError(f"{path}: its voxels lie in {name[:80]!r}; expected a file beside it")
