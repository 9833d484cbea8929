"""NIfTI-1 files of maps, masks and the CT. The only place where LPS becomes RAS."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Iterable
from pathlib import Path

import nibabel as nib
import numpy as np

from ctxai.ct.grid import Grid
from ctxai.disclaimer import NOTICE
from ctxai.errors import GeometryError, InputError
from ctxai.export.provenance import Provenance
from ctxai.export.sparse import SparseVolume
from ctxai.export.streams import GzipStream, PlainStream, write_runs
from ctxai.files import atomic_path, write_json

_LOG = logging.getLogger(__name__)

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_LEVEL = 1  # of zlib
_VOXELS = 352  # the byte where they begin, behind header and sign of extensions
_SCANNER = 1  # NIFTI_XFORM_SCANNER_ANAT
_INTENT = {"f": "estimate", "u": "label"}
_CONTENT = {"f": "explanation map", "u": "mask", "i": "CT, Hounsfield units"}


def write_nifti(
    path: Path | str, volume: np.ndarray | SparseVolume, grid: Grid, provenance: Provenance | None = None
) -> None:
    """Write a volume so that any NIfTI reader puts it where the CT is; the same inputs give the same bytes.

    The affine goes into the sform and, where the axes are at right angles, into the qform, which can hold nothing
    else. A CT with a tilted gantry therefore has an sform only: nibabel places it rightly, ITK-based tools refuse it.

    A JSON file of the same name says what the volume is, with the provenance.

    Args:
        path: ``*.nii.gz`` or ``*.nii``.
        volume: [slice, row, column]; float32 (a map), bool, uint8 or uint16 (a mask or labels), int16 (a CT, HU).
        grid: where the voxels are.
        provenance: how the map was made; not given for the CT itself.

    Raises:
        GeometryError: when the array's shape is not the grid's.
        InputError: when the values are of another type, or the name of another kind.
    """
    path = Path(path)
    if not path.name.endswith((".nii.gz", ".nii")):
        raise InputError(f"{path}: expected a name that ends in .nii.gz or .nii")
    if volume.shape != grid.shape:
        raise GeometryError(f"{path}: the array has the shape {volume.shape}, the grid {grid.shape}")
    content = SparseVolume.of(volume)
    if content.array.dtype == bool:
        content = SparseVolume(content.array.view(np.uint8), content.rows)
    dtype = content.array.dtype
    if dtype not in (np.float32, np.uint8, np.uint16, np.int16):
        raise InputError(f"{path}: values are {dtype}, expected float32, bool, uint8, uint16 or int16")
    largest = max((float(np.abs(part).max()) for part in content.parts()), default=0) if dtype.kind == "f" else 0
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        stream = GzipStream(file) if path.suffix == ".gz" else PlainStream(file)
        stream.write(_header(grid, dtype, largest))
        write_runs(stream, content)
        stream.close()
    _write_sidecar(path, dtype, grid, provenance)


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
