"""DICOM objects as bytes: elements encoded one by one, so that none is encoded twice, and the file (PS3.10)."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

from pydicom.charset import convert_encodings, default_encoding
from pydicom.dataset import Dataset, FileMetaDataset, validate_file_meta
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import correct_ambiguous_vr, write_data_element, write_file_meta_info
from pydicom.tag import BaseTag, Tag

from ctxai.errors import InputError
from ctxai.export.sparse import SparseVolume
from ctxai.export.streams import DeflateStream, PlainStream, write_runs

_LONGEST = 2**32 - 2  # bytes of a value (PS3.5 7.1.1)

#: Elements of a data set by their tags, Explicit VR Little Endian.
Elements = dict[BaseTag, bytes]


def encode(dataset: Dataset) -> Elements:
    """Encode the elements of a data set."""
    correct_ambiguous_vr(dataset, is_little_endian=True)
    encodings = convert_encodings(dataset.get("SpecificCharacterSet", default_encoding))
    encoded: Elements = {}
    for element in dataset:
        buffer = DicomBytesIO()
        buffer.is_little_endian, buffer.is_implicit_VR = True, False
        write_data_element(buffer, element, encodings)
        encoded[element.tag] = buffer.getvalue()
    return encoded


def sequence(tag: BaseTag, items: bytes) -> bytes:
    """A sequence of encoded items as an element (PS3.5 7.5)."""
    return _header_of(tag, b"SQ", len(items)) + items


def item(elements: Elements) -> bytes:
    """An item of a sequence, of encoded elements."""
    content = b"".join(elements[tag] for tag in sorted(elements))
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(content)) + content


def digest_of(elements: Elements, frames: SparseVolume | None) -> str:
    """SHA-256 of all that an object says."""
    sha256 = hashlib.sha256()
    for tag in sorted(elements):
        sha256.update(elements[tag])
    if frames is not None:
        sha256.update(pixel_header(frames))
        for run in frames.runs():
            if isinstance(run, int):
                sha256.update(run.to_bytes(8, "little"))
            else:
                sha256.update(len(run).to_bytes(8, "little"))
                sha256.update(run)
    return sha256.hexdigest()


def write_file(path: Path, meta: FileMetaDataset, elements: Elements, frames: SparseVolume | None) -> None:
    """Write a file in Explicit VR Little Endian or its deflated form, as the meta information says.

    Args:
        path: the file.
        meta: its meta information.
        elements: the data set without pixels where there are frames.
        frames: pixels [frame, row, column] or [frame, row, column, colour].
    """
    validate_file_meta(meta, enforce_standard=True)
    with path.open("wb") as file:
        buffer = DicomBytesIO()
        write_file_meta_info(buffer, meta, enforce_standard=True)
        file.write(b"\0" * 128 + b"DICM" + buffer.getvalue())
        start = file.tell()
        stream = DeflateStream(file) if meta.TransferSyntaxUID.is_deflated else PlainStream(file)
        for tag in sorted(elements):
            stream.write(elements[tag])
        if frames is not None:  # the last element: all others have lower tags
            stream.write(pixel_header(frames))
            write_runs(stream, frames)
            stream.write_zeros(frames.array.nbytes % 2)
        stream.close()
        file.write(b"\0" * ((file.tell() - start) % 2))  # PS3.5 A.5


def pixel_keyword(frames: SparseVolume) -> str:
    """Name of the attribute that holds the pixels."""
    return "FloatPixelData" if frames.array.dtype.kind == "f" else "PixelData"


def pixel_header(frames: SparseVolume) -> bytes:
    """Tag, value representation and length of pixels (PS3.5 7.1.2).

    Raises:
        InputError: when they do not fit into an element.
    """
    length = frames.array.nbytes + frames.array.nbytes % 2
    if length > _LONGEST:
        raise InputError(f"pixels of {length / 2**30:.1f} GiB do not fit into a DICOM element; write nifti")
    return _header_of(Tag(pixel_keyword(frames)), b"OF" if frames.array.dtype.kind == "f" else b"OB", length)


def _header_of(tag: BaseTag, vr: bytes, length: int) -> bytes:
    return struct.pack("<HH2s2xL", tag.group, tag.element, vr, length)
