"""Every series of a tree of DICOM files, explained into one result folder."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ctxai.annotations import AnnotatedNodule, AnnotationSource, CTDescription, annotate, open_annotations
from ctxai.annotations.lidc import LidcXml
from ctxai.annotations.matching import require_some
from ctxai.ct.archive import unpacked
from ctxai.ct.geometry import STRICT
from ctxai.ct.series import CTSeries
from ctxai.ct.slice_sorting import is_volume
from ctxai.ct.volume import CT, CTVolume
from ctxai.ct.volume_file import suffix_of
from ctxai.deidentification.profile import refuse_burned_in
from ctxai.errors import InputError
from ctxai.folder_kinds import RESULTS, refuse_other
from ctxai.generations import withdraw
from ctxai.inference.nodules import candidates_of, describe_series, open_series
from ctxai.inference.options import ExplainOptions
from ctxai.inference.overlays import writable_formats
from ctxai.inference.predictions import made_by, refuse_own_tables, write_tables
from ctxai.inference.results import explain_series, is_done, refuse_mixture
from ctxai.inference.selection import choose_series
from ctxai.inference.shards import forget_shards, write_shard
from ctxai.ingestion.extraction import without_source_label
from ctxai.progress import console, track
from ctxai.shards import parse_shard

logger = logging.getLogger(__name__)


def explain_tree(
    input: Path,
    out_dir: Path,
    options: ExplainOptions,
    *,
    patients: Sequence[str] | None = None,
    points: Path | None = None,
    xml: Path | None = None,
    concept: Path | None = None,
    shard: str | None = None,
    headers: Path | None = None,
    acquisitions: Sequence[str] = (),
    resume: bool = True,
) -> None:
    """Explain the nodules of every CT series of a tree, and write the results.

    Args:
        input: a folder of a series, a study or many studies, a zip or tar of one, or a NIfTI, NRRD or MetaImage file.
        out_dir: folder for the results.
        options: how they are explained and written.
        patients: only these patients; the word test stands for those of the run's test fold.
        points: file of points; without it, LIDC-IDRI's annotation of the series.
        xml: LIDC's XML annotation instead.
        concept: folder of example nodules of a concept that is explained besides the targets.
        shard: i/n, the i-th of n equal parts of the series.
        headers: file of the tree's headers, read instead of them.
        acquisitions: which acquisition is used, of series with several.
        resume: leave series that are done.

    Raises:
        InputError: when nothing can be explained, or some series could not.
    """
    refuse_other(out_dir, RESULTS, (input, options.run.path))
    refuse_mixture(out_dir, options.confidentiality)
    refuse_own_tables(out_dir)
    options.check()
    index, count = parse_shard(shard or "0/1")
    if points is not None and xml is not None:
        raise InputError("--points --xml: each says where the nodules are; give one of them")
    annotations = LidcXml(xml) if xml else open_annotations(points) if points else None
    if concept is not None:
        options = options.with_concept(concept)
    forget_shards(out_dir, index, count)
    rules = replace(STRICT, acquisitions=tuple(acquisitions))
    explained: dict[str, int] = {}
    failures: dict[str, InputError] = {}
    left_out: dict[str, str] = {}
    if suffix_of(input) and input.is_file():
        _explain_file(input, out_dir, options, annotations, resume)
        return
    with unpacked(input) as folder:
        with console.status("Reading DICOM headers"):
            series, total = choose_series(folder, headers, patients, options.names, options.run, (index, count), input)
        volumes = [group for group in series if is_volume(group)]
        if 0 < len(volumes) < len(series):
            told = ", ".join(group[0].source_label for group in series if not is_volume(group))
            logger.warning("%d series that are no CT volume left out: %s", len(series) - len(volumes), told)
            series = volumes
        cts = describe_series(series, options.names if xml else None, rules) if annotations else []
        marked = annotate(annotations, cts, total) if annotations else None
        if annotations and marked and shard is None:
            require_some(annotations, marked, cts)
        for group in track(series, "Explaining CT series"):
            nodules = marked.of(group[0].series_uid) if marked else None
            key = options.key_of(group[0].series_uid)
            try:
                explained[key] = _explain(open_series(group, nodules, rules), out_dir, nodules, options, resume)
            except InputError as error:
                failures[key] = error
                hidden = options.confidentiality is not None
                left_out[key] = "see the messages of its shard" if hidden else without_source_label(error, group)
                if len(series) > 1:
                    logger.warning("left out: %s", error)
    if shard is not None:
        write_shard(out_dir, index, count, options.digest, made_by(options.run), explained, left_out)
        return
    first = next(iter(failures.values()), None)
    if first and not any(explained.values()):
        raise first
    page = write_tables(out_dir, made_by(options.run))
    told = f"{sum(explained.values())} nodule(s) of {len(explained)} series -> {page}"
    console.print(told, highlight=False, markup=False, soft_wrap=True)
    if first:
        raise InputError(f"{len(failures)} of {len(series)} series could not be explained, the first: {first}")


def _explain_file(
    path: Path, out_dir: Path, options: ExplainOptions, annotations: AnnotationSource | None, resume: bool
) -> None:
    """Explain a CT in a NIfTI, NRRD or MetaImage file; overlays are NIfTI only, because it has no DICOM headers."""
    if annotations is None:
        raise InputError(
            f"{path}: mark its nodules, or let a detector of yours propose them (`ctxai detect`), and give them with "
            "--points"
        )
    uid = path.name.removesuffix(path.name[len(path.name) - len(suffix_of(path)) :])
    found = annotate(annotations, [CTDescription(uid, "", "", str(path))])
    require_some(annotations, found, [CTDescription(uid, "", "")])
    count = _explain(CTVolume.from_file(path), out_dir, found.nodules, options, resume)
    page = write_tables(out_dir, made_by(options.run))
    console.print(f"{count} nodule(s) -> {page}", highlight=False, markup=False, soft_wrap=True)


def _explain(
    series: CT,
    out_dir: Path,
    nodules: Sequence[AnnotatedNodule] | None,
    options: ExplainOptions,
    resume: bool,
) -> int:
    """Explain one series into its own folder, unless that is done; returns the number of its nodules."""
    options = replace(options, formats=writable_formats(series, options.formats, options.confidentiality))
    candidates = candidates_of(series, nodules)
    if options.confidentiality is not None:
        if isinstance(series, CTSeries):
            refuse_burned_in({keyword for header in series.headers for keyword in header.visible_identity})
        # the ids that they have may be anything
        candidates = [replace(one, nodule_id=f"nodule-{n:03d}") for n, one in enumerate(candidates, start=1)]
    if not candidates:
        withdraw(out_dir / options.key_of(series))  # its nodules are marked no longer
    elif not (resume and is_done(out_dir, series, candidates, options)):
        explain_series(series, candidates, options).write_series(out_dir)
    return len(candidates)
