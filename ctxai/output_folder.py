"""One writer of an output folder at a time: a lock beside the folder, which names its owner.

The lock is the kernel's (``flock``): that of a killed process is gone with it, and nothing has to be cleaned up.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from ctxai.errors import InputError
from ctxai.files import explain_os_errors

try:
    import fcntl
except ImportError:  # Windows has no such lock
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def locked(folder: Path, command: str, part: str = "") -> Iterator[None]:
    """Hold an output folder for this process.

    Args:
        folder: what is written; it may be absent.
        command: name for the message to others.
        part: shard that is written; shards of one folder are written at the same time, each by one process.

    Raises:
        InputError: when another process holds the folder, or the same shard of it; names the owner.
    """
    if fcntl is None:
        yield
        return
    folder = folder.resolve()
    made = _make_parent(folder)
    with contextlib.ExitStack() as stack:
        stack.callback(_remove_empty, made)
        try:
            stack.enter_context(_lock(_beside(folder, ""), folder, command, shared=bool(part)))
            if part:
                stack.enter_context(_lock(_beside(folder, part.replace("/", "-")), folder, command, shared=False))
        except OSError as error:
            logger.warning("%s: cannot be locked (%s); run one command on it at a time", folder, error.strerror)
        yield


def _beside(folder: Path, part: str) -> Path:
    """The lock file; in the folder itself only where nothing can be written beside it."""
    name = f".{folder.name}.{part}.lock" if part else f".{folder.name}.lock"
    inside = folder.is_dir() and not os.access(folder.parent, os.W_OK)
    return folder / name if inside else folder.with_name(name)


@contextlib.contextmanager
def _lock(path: Path, folder: Path, command: str, shared: bool) -> Iterator[None]:
    file = _acquired(path, folder, shared)
    try:
        if not shared:
            file.truncate(0)
            json.dump({"command": command, "process": os.getpid(), "machine": platform.node()}, file)
            file.flush()
        yield
    finally:
        if not shared or _sole_owner(file):
            path.unlink(missing_ok=True)
        file.close()


def _acquired(path: Path, folder: Path, shared: bool) -> TextIO:
    """The lock file, open and locked; it is the one that the name stands for, not one that was removed meanwhile."""
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _owner(file, folder)
            file.close()
            raise InputError(f"{folder}: {owner} is writing into it; wait for it, or give another folder") from None
        except OSError:
            file.close()
            raise
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                return file
        file.close()


def _owner(file: TextIO, folder: Path) -> str:
    """Who holds a lock, as far as the file or those of shards say."""
    shards = folder.parent.glob(f".{folder.name}.*.lock")
    for text in (_text(file), *(path.read_text(encoding="utf-8") for path in shards)):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            told = json.loads(text)
            return f"`ctxai {told['command']}` (process {told['process']} on {told['machine']})"
    return "another ctxai process"


def _text(file: TextIO) -> str:
    file.seek(0)
    return file.read()


def _sole_owner(file: TextIO) -> bool:
    """Whether nobody else shares the lock; it is exclusive afterwards."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _make_parent(folder: Path) -> list[Path]:
    """Make the folders above one, and return those that were missing, the innermost first."""
    missing = [parent for parent in folder.parents if not parent.exists()]
    with explain_os_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
    return missing


def _remove_empty(folders: list[Path]) -> None:
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()
