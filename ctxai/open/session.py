"""A reader's marks and verdicts, kept so that a kill loses no click.

The journal is the truth: a line of JSON for every click, appended and flushed to the disk before the page is answered.
The tables that other programs read are made from it after every line, each replaced whole::

    SESSION/journal.jsonl
    SESSION/points.csv         marked and accepted nodules, for `ctxai explain --points`
    SESSION/<series>.mrk.json  the same, for 3D Slicer
    SESSION/review.csv         every verdict with time, position, prediction, map and checksum of the weights
    SESSION/written.json       checksums of these tables
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from threading import RLock
from typing import Any, TypeAlias

from ctxai.errors import InputError
from ctxai.evaluate.verdicts import MODEL, READER
from ctxai.files import explain_os_errors, json_text, sweep
from ctxai.open.marks import Mark, Verdict
from ctxai.own_files import OwnFiles, own_files
from ctxai.results_folder import WRITTEN

JOURNAL = "journal.jsonl"
POINTS = "points.csv"
REVIEW = "review.csv"
MARKUPS = ".mrk.json"
#: More than any reader clicks.
_MAX_BYTES = 2**28
_VERSION = 1
_NUMBERED = re.compile(r"nodule-([0-9]{1,9})")
_OF_TARGETS = re.compile(rf"({READER}|{MODEL})[a-z][a-z0-9_]*")
#: Beginnings of a formula, in plain and full-width letters.
_FORMULA = tuple("=+-@\t\n|%＝＋－＠")
_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)
#: Columns of an answer that a verdict is kept with.
_NUMBERS = (
    "malignancy",
    "malignancy_low",
    "malignancy_high",
    "malignancy_probability",
    "novelty_percentile",
    "run",
    "weights_sha256",
)
_POINTS_COLUMNS = ("x", "y", "z", "nodule_id", "series_uid", "diameter_mm")
_REVIEW_COLUMNS = (
    "time",
    "reader",
    "patient",
    "series_uid",
    "nodule_id",
    "x",
    "y",
    "z",
    "state",
    "verdict",
    "rating",
    "text",
    "map_shown",
    "method",
    "target",
    *_NUMBERS,
)


OfTargets: TypeAlias = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class Session:
    """The marks and verdicts of one reader, in a folder.

    Args:
        folder: where they are kept; made when it is absent.
        reader: name of the reader in review.csv.

    Attributes:
        marks: by series key and nodule id, in the order in which they came.
        answers: the last prediction of each mark: its row of predictions.csv.
        reviews: every verdict, as a row of review.csv.
        series: Series Instance UID and patient's pseudonym by series key.

    Raises:
        InputError: when the journal is of something else or cannot be written, or a table is not what was written.
    """

    def __init__(self, folder: Path, reader: str = "") -> None:
        self.folder, self.reader = folder, reader
        self.marks: dict[tuple[str, str], Mark] = {}
        self.answers: dict[tuple[str, str], Mapping[str, Any]] = {}
        self.reviews: list[dict[str, Any]] = []
        self.series: dict[str, dict[str, str]] = {}
        self._highest: dict[str, int] = {}
        self._lock = RLock()
        path = folder / JOURNAL
        with explain_os_errors(path):
            folder.mkdir(parents=True, exist_ok=True)
            whole = self._replay(path) if path.is_file() else 0
            tables = [
                POINTS,
                REVIEW,
                *(f"{series}{MARKUPS}" for series in {mark.series for mark in self.marks.values()}),
            ]
            own = tables if whole else []
            OwnFiles(folder, WRITTEN, own).refuse_others(*tables)
            sweep(folder)
            self._file = path.open("ab")
            self._file.truncate(whole)  # a line that a kill cut short
        if not whole:
            self._append({"journal": "ctxai open", "version": _VERSION})
        self._write_tables(own)

    @property
    def kept(self) -> list[Mark]:
        """Marked and accepted nodules."""
        return [mark for mark in list(self.marks.values()) if mark.state in ("marked", "accepted")]

    def close(self) -> None:
        """Close the journal."""
        self._file.close()

    def know_series(self, key: str, uid: str, patient: Callable[[], str]) -> None:
        """Keep the Series Instance UID and the patient's pseudonym of a series, for the tables."""
        with self._lock:
            if key not in self.series:
                self._record({"series": {"key": key, "uid": uid, "patient": patient()}})

    def put(self, mark: Mark) -> None:
        """Keep a mark, in place of the one of its name; a moved one loses its answer."""
        with self._lock:
            self._record({"mark": mark.to_json()})
            self._write_tables()

    def remove(self, key: tuple[str, str]) -> None:
        """Take a mark away."""
        with self._lock:
            self._record({"removed": list(key)})
            self._write_tables()

    def answer(self, key: tuple[str, str], row: Mapping[str, Any]) -> None:
        """Keep the prediction of a mark."""
        with self._lock:
            if key in self.marks and self.answers.get(key) != row:
                self._record({"answer": {"key": list(key), "row": dict(row)}})

    def judge(self, verdict: Verdict, of_targets: OfTargets = lambda answer: {}) -> None:
        """Keep a verdict, with the mark and the prediction that it is about.

        Args:
            verdict: what the reader said.
            of_targets: from the prediction to further columns of review.csv, as `review_values`.

        Raises:
            InputError: when there is no such mark.
        """
        key = verdict.series, verdict.nodule_id
        with self._lock:
            if key not in self.marks:
                raise InputError("verdict: there is no such mark")
            mark, known = self.marks[key], self.series.get(verdict.series, {})
            answer = self.answers.get(key, {})
            row = {name: None for name in _REVIEW_COLUMNS} | {
                "time": _now(),
                "reader": self.reader,
                "patient": known.get("patient", ""),
                "series_uid": known.get("uid", ""),
                "nodule_id": verdict.nodule_id,
                "x": mark.x,
                "y": mark.y,
                "z": mark.z,
                "state": mark.state,
                "verdict": verdict.verdict,
                "rating": verdict.rating,
                "text": verdict.text,
                "map_shown": verdict.map_shown,
                "method": verdict.method,
                "target": verdict.target,
            }
            row |= {name: answer.get(name) for name in _NUMBERS} | dict(of_targets(answer))
            self._record({"verdict": row})
            self._write_tables()

    def new_id(self, series: str) -> str:
        """A name for the next nodule of a series, one that none has had."""
        return f"nodule-{self._highest.get(series, 0) + 1:03d}"

    def _record(self, event: Mapping[str, Any]) -> None:
        self._append({"time": _now(), **event})
        self._apply(event)

    def _append(self, event: Mapping[str, Any]) -> None:
        with explain_os_errors(self.folder / JOURNAL):
            self._file.write(json.dumps(event, allow_nan=False).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def _replay(self, path: Path) -> int:
        """Apply the lines of a journal; returns the length of those that are whole."""
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(f"{path}: larger than any journal of `ctxai open`; give another folder with --out")
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        try:
            for number, line in enumerate(content[:whole].splitlines()):
                event = json.loads(line)
                if number == 0 and (event.get("journal"), event.get("version")) != ("ctxai open", _VERSION):
                    raise ValueError("first line")
                self._apply(event)
        except (ValueError, KeyError, TypeError, AttributeError, InputError) as error:
            raise InputError(
                f"{path}, line {number + 1}: not a journal of `ctxai open` ({type(error).__name__}); give another "
                "folder with --out"
            ) from None
        return whole

    def _apply(self, event: Mapping[str, Any]) -> None:
        if "mark" in event:
            mark = Mark.from_json(event["mark"])
            before = self.marks.get(mark.key)
            self.marks[mark.key] = mark
            if number := _NUMBERED.fullmatch(mark.nodule_id):
                self._highest[mark.series] = max(self._highest.get(mark.series, 0), int(number[1]))
            if before is not None and before.lps != mark.lps:
                self.answers.pop(mark.key, None)
        elif "removed" in event:
            series, nodule_id = event["removed"]
            self.marks.pop((series, nodule_id), None)
            self.answers.pop((series, nodule_id), None)
        elif "answer" in event:
            series, nodule_id = event["answer"]["key"]
            self.answers[series, nodule_id] = dict(event["answer"]["row"])
        elif "verdict" in event:
            row = event["verdict"]
            of_targets = {name: value for name, value in row.items() if _OF_TARGETS.fullmatch(name)}
            self.reviews.append({name: row.get(name) for name in _REVIEW_COLUMNS} | of_targets)
        elif "series" in event:
            one = event["series"]
            self.series[str(one["key"])] = {"uid": str(one["uid"]), "patient": str(one["patient"])}

    def _write_tables(self, adopted: Sequence[str] = ()) -> None:
        kept = self.kept
        points = [{**mark.to_json(), "series_uid": self.series.get(mark.series, {}).get("uid")} for mark in kept]
        with own_files(self.folder, WRITTEN, adopted) as files:
            files.write(POINTS, _csv(_POINTS_COLUMNS, points))
            files.write(REVIEW, _csv(list(dict.fromkeys(chain(_REVIEW_COLUMNS, *self.reviews))), self.reviews))
            for series in {mark.series for mark in self.marks.values()}:
                of_series = [one for one in kept if one.series == series]
                files.write(f"{series}{MARKUPS}", json_text(_markups(of_series)))


def _csv(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    table = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    table.writerows({name: _no_formula(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _no_formula(value: Any) -> Any:
    """A text that no spreadsheet runs: an apostrophe goes before what would begin a formula (OWASP, CSV injection).

    Ends of lines are line feeds: the csv module does not quote a carriage return, which would end the row.
    """
    if not isinstance(value, str):
        return value
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


def _markups(marks: list[Mark]) -> dict[str, Any]:
    """A list of control points in 3D Slicer's markups schema 1.0.3."""
    points = [
        {"id": str(number), "label": mark.nodule_id, "position": list(mark.lps), "positionStatus": "defined"}
        for number, mark in enumerate(marks, start=1)
    ]
    return {
        "@schema": _SCHEMA,
        "markups": [{"type": "Fiducial", "coordinateSystem": "LPS", "coordinateUnits": "mm", "controlPoints": points}],
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
