"""Series that come as a zip or tar archive."""

from __future__ import annotations

import contextlib
import errno
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from ctxai.errors import InputError
from ctxai.temporary import temporary_folder

#: More than any CT study; a zip that claims more is refused before anything is written.
MAX_BYTES = 20 * 2**30
#: How much smaller than its content an archive may be, where it holds more than a few images.
_MAX_RATIO, _SMALL_BYTES = 200, 2**28
_TAR_NAMES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
#: What zipfile raises on damaged archives, beside OSError from bz2 and from places before a file's beginning.
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)


@contextlib.contextmanager
def unpacked(path: Path | str) -> Iterator[Path]:
    """Give the folder ``path`` itself, or the unpacked files of the zip or tar ``path`` in a temporary folder.

    Members are written under running numbers, never under the names that the archive gives them; links and other
    members that are no files are left out.

    Raises:
        InputError: when the archive is damaged, encrypted, claims more than :data:`MAX_BYTES`, or is a bomb.
    """
    path = Path(path)
    unpack = _unpack_zip if path.is_file() and zipfile.is_zipfile(path) else _unpack_tar if _is_tar(path) else None
    if unpack is None:
        yield path
        return
    with temporary_folder() as folder:
        try:
            unpack(path, folder)
        except (*_DAMAGE, OSError) as error:
            if isinstance(error, OSError) and error.errno not in {None, errno.EINVAL}:
                raise  # of the disk, not of the archive
            # What these say names files in the archive, which may be named after their patient.
            raise InputError(
                f"{path}: cannot be unpacked: damaged, encrypted or packed in an unknown way; make it again"
            ) from None
        yield folder


def _unpack_zip(path: Path, folder: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        _refuse_bomb(path, sum(member.file_size for member in members))
        for number, member in enumerate(members):
            _extract(archive, member, folder / f"{number:06d}.dcm")


def _is_tar(path: Path) -> bool:
    return path.is_file() and path.name.lower().endswith(_TAR_NAMES) and tarfile.is_tarfile(path)


def _unpack_tar(path: Path, folder: Path) -> None:
    total = 0
    with tarfile.open(path, "r:*") as archive:
        for number, member in enumerate(archive):
            source = archive.extractfile(member) if member.isfile() else None
            if source is None:
                continue
            total += member.size
            _refuse_bomb(path, total)
            with (folder / f"{number:06d}.dcm").open("wb") as file:
                shutil.copyfileobj(source, file)


def _refuse_bomb(path: Path, total: int) -> None:
    """Refuse more bytes than any study has, or than an archive of its size can hold.

    Raises:
        InputError: naming the archive.
    """
    if total > MAX_BYTES:
        raise InputError(f"{path}: claims {total / 2**30:.0f} GiB unpacked, at most 20 GiB are taken")
    ratio = total // path.stat().st_size
    if total > _SMALL_BYTES and ratio > _MAX_RATIO:
        raise InputError(f"{path}: claims to unpack to {ratio} times its size, which no CT does")


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """Write one member, and no more of it than its entry says."""
    left = member.file_size
    with archive.open(member) as source, target.open("wb") as file:
        while left > 0 and (block := source.read(min(left, 1 << 20))):
            file.write(block)
            left -= len(block)
