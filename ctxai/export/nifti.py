"""NIfTI-1 files of maps, masks and the CT. The only place where LPS becomes RAS."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Iterable
from pathlib import Path

import deflate
import nibabel as nib
import numpy as np

from ctxai.ct.grid import Grid
from ctxai.disclaimer import NOTICE
from ctxai.errors import GeometryError, InputError
from ctxai.export.provenance import Provenance
from ctxai.export.sparse import content_rows, zeros
from ctxai.files import atomic_path, write_json

_LOG = logging.getLogger(__name__)

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_LEVEL = 1  # of libdeflate: smaller than zlib's, in less than half of its time, and the same bytes on every processor
_VOXELS = 352  # the byte where they begin, behind header and sign of extensions
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
    content = zeros([_VOXELS + array.nbytes], np.uint8)
    voxels = content[_VOXELS:].view(array.dtype).reshape(array.shape)
    for where in content_rows(array):  # the rest takes no memory
        voxels[where] = array[where]
    largest = max(voxels.max(initial=0), -voxels.min(initial=0)) if array.dtype.kind == "f" else 0
    content[:_VOXELS] = np.frombuffer(_header(grid, array.dtype, largest), np.uint8)
    with atomic_path(path) as temporary:
        temporary.write_bytes(deflate.gzip_compress(content, _LEVEL) if path.suffix == ".gz" else content.data)
    _write_sidecar(path, array.dtype, grid, provenance)


def write_nifti_ct(path: Path, slices: Iterable[np.ndarray], grid: Grid) -> None:
    """Write a CT, compressed slice by slice: it would fill memory several times.

    Args:
        path: ``*.nii.gz``.
        slices: Hounsfield units, int16 [row, column] each, in the grid's order.
        grid: where the voxels are.
    """
    dtype = np.dtype(np.int16)
    with (
        atomic_path(path) as temporary,
        temporary.open("wb") as file,
        gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as compressed,
    ):
        compressed.write(_header(grid, dtype))
        for plane in slices:
            compressed.write(np.ascontiguousarray(plane, dtype).data)
    _write_sidecar(path, dtype, grid)


def _header(grid: Grid, dtype: np.dtype, largest: float = 0) -> bytes:
    """Header of a single file and the four bytes that say that no extension follows."""
    image = nib.Nifti1Image(np.broadcast_to(np.zeros((), dtype), grid.shape[::-1]), None)
    affine = _LPS_TO_RAS @ grid.affine
    image.set_sform(affine, code=_SCANNER)
    if is_sheared(grid):
        image.header.set_qform(None, code=0)
    else:
        image.set_qform(affine, code=_SCANNER)
    header = image.header
    header.set_xyzt_units("mm")
    header.set_slope_inter(1, 0)
    header["descrip"] = f"ctxai; {NOTICE}".encode()
    header["magic"], header["vox_offset"] = header.single_magic, _VOXELS
    if dtype.kind in _INTENT:
        header.set_intent(_INTENT[dtype.kind])
    header["cal_max"] = largest
    return header.binaryblock.ljust(_VOXELS, b"\0")


def is_sheared(grid: Grid) -> bool:
    """Whether the grid's axes are not at right angles, as under a tilted gantry."""
    axes = grid.affine[:3, :3] / grid.spacing_mm
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() > 1e-4)


def sidecar_of(path: Path | str) -> Path:
    """The JSON file that belongs to a NIfTI file."""
    path = Path(path)
    return path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".json")


def _write_sidecar(path: Path, dtype: np.dtype, grid: Grid, provenance: Provenance | None = None) -> None:
    sheared = is_sheared(grid)
    if sheared:
        _LOG.info("%s: slices are stacked off their normal; the file has an sform and no qform", path.name)
    content = {
        "content": _CONTENT[dtype.kind],
        "notice": NOTICE,
        "space": "scanner, RAS mm",
        "sform_only": sheared,
        "provenance": None if provenance is None else provenance.as_dict(),
    }
    write_json(sidecar_of(path), content)
