"""Series that come as a zip archive."""

from __future__ import annotations

import contextlib
import errno
import lzma
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
#: What zipfile raises on damaged archives, beside OSError from bz2 and from places before a file's beginning.
_DAMAGE = (
    zipfile.BadZipFile,
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
    """Give the folder ``path`` itself, or the unpacked files of the zip ``path`` in a temporary folder.

    Members are written under running numbers, never under the names that the archive gives them.

    Raises:
        InputError: when the archive is damaged, encrypted, claims more than :data:`MAX_BYTES`, or is a bomb.
    """
    path = Path(path)
    if not path.is_file() or not zipfile.is_zipfile(path):
        yield path
        return
    with temporary_folder() as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                members = [member for member in archive.infolist() if not member.is_dir()]
                total = sum(member.file_size for member in members)
                if total > MAX_BYTES:
                    raise InputError(f"{path}: claims {total / 2**30:.0f} GiB unpacked, at most 20 GiB are taken")
                ratio = total // path.stat().st_size
                if total > _SMALL_BYTES and ratio > _MAX_RATIO:
                    raise InputError(f"{path}: claims to unpack to {ratio} times its size, which no CT does")
                for number, member in enumerate(members):
                    _extract(archive, member, folder / f"{number:06d}.dcm")
        except (*_DAMAGE, OSError) as error:
            if isinstance(error, OSError) and error.errno not in {None, errno.EINVAL}:
                raise  # of the disk, not of the archive
            # What these say names files in the archive, which may be named after their patient.
            raise InputError(
                f"{path}: cannot be unpacked: damaged, encrypted or packed in an unknown way; make it again"
            ) from None
        yield folder


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """Write one member, and no more of it than its entry says."""
    left = member.file_size
    with archive.open(member) as source, target.open("wb") as file:
        while left > 0 and (block := source.read(min(left, 1 << 20))):
            file.write(block)
            left -= len(block)
