"""What lies in a folder, to compare two of them."""

from collections.abc import Sequence
from pathlib import Path

from ctxai.files import write_json
from ctxai.generations import SeriesRecord, checksums
from ctxai.results_folder import SERIES_RECORD


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of every file at any depth, by its path in the folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def record_series(folder: Path, ct: Path | None = None, rows: Sequence[dict] = (), deidentified: Sequence[str] = ()):
    """Write the record of a series' folder over the files that are in it."""
    folder.mkdir(parents=True, exist_ok=True)
    record = SeriesRecord("", str(ct) if ct else None, tuple(deidentified), tuple(rows), checksums(folder))
    write_json(folder / SERIES_RECORD, record.to_json(), sort_keys=False)
