"""The size that a compressed image says of itself, read without decoding it."""

from __future__ import annotations

import struct

_J2K_START = b"\xff\x4f\xff\x51"  # start of codestream, image and tile size (ISO/IEC 15444-1, A.4 and A.5)
_JPEG_START = b"\xff\xd8"
#: Start of a frame in JPEG (ISO/IEC 10918-1, table B.1: C0 to CF without tables and extensions) and JPEG-LS.
_FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
_SEARCHED = 4096


def coded_size(frame: bytes) -> tuple[int, int] | None:
    """Rows and columns of a JPEG, JPEG-LS or JPEG 2000 image; None for other codings and where nothing is said."""
    start = frame.find(_J2K_START, 0, _SEARCHED)
    if start >= 0 and len(frame) >= start + 24:
        right, bottom, left, top = struct.unpack_from(">4I", frame, start + 8)
        return bottom - top, right - left
    place = 2 if frame.startswith(_JPEG_START) else len(frame)
    while place + 9 <= len(frame) and frame[place] == 0xFF:
        marker = frame[place + 1]
        if marker in _FRAMES:
            return struct.unpack_from(">HH", frame, place + 5)
        place += 1 if marker == 0xFF else 2 + struct.unpack_from(">H", frame, place + 2)[0]
    return None
