"""CTs as MetaImage files (``.mhd`` beside ``.raw`` or ``.zraw``), as LUNA16 has them.

Read without ITK, whose parser prints to the terminal, opens whatever file a header names, and crashes on some headers.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ctxai.ct.geometry import STRICT, Fault, GeometryReport
from ctxai.ct.grid import Grid
from ctxai.ct.series import AIR_HU
from ctxai.errors import InputError, one_line

_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
#: Much more than a header takes; voxels may follow it in the same file.
_HEADER_BYTES = 65536
#: More than any CT has.
_MAX_SIDE, _MAX_BYTES = 4096, 2**32
#: Voxel spacings of any scanner, and positions in any room, mm.
_SPACING_MM, _POSITION_MM = (1e-3, 1e2), 1e5


@dataclass(frozen=True)
class _Header:
    """A MetaImage header: where the voxels lie in the patient, and in which file and at which byte they begin."""

    grid: Grid
    voxel: np.dtype
    file: Path
    offset: int
    compressed: bool


class MetaImage:
    """A CT in a MetaImage file, read like a :class:`ctxai.ct.series.CTSeries`: header first, slices on demand.

    Args:
        path: the ``.mhd`` (or ``.mha``) file; its stem is the Series Instance UID.

    Raises:
        InputError: when the file is missing, damaged, not three-dimensional, or names voxels in another folder.
    """

    rules = STRICT
    regular = True
    manufacturer = ""
    slice_thickness_mm: float | None = None

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        try:
            self._header = _read_header(self.path)
        except (OSError, KeyError, ValueError) as error:
            reason = f"{error.args[0]} is missing" if isinstance(error, KeyError) else one_line(error)
            raise InputError(f"{self.path}: not a readable MetaImage file (.mhd): {reason}; get it again") from None
        self.grid = self._header.grid
        self.slice_coordinates = np.arange(self.grid.shape[0], dtype=float)
        self.report = GeometryReport(self.path.name, {})
        self.pixel_faults: dict[Fault, str] = {}

    @property
    def series_uid(self) -> str:
        """Series Instance UID: LUNA16 names its files by it."""
        return self.path.stem

    @property
    def slice_z_mm(self) -> np.ndarray:
        """z (LPS mm) of the first voxel of each slice."""
        return self.grid.to_lps(np.column_stack([np.zeros((len(self.slice_coordinates), 2)), self.slice_coordinates]))[
            :, 2
        ]

    def read(self, start: int = 0, stop: int | None = None, window: tuple[slice, slice] | None = None) -> np.ndarray:
        """Hounsfield units of the slices ``start`` to ``stop``, int16 [slice, row, column]; padding becomes -1024.

        Args:
            start: first slice.
            stop: one past the last slice; by default to the end.
            window: rows and columns; by default all.

        Raises:
            InputError: when the voxels cannot be read.
        """
        slices, *shape = self.grid.shape
        numbers = range(slices)[start:stop]
        try:
            values = self._values(numbers.start, len(numbers)).reshape(-1, *shape)
        except (OSError, ValueError, zlib.error) as error:
            raise InputError(
                f"{self.path}: voxels cannot be read ({one_line(error)}); is the .raw or .zraw file beside it?"
            ) from None
        values = values[(slice(None), *(window or ()))]
        if not np.isfinite(values).all():
            raise InputError(f"{self.path}: holds voxels that are no finite numbers; get it again")
        if values.size and values.min() < AIR_HU:
            self.pixel_faults[Fault.PADDING] = f"values down to {values.min():g} HU became {AIR_HU}"
        return np.clip(np.rint(values), AIR_HU, np.iinfo(np.int16).max).astype(np.int16)

    def _values(self, start: int, count: int) -> np.ndarray:
        """Stored values of some slices, one after the other."""
        header, per_slice = self._header, int(np.prod(self.grid.shape[1:]))
        if header.compressed:
            return np.frombuffer(self._inflated, header.voxel, count * per_slice, start * per_slice * self._bytes)
        offset = header.offset + start * per_slice * self._bytes
        values = np.fromfile(header.file, header.voxel, count * per_slice, offset=offset)
        if len(values) < count * per_slice:
            raise ValueError("cut short")
        return values

    @property
    def _bytes(self) -> int:
        return self._header.voxel.itemsize

    @cached_property
    def _inflated(self) -> bytes:
        """All voxels of a compressed file, and no more than the header says."""
        with self._header.file.open("rb") as file:
            file.seek(self._header.offset)
            return zlib.decompressobj().decompress(file.read(), int(np.prod(self.grid.shape)) * self._bytes)


def _read_header(path: Path) -> _Header:
    """The lines up to ElementDataFile, each ``name = value``.

    Raises:
        KeyError: when one that is needed is missing.
        ValueError: when one says something that no CT has.
    """
    with path.open("rb") as file:
        text = file.read(_HEADER_BYTES)
    fields: dict[str, str] = {}
    offset = 0
    while "ElementDataFile" not in fields:
        line, end, _ = text[offset:].partition(b"\n")
        name, sign, value = line.decode("utf-8").partition("=")
        if not sign:
            raise ValueError(f"a line without a value: {name[:40]!r}")
        fields[name.strip()] = value.strip()
        offset += len(line) + len(end)
    if fields.get("NDims") != "3" or fields.get("ElementNumberOfChannels", "1") != "1":
        raise ValueError("expected one value per voxel in three dimensions")
    return _Header(
        _grid(fields),
        _voxel(fields),
        _voxel_file(path, fields["ElementDataFile"]),
        offset if fields["ElementDataFile"] == "LOCAL" else 0,
        _flag(fields, "CompressedData"),
    )


def _grid(fields: dict[str, str]) -> Grid:
    size = _numbers(fields, "DimSize", 3)
    if (size != np.rint(size)).any() or size.min() < 1 or size.max() > _MAX_SIDE:
        raise ValueError(f"DimSize is {fields['DimSize'][:80]}, expected 1 to {_MAX_SIDE} voxels a side")
    spacing = _numbers(fields, "ElementSpacing", 3)
    if spacing.min() < _SPACING_MM[0] or spacing.max() > _SPACING_MM[1]:
        raise ValueError(f"ElementSpacing is {fields['ElementSpacing'][:80]}, expected {_SPACING_MM} mm")
    origin = _numbers(fields, next((name for name in ("Position", "Origin") if name in fields), "Offset"), 3)
    if np.abs(origin).max() > _POSITION_MM:
        raise ValueError(f"the first voxel is further than {_POSITION_MM:g} mm off")
    named = next((name for name in ("TransformMatrix", "Rotation", "Orientation") if name in fields), None)
    axes = np.eye(3) if named is None else _numbers(fields, named, 9).reshape(3, 3)  # [axis, x y z]
    if np.abs(axes).max() > 1.001 or not np.allclose(axes @ axes.T, np.eye(3), atol=1e-3):
        raise ValueError(f"{named} is not of three unit vectors at right angles")
    affine = np.eye(4)
    affine[:3, :3] = axes.T * spacing
    affine[:3, 3] = origin
    columns, rows, slices = size.astype(int).tolist()
    return Grid((slices, rows, columns), affine)


def _voxel(fields: dict[str, str]) -> np.dtype:
    if fields["ElementType"] not in _TYPES or not _flag(fields, "BinaryData", "True"):
        raise ValueError(f"ElementType is {fields['ElementType'][:40]}, expected binary {', '.join(_TYPES)}")
    big = _flag(fields, "BinaryDataByteOrderMSB") or _flag(fields, "ElementByteOrderMSB")
    voxel = np.dtype((">" if big else "<") + _TYPES[fields["ElementType"]])
    if np.prod(_numbers(fields, "DimSize", 3)) * voxel.itemsize > _MAX_BYTES:
        raise ValueError(f"claims more than {_MAX_BYTES >> 30} GiB of voxels")
    return voxel


def _voxel_file(path: Path, name: str) -> Path:
    """The file itself or one beside it: a header may not name any other."""
    if name == "LOCAL":
        return path
    if Path(name).name != name or "\0" in name:
        raise ValueError(f"ElementDataFile is {name[:80]!r}, expected LOCAL or a file beside it")
    return path.with_name(name)


def _flag(fields: dict[str, str], name: str, usual: str = "False") -> bool:
    return fields.get(name, usual).lower() in {"true", "1"}


def _numbers(fields: dict[str, str], name: str, count: int) -> np.ndarray:
    numbers = np.array([float(text) for text in fields[name].split()])
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise ValueError(f"{name} is {fields[name][:80]!r}, expected {count} finite numbers")
    return numbers
