"""Searching a folder for CT series: the headers of every image, by the series that it belongs to."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from ctxai.ct.header import SliceHeader, read_header
from ctxai.ct.multiframe import read_frames
from ctxai.ct.other_files import summary
from ctxai.errors import InputError
from ctxai.folder_kinds import RESULTS, STORE, describe_kind, kind_of

#: A process that reads headers takes this many files at a time; starting one takes as long as a few thousand files.
_FILES_PER_JOB = 2000

logger = logging.getLogger(__name__)


def find_series(
    folder: Path | str, damaged: dict[Path, str] | None = None, workers: int = 0, label: Path | None = None
) -> dict[str, list[SliceHeader]]:
    """Headers of every CT image under ``folder``, by Series Instance UID, in the order of the paths.

    Hidden files, files that are not DICOM, objects that are not CT images, and folders that ctxai has written results
    or a store into are passed over; links to folders are followed. Messages name ``folder``
    and no file below it, because exported files are often named by their patient: a file is told by its place in the
    sorted list of all. At the log level DEBUG it is named.

    Args:
        folder: a folder at any depth, or one file.
        damaged: CT images that cannot be read are recorded here; without it the first ends the search.
        workers: processes that read a large tree; 0 reads in this one.
        label: what messages call ``folder``, such as the archive that was unpacked there.

    Raises:
        InputError: when the folder does not exist or holds no CT image, or an image cannot be read.
    """
    folder = Path(folder)
    label = folder if label is None else label
    if folder.name.upper() == "DICOMDIR" and folder.is_file():
        folder = folder.parent  # the index of a medium; the images lie beside it
    if not folder.exists():
        raise InputError(f"{label}: no such folder; give a folder of DICOM CT images")
    files = [folder] if folder.is_file() else _files_below(folder, label)
    series: dict[str, list[SliceHeader]] = {}
    unread: dict[Path, str] = {}
    others: list[Path] = []
    read = _read_headers(files, workers, label)
    for number, (path, found) in enumerate(zip(files, read, strict=True), start=1):
        if found is None or path.name.upper() == "DICOMDIR":  # the index is not needed, however damaged
            others.append(path)
        elif isinstance(found, str):
            if path != label:
                told = f"{label}, file {number} of {len(files)} in the order of names"
                logger.debug("%s is %s", told, path)
                found = found.replace(str(path), told)
            if damaged is None:
                raise InputError(found)
            unread[path] = found
        else:
            series.setdefault(found[0].series_uid, []).extend(found)
    if not series and unread:
        reason = next(iter(unread.values()))
        raise InputError(
            f"{label}: no DICOM CT image found: none of its {len(unread)} CT image(s) can be read, the first: {reason}"
        )
    if not series:
        seen = f": {summary(others)}" if others else ""
        raise InputError(
            f"{label}: no DICOM CT image found among {len(files)} file(s){describe_kind(folder)}{seen}; "
            "give a folder of a CT series"
        )
    if damaged is not None:
        damaged |= unread
    if others and logger.isEnabledFor(logging.INFO):
        logger.info("%s: left out %d file(s) that are no CT images: %s", label, len(others), summary(others))
    for headers in series.values():
        logger.debug("%s is in %s", headers[0].source_label, headers[0].path.parent)
    return series


def _files_below(folder: Path, label: Path) -> list[Path]:
    """Files in the order of their paths, through links to folders, without hidden files and without results of ours.

    Links that lead nowhere and folders that cannot be read are counted in a warning: images may be missing.
    """
    files: list[Path] = []
    visited: set[str] = set()
    closed: list[OSError] = []
    lost = 0
    for root, folders, names in os.walk(folder, onerror=closed.append, followlinks=True):
        here = Path(root)
        real = os.path.realpath(root)
        if real in visited or (here != folder and kind_of(here) in (RESULTS, STORE)):
            folders.clear()
            continue
        visited.add(real)
        paths = [here / name for name in names if not name.startswith(".")]
        files += [path for path in paths if path.is_file()]
        lost += sum(path.is_symlink() and not path.exists() for path in paths)
    if lost:
        logger.warning("%s: %d link(s) lead nowhere; the images behind them are not read", label, lost)
    if closed:
        reason = closed[0].strerror or type(closed[0]).__name__
        logger.warning("%s: %d folder(s) cannot be read (%s); their images are missing", label, len(closed), reason)
    return sorted(files)


def _read_headers(files: Sequence[Path], workers: int, searched: Path) -> Iterable[list[SliceHeader] | str | None]:
    """Headers of each file, one a frame, in order; the words of the error where it cannot be read."""
    read = partial(_headers_or_error, searched=searched)
    if workers <= 1 or len(files) < _FILES_PER_JOB * 2:
        return map(read, files)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return list(pool.map(read, files, chunksize=_FILES_PER_JOB))


def _headers_or_error(path: Path, searched: Path) -> list[SliceHeader] | str | None:
    named = None if path == searched else searched
    try:
        header = read_header(path, named)
        return read_frames(path, named) if header is None else [header]
    except InputError as error:
        return str(error)
