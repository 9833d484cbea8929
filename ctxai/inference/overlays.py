"""The overlays of a series: every chosen format, for every map."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from ctxai.ct.series import CTSeries
from ctxai.ct.volume import CT
from ctxai.deidentification.ct import write_clean_ct
from ctxai.deidentification.profile import Confidentiality
from ctxai.errors import InputError
from ctxai.export.dicom.source import SourceSeries, why_no_objects
from ctxai.inference.crops import provenance_of
from ctxai.inference.formats.base import FORMATS, MapOverlay, SeriesOutput, needs_headers, without_twins
from ctxai.inference.nodule import ExplainedNodule
from ctxai.inference.options import ExplainOptions
from ctxai.results_folder import DICOM, DICOM_CT
from ctxai.run.targets import name_of

#: Why a CT without headers has no DICOM overlays.
_NO_HEADERS = "DICOM objects need the headers of a DICOM series, which this CT lacks"

logger = logging.getLogger(__name__)


def write_overlays(
    folder: Path,
    series: CT,
    nodules: Sequence[ExplainedNodule],
    rows: Sequence[dict[str, Any]],
    options: ExplainOptions,
) -> None:
    """Write the objects of all chosen formats into ``folder``, each on the CT's own grid,, into an empty folder.

    Args:
        folder: the series' folder of results.
        series: the CT.
        nodules: what was explained.
        rows: the nodules' rows of predictions.csv.
        options: run, methods, targets, formats, and how results are deidentified: DICOM objects then get the CT beside
            them that they lie on.

    Raises:
        InputError: when the disk is full, or the CT lacks what a DICOM object must refer to.
    """
    formats, confidentiality = options.formats, options.confidentiality
    headers = _headers(series, formats, confidentiality)
    if headers is not None and confidentiality is not None and not confidentiality.keeps_references:
        assert isinstance(series, CTSeries)  # it has headers
        write_clean_ct(folder / DICOM / DICOM_CT, series, confidentiality)
    provenances = {
        (method.name, name_of(target)): provenance_of(method, target, options.run, nodules)
        for method in options.methods
        for target in options.targets
    }
    output = SeriesOutput(
        folder, series, nodules, rows, [*provenances.values()], formats, options.std, headers, options.run.own
    )
    writers = sorted((FORMATS.get(name)() for name in without_twins(formats)), key=lambda one: (one.order, one.name))
    references: list[Dataset] = []
    for writer in writers:
        references += writer.write_nodules(output)
    for key, provenance in provenances.items():
        overlay = MapOverlay(provenance, key, nodules, series.grid)
        for writer in writers:
            references += writer.write_map(output, overlay)
    for writer in writers:
        writer.write_report(output, references)


def _headers(series: CT, formats: Sequence[str], confidentiality: Confidentiality | None) -> SourceSeries | None:
    """Headers of the CT, where a format makes DICOM objects.

    Raises:
        InputError: when there are none.
    """
    if not needs_headers(formats):
        return None
    if isinstance(series, CTSeries):
        return SourceSeries.from_series(series, confidentiality)
    raise InputError(f"formats {', '.join(_dicom(formats))}: {_NO_HEADERS}; open the folder of its images")


def writable_formats(
    series: CT, formats: Sequence[str], confidentiality: Confidentiality | None = None
) -> Sequence[str]:
    """The formats that a CT allows; of one on which no DICOM object can lie the others, with a warning.

    Args:
        series: the CT.
        formats: those asked for.
        confidentiality: how results are deidentified.

    Raises:
        InputError: when none is left.
    """
    if not needs_headers(formats):
        return formats
    if isinstance(series, CTSeries):
        reason = why_no_objects(series, confidentiality)
    else:
        reason = f"{series.source_label}: {_NO_HEADERS}"
    if not reason:
        return formats
    others = tuple(name for name in formats if not FORMATS.get(name).dicom)
    if not others:
        raise InputError(f"{reason}; add nifti to --formats")
    logger.warning("%s; not written: %s", reason, ", ".join(_dicom(formats)))
    return others


def _dicom(formats: Sequence[str]) -> list[str]:
    return [name for name in formats if FORMATS.get(name).dicom]
