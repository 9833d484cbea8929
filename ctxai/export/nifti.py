"""NIfTI-1 files of maps, masks and the CT. The only place where LPS becomes RAS."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import deflate
import nibabel as nib
import numpy as np

from ctxai.ct.grid import Grid
from ctxai.disclaimer import NOTICE
from ctxai.errors import GeometryError, InputError
from ctxai.export.provenance import Provenance
from ctxai.files import atomic_path, write_json

_LOG = logging.getLogger(__name__)

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_LEVEL = 1  # of libdeflate: smaller than zlib's, in less than half of its time, and the same bytes on every processor
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
    image = nib.Nifti1Image(array.transpose(2, 1, 0), None)
    affine = _LPS_TO_RAS @ grid.affine
    sheared = is_sheared(grid)
    image.set_sform(affine, code=_SCANNER)
    if sheared:
        image.header.set_qform(None, code=0)
        _LOG.info("%s: slices are stacked off their normal; the file has an sform and no qform", path.name)
    else:
        image.set_qform(affine, code=_SCANNER)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = f"ctxai; {NOTICE}".encode()
    if array.dtype.kind in _INTENT:
        image.header.set_intent(_INTENT[array.dtype.kind])
    if array.dtype.kind == "f":
        image.header["cal_max"] = np.abs(array).max(initial=0)
    content = image.to_bytes()
    with atomic_path(path) as temporary:
        temporary.write_bytes(deflate.gzip_compress(content, _LEVEL) if path.suffix == ".gz" else content)
    write_json(sidecar_of(path), _sidecar(array, sheared, provenance))


def is_sheared(grid: Grid) -> bool:
    """Whether the grid's axes are not at right angles, as under a tilted gantry."""
    axes = grid.affine[:3, :3] / grid.spacing_mm
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() > 1e-4)


def sidecar_of(path: Path | str) -> Path:
    """The JSON file that belongs to a NIfTI file."""
    path = Path(path)
    return path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".json")


def _sidecar(array: np.ndarray, sheared: bool, provenance: Provenance | None) -> dict[str, Any]:
    return {
        "content": _CONTENT[array.dtype.kind],
        "notice": NOTICE,
        "space": "scanner, RAS mm",
        "sform_only": sheared,
        "provenance": None if provenance is None else provenance.as_dict(),
    }
