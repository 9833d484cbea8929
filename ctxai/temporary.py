"""Temporary folders for patients' images: gone after use, and those of a killed process with the next that is made."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: what a kill leaves there stays
    fcntl = None  # type: ignore[assignment]

_PREFIX = "ctxai-temporary-"
_NAME = re.compile(rf"{_PREFIX}[a-z0-9_]{{8}}")
#: A folder this young may not be locked yet.
_YOUNG_S = 60.0


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Give an empty folder for this user alone; it is gone, with all it holds, when the block ends.

    The folder is locked as long as the process lives. A killed one leaves it unlocked, and the next call removes it.
    """
    _sweep(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as name:
        lock = _open_locked(Path(name), shared=True)
        try:
            yield Path(name)
        finally:
            if lock is not None:
                os.close(lock)


def _sweep(place: Path) -> None:
    """Remove this user's temporary folders that no process holds any more."""
    if fcntl is None:
        return
    for folder in place.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            status = folder.lstat()
            old = time.time() - status.st_mtime > _YOUNG_S
            if old and status.st_uid == os.getuid() and _NAME.fullmatch(folder.name):
                lock = _open_locked(folder, shared=False)
                if lock is not None:
                    shutil.rmtree(folder, ignore_errors=True)
                    os.close(lock)


def _open_locked(folder: Path, shared: bool) -> int | None:
    """A descriptor that holds a lock on a folder; None where it cannot be had."""
    if fcntl is None:
        return None
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:  # held by a process, or a file system without locks
        os.close(descriptor)
        return None
    return descriptor
