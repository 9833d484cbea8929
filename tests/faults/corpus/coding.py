"""Images whose coding is rare, wrong or a trap: transfer syntaxes, compressed pixels, bombs."""

from __future__ import annotations

import io
import struct
import zlib

import pydicom
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from faults.inputs import Inputs
from faults.promises import READ, REPAIRED, Faults, image, whole

FAULTS = Faults()


@FAULTS.case(**image("missing slice"))
def wrong_transfer_syntax(i: Inputs) -> None:
    data = i.images[5].read_bytes()
    i.images[5].write_bytes(data.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.2\0"))


@FAULTS.case(**image("damaged"))
def no_transfer_syntax(i: Inputs) -> None:
    data = i.images[5].read_bytes()
    place = data.index(b"\x02\x00\x10\x00UI")
    i.images[5].write_bytes(data[:place] + data[place + 28 :])


def _save_all(i: Inputs, syntax: pydicom.uid.UID) -> None:
    for path in i.images:
        dataset = pydicom.dcmread(path)
        pixels = dataset.pixel_array
        if syntax == ExplicitVRBigEndian:
            dataset = pydicom.Dataset({element.tag: element for element in dataset})  # forgets how it was coded
            dataset.file_meta = pydicom.dcmread(path).file_meta
            dataset.PixelData = pixels.astype(">i2").tobytes()
        if syntax.is_encapsulated:
            dataset.compress(syntax, pixels, generate_instance_uid=False)
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(
            path, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian, enforce_file_format=True
        )


@FAULTS.case(ingest=(READ, ""), explain=(READ, ""))
def big_endian(i: Inputs) -> None:
    _save_all(i, ExplicitVRBigEndian)


@FAULTS.case(ingest=(READ, ""))
def implicit_vr(i: Inputs) -> None:
    _save_all(i, ImplicitVRLittleEndian)


@FAULTS.case(ingest=(READ, ""))
def deflated(i: Inputs) -> None:
    _save_all(i, DeflatedExplicitVRLittleEndian)


@FAULTS.case(ingest=(READ, ""))
def run_length_coded(i: Inputs) -> None:
    _save_all(i, RLELossless)


@FAULTS.case(**whole("cannot be decoded"))
def compressed_frames_cut_short(i: Inputs) -> None:
    _save_all(i, JPEG2000Lossless)
    data = i.images[5].read_bytes()
    i.images[5].write_bytes(data[: len(data) - 1500])


@FAULTS.case(**whole("cannot be decoded"))
def runs_cut_short(i: Inputs) -> None:
    _save_all(i, RLELossless)
    data = i.images[5].read_bytes()
    i.images[5].write_bytes(data[: len(data) - 1500])


@FAULTS.case(alone=True, ingest=(REPAIRED, "inflates to more than"))
def deflate_bomb(i: Inputs) -> None:
    _save_all(i, DeflatedExplicitVRLittleEndian)
    dataset = pydicom.dcmread(i.images[5])
    file = io.BytesIO()
    pydicom.filewriter.write_file_meta_info(file, dataset.file_meta)
    deflate = zlib.compressobj(9, wbits=-15)
    part = deflate.compress(bytes(2**24)) + deflate.flush(zlib.Z_FULL_FLUSH)  # can be repeated
    i.images[5].write_bytes(b"\0" * 128 + b"DICM" + file.getvalue() + part * 2**9 + deflate.flush())  # 8 GiB


@FAULTS.case(alone=True, **whole("cannot be decoded"))
def jpeg_2000_that_claims_a_huge_image(i: Inputs) -> None:
    _save_all(i, JPEG2000Lossless)
    data = bytearray(i.images[5].read_bytes())
    size = data.index(b"\xff\x51") + 6  # the SIZ marker's width and height, of the image and of its tile
    data[size : size + 8] = struct.pack(">II", 60000, 60000)
    data[size + 16 : size + 24] = struct.pack(">II", 60000, 60000)
    i.images[5].write_bytes(data)
