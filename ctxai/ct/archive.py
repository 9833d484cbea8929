"""Series that come as a zip archive."""

from __future__ import annotations

import contextlib
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from ctxai.errors import InputError

#: More than any CT study; a zip that claims more is refused before anything is written.
MAX_BYTES = 20 * 2**30


@contextlib.contextmanager
def unpacked(path: Path | str) -> Iterator[Path]:
    """Give the folder ``path`` itself, or the unpacked files of the zip ``path`` in a temporary folder.

    Members are written under running numbers, never under the names that the archive gives them.

    Raises:
        InputError: when the archive is damaged, encrypted or claims to be larger than :data:`MAX_BYTES`.
    """
    path = Path(path)
    if not path.is_file() or not zipfile.is_zipfile(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="ctxai-") as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                members = [member for member in archive.infolist() if not member.is_dir()]
                total = sum(member.file_size for member in members)
                if total > MAX_BYTES:
                    raise InputError(f"{path}: claims {total / 2**30:.0f} GiB unpacked, at most 20 GiB are taken")
                for number, member in enumerate(members):
                    _extract(archive, member, Path(folder) / f"{number:06d}.dcm")
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
            raise InputError(f"{path}: cannot be unpacked ({error}); make the archive again") from None
        yield Path(folder)


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """Write one member, and no more of it than its entry says."""
    left = member.file_size
    with archive.open(member) as source, target.open("wb") as file:
        while left > 0 and (block := source.read(min(left, 1 << 20))):
            file.write(block)
            left -= len(block)
