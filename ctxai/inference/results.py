"""Results of one CT: predictions, maps, and the files that are written of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL.PngImagePlugin import PngInfo

from ctxai.ct.series import CTSeries
from ctxai.ct.volume import CT
from ctxai.deidentification.profile import Confidentiality, codes_of
from ctxai.disclaimer import NOTICE
from ctxai.errors import InputError
from ctxai.export.overlay import merge_maps
from ctxai.files import atomic_path
from ctxai.folder_kinds import RESULTS, refuse_other
from ctxai.generations import new_generation, read_record, series_folders, settle
from ctxai.inference.crops import write_crops
from ctxai.inference.formats.base import parse_formats
from ctxai.inference.nodule import ExplainedNodule, explain_nodule
from ctxai.inference.nodules import NoduleCandidate
from ctxai.inference.options import ExplainOptions
from ctxai.inference.overlays import write_overlays
from ctxai.inference.overview import centre_slice, image_number, write_overview
from ctxai.inference.predictions import log_warnings, made_by, prediction_row, refuse_own_tables, write_tables
from ctxai.memory import return_freed_memory
from ctxai.report.tiles import nodule_tile
from ctxai.results_folder import DEFAULT_FORMATS, SERIES_RECORD, is_nodule_id, picture_of
from ctxai.run.targets import name_of


@dataclass(frozen=True, eq=False)
class Results:
    """Predictions and maps of the nodules of one CT.

    Attributes:
        series: the CT.
        nodules: each with its patch, prediction, patch maps and their reliability.
        options: how they were explained.
    """

    series: CT
    nodules: tuple[ExplainedNodule, ...]
    options: ExplainOptions

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """One row of predictions.csv for each nodule; None where there is no number."""
        return [prediction_row(self.series, nodule, self.options) for nodule in self.nodules]

    @cached_property
    def table(self) -> pd.DataFrame:
        """Predictions, one row per nodule, with the columns of predictions.csv."""
        return pd.DataFrame(self.rows)

    @property
    def maps(self) -> Mapping[tuple[str, str], np.ndarray]:
        """Maps by names of method and target, float32 [slice, row, column] on the CT's grid; 0 where nothing was
        explained. Each is made when it is taken."""
        return CTMaps(self)

    def write(self, out: Path | str, formats: str | Sequence[str] | None = None, std: bool = False) -> Path:
        """Write the results as ``ctxai explain`` does, beside those of other CTs in the same folder.

        Args:
            out: result folder; made where it is not there.
            formats: names of output formats, separated by commas or as a sequence; ``nifti,pmap,seg,sr`` by default,
                ``nifti`` for a CT from an array.
            std: write the standard deviation over the views beside each NIfTI map.

        Returns:
            The report, an HTML page.

        Raises:
            InputError: for an unknown format, a DICOM format of a CT without DICOM headers, a folder of another kind,
                or a full disk.
        """
        out = Path(out)
        if formats is None:
            formats = DEFAULT_FORMATS if isinstance(self.series, CTSeries) else "nifti"
        words = formats if isinstance(formats, str) else ",".join(formats)
        options = replace(self.options, formats=parse_formats(words), std=std)
        options.check()
        refuse_other(out, RESULTS)
        refuse_mixture(out, options.confidentiality)
        refuse_own_tables(out)
        replace(self, options=options).write_series(out)
        return write_tables(out, made_by(options.run))

    def write_series(self, out: Path) -> None:
        """Write the folder of this series in place of what ``ctxai explain`` wrote into it before.

        Raises:
            InputError: when the disk is full, the CT lacks what a format needs, or a person's own file is in the way.
        """
        options = self.options
        folder = out / options.key_of(self.series)
        digest = options.digest_of(self.series, [nodule.candidate for nodule in self.nodules])
        ct = None if options.confidentiality or options.input is None else str(options.input)  # as named by the user
        log_warnings(self.rows)
        return_freed_memory()
        with new_generation(folder, digest, ct, options.method_codes) as generation:
            generation.rows = self.rows
            if options.methods:
                write_overlays(generation.folder, self.series, self.nodules, self.rows, options)
                for nodule in self.nodules:
                    self._write_picture(generation.folder, nodule)
                    write_crops(generation.folder, nodule, options.run, options.methods, options.targets)
                    write_overview(generation.folder, self.series, nodule)

    def _write_picture(self, folder: Path, nodule: ExplainedNodule) -> None:
        key = self.options.methods[0].name, name_of(self.options.targets[0])
        image = image_number(self.series, centre_slice(self.series, nodule.candidate.centre_lps))
        tile = nodule_tile(nodule.patch.hu, nodule.maps[key].values, nodule.inside, image)
        texts = PngInfo()
        texts.add_text("Comment", NOTICE)
        with atomic_path(picture_of(folder, nodule.candidate.nodule_id)) as temporary:
            tile.save(temporary, pnginfo=texts)


class CTMaps(Mapping[tuple[str, str], np.ndarray]):
    """Maps of a CT on its own grid, each merged from the nodules' patches when it is taken."""

    def __init__(self, results: Results) -> None:
        self._results = results
        self._keys = list(results.nodules[0].maps) if results.nodules else []

    def __getitem__(self, key: tuple[str, str]) -> np.ndarray:
        if key not in self._keys:
            raise KeyError(key)
        nodules = self._results.nodules
        return merge_maps(((n.maps[key].values, n.patch.grid) for n in nodules), self._results.series.grid)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


def explain_series(series: CT, candidates: Sequence[NoduleCandidate], options: ExplainOptions) -> Results:
    """Predict and explain nodules of a series.

    Raises:
        GeometryError: when a nodule lies outside the CT.
        InputError: when a nodule's name cannot name files, or is there twice.
    """
    names = [one.nodule_id for one in candidates]
    for name in names:
        if not is_nodule_id(name) or names.count(name) > 1:
            raise InputError(f"nodule_id {name!r}: expected names of letters, digits and ._-, each once")
    run, methods, targets, views = options.run, options.methods, options.targets, options.views
    nodules = [explain_nodule(series, one, run, methods, targets, views, options.trust) for one in candidates]
    return Results(series, tuple(nodules), options)


def is_done(out: Path, series: CT, candidates: Sequence[NoduleCandidate], options: ExplainOptions) -> bool:
    """Whether a result folder already has the results that would be written, with every file."""
    folder = out / options.key_of(series)
    if not (folder / SERIES_RECORD).is_file():
        return False
    settle(folder)
    record = read_record(folder)
    complete = all((folder / name).is_file() for name in record.files)
    return complete and record.digest == options.digest_of(series, candidates)


def refuse_mixture(folder: Path, confidentiality: Confidentiality | None, place: Path | None = None) -> None:
    """Refuse results with an identity beside deidentified ones of the same CT: they would tell who it is.

    Args:
        folder: where results are to be.
        confidentiality: how they are to be deidentified.
        place: what the message names instead of ``folder``.

    Raises:
        InputError: when there are results that are deidentified otherwise.
    """
    for one in series_folders(folder):
        if [*read_record(one).deidentified] != codes_of(confidentiality):
            raise InputError(
                f"{place or folder}: holds results that are deidentified otherwise, or not; give another folder"
            )
