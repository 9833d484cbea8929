"""NIfTI-1 files of maps, masks and the CT. The only place where LPS becomes RAS."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import deflate
import nibabel as nib
import numpy as np

from ctxai.ct.grid import Grid
from ctxai.disclaimer import NOTICE
from ctxai.errors import GeometryError, InputError
from ctxai.export.overlay import content_rows
from ctxai.export.provenance import Provenance
from ctxai.files import atomic_path, write_json

_LOG = logging.getLogger(__name__)

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_LEVEL = 1  # of libdeflate: smaller than zlib's, in less than half of its time, and the same bytes on every processor
_VOXELS = 352  # where they begin: behind the header and four bytes that say that no extension follows
_SCANNER = 1  # NIFTI_XFORM_SCANNER_ANAT
_INTENT = {"f": "estimate", "u": "label"}
_CONTENT = {"f": "explanation map", "u": "mask", "i": "CT, Hounsfield units"}


def write_nifti(path: Path | str, array: np.ndarray, grid: Grid, provenance: Provenance | None = None) -> None:
    """Write a volume so that any NIfTI reader puts it where the CT is; the same inputs give the same bytes.

    The affine goes into the sform and, where the axes are at right angles, into the qform, which can hold nothing
    else. A CT with a tilted gantry therefore has an sform only: nibabel places it rightly, ITK-based tools refuse it.

    A JSON file of the same name says what the volume is, with the provenance.

    Args:
        path: ``*.nii.gz`` or ``*.nii``.
        array: [slice, row, column]; float32 (a map), bool, uint8 or uint16 (a mask or labels), int16 (a CT, HU).
        grid: where the voxels are.
        provenance: how the map was made; not given for the CT itself.

    Raises:
        GeometryError: when the array's shape is not the grid's.
        InputError: when the values are of another type, or the name of another kind.
    """
    path = Path(path)
    if not path.name.endswith((".nii.gz", ".nii")):
        raise InputError(f"{path}: expected a name that ends in .nii.gz or .nii")
    if array.shape != grid.shape:
        raise GeometryError(f"{path}: the array has the shape {array.shape}, the grid {grid.shape}")
    if array.dtype == bool:
        array = array.view(np.uint8)
    if array.dtype not in (np.float32, np.uint8, np.uint16, np.int16):
        raise InputError(f"{path}: values are {array.dtype}, expected float32, bool, uint8, uint16 or int16")
    write_nifti_slices(path, array, array.dtype, grid, provenance)


def write_nifti_slices(
    path: Path, slices: Iterable[np.ndarray], dtype: np.dtype, grid: Grid, provenance: Provenance | None = None
) -> None:
    """:func:`write_nifti` of slices that are taken one after another, [row, column] each and of ``dtype``.

    The file is put together in memory once; what is 0 takes none.
    """
    place = Path(path)
    content = np.zeros(_VOXELS + int(np.prod(grid.shape)) * dtype.itemsize, np.uint8)
    voxels = content[_VOXELS:].view(dtype).reshape(grid.shape)
    for number, plane in enumerate(slices):
        for _, rows in content_rows(plane[None]):
            voxels[number, rows] = plane[rows]
    sheared = is_sheared(grid)
    header = _header(grid, voxels, sheared)
    content[:_VOXELS] = np.frombuffer(header.binaryblock.ljust(_VOXELS, b"\0"), np.uint8)
    with atomic_path(place) as temporary:
        temporary.write_bytes(deflate.gzip_compress(content, _LEVEL) if place.suffix == ".gz" else content.data)
    if sheared:
        _LOG.info("%s: slices are stacked off their normal; the file has an sform and no qform", place.name)
    write_json(sidecar_of(place), _sidecar(dtype, sheared, provenance))


def _header(grid: Grid, voxels: np.ndarray, sheared: bool) -> nib.Nifti1Header:
    """The header of a single file."""
    image = nib.Nifti1Image(voxels.transpose(2, 1, 0), None)
    affine = _LPS_TO_RAS @ grid.affine
    image.set_sform(affine, code=_SCANNER)
    if sheared:
        image.header.set_qform(None, code=0)
    else:
        image.set_qform(affine, code=_SCANNER)
    header = image.header
    header.set_xyzt_units("mm")
    header.set_slope_inter(1, 0)
    header["descrip"] = f"ctxai; {NOTICE}".encode()
    header["magic"], header["vox_offset"] = header.single_magic, _VOXELS
    if voxels.dtype.kind in _INTENT:
        header.set_intent(_INTENT[voxels.dtype.kind])
    if voxels.dtype.kind == "f":
        header["cal_max"] = max(voxels.max(initial=0), -voxels.min(initial=0))
    return header


def is_sheared(grid: Grid) -> bool:
    """Whether the grid's axes are not at right angles, as under a tilted gantry."""
    axes = grid.affine[:3, :3] / grid.spacing_mm
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() > 1e-4)


def sidecar_of(path: Path | str) -> Path:
    """The JSON file that belongs to a NIfTI file."""
    path = Path(path)
    return path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".json")


def _sidecar(dtype: np.dtype, sheared: bool, provenance: Provenance | None) -> dict[str, Any]:
    return {
        "content": _CONTENT[dtype.kind],
        "notice": NOTICE,
        "space": "scanner, RAS mm",
        "sform_only": sheared,
        "provenance": None if provenance is None else provenance.as_dict(),
    }
