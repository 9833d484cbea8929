"""Log of the objects that each peer has stored: the same command sends only those that are missing or changed."""

from __future__ import annotations

import json
from pathlib import Path

from ctxai.errors import InputError
from ctxai.files import sha256, write_json
from ctxai.results_folder import SENT_LOG


class SentLog:
    """Log of a result folder, ``sent.json``: per peer, file (relative to the folder) → SHA-256 of the stored bytes.

    Args:
        folder: results of ``ctxai explain``.
        peer: the peer's name.

    Raises:
        InputError: when the log is damaged.
    """

    def __init__(self, folder: Path, peer: str) -> None:
        self._folder, self._peer = folder, peer
        self._path = folder / SENT_LOG
        try:
            self._all: dict[str, dict[str, str]] = json.loads(self._path.read_text()) if self._path.is_file() else {}
            self._mine = dict(self._all.get(peer, {}))
        except (ValueError, AttributeError, TypeError):
            raise InputError(f"{self._path}: damaged; remove it, and everything is sent again") from None

    def missing(self, paths: list[Path]) -> list[Path]:
        """Those of ``paths`` whose present bytes the peer has not stored."""
        return [path for path in paths if self._mine.get(self._name(path)) != sha256(path)]

    def accepted(self, path: Path) -> None:
        """Record one file at once, so that a kill loses nothing."""
        self._mine[self._name(path)] = sha256(path)
        write_json(self._path, self._all | {self._peer: self._mine})

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()
