"""Fuzzed readers of images: a series, an archive, a MetaImage file, a file of headers."""

from __future__ import annotations

import functools
import io
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pydicom
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from ctxai.ct.archive import unpacked
from ctxai.ct.geometry import REPAIRABLE, GeometryRules
from ctxai.ct.header import SliceHeader, read_header
from ctxai.ct.header_table import read_headers, read_owners, write_headers
from ctxai.ct.metaimage import MetaImage
from ctxai.ct.patch import extract_patch
from ctxai.ct.series import CTSeries

from synthetic_ct import ct_grid, write_ct

ALL_REPAIRS = GeometryRules(repair=REPAIRABLE)


@functools.cache
def sound_images() -> tuple[SliceHeader, ...]:
    """Five slices, as small as JPEG 2000 takes them, on the disk for the life of the process."""
    folder = Path(tempfile.mkdtemp(prefix="ctxai-fuzz-"))
    hu = np.random.default_rng(0).integers(-1000, 1000, (5, 32, 32)).astype(np.int16)
    return tuple(read_header(path) for path in write_ct(folder, hu, ct_grid(hu.shape)))


def series(data: bytes, folder: Path) -> None:
    """One image of a series: its header, the series with it, its voxels and a patch."""
    path = folder / "image.dcm"
    path.write_bytes(data)
    header = read_header(path)
    if header is None:
        return
    first, second, _, *others = sound_images()  # the image takes the place of the third, which it was made from
    volume = CTSeries([first, second, header, *others], ALL_REPAIRS)
    volume.read()
    extract_patch(volume, volume.grid.centre, (4, 4, 4), 1.0)


def images() -> list[bytes]:
    """An image in every coding."""
    image = sound_images()[2].path
    dataset = pydicom.dcmread(image)
    seeds = [image.read_bytes()]
    for syntax in (ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless, JPEG2000Lossless):
        changed = pydicom.dcmread(image)
        if syntax.is_compressed and not syntax.is_deflated:
            changed.compress(syntax, dataset.pixel_array, generate_instance_uid=False)
        else:
            changed.file_meta.TransferSyntaxUID = syntax
        file = io.BytesIO()
        changed.save_as(file, implicit_vr=syntax.is_implicit_VR, little_endian=True)
        seeds.append(file.getvalue())
    return seeds


def archive(data: bytes, folder: Path) -> None:
    """A zip with anything in it."""
    path = folder / "study.zip"
    path.write_bytes(data)
    with unpacked(path) as found:
        if found.is_dir():
            sum(len(file.read_bytes()) for file in found.iterdir())


def archives() -> list[bytes]:
    """Two members, stored and deflated."""
    seeds = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as zipped:
            zipped.writestr("a/1.dcm", b"0123456789" * 4)
            zipped.writestr("b/", b"")
        seeds.append(file.getvalue())
    return seeds


def metaimage(data: bytes, folder: Path) -> None:
    """A MetaImage file: its header, its voxels and a patch; other voxels lie beside it."""
    path = folder / "1.2.3.mhd"
    path.write_bytes(data)
    (folder / "1.2.3.raw").write_bytes(b"\0\1" * 24)
    image = MetaImage(path)
    image.read()
    extract_patch(image, image.grid.centre, (4, 4, 4), 1.0)


def metaimages() -> list[bytes]:
    """Voxels beside the header and behind it."""
    header = (
        b"ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n"
        b"TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = -1.5 2 3\nCenterOfRotation = 0 0 0\n"
        b"AnatomicalOrientation = RAI\nElementSpacing = 0.7 0.7 2.5\nDimSize = 2 3 4\nElementType = MET_SHORT\n"
    )
    return [header + b"ElementDataFile = 1.2.3.raw\n", header + b"ElementDataFile = LOCAL\n" + b"\0\1" * 24]


def headers(data: bytes, folder: Path) -> None:
    """A file of headers of a tree."""
    path = folder / "headers.parquet"
    path.write_bytes(data)
    read_owners(path)
    read_headers(path, folder)


def header_tables() -> list[bytes]:
    """The headers of two images, with checksums and without."""
    image = sound_images()[0]
    with tempfile.TemporaryDirectory(prefix="ctxai-fuzz-") as folder:
        path = Path(folder, "headers.parquet")
        write_headers(path, image.path.parent, {image.series_uid: list(sound_images()[:2])})
        seeds = [path.read_bytes()]
        pq.write_table(pq.read_table(path), path, compression="none")
        return [*seeds, path.read_bytes()]
