"""What every peer has accepted, so that the same command sends only what is missing or has changed."""

from __future__ import annotations

import json
from pathlib import Path

from ctxai.errors import InputError
from ctxai.files import sha256, write_json
from ctxai.results_folder import SENT_LOG


class SentLog:
    """The list of a result folder, ``sent.json``: per peer, file (relative to the folder) → SHA-256 that was accepted.

    Args:
        folder: results of ``ctxai explain``.
        peer: the peer's name.

    Raises:
        InputError: when the list is damaged.
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
        """Those of ``paths`` that the peer has not accepted as they are now."""
        return [path for path in paths if self._mine.get(self._name(path)) != sha256(path)]

    def accepted(self, path: Path) -> None:
        """Note one file, at once, so that a kill forgets nothing."""
        self._mine[self._name(path)] = sha256(path)
        write_json(self._path, self._all | {self._peer: self._mine})

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()
