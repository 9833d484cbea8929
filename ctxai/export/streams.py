"""Content between long runs of zeros, plain or deflated (RFC 1951) without spending time or memory on the zeros."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from functools import cache
from typing import BinaryIO

import deflate

from ctxai.export.sparse import SparseVolume

_LEVEL = 1  # a map is 0 nearly everywhere, and higher levels gain little
_LONGEST_POWER = 20
_SHORTEST = 4096  # bytes; shorter runs are compressed with the content


class PlainStream:
    """Content between runs of zeros, uncompressed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, content: bytes | memoryview) -> None:
        """Write content."""
        self._file.write(content)

    def write_zeros(self, count: int) -> None:
        """Write a run of zeros."""
        for block in _zeros(count):
            self._file.write(block)

    def close(self) -> None:
        """Leave the file open."""


class DeflateStream:
    """Writes a stream piece by piece.

    A full flush ends a piece at a whole byte, and nothing behind it refers to what was before. A compressed run of
    zeros that ends so can therefore stand anywhere behind another, and as often as needed.

    Args:
        file: where to write.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)

    def write(self, content: bytes | memoryview) -> None:
        """Compress content."""
        self._file.write(self._compressor.compress(content))

    def write_zeros(self, count: int) -> None:
        """Compress a run of zeros."""
        if count < _SHORTEST:
            self.write(bytes(count))
            return
        self._file.write(self._compressor.flush(zlib.Z_FULL_FLUSH))
        longest, rest = divmod(count, 1 << _LONGEST_POWER)
        self._file.write(_compressed_zeros(_LONGEST_POWER) * longest)
        for power in range(_SHORTEST.bit_length() - 1, _LONGEST_POWER):
            if rest >> power & 1:
                self._file.write(_compressed_zeros(power))
        self.write(bytes(rest % _SHORTEST))

    def close(self) -> None:
        """End the stream; the file stays open."""
        self._file.write(self._compressor.flush())


class GzipStream:
    """A deflate stream between header and checksum of gzip (RFC 1952), without name and time.

    Args:
        file: where to write.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._checksum, self._size = 0, 0
        file.write(b"\x1f\x8b\x08" + bytes(5) + b"\x04\xff")
        self._stream = DeflateStream(file)

    def write(self, content: bytes | memoryview) -> None:
        """Compress content."""
        self._stream.write(content)
        self._count(content)

    def write_zeros(self, count: int) -> None:
        """Compress a run of zeros."""
        self._stream.write_zeros(count)
        for block in _zeros(count):
            self._count(block)

    def close(self) -> None:
        """End the stream, and state checksum and length; the file stays open."""
        self._stream.close()
        self._file.write(struct.pack("<LL", self._checksum, self._size & 0xFFFFFFFF))

    def _count(self, content: bytes | memoryview) -> None:
        self._checksum = deflate.crc32(content, self._checksum)  # libdeflate's: ten times as fast as zlib's
        self._size += len(content)


def write_runs(stream: PlainStream | DeflateStream | GzipStream, frames: SparseVolume) -> None:
    """Write the bytes of a volume."""
    for run in frames.runs():
        if isinstance(run, int):
            stream.write_zeros(run)
        else:
            stream.write(run)


def _zeros(count: int) -> Iterator[memoryview]:
    """A run of zeros in blocks."""
    block = memoryview(bytes(min(count, 1 << _LONGEST_POWER)))
    while count > 0:
        yield block[:count]
        count -= len(block)


@cache
def _compressed_zeros(power: int) -> bytes:
    """2 to the power zeros, ended by a full flush."""
    compressor = zlib.compressobj(zlib.Z_BEST_COMPRESSION, zlib.DEFLATED, -zlib.MAX_WBITS)
    return compressor.compress(bytes(1 << power)) + compressor.flush(zlib.Z_FULL_FLUSH)
