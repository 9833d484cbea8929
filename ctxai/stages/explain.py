"""``ctxai explain``: from a CT to predictions and overlays in its own geometry."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ctxai import __version__
from ctxai.ct.archive import unpacked
from ctxai.ct.points import read_points
from ctxai.ct.series import CTSeries, find_series
from ctxai.data.views import VIEWS
from ctxai.errors import InputError, ModelError
from ctxai.explain.base import Attribution
from ctxai.explain.registry import get_method
from ctxai.export.provenance import RESEARCH_USE_ONLY
from ctxai.files import write_json, write_text
from ctxai.models.run import Run
from ctxai.progress import console, track
from ctxai.report.explanation import write_report
from ctxai.report.tiles import nodule_tile
from ctxai.stages.findings import Finding, findings_of
from ctxai.stages.nodule import ExplainedNodule, explain_nodule
from ctxai.stages.overlays import parse_formats, write_overlays
from ctxai.stages.shards import parse_shard

_DONE = "explained.json"

logger = logging.getLogger(__name__)


def explain(
    input: Path,
    out_dir: Path,
    *,
    run: Path | None = None,
    points: Path | None = None,
    method: list[str] = ["cdam"],  # noqa: B006 (never changed)
    target: list[str] = ["malignancy"],  # noqa: B006
    formats: str = "nifti,pmap,seg",
    views: list[str] | None = None,
    maps: bool = True,
    shard: str = "0/1",
    workers: int = 0,
    resume: bool = True,
) -> None:
    """Predict and explain the nodules of every CT series in INPUT, and write overlays in the CT's own geometry.

    OUT_DIR gets predictions.csv, predictions.json and report.html, and for each series a folder with NIfTI files and
    DICOM objects to look at beside the CT. There is no nodule detector: the nodules are LIDC-IDRI's, or your points.
    For research use only.

    Args:
        input: a folder of a series, a study or many studies, or a zip of one.
        out_dir: folder for the results.
        run: run folder of the model; without it, the run that comes with the package.
        points: nodules as CSV (x,y,z in LPS mm; optional nodule_id, series_uid, diameter_mm) or Slicer markups;
            without it, LIDC-IDRI's annotation of the series.
        method: explanation methods, such as cdam, smooth_cdam or agcam.
        target: outputs to explain: malignancy, or biomarkers such as spiculation.
        formats: objects to write, separated by commas: nifti, pmap (Parametric Map), seg (Segmentation).
        views: views to explain: axial, coronal, sagittal; without it, those the run was trained for.
        maps: explain; --no-maps only predicts.
        shard: i/n, the i-th of n equal parts of the series.
        workers: threads of the model; 0 takes every core.
        resume: leave series that are done; --no-resume does them again.
    """
    model_run = Run.load(run)
    methods = _methods(model_run, method) if maps else []
    targets, chosen_views = _checked(model_run, target, views)
    wanted = parse_formats(formats)
    index, count = parse_shard(shard)
    marked = None if points is None else read_points(points)
    if workers > 0:
        torch.set_num_threads(workers)
    failures: list[InputError] = []
    found = 0
    with unpacked(input) as folder:
        damaged: dict[Path, str] = {}
        with console.status("Reading DICOM headers"):
            series = find_series(folder, damaged)
        headers = [group for number, group in enumerate(series.values()) if number % count == index]
        for group in track(headers, "Explaining CT series"):
            try:
                found += _explain_series(
                    CTSeries(group), out_dir, marked, model_run, methods, targets, chosen_views, wanted, resume
                )
            except InputError as error:
                failures.append(error)
                if len(headers) > 1:
                    logger.warning("left out: %s", error)
    if failures and not found:
        raise failures[0]
    if not found and marked is not None:
        raise InputError(f"{points}: none of its {len(marked)} point(s) names a series of {input}; see series_uid")
    _write_tables(out_dir, model_run)
    if failures:
        raise InputError(f"{len(failures)} of {len(headers)} series could not be explained, the first: {failures[0]}")


def _explain_series(
    series: CTSeries,
    out_dir: Path,
    points: list | None,
    run: Run,
    methods: Sequence[Attribution],
    targets: Sequence[str],
    views: Sequence[str],
    formats: Sequence[str],
    resume: bool,
) -> int:
    """Explain one series into its own folder; the file that says it is done is written last. Returns its nodules."""
    findings = findings_of(series, points)
    folder = out_dir / series.key
    digest = _digest(series, findings, run, methods, targets, views, formats)
    done = folder / _DONE
    if resume and done.is_file() and json.loads(done.read_text())["digest"] == digest:
        return len(findings)
    if not findings:
        return 0
    done.unlink(missing_ok=True)
    nodules = [explain_nodule(series, finding, run, methods, targets, views) for finding in findings]
    if methods:
        write_overlays(folder, series, nodules, run, methods, targets, formats)
        for nodule in nodules:
            _write_tile(folder, nodule, methods[0].name, targets[0])
    in_sample = run.in_sample(series.patient_id)
    rows = [_row(series, nodule, run, methods, targets, views, in_sample) for nodule in nodules]
    write_json(done, {"digest": digest, "nodules": rows})
    return len(findings)


def _row(
    series: CTSeries,
    nodule: ExplainedNodule,
    run: Run,
    methods: Sequence[Attribution],
    targets: Sequence[str],
    views: Sequence[str],
    in_sample: bool,
) -> dict[str, Any]:
    """One line of predictions.csv; None where there is no number, as for the end of an interval without one."""
    finding = nodule.finding
    x, y, z = (round(float(value), 3) for value in finding.centre_lps)
    row: dict[str, Any] = {"series": series.key, "nodule_id": finding.nodule_id, "x": x, "y": y, "z": z}
    row |= {"diameter_mm": finding.diameter_mm, "n_readers": finding.n_readers, "in_sample": in_sample}
    row |= {f"readers_{name}": value for name, value in finding.ratings.items()}
    row |= {name: float(value) for name, value in nodule.prediction.items()}
    for method in methods:
        for target in targets:
            row[f"{method.name}_{target}_inside"] = nodule.share_inside(method.name, target)
            row[f"{method.name}_{target}_inside_by_chance"] = nodule.nodule_share(method.name, target)
    row |= {"untrained_views": " ".join(view for view in views if view not in run.views.views), "run": run.name}
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in row.items()}


def _write_tables(out_dir: Path, run: Run) -> None:
    """predictions.csv, predictions.json and report.html of every series that is done in ``out_dir``."""
    rows = [row for path in sorted(out_dir.glob(f"*/{_DONE}")) for row in json.loads(path.read_text())["nodules"]]
    write_text(out_dir / "predictions.csv", pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))
    header = {"software": f"ctxai {__version__}", "run": run.name, "weights_sha256": run.weights_sha256}
    write_json(out_dir / "predictions.json", header | {"notice": RESEARCH_USE_ONLY, "nodules": rows})
    write_report(out_dir, rows, run.name)


def _write_tile(folder: Path, nodule: ExplainedNodule, method: str, target: str) -> None:
    tile = nodule_tile(nodule.patch.hu, nodule.maps[method, target].values, nodule.inside)
    path = folder / "views" / f"{nodule.finding.nodule_id}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    tile.save(path)


def _methods(run: Run, names: Sequence[str]) -> list[Attribution]:
    classes = [get_method(name) for name in names]
    trained = [cls.name for cls in classes if "training" in cls.needs]
    if trained:
        raise ModelError(f"{trained[0]} has to be trained for a run first; choose another --method")
    return [cls(run.model) for cls in classes]


def _checked(run: Run, targets: Sequence[str], views: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """Targets the run has, and views; one that it was not trained for is allowed and said."""
    for name in targets:
        if name not in run.target_names:
            raise InputError(f"--target {name}: the run has {', '.join(run.target_names)}")
    if views is None:
        return list(targets), list(run.views.views)
    for view in views:
        if view not in VIEWS:
            raise InputError(f"--views {view}: expected some of {', '.join(VIEWS)}")
        if view not in run.views.views:
            logger.warning("the run %s was not trained on %s views; their maps are marked so", run.name, view)
    return list(targets), list(views)


def _digest(
    series: CTSeries,
    findings: Sequence[Finding],
    run: Run,
    methods: Sequence[Attribution],
    targets: Sequence[str],
    views: Sequence[str],
    formats: Sequence[str],
) -> str:
    """What the results of a series depend on."""
    content = {
        "images": sorted(header.sop_uid for header in series.headers),
        "nodules": [[finding.nodule_id, finding.centre_lps.tolist(), finding.diameter_mm] for finding in findings],
        "run": [run.name, run.weights_sha256],
        "methods": [[method.name, method.options] for method in methods],
        "targets": [*targets],
        "views": [*views],
        "formats": [*formats],
        "version": __version__,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
