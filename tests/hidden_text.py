"""Every layer of text in a file: what it holds packed, compressed or encoded, as bytes to search."""

from __future__ import annotations

import base64
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numcodecs
import pyarrow.parquet
from PIL import Image

_BASE64 = re.compile(rb"[A-Za-z0-9+/]{40,}={0,2}")
#: The transfer syntax of DICOM files that are deflated behind their file meta information.
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_PDF_STREAM = re.compile(rb"stream\r?\n(.*?)endstream", re.DOTALL)


def layers(data: bytes) -> Iterator[bytes]:
    """The bytes themselves, then what is packed in them, at any depth."""
    yield data
    for inner in _unpacked(data):
        yield from layers(inner)


def _unpacked(data: bytes) -> Iterator[bytes]:
    if data.startswith(b"\x1f\x8b"):
        yield gzip.decompress(data)
    elif data.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield name.encode()
                yield archive.read(name)
    elif data.startswith(b"\x89PNG"):
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            yield repr(image.info).encode()
    elif data.startswith(b"\x28\xb5\x2f\xfd"):
        yield numcodecs.Zstd().decode(data)
    elif data.startswith(b"PAR1"):
        yield pyarrow.parquet.read_table(io.BytesIO(data)).to_pandas().to_csv().encode()
    elif (inflated := inflated_dicom(data)) is not None:
        yield inflated
    elif (start := data.find(b"%PDF-")) >= 0:
        for stream in _PDF_STREAM.findall(data[start:]):
            yield _pdf_text(stream)
    elif data[:200].lstrip().lower().startswith((b"<!doctype html", b"{", b"<html")):
        for run in _BASE64.findall(data):
            if len(run.rstrip(b"=")) % 4 == 1:
                continue  # a long word; Base64 has no such length
            yield base64.b64decode(run + b"=" * (-len(run) % 4))


def inflated_dicom(data: bytes) -> bytes | None:
    """The data set of a deflated DICOM file, as Explicit VR Little Endian; None of anything else."""
    if data[128:132] != b"DICM":
        return None
    start = 144 + int.from_bytes(data[140:144], "little")  # behind the length of the file meta information
    return zlib.decompress(data[start:], -zlib.MAX_WBITS) if _DEFLATED in data[144:start] else None


def _pdf_text(stream: bytes) -> bytes:
    """A stream without its encodings; texts in it lose the spaces' and brackets' escapes of PDF only."""
    stripped = stream.strip()
    if stripped.endswith(b"~>"):
        stripped = base64.a85decode(stripped.removesuffix(b"~>"))
    try:
        return zlib.decompress(stripped)
    except zlib.error:
        return stripped


def holding(folder: Path, marks: tuple[bytes, ...], exempt: tuple[str, ...] = ()) -> list[str]:
    """Files under a folder whose name or content, at any depth, holds one of some marks.

    Args:
        folder: where.
        marks: what is searched for.
        exempt: endings of names of files whose content may hold them.
    """
    found = []
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        texts = [name.encode()]
        if path.is_file() and not name.endswith(exempt):
            texts += layers(path.read_bytes())
        found += [f"{name}: {mark.decode()}" for mark in marks if any(mark in text for text in texts)]
    return found
