"""A quick look at the data elements of a DICOM file; whatever is unusual is left to pydicom.

A CT of LIDC-IDRI has hundreds of headers, and reading them takes longer than cutting its nodules. Nearly all files are
Explicit VR Little Endian with defined lengths, of which only a few short elements are wanted.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

import pydicom.config
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

_FIRST_BYTES = 8192
_MAGIC_END = 132
_TRANSFER_SYNTAX, _PIXEL_DATA = 0x0002_0010, 0x7FE0_0010
_UNDEFINED = 0xFFFF_FFFF
_LONG = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_TEXT = frozenset({b"CS", b"DA", b"DS", b"DT", b"IS", b"LO", b"SH", b"TM", b"UI"})
_OTHERWISE_CODED = frozenset({ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian})


@dataclass(frozen=True)
class Elements:
    """Some elements of one file.

    Attributes:
        values: by keyword: text, a list of texts where there are several values, or a number.
        transfer_syntax: how the data set is coded.
        pixels_at: where the value of Pixel Data begins, in bytes.
    """

    values: Mapping[str, str | list[str] | int]
    transfer_syntax: UID
    pixels_at: int


def read_elements(file: BinaryIO, wanted: Mapping[int, str]) -> Elements | None:
    """The elements before the pixels whose tags are in ``wanted`` (tag to keyword).

    Returns:
        None for a file that is not quite plain: no DICOM file, another coding, sequences of undefined length, text that
        is not ASCII, tags out of order, a header of more than 8 KiB or without pixels. It says nothing about the file.
    """
    data = file.read(_FIRST_BYTES)
    if data[128:_MAGIC_END] != b"DICM":
        return None
    values: dict[str, str | list[str] | int] = {}
    syntax: UID | None = None
    place, last = _MAGIC_END, 0
    while place + 12 <= len(data):
        group, element, vr = struct.unpack_from("<HH2s", data, place)
        tag = group << 16 | element
        if tag <= last or not vr.isupper() or (group > 2 and syntax is None):
            return None
        last = tag
        if vr in _LONG:
            length, begin = struct.unpack_from("<I", data, place + 8)[0], place + 12
        else:
            length, begin = struct.unpack_from("<H", data, place + 6)[0], place + 8
        if tag == _PIXEL_DATA:
            return None if syntax is None or vr not in _LONG else Elements(values, syntax, begin)
        if length == _UNDEFINED or begin + length > len(data):
            return None
        place = begin + length
        if tag == _TRANSFER_SYNTAX:
            text = data[begin:place].rstrip(b"\0 ").decode("ascii", "replace")
            syntax = UID(text, validation_mode=pydicom.config.IGNORE)
            if syntax in _OTHERWISE_CODED:
                return None
        elif tag in wanted:
            value = _value(vr, data[begin:place])
            if value is None:
                return None
            values[wanted[tag]] = value
    return None


def _value(vr: bytes, raw: bytes) -> str | list[str] | int | None:
    """A short text or number; None for anything else."""
    if vr in (b"US", b"SS") and len(raw) == 2:
        return int.from_bytes(raw, "little", signed=vr == b"SS")
    if vr not in _TEXT or not raw.isascii():
        return None
    parts = [part.strip(" \0") for part in raw.decode("ascii").split("\\")]
    return parts if len(parts) > 1 else parts[0]
