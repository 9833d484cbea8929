"""Concepts from folders of example nodules."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from ctxai.annotations import annotate, open_annotations
from ctxai.ct.patch import extract_patch
from ctxai.ct.series import CTSeries, find_series
from ctxai.data.patches import Patches
from ctxai.data.store import LAYOUT, NoduleStore
from ctxai.data.views import PATCH_SPACING_MM, render_own_views
from ctxai.errors import InputError
from ctxai.explain.concept import Concept
from ctxai.inference.nodules import candidates_of, describe_series
from ctxai.run.run import Run

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
_AT_ONCE = 32


def read_concept(folder: Path, run: Run, taken: Sequence[str] = ()) -> Concept:
    """The mean embedding of example nodules, on the run's own views through their centres; named after the folder.

    Args:
        folder: a nodule store, of which every row without a fault counts; or a folder of DICOM series at any depth
            with ``points.csv`` in it.
        run: the model that is to be explained.
        taken: names of other targets.

    Raises:
        InputError: when it is neither, holds no nodule, has a name that cannot stand in file names, or an output's.
    """
    name = folder.resolve().name
    if not _NAME.fullmatch(name):
        raise InputError(f"--concept {folder}: its name {name!r} names files; expected letters, digits and ._-")
    if name.replace("_", "-") in {*run.target_names, *taken}:  # as in file names
        raise InputError(f"--concept {folder}: {name} is the name of another target; rename the folder")
    if (folder / LAYOUT).is_file():
        blocks = _stored(folder)
    elif (folder / "points.csv").is_file():
        blocks = _marked(folder)
    else:
        raise InputError(
            f"--concept {folder}: expected a nodule store, or a folder of DICOM series with points.csv in it"
        )
    totals, count = [], 0
    for hu in blocks:
        images = render_own_views(hu, run.views, (0.0,)).flatten(0, 1)
        totals.append(Concept.from_images(run.model, images).vector * len(images))
        count += len(images)
    if not count:
        raise InputError(f"--concept {folder}: holds no usable nodule; expected examples of {name}")
    return Concept(sum(totals[1:], totals[0]) / count, name)


def _stored(folder: Path) -> Iterator[torch.Tensor]:
    """Patches (nodule, superior, posterior, left) of a store, block by block."""
    store = NoduleStore(folder)
    table = store.table
    usable = table["fault"].fillna("") == "" if "fault" in table.columns else np.ones(len(table), dtype=bool)
    rows = np.flatnonzero(usable)
    patches = Patches(store, rows, memory_limit_bytes=0)
    for start in range(0, len(rows), _AT_ONCE):
        yield patches[rows[start : start + _AT_ONCE]]


def _marked(folder: Path) -> Iterator[torch.Tensor]:
    """Patches of the points that are marked in a folder's series, one by one."""
    source = open_annotations(folder / "points.csv")
    groups = find_series(folder)
    marked = annotate(source, describe_series(groups.values()))
    for uid, headers in groups.items():
        series = CTSeries(headers)
        for candidate in candidates_of(series, marked.of(uid)):
            yield torch.from_numpy(extract_patch(series, candidate.centre_lps, spacing_mm=PATCH_SPACING_MM).hu)[None]
