"""``ctxai detect``: nodule candidates of a CT, by a MONAI detection bundle of your own."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ctxai.commands.serving import say
from ctxai.errors import InputError
from ctxai.run.device import AUTO

if TYPE_CHECKING:
    from ctxai.ct.volume import CT

logger = logging.getLogger(__name__)


def detect(input: Path, out: Path, /, *, detector: Path, acquisition: list[str] = [], device: str = AUTO) -> None:  # noqa: B006
    """Propose nodules of a CT with a detector that you give, and write them as points for `ctxai explain --points`.

    OUT gets position (LPS mm), nodule_id, series_uid, diameter_mm and score of each candidate, series by series the
    highest score first. ctxai comes with no detector; `ctxai train-detector` trains a small one. A score is no
    probability. For research use only.

    Args:
        input: a folder of a series, a study or many, a zip or tar of one, or a NIfTI, NRRD or MetaImage file.
        out: CSV file; candidates that are there are replaced, another file is not.
        detector: folder of a MONAI detection bundle in the layout of lung_nodule_ct_detection (configs/inference.json,
            models/model.pt). Its code is not executed, and of its weights only tensors are read.
        acquisition: of a series with several acquisitions or phases the one with this value, such as 2 or
            AcquisitionNumber=2; without it the largest.
        device: what the model runs on: auto (a GPU where there is one), cpu, cuda or cuda:1.
    """
    from ctxai.detection.candidates import COLUMNS, write_candidates
    from ctxai.detection.detector import load_detector, propose
    from ctxai.folder_kinds import refuse_other_table
    from ctxai.run.device import torch_device

    if out.suffix.lower() != ".csv" or out.is_dir():
        raise InputError(f"{out}: expected the name of a CSV file, such as candidates.csv")
    refuse_other_table(out, COLUMNS)
    settings, find_boxes = load_detector(detector, torch_device(device))
    found = {ct.series_uid: propose(ct, settings, find_boxes) for ct in _cts(input, acquisition)}
    write_candidates(out, found)
    count = sum(map(len, found.values()))
    say(f"{count} candidates -> {out}" if count else f"no candidate found; {out} has its header alone")


def _cts(input: Path, acquisitions: Sequence[str]) -> Iterator[CT]:
    """CTs of a file, an archive or a folder; of several series, one that cannot be read is logged and left out.

    Raises:
        InputError: when there is none.
    """
    from dataclasses import replace

    from ctxai.ct.archive import unpacked
    from ctxai.ct.geometry import STRICT
    from ctxai.ct.search import find_series
    from ctxai.ct.series import CTSeries
    from ctxai.ct.slice_sorting import is_volume
    from ctxai.ct.volume import CTVolume
    from ctxai.ct.volume_file import suffix_of
    from ctxai.errors import GeometryError

    if suffix_of(input) and input.is_file():
        yield CTVolume.from_file(input)
        return
    with unpacked(input) as folder:
        series = find_series(folder, label=input)
        groups = [series[uid] for uid in sorted(series)]
        groups = [group for group in groups if is_volume(group)] or groups
        read = 0
        for group in groups:
            try:
                ct = CTSeries(group, replace(STRICT, acquisitions=tuple(acquisitions)))
            except GeometryError as error:
                if len(groups) == 1:
                    raise
                logger.warning("left out: %s", error)
                continue
            read += 1
            yield ct
    if not read:
        raise InputError(f"{input}: none of its {len(groups)} CT series can be read; see the warnings")
