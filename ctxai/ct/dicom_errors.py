"""Damaged and hostile DICOM files: what pydicom raises and warns of, and what would fill the memory."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import pydicom
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset, read_file_meta_info, read_preamble
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from ctxai.errors import InputError

#: First elements of a data set without preamble: group length or SOP Class UID of group 8, or of the meta information.
_BARE_BEGINNINGS = {
    bytes([group, 0, element, 0]) for group in (2, 8) for element in (0, 1, 2, 5, 8, 0x10, 0x12, 0x13, 0x14, 0x16, 0x18)
} | {bytes([0, group, 0, element]) for group in (2, 8) for element in (0, 5, 8, 0x16)}
#: What a deflated data set may grow to.
_MAX_INFLATED = 2**28
#: What pydicom raises on damaged content.
PARSE_ERRORS = (
    ArithmeticError,
    AttributeError,
    BytesLengthException,
    EOFError,
    IndexError,
    InvalidDicomError,
    KeyError,
    MemoryError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


@contextmanager
def without_warnings() -> Iterator[None]:
    """Let pydicom read what breaks DICOM's rules in silence: its warnings quote values, and what counts is checked."""
    with pydicom.config.disable_value_validation(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning)
        yield


def open_dataset(source: Path | BinaryIO, **options: Any) -> pydicom.FileDataset:
    """Read a DICOM file, one without preamble and meta information, too; its transfer syntax is known afterwards.

    Args:
        source: the file, by its path or open.
        options: of ``pydicom.dcmread``.

    Raises:
        InvalidDicomError: when it is no DICOM file.
    """
    with source.open("rb") if isinstance(source, Path) else nullcontext(source) as file:
        file.seek(0)
        forced = file.read(4) in _BARE_BEGINNINGS
        file.seek(0)
        dataset = pydicom.dcmread(file, force=forced, **options)
    if "TransferSyntaxUID" not in dataset.file_meta:
        if not forced:
            raise ValueError("no TransferSyntaxUID")
        implicit, little = dataset.original_encoding
        plain = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else plain
    return dataset


def refuse_bomb(file: BinaryIO, path: Path) -> None:
    """Refuse a deflated data set that would fill the memory, because pydicom inflates it whole.

    Args:
        file: the open file, at any place.
        path: its name.

    Raises:
        InputError: when it inflates to more than any CT image does.
    """
    file.seek(0)
    start = file.read(512)
    if start[128:132] != b"DICM":
        if start[:4] in _BARE_BEGINNINGS and DeflatedExplicitVRLittleEndian.encode() in start:
            raise InputError(f"{path}: deflated, and without the preamble of a DICOM file; export it again")
        return
    if read_file_meta_info(path).get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return
    file.seek(0)
    read_preamble(file, force=False)
    read_dataset(file, False, True, stop_when=lambda tag, _vr, _length: tag.group != 2)
    inflated, inflater = 0, zlib.decompressobj(-zlib.MAX_WBITS)
    while not inflater.eof and (data := inflater.unconsumed_tail or file.read(1 << 16)):
        inflated += len(inflater.decompress(data, 1 << 20))
        if inflated > _MAX_INFLATED:
            raise InputError(f"{path}: inflates to more than {_MAX_INFLATED >> 20} MiB, which no CT image does")
