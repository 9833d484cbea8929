"""Zips that are damaged, claim too much or lead outside."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

from faults.inputs import Inputs
from faults.promises import READ, REFUSED, Faults

FAULTS = Faults()


def _zip(i: Inputs, names: Callable[[Path], str] = lambda path: path.name) -> Path:
    i.given = "ct.zip"
    with zipfile.ZipFile(i.folder / "ct.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in i.images:
            archive.write(path, names(path))
    return i.folder / "ct.zip"


@FAULTS.case(explain=(READ, ""))
def zip_slip(i: Inputs) -> None:
    _zip(i, lambda path: f"../../../{path.name}")


@FAULTS.case(explain=(REFUSED, "cannot be unpacked"))
def damaged_zip(i: Inputs) -> None:
    data = bytearray(_zip(i).read_bytes())
    data[200:260] = bytes(60)
    (i.folder / "ct.zip").write_bytes(data)


@FAULTS.case(explain=(REFUSED, "GiB unpacked"))
def zip_that_claims_a_terabyte(i: Inputs) -> None:
    data = bytearray(_zip(i).read_bytes())
    place = data.index(b"PK\x01\x02")
    data[place + 24 : place + 28] = struct.pack("<I", 0xFFFFFFF0)
    for _ in range(6):
        place = data.index(b"PK\x01\x02", place + 4)
        data[place + 24 : place + 28] = struct.pack("<I", 0xFFFFFFF0)
    (i.folder / "ct.zip").write_bytes(data)


@FAULTS.case(alone=True, explain=(REFUSED, "times its size"))
def zip_bomb(i: Inputs) -> None:
    i.given = "ct.zip"
    with (
        zipfile.ZipFile(i.folder / "ct.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
        archive.open("a.dcm", "w", force_zip64=True) as member,
    ):
        for _ in range(300):
            member.write(bytes(2**20))
