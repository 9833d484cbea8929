"""Files that appear whole: written beside the target under a temporary name, then renamed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ctxai.errors import InputError

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
_NO_ACCESS = {errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG}


#: Name of a file or folder that is being written, or was when its process was killed.
_UNFINISHED = re.compile(r"\.[0-9]+\.[0-9a-f]{6}\.(?:partial|retired)\..+")


def is_unfinished(path: Path) -> bool:
    """Whether a name is one of those under which files are written before they are whole."""
    return _UNFINISHED.fullmatch(path.name) is not None


@contextlib.contextmanager
def explain_os_errors(target: Path | None = None) -> Iterator[None]:
    """Turn a full disk or a file that cannot be opened into one clear line.

    Raises:
        InputError: naming ``target``, or else the file that the system names, and what to do about it.
    """
    try:
        yield
    except OSError as error:
        place = target or error.filename or "output"
        number = _errno(error)
        if number in _NO_SPACE:
            raise InputError(f"{place}: no space left on the disk; free some space and run the same command") from None
        if number in _NO_ACCESS:
            raise InputError(f"{place}: cannot be read or written ({os.strerror(number)}); give another path") from None
        raise


def _errno(error: BaseException | None) -> int | None:
    """The system's number of an error, also where a library (pydicom) has wrapped it in one without a number."""
    while isinstance(error, OSError) and error.errno is None:
        error = error.__cause__
    return error.errno if isinstance(error, OSError) else None


@contextlib.contextmanager
def atomic_path(target: Path | str) -> Iterator[Path]:
    """Give a temporary path beside ``target`` that becomes ``target`` when the block ends without an error.

    The temporary name begins with the process id, and keeps the target's suffixes, because writers choose their format
    by them.
    After an error or a kill, ``target`` is what it was before, or absent.

    Raises:
        InputError: when the disk is full or the folder cannot be written.
    """
    target = Path(target)
    with explain_os_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{os.getpid()}.{secrets.token_hex(3)}.partial.{target.name}")
        try:
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


def sweep(folder: Path, deep: bool = False) -> None:
    """Remove what killed runs left in a folder under temporary names, and with ``deep`` below it, too.

    Only for folders that nobody else writes to at the time.
    """
    pattern = ".*.partial.*"
    for stale in folder.rglob(pattern) if deep else folder.glob(pattern):
        if is_unfinished(stale) and (stale.is_symlink() or not stale.is_dir()):
            stale.unlink(missing_ok=True)


def refuse_links(folder: Path, name: str) -> None:
    """Refuse a path that leads through a link below ``folder``.

    Raises:
        InputError: naming the link.
    """
    path = folder
    for part in name.split("/"):
        path = path / part
        if path.is_symlink():
            raise InputError(f"{path}: is a link; nothing is written or removed through it: remove it, then run again")


@contextlib.contextmanager
def atomic_folder(target: Path | str) -> Iterator[Path]:
    """Like :func:`atomic_path` for a whole folder; an existing ``target`` is replaced.

    Raises:
        InputError: when the disk is full or the folder cannot be written.
    """
    target = Path(target)
    with explain_os_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{os.getpid()}.{secrets.token_hex(3)}.partial.{target.name}")
        retired = target.with_name(f".{os.getpid()}.{secrets.token_hex(3)}.retired.{target.name}")
        try:
            temporary.mkdir()
            yield temporary
            if target.exists():
                target.rename(retired)
            temporary.rename(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.rmtree(retired, ignore_errors=True)


def write_text(target: Path | str, text: str) -> None:
    """Write ``text`` (UTF-8, newlines as given) so that the file appears whole."""
    with atomic_path(target) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


def write_json(target: Path | str, value: Any, sort_keys: bool = True) -> None:
    """Write ``value`` as indented JSON; NaN is refused, since JSON has none."""
    write_text(target, json_text(value, sort_keys))


def json_text(value: Any, sort_keys: bool = True) -> str:
    """Text that :func:`write_json` writes."""
    return json.dumps(value, indent=2, sort_keys=sort_keys, allow_nan=False, ensure_ascii=False) + "\n"


def sha256(path: Path | str) -> str:
    """SHA-256 of a file's bytes, as a hexadecimal string."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def text_sha256(text: str) -> str:
    """SHA-256 of the file that :func:`write_text` makes of ``text``."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def json_sha256(value: Any) -> str:
    """SHA-256 of a value as JSON, whatever the order of keys; what JSON has no word for counts as its text."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
