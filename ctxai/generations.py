"""Generations of a series' results: written aside, switched by one rename, with a record of every file.

A generation is written into a folder of its own and becomes the series' folder by one rename. Where an earlier
generation is there, the rename of the record is the switch; files are then moved in place, and those that the earlier
record alone names are removed. A kill between the two leaves a record that the next reader or writer settles.

Nothing that is in no record is moved, replaced or removed, and no link is followed: a folder may hold a person's own
files.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctxai.errors import InputError
from ctxai.files import explain_os_errors, refuse_links, sha256, sweep, write_json
from ctxai.results_folder import DICOM, SERIES_RECORD, is_series_key

#: Folder in a series' folder: a generation that is switched to and not yet in place.
_NEXT = ".next"
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")
_STAGE = re.compile(r"\.(\d+)\.[0-9a-f]{6}\.partial\.")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class SeriesRecord:
    """The record of a series' results.

    Attributes:
        digest: checksum of what they depend on.
        ct: where the images were read, as the user named it; None where that is not told.
        deidentified: DICOM codes of how they are deidentified.
        rows: rows of predictions.csv.
        files: SHA-256 of every other file of the generation, by its path in the folder.
        replaced: files of the generation before, while they may still be there; None once all is in place.
    """

    digest: str
    ct: str | None
    deidentified: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]
    files: Mapping[str, str]
    replaced: Mapping[str, str] | None = None

    def to_json(self) -> dict[str, Any]:
        """The record as it is written."""
        content = {
            "digest": self.digest,
            "ct": self.ct,
            "deidentified": [*self.deidentified],
            "nodules": [dict(row) for row in self.rows],
            "files": dict(sorted(self.files.items())),
        }
        return content if self.replaced is None else content | {"replaced": dict(sorted(self.replaced.items()))}


def read_record(folder: Path) -> SeriesRecord:
    """The record of a series' folder.

    Raises:
        InputError: when there is none, or it is damaged or names a file outside of the folder.
    """
    path = folder / SERIES_RECORD
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if "files" not in content:
            raise InputError(f"{path}: results of an earlier version of ctxai; give another folder")
        record = SeriesRecord(
            digest=str(content["digest"]),
            ct=None if content.get("ct") is None else str(content["ct"]),
            deidentified=tuple(map(str, content.get("deidentified", []))),
            rows=tuple(dict(row) for row in content["nodules"]),
            files=_files(content["files"]),
            replaced=_files(content["replaced"]) if "replaced" in content else None,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:120]
        raise InputError(f"{path}: not the record of a series ({reason}); run `ctxai explain` again") from None
    return record


def _files(value: Mapping[str, Any]) -> dict[str, str]:
    """Checked paths and checksums of a record."""
    for name, checksum in value.items():
        if not all(map(_PART.fullmatch, name.split("/"))) or not _SHA256.fullmatch(str(checksum)):
            raise ValueError(f"{name[:60]!r} is not a file of a series")
    return dict(value)


def series_folders(out_dir: Path) -> list[Path]:
    """Folders of the series that are done, sorted by name; a generation that a kill left half in place is settled.

    Raises:
        InputError: for a damaged record, or a folder that is a link.
    """
    folders = []
    for path in sorted(out_dir.glob(f"*/{SERIES_RECORD}")):
        if is_series_key(path.parent.name):
            settle(path.parent)
            folders.append(path.parent)
    return folders


def dicom_objects(folder: Path) -> list[Path]:
    """DICOM objects that the records of a result folder name, or the record of the one series that it belongs to.

    Raises:
        InputError: when one is missing, or is not what was written.
    """
    if (folder / SERIES_RECORD).is_file():
        settle(folder)
        folders = [folder]
    else:
        folders = series_folders(folder)
    return [path for one in folders for path in recorded_files(one, f"{DICOM}/") if path.suffix == ".dcm"]


def recorded_files(folder: Path, start: str) -> list[Path]:
    """Files that the record of a series' folder names, of those whose paths begin with ``start``.

    Raises:
        InputError: when one is missing, or is not what was written.
    """
    files = sorted(read_record(folder).files.items())
    return [_unchanged(folder, name, checksum) for name, checksum in files if name.startswith(start)]


def _unchanged(folder: Path, name: str, checksum: str) -> Path:
    path = folder / name
    refuse_links(folder, name)
    if not path.is_file() or sha256(path) != checksum:
        state = "is not what `ctxai explain` wrote" if path.is_file() else "is gone"
        raise InputError(f"{path}: {state}; run `ctxai explain` again")
    return path


@contextlib.contextmanager
def new_generation(folder: Path, digest: str, ct: str | None, deidentified: Sequence[str]) -> Iterator[Generation]:
    """Write the results of a series aside; they replace the earlier ones when the block ends without an error.

    Args:
        folder: the series' folder.
        digest: checksum of what the results depend on.
        ct: where the images were read.
        deidentified: DICOM codes of how they are deidentified.

    Raises:
        InputError: when a file of a person's own is in the way, a file was changed since it was written, a link is
            where a file is to be, another process writes the same series, or the disk is full.
    """
    refuse_links(folder.parent, folder.name)
    before = _settled(folder)
    _remove_stale_stages(folder)
    stage = folder.with_name(f".{os.getpid()}.{secrets.token_hex(3)}.partial.{folder.name}")
    with explain_os_errors(folder):
        stage.mkdir(parents=True)
        try:
            generation = Generation(stage)
            yield generation
            record = SeriesRecord(digest, ct, tuple(deidentified), tuple(generation.rows), checksums(stage))
            _switch(folder, stage, record, before)
        finally:
            shutil.rmtree(stage, ignore_errors=True)


@dataclass
class Generation:
    """Results that are being written.

    Attributes:
        folder: where to write.
        rows: rows of predictions.csv; to be set before the block ends.
    """

    folder: Path
    rows: Sequence[Mapping[str, Any]] = ()


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder by its path, without the record itself."""
    names = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: sha256(path) for name, path in sorted(names.items()) if name != SERIES_RECORD}


def withdraw(folder: Path) -> None:
    """Remove the results of a series that has none any more: what its record names, and nothing else.

    Raises:
        InputError: as :func:`new_generation`.
    """
    if (folder / SERIES_RECORD).is_file():
        refuse_links(folder.parent, folder.name)
        before = _settled(folder)
        (folder / SERIES_RECORD).unlink()
        _remove(folder, before)


def settle(folder: Path) -> None:
    """Put a generation in place that a kill left between its switch and its files.

    Raises:
        InputError: for a damaged record, or a folder that is a link.
    """
    refuse_links(folder.parent, folder.name)
    record = read_record(folder)
    if record.replaced is None:
        return
    with explain_os_errors(folder):
        for name in record.files:
            refuse_links(folder, name)
            refuse_links(folder, f"{_NEXT}/{name}")
            if (folder / _NEXT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / _NEXT / name).replace(folder / name)
        _remove(folder, {name: one for name, one in record.replaced.items() if name not in record.files})
        shutil.rmtree(folder / _NEXT, ignore_errors=True)
        settled = SeriesRecord(record.digest, record.ct, record.deidentified, record.rows, record.files)
        write_json(folder / SERIES_RECORD, settled.to_json(), sort_keys=False)


def _settled(folder: Path) -> dict[str, str]:
    """Files of the generation that is there, none of them changed since."""
    if not (folder / SERIES_RECORD).is_file():
        return {}
    settle(folder)
    files = dict(read_record(folder).files)
    for name, checksum in files.items():
        refuse_links(folder, name)
        path = folder / name
        if path.exists() and (not path.is_file() or sha256(path) != checksum):
            raise InputError(f"{path}: was changed after `ctxai explain` wrote it; move it away, then run again")
    return files


def _switch(folder: Path, stage: Path, record: SeriesRecord, before: Mapping[str, str]) -> None:
    """Make the staged generation the series' own."""
    if not folder.exists():
        write_json(stage / SERIES_RECORD, record.to_json(), sort_keys=False)
        stage.rename(folder)
        return
    for name in record.files:
        refuse_links(folder, name)
        path = folder / name
        if name not in before and path.exists() and not (path.is_file() and sha256(path) == record.files[name]):
            raise InputError(
                f"{path}: was not written by `ctxai explain` and is in the way; move it away, then run again"
            )
    if (folder / _NEXT).is_symlink():
        raise InputError(f"{folder / _NEXT}: is a link; remove it, then run again")
    shutil.rmtree(folder / _NEXT, ignore_errors=True)  # of a run that was killed before its switch
    stage.rename(folder / _NEXT)
    pending = SeriesRecord(record.digest, record.ct, record.deidentified, record.rows, record.files, before)
    write_json(folder / SERIES_RECORD, pending.to_json(), sort_keys=False)  # the switch
    settle(folder)


def _remove(folder: Path, files: Mapping[str, str]) -> None:
    """Remove files that are what was written, and folders that are empty then."""
    for name, checksum in files.items():
        refuse_links(folder, name)
        path = folder / name
        if path.is_file() and sha256(path) == checksum:
            path.unlink()
        for parent in path.relative_to(folder).parents:
            with contextlib.suppress(OSError):  # it holds something, or is gone
                (folder / parent).rmdir()


def _remove_stale_stages(folder: Path) -> None:
    """Remove temporary files of killed runs, and what they wrote aside for this series.

    Raises:
        InputError: when a run that still lives on this computer writes it.
    """
    sweep(folder, deep=True)
    for stale in folder.parent.glob(f".*.partial.{folder.name}"):
        match = _STAGE.match(stale.name)
        if match is None or stale.is_symlink() or not stale.is_dir():
            continue
        if int(match[1]) != os.getpid() and Path(f"/proc/{match[1]}").exists():
            raise InputError(f"{folder}: is being written by process {match[1]}; wait until it has ended")
        shutil.rmtree(stale, ignore_errors=True)
