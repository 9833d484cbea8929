"""How fuzzing changes an input: bytes anywhere, or parts that its format knows, which reach behind the parser.

Every edit takes the bytes, the words of the target and a generator, and gives changed bytes.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
from collections.abc import Callable, Iterator, Sequence
from random import Random

Words = Sequence[bytes]
Edit = Callable[[bytes, Words, Random], bytes]

_TOKEN = re.compile(rb"[\w.+-]+|\s+|[^\w\s]")
#: Value representations of DICOM whose length takes four bytes.
_LONG = {b"OB", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT"}
_VRS = (b"AS", b"CS", b"DS", b"FD", b"IS", b"LO", b"OB", b"OW", b"PN", b"SQ", b"UI", b"UN", b"US", b"UT")


def flips(data: bytes, words: Words, random: Random) -> bytes:
    """Bytes anywhere flipped, replaced by a word, cut out, doubled or cut off."""
    changed = bytearray(data)
    for _ in range(random.randrange(1, 6)):
        place = random.randrange(len(changed) + 1)
        length = random.randrange(1, 9)
        kind = random.randrange(6)
        if kind == 0 and place < len(changed):
            changed[place] ^= 1 << random.randrange(8)
        elif kind == 1 and words:
            word = random.choice(words)
            changed[place : place + len(word)] = word
        elif kind == 2 and words:
            changed[place:place] = random.choice(words)
        elif kind == 3:
            del changed[place : place + length]
        elif kind == 4:
            changed[place:place] = changed[place : place + length]
        elif kind == 5 and random.random() < 0.2:
            del changed[place:]
        else:
            changed[place : place + length] = random.randbytes(length)
    return bytes(changed)


def tokens(data: bytes, words: Words, random: Random) -> bytes:
    """A text (CSV, JSON, XML, YAML) whose names, numbers and signs are replaced, left out, doubled or exchanged."""
    parts = _TOKEN.findall(data)
    if not parts:
        return flips(data, words, random)
    for _ in range(random.randrange(1, 4)):
        here, there = random.randrange(len(parts)), random.randrange(len(parts))
        kind = random.randrange(6)
        if kind <= 1 and words:
            parts[here] = random.choice(words)
        elif kind == 2:
            parts[here] = parts[there]
        elif kind == 3:
            parts[here], parts[there] = parts[there], parts[here]
        elif kind == 4 and len(parts) > 1:
            del parts[here : here + random.choice((1, 1, 2, 8))]
            parts = parts or [b" "]
        else:
            parts[here:here] = parts[there : there + random.choice((1, 4, 16))]
    return b"".join(parts)


def elements(data: bytes, words: Words, random: Random) -> bytes:
    """A DICOM file, Explicit VR Little Endian, whose data elements have other values, or are doubled or missing."""
    found = list(_elements(data))
    if not found:
        return flips(data, words, random)
    start, begin, end = random.choice(found)
    kind = random.randrange(6)
    if kind == 0:
        return data[:start] + data[end:]
    if kind == 1:
        return data[:end] + data[start:end] + data[end:]
    if kind == 2:
        return data[: start + 4] + random.choice(_VRS) + data[start + 6 :]
    value = data[begin:end]
    if kind == 3:
        value = random.choice((random.choice(words), random.randbytes(2), b""))
    elif kind == 4:
        _, other, last = random.choice(found)
        value = data[other:last]
    elif value:
        value = random.choice((tokens, flips))(value, words, random)
    value += b"\0" * (len(value) % 2)
    form = "<I" if begin - start == 12 else "<H"
    length = struct.pack(form, min(len(value), 0xFFFF))
    return data[: begin - len(length)] + length + value + data[end:]


def _elements(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Where each data element starts, where its value begins and ends."""
    start = 132
    while start + 12 <= len(data) and data[start + 4 : start + 6].isalpha():
        if data[start + 4 : start + 6] in _LONG:
            begin, length = start + 12, struct.unpack_from("<I", data, start + 8)[0]
        else:
            begin, length = start + 8, struct.unpack_from("<H", data, start + 6)[0]
        end = min(begin + length, len(data))
        yield start, begin, end
        start = end


def members(data: bytes, words: Words, random: Random) -> bytes:
    """A zip archive, one member of which is changed while its checksum stays right, or is missing or doubled."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            found = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    except Exception:  # noqa: BLE001 (damaged by an earlier edit, in whatever way)
        return flips(data, words, random)
    if not found:
        return flips(data, words, random)
    place = random.randrange(len(found))
    name, content = found[place]
    kind = random.randrange(8)
    if kind == 0:
        del found[place]
    elif kind == 1:
        found[place] = (random.choice(found)[0] + random.choice(("", "/", "/../x")), content)
    else:
        found[place] = (name, flips(content, words, random))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number, (name, content) in enumerate(found):
            archive.writestr(f"{number}{name}" if name in archive.NameToInfo else name, content)
    return file.getvalue()


def safetensors(data: bytes, words: Words, random: Random) -> bytes:
    """A safetensors file whose table of contents is changed and has the right length."""
    (length,) = struct.unpack_from("<Q", data.ljust(8, b"\0"))
    header = tokens(data[8 : 8 + min(length, len(data))], words, random)
    return struct.pack("<Q", len(header)) + header + data[8 + min(length, len(data)) :]


def behind_first(edit: Edit) -> Edit:
    """The edit on all bytes but the first, which says what the others are."""
    return lambda data, words, random: data[:1] + edit(data[1:], words, random)


def by_first(edits: Sequence[Edit]) -> Edit:
    """The edit that belongs to what the first byte says, on all bytes but that one."""
    return lambda data, words, random: behind_first(edits[data[0] % len(edits) if data else 0])(data, words, random)
