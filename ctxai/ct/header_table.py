"""The headers of a whole tree in one Parquet file: the tree is read once, not by every job that works on a part of it.

The file says what the images' headers say, PatientID among it, and belongs where the images are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ctxai.ct.header import SliceHeader
from ctxai.ct.pixels import PixelLayout
from ctxai.errors import InputError
from ctxai.files import atomic_path

_TEXTS, _NUMBERS = pa.list_(pa.string()), pa.list_(pa.float64())
_TYPES = {
    "position": _NUMBERS,
    "orientation": _NUMBERS,
    "pixel_spacing_mm": _NUMBERS,
    "rows": pa.int32(),
    "columns": pa.int32(),
    "native": pa.bool_(),
    "layout": pa.struct(
        [
            ("allocated", pa.int32()),
            ("bits", pa.int32()),
            ("high_bit", pa.int32()),
            ("signed", pa.bool_()),
            ("padding", pa.list_(pa.int64())),
        ]
    ),
    "acquisition": _TEXTS,
    "visible_identity": _TEXTS,
    "pixels_at": pa.int64(),
    "slope": pa.float64(),
    "intercept": pa.float64(),
    "image_type": _TEXTS,
    "slice_thickness_mm": pa.float64(),
    "instance_number": pa.int64(),
    "frame": pa.int32(),
}
_KEPT = [field.name for field in fields(SliceHeader) if field.name != "searched"]
_SCHEMA = pa.schema([(name, _TYPES.get(name, pa.string())) for name in _KEPT])
_MAY_BE_ABSENT = {"pixels_at", "slice_thickness_mm", "instance_number", "frame"}
_SERIES_AT_ONCE = 1000
_ROWS_PER_GROUP = 50_000


def write_headers(path: Path, folder: Path, series: Mapping[str, list[SliceHeader]]) -> None:
    """Keep the headers of a tree.

    Args:
        path: Parquet file, one row per image; the images' paths are kept relative to ``folder``.
        folder: the tree.
        series: what :func:`~ctxai.ct.search.find_series` found there.

    Raises:
        InputError: when another file is there.
    """
    _refuse_other(path)
    groups = list(series.values())
    options = {"compression": "zstd", "write_page_checksum": True}
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, _SCHEMA, **options) as writer:
        for start in range(0, len(groups), _SERIES_AT_ONCE):
            rows = [_row(image, folder) for group in groups[start : start + _SERIES_AT_ONCE] for image in group]
            writer.write_table(pa.Table.from_pylist(rows, _SCHEMA), _ROWS_PER_GROUP)
    path.chmod(0o600)


def _refuse_other(path: Path) -> None:
    """Refuse to replace a file that keeps no headers."""
    if path.exists():
        try:
            ours = {"series_uid", "sop_uid", "pixels_at"} <= set(pq.read_schema(path).names)
        except (pa.ArrowException, OSError):
            ours = False
        if not ours:
            raise InputError(f"{path}: is there and holds something else; give the name of another file")


def read_headers(path: Path, folder: Path, series_uids: Collection[str] | None = None) -> dict[str, list[SliceHeader]]:
    """Headers by Series Instance UID, as :func:`~ctxai.ct.search.find_series` gives them.

    Args:
        path: file that :func:`write_headers` wrote.
        folder: the tree.
        series_uids: only these series.

    Raises:
        InputError: when the file is missing, damaged or of another layout, or names a file outside the tree.
    """
    wanted = None if series_uids is None else [("series_uid", "in", sorted(series_uids))]
    table = _read(path, filters=wanted) if series_uids is None or series_uids else _SCHEMA.empty_table()
    return _grouped(table.to_pylist(), path, folder)


class Owner(NamedTuple):
    """Whose a series is."""

    patient_id: str
    study_uid: str
    issuer: str = ""


def read_owners(path: Path) -> dict[str, Owner]:
    """Whose every series is, by Series Instance UID, in the order of the tree.

    Raises:
        InputError: as :func:`read_headers`.
    """
    table = _read(path, columns=["series_uid", "patient_id", "study_uid", "issuer"])
    codes = table["series_uid"].combine_chunks().dictionary_encode().indices.to_numpy()
    first = np.sort(np.unique(codes, return_index=True)[1])
    rows = table.take(pa.array(first)).to_pylist()
    return {row["series_uid"]: Owner(row["patient_id"], row["study_uid"], row["issuer"]) for row in rows}


def _read(path: Path, **options: object) -> pa.Table:
    if not path.is_file():
        raise InputError(f"{path}: no such file of headers; make it with `ctxai ingest --prepare --headers {path}`")
    try:
        if pq.read_schema(path) != _SCHEMA:
            raise InputError(f"{path}: not a file of headers of this version; make it with `ctxai ingest --prepare`")
        table = pq.read_table(path, page_checksum_verification=True, **options)
        table.validate(full=True)
        absent = [name for name in table.column_names if table[name].null_count and name not in _MAY_BE_ABSENT]
        if absent:
            raise ValueError(f"{', '.join(absent)} of some images are missing")
        return table
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path}: damaged ({error}); make it again with `ctxai ingest --prepare`") from None


def _row(image: SliceHeader, folder: Path) -> dict[str, object]:
    row = {name: getattr(image, name) for name in _KEPT}
    row["layout"] = asdict(image.layout)
    return row | {"path": image.path.relative_to(folder).as_posix()}


def _grouped(rows: Iterable[dict], path: Path, folder: Path) -> dict[str, list[SliceHeader]]:
    series: dict[str, list[SliceHeader]] = {}
    for row in rows:
        place = Path(row["path"])
        if place.is_absolute() or ".." in place.parts:
            raise InputError(f"{path}: names {place}, which lies outside {folder}; not read")
        row |= {"path": folder / place, "image_type": tuple(row["image_type"])}
        row |= {name: tuple(row[name]) for name in ("acquisition", "visible_identity")}
        row |= {name: np.array(row[name], float) for name in ("position", "orientation")}
        row |= {"pixel_spacing_mm": tuple(row["pixel_spacing_mm"])}
        if [len(row[name]) for name in ("position", "orientation", "pixel_spacing_mm")] != [3, 6, 2]:
            raise InputError(f"{path}: damaged (an image lies nowhere); make it again with `ctxai ingest --prepare`")
        padding = row["layout"].pop("padding")
        row["layout"] = PixelLayout(**row["layout"], padding=None if padding is None else tuple(padding))
        series.setdefault(row["series_uid"], []).append(SliceHeader(**row, searched=folder))
    return series
