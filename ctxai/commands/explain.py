"""``ctxai explain``: from a CT to predictions and overlays in its own geometry."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ctxai.disclaimer import NOTICE
from ctxai.errors import InputError
from ctxai.files import atomic_path, sweep, write_json
from ctxai.folder_kinds import RESULTS, refuse_other
from ctxai.progress import console, track
from ctxai.shards import parse_shard

if TYPE_CHECKING:
    from ctxai.annotations import AnnotatedNodule
    from ctxai.ct.series import CTSeries
    from ctxai.inference.nodule import ExplainedNodule
    from ctxai.inference.options import ExplainOptions

logger = logging.getLogger(__name__)


def explain(
    input: Path | None = None,
    out_dir: Path | None = None,
    *,
    run: Path | None = None,
    patients: list[str] | None = None,
    points: Path | None = None,
    xml: Path | None = None,
    method: list[str] = ["cdam"],  # noqa: B006 (never changed)
    target: list[str] = ["malignancy"],  # noqa: B006
    concept: Path | None = None,
    formats: str = "nifti,pmap,seg,sr",
    views: list[str] | None = None,
    maps: bool = True,
    spread: bool = False,
    trust: bool = True,
    deidentify: bool = False,
    retain: list[str] = [],  # noqa: B006
    key: Path | None = None,
    shard: str | None = None,
    headers: Path | None = None,
    merge: Path | None = None,
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
        patients: only these patients; the word test stands for those of the run's test fold.
        points: nodules as CSV (x,y,z in LPS mm; optional nodule_id, series_uid, diameter_mm) or Slicer markups;
            without it, LIDC-IDRI's annotation of the series.
        xml: LIDC's XML annotation (a file or a folder of them) instead of points.
        method: explanation methods, such as cdam, smooth_cdam or agcam; vision_diffmask needs train-diffmask first.
        target: outputs to explain: malignancy, or biomarkers such as spiculation; or contrasts of two outputs such as
            spiculation-lobulation, the first minus the second as the model gives them (a logit for malignancy,
            z-scores for biomarkers).
        concept: folder of example nodules of a concept, explained besides the targets under the folder's name: a
            nodule store, of which all rows without a fault count, or DICOM series with a points.csv in the folder.
        formats: objects to write, separated by commas: nifti; pmap (Parametric Map: the true values); seg
            (Segmentation: nodules, and evidence in bands); fractional (Segmentation: evidence in shades, for Weasis);
            sr (Structured Report); sc (Secondary Capture: colour slices); pdf; readers (each reader's outlines and
            ratings).
        views: views to explain: axial, coronal, sagittal; without it, those the run was trained for.
        maps: explain; --no-maps only predicts.
        spread: write the standard deviation over the views beside each NIfTI map; it needs two views or more.
        trust: judge every map of an output, for about 100 forward passes a view: the columns <method>_<target>_fidelity
            (does removing what the map points at change the answer), _fidelity_percentile (among random maps; 50 is
            chance), _stability (under noise) and _sanity (does the map change when the weights are shuffled).
        deidentify: write no identity of the patient, by DICOM's Basic Application Level Confidentiality Profile (PS3.15
            E): UIDs and patient become pseudonyms, nodules are numbered, dates and all that is not needed go. Overlays
            then lie on no CT but the deidentified one, which is written beside them, in dicom/ct. Pixels stay as they
            are.
        retain: options of that profile, what to keep: uids (overlays lie on the original CT), dates or modified-dates
            (all moved by the same days), patient (sex, age, size, weight), device, institution.
        key: file with the secret under which pseudonyms are made, so that the same patient has the same one in every
            call; made where there is none. Without it, ~/.config/ctxai/deidentify.key. Patients of a run without public
            ids are recognised by it as well.
        shard: i/n, the i-th of n equal parts of the series; afterwards run ``ctxai explain --merge``. A series that
            cannot be explained is noted, and told by the merge. Without it, all series at once.
        headers: file that ``ctxai ingest --prepare`` kept the headers of the tree INPUT in, read instead of it.
        merge: write the tables and the report over the results given here, after all of their shards.
        workers: threads of the model; 0 takes every core.
        resume: leave series that are done; --no-resume does them again.
    """
    import torch

    from ctxai.annotations import annotate, open_annotations
    from ctxai.annotations.lidc import LidcXml
    from ctxai.annotations.matching import require_some
    from ctxai.ct.archive import unpacked
    from ctxai.ct.series import CTSeries
    from ctxai.deidentification.profile import asked_for
    from ctxai.deidentification.pseudonyms import Pseudonymizer
    from ctxai.inference.nodules import describe_series
    from ctxai.inference.options import ExplainOptions, checked_views, make_method
    from ctxai.inference.overlays import parse_formats
    from ctxai.inference.results import (
        SHARDS,
        forget_shards,
        made_by,
        merge_shards,
        refuse_mixture,
        write_shard,
        write_tables,
    )
    from ctxai.inference.selection import choose_series
    from ctxai.inference.targets import parse_targets
    from ctxai.ingestion.extraction import without_source_label
    from ctxai.report.explanation import REPORT
    from ctxai.run.run import Run

    if merge is not None:
        merge_shards(merge)
        return
    if input is None or out_dir is None:
        raise InputError(f"{'INPUT' if input is None else 'OUT_DIR'} is missing; see `ctxai explain --help`")
    model_run = Run.load(run)
    request = ExplainOptions(
        input=input,
        run=model_run,
        methods=[make_method(model_run, name) for name in method] if maps else [],
        targets=parse_targets(target, model_run),
        views=checked_views(model_run, views),
        formats=parse_formats(formats),
        spread=spread and maps,
        trust=trust and maps,
        names=Pseudonymizer(key),
        confidentiality=asked_for(deidentify, retain, key),
    )
    refuse_other(out_dir, RESULTS, (input, run))
    refuse_mixture(out_dir, request.confidentiality)
    request.check()
    index, count = parse_shard(shard or "0/1")
    if points is not None and xml is not None:
        raise InputError("--points --xml: each says where the nodules are; give one of them")
    annotations = LidcXml(xml) if xml else open_annotations(points) if points else None
    if workers > 0:
        torch.set_num_threads(workers)
    if concept is not None and maps:
        request = request.with_concept(concept)
    if shard is None:
        shutil.rmtree(out_dir / SHARDS, ignore_errors=True)
    else:
        forget_shards(out_dir, index, count)
    explained: dict[str, int] = {}
    failures: dict[str, InputError] = {}
    left_out: dict[str, str] = {}
    with unpacked(input) as folder:
        with console.status("Reading DICOM headers"):
            series = choose_series(folder, headers, patients, request.names, model_run, (index, count), input)
        cts = describe_series(series, request.names if xml else None) if annotations else []
        marked = annotate(annotations, cts) if annotations else None
        if annotations and marked and shard is None:
            require_some(annotations, marked, cts)
        for group in track(series, "Explaining CT series"):
            name = request.key_of(group[0].series_uid)
            annotated = marked.of(group[0].series_uid) if marked else None
            try:
                explained[name] = _explain_series(CTSeries(group), out_dir, annotated, request, resume)
            except InputError as error:
                failures[name] = error
                left_out[name] = "see the messages of its shard" if deidentify else without_source_label(error, group)
                if len(series) > 1:
                    logger.warning("left out: %s", error)
    if shard is not None:
        write_shard(out_dir, index, count, request.digest, made_by(model_run), explained, left_out)
        return
    first = next(iter(failures.values()), None)
    if first and not any(explained.values()):
        raise first
    write_tables(out_dir, made_by(model_run))
    told = f"{sum(explained.values())} nodule(s) of {len(explained)} series -> {out_dir / REPORT}"
    console.print(told, highlight=False, markup=False, soft_wrap=True)
    if first:
        raise InputError(f"{len(failures)} of {len(series)} series could not be explained, the first: {first}")


def _explain_series(
    series: CTSeries, out_dir: Path, annotated: Sequence[AnnotatedNodule] | None, request: ExplainOptions, resume: bool
) -> int:
    """Explain one series into its own folder; the file that says it is done is written last. Returns its nodules."""
    from ctxai.inference.crops import write_crops
    from ctxai.inference.nodule import explain_nodule
    from ctxai.inference.nodules import candidates_of
    from ctxai.inference.overlays import write_overlays
    from ctxai.inference.overview import write_overview
    from ctxai.inference.results import DONE
    from ctxai.inference.table import prediction_row, warn_of_strangers
    from ctxai.inference.targets import name_of

    candidates = candidates_of(series, annotated)
    if request.confidentiality is not None:  # the ids that they have may be anything
        candidates = [replace(one, nodule_id=f"nodule-{n:03d}") for n, one in enumerate(candidates, start=1)]
    folder = out_dir / request.key_of(series.series_uid)
    digest = request.digest_of(series, candidates)
    done = folder / DONE
    if resume and done.is_file() and json.loads(done.read_text())["digest"] == digest:
        return len(candidates)
    if not candidates:
        return 0
    done.unlink(missing_ok=True)
    sweep(folder, deep=True)
    run, methods, targets = request.run, request.methods, request.targets
    nodules = [
        explain_nodule(series, candidate, run, methods, targets, request.views, request.trust)
        for candidate in candidates
    ]
    rows = [prediction_row(series, nodule, request) for nodule in nodules]
    warn_of_strangers(rows)
    if methods:
        write_overlays(
            *(folder, series, nodules, rows, run, methods, targets, request.formats, request.spread),
            confidentiality=request.confidentiality,
        )
        for nodule in nodules:
            _write_tile(folder, nodule, methods[0].name, name_of(targets[0]))
            write_crops(folder, nodule, run, methods, targets)
            write_overview(folder, series, nodule)
    ct = None if request.confidentiality else str(request.input)  # as the user named it, and no more
    record = {"digest": digest, "ct": ct, "deidentified": request.method_codes, "nodules": rows}
    write_json(done, record, sort_keys=False)
    return len(candidates)


def _write_tile(folder: Path, nodule: ExplainedNodule, method: str, target: str) -> None:
    from PIL.PngImagePlugin import PngInfo

    from ctxai.report.tiles import nodule_tile

    tile = nodule_tile(nodule.patch.hu, nodule.maps[method, target].values, nodule.inside)
    path = folder / "views" / f"{nodule.candidate.nodule_id}.png"
    said = PngInfo()
    said.add_text("Comment", NOTICE)
    with atomic_path(path) as temporary:
        tile.save(temporary, pnginfo=said)
