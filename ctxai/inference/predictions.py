"""Predictions of a result folder: one row per nodule, and the tables and report over all series."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ctxai import __version__
from ctxai.ct.series import CTSeries
from ctxai.ct.volume import CT
from ctxai.data.targets import plain_targets
from ctxai.disclaimer import NOTICE
from ctxai.errors import InputError
from ctxai.files import json_text, sweep
from ctxai.generations import read_record, series_folders
from ctxai.inference.data_dictionary import data_package
from ctxai.inference.nodule import ExplainedNodule
from ctxai.inference.nodules import NoduleCandidate
from ctxai.inference.options import ExplainOptions
from ctxai.inference.overview import centre_slice
from ctxai.own_files import OwnFiles, own_files
from ctxai.report.explanation import write_report
from ctxai.report.trust import Level, warnings_of
from ctxai.results_folder import DATA_PACKAGE, PREDICTIONS, PREDICTIONS_TABLE, REPORT, SERIES_RECORD, WRITTEN
from ctxai.run.run import Run
from ctxai.run.targets import name_of

logger = logging.getLogger(__name__)


def prediction_row(series: CT, nodule: ExplainedNodule, options: ExplainOptions) -> dict[str, Any]:
    """One row of predictions.csv by column name; None where there is no number."""
    candidate, run = nodule.candidate, options.run
    x, y, z = (round(float(value), 3) for value in candidate.centre_lps)
    row: dict[str, Any] = {
        "series": options.key_of(series),
        "nodule_id": candidate.nodule_id,
        "x": x,
        "y": y,
        "z": z,
    }
    row |= {"diameter_mm": candidate.diameter_mm, "n_readers": candidate.n_readers}
    row |= {"in_sample": options.names.learnt_by(run, series.headers[0]) if isinstance(series, CTSeries) else None}
    row |= {f"readers_{name}": value for name, value in candidate.ratings.items()}
    row |= {name: float(value) for name, value in nodule.prediction.items()}
    row |= nodule.mark
    if options.methods:
        row["outline_by_readers"] = None if nodule.outline is None else nodule.inside is not None
    for method in options.methods:
        for target in map(name_of, options.targets):
            row[f"{method.name}_{target}_inside"] = nodule.share_inside(method.name, target)
            row[f"{method.name}_{target}_inside_by_chance"] = nodule.nodule_share(method.name, target)
            row |= _trust_columns(nodule, method.name, target)
    row |= {"untrained_views": " ".join(view for view in options.views if view not in run.views.views)}
    row |= {"run": run.name, "weights_sha256": run.weights_sha256}
    row |= _references(series, candidate, options)
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in row.items()}


def _references(series: CT, candidate: NoduleCandidate, options: ExplainOptions) -> dict[str, Any]:
    """DICOM's names of series, study and the image through the nodule's centre; pseudonyms where deidentified."""
    if not isinstance(series, CTSeries):
        return dict.fromkeys(("SeriesInstanceUID", "StudyInstanceUID", "InstanceNumber", "SOPInstanceUID"))
    image = series.headers[centre_slice(series, candidate.centre_lps)]
    hidden = options.confidentiality
    uid = str if hidden is None else hidden.uid
    return {
        "SeriesInstanceUID": str(uid(image.series_uid)),
        "StudyInstanceUID": str(uid(image.study_uid)),
        "InstanceNumber": image.instance_number,
        "SOPInstanceUID": str(uid(image.sop_uid)),
    }


def _trust_columns(nodule: ExplainedNodule, method: str, target: str) -> dict[str, float | bool | None]:
    """Reliability of a map; empty where it was not evaluated."""
    trust = nodule.trust.get((method, target))
    if trust is None:
        return {}
    names = ("fidelity", "fidelity_percentile", "fidelity_percentile_blur", "stability", "sanity")
    return {f"{method}_{target}_{name}": getattr(trust, name) for name in names}


def log_warnings(rows: Sequence[dict[str, Any]]) -> None:
    """Log why numbers of nodules are not to be used."""
    for row in rows:
        for warning in warnings_of(row):
            if warning.level == Level.NUMBER:
                logger.warning("%s, nodule %s: %s: %s", row["series"], row["nodule_id"], warning.level, warning.text)


def made_by(run: Run) -> dict[str, Any]:
    """Origin of predictions: software, run and weights; and the run's table where its targets are its own."""
    origin: dict[str, Any] = {"software": f"ctxai {__version__}", "run": run.name}
    own = {} if run.own is None else {"targets": plain_targets(run.own.targets)}
    return origin | {"weights_sha256": run.weights_sha256} | own


def refuse_own_tables(out_dir: Path) -> None:
    """Refuse a folder with tables or a report that :func:`write_tables` has not written.

    Raises:
        InputError: naming the first.
    """
    OwnFiles(out_dir, WRITTEN).refuse_others(PREDICTIONS_TABLE, DATA_PACKAGE, PREDICTIONS, REPORT)


def write_tables(
    out_dir: Path,
    origin: Mapping[str, Any],
    series: Collection[str] | None = None,
    left_out: Mapping[str, str] | None = None,
) -> Path:
    """Write predictions.csv with its data dictionary, predictions.json and report.html; returns the report.

    Args:
        out_dir: folder of the results.
        origin: software, run and weights, by :func:`made_by`.
        series: keys of the series that belong in them; None takes every series that is done in ``out_dir``.
        left_out: why series were left out, by key; they are the error's reason where nothing was explained.

    Raises:
        InputError: when the shards explained no nodule, or a person's own file is in the way.
    """
    sweep(out_dir)
    rows: list[dict[str, Any]] = []
    for folder in series_folders(out_dir):
        if series is None or folder.name in series:
            rows += [dict(row) for row in read_record(folder).rows]
    if left_out is not None and not rows:
        reason = f", the first: {next(iter(left_out.values()))}" if left_out else ""
        raise InputError(f"{out_dir}: no nodule was explained; {len(left_out)} series were left out{reason}")
    table = pd.DataFrame(rows).assign(notice=NOTICE)
    others = _targets_of_other_models(out_dir, {str(row.get("weights_sha256")) for row in rows}, origin)
    header = {**origin, **others, "notice": NOTICE, "nodules": rows}
    with own_files(out_dir, WRITTEN) as files:
        # First, since it tells the folder's kind: without it, a kill would leave what looks like another kind's.
        files.write(PREDICTIONS, json_text(header, sort_keys=False))
        files.write(PREDICTIONS_TABLE, table.to_csv(index=False, lineterminator="\n"))
        tables = [origin.get("targets", ()), *others.get("models", {}).values()]
        files.write(DATA_PACKAGE, json_text(data_package(table, *tables), sort_keys=False))
    write_report(out_dir, newer_than=SERIES_RECORD)
    return out_dir / REPORT


def _targets_of_other_models(out_dir: Path, weights: Collection[str], origin: Mapping[str, Any]) -> dict[str, Any]:
    """``models``: the targets of one's own that rows of other weights were predicted by, from the table before."""
    try:
        before = json.loads((out_dir / PREDICTIONS).read_text(encoding="utf-8"))
        known = {**before.get("models", {}), before["weights_sha256"]: before.get("targets", [])}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}  # none yet; a damaged one is written anew
    last = origin["weights_sha256"]
    found = {name: targets for name, targets in known.items() if targets and name in weights and name != last}
    return {"models": found} if found else {}
