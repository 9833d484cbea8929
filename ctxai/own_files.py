"""Text files of a folder that are written again and again, with a record of their checksums.

A file that the record does not know, or that was changed since, is a person's own: it is named and refused, never
replaced or removed. The record has two checksums of a file while it is being replaced, so that a kill at any moment
leaves nothing that the same command refuses.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from ctxai.disclaimer import NOTICE
from ctxai.errors import InputError
from ctxai.files import explain_os_errors, refuse_links, sha256, text_sha256, write_json, write_text


class OwnFiles:
    """Files that a command may replace or remove, by their paths in a folder.

    Args:
        folder: where they are; it may be absent.
        record: name of the file that keeps their checksums.
        adopted: files that count as ours as they are where there is no record, as in folders of earlier versions.

    Raises:
        InputError: when the record is damaged.
    """

    def __init__(self, folder: Path, record: str, adopted: Sequence[str] = ()) -> None:
        self.folder, self._record = folder, folder / record
        refuse_links(folder, record)
        self._known: dict[str, list[str]] = {}
        if self._record.is_file():
            try:
                content = json.loads(self._record.read_text(encoding="utf-8"))["sha256"]
                self._known = {str(name): [*map(str, sums)] for name, sums in content.items()}
            except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise InputError(
                    f"{self._record}: damaged ({type(error).__name__}); move it and the files beside it away"
                ) from None
        else:
            self._known = {name: [sha256(folder / name)] for name in adopted if (folder / name).is_file()}

    @property
    def names(self) -> list[str]:
        """Files that the record knows."""
        return sorted(self._known)

    def refuse_others(self, *names: str) -> None:
        """Refuse to replace files that are not what was written.

        Raises:
            InputError: naming the first.
        """
        for name in names:
            refuse_links(self.folder, name)
            path = self.folder / name
            if path.exists() and not (path.is_file() and sha256(path) in self._known.get(name, [])):
                raise InputError(
                    f"{path}: was not written by ctxai, or was changed since; move it away, then run again"
                )

    def write(self, name: str, text: str) -> None:
        """Write a file, or replace the one that was written before.

        Raises:
            InputError: when a person's own file is there, or the disk is full.
        """
        self.refuse_others(name)
        path = self.folder / name
        before = [sha256(path)] if path.is_file() else []
        self._known[name] = list(dict.fromkeys([*before, text_sha256(text)]))
        self._write_record()
        write_text(path, text)
        self._known[name] = self._known[name][-1:]

    def remove(self, name: str) -> None:
        """Remove a file that was written before; one that was changed since stays."""
        with contextlib.suppress(InputError), explain_os_errors(self.folder / name):
            self.refuse_others(name)
            (self.folder / name).unlink(missing_ok=True)
        self._known.pop(name, None)

    def settle(self) -> None:
        """Keep the checksums of what is there, also of files that an earlier process was killed while it replaced."""
        there = {name: sums for name, sums in self._known.items() if (self.folder / name).is_file()}
        self._known = {n: sums if len(sums) == 1 else [sha256(self.folder / n)] for n, sums in there.items()}
        self._write_record()

    def _write_record(self) -> None:
        write_json(self._record, {"notice": NOTICE, "sha256": self._known})


@contextlib.contextmanager
def own_files(folder: Path, record: str, adopted: Sequence[str] = ()) -> Iterator[OwnFiles]:
    """Files of a folder that are written in the block, and their record when it ends.

    Raises:
        InputError: as :class:`OwnFiles`.
    """
    files = OwnFiles(folder, record, adopted)
    yield files
    files.settle()
