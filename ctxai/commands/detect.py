"""``ctxai detect``: nodule candidates of a CT, by a MONAI detection bundle of your own."""

from __future__ import annotations

from pathlib import Path

from ctxai.commands.serving import say
from ctxai.errors import InputError


def detect(input: Path, out: Path, /, *, detector: Path, acquisition: list[str] = [], device: str = "auto") -> None:  # noqa: B006
    """Propose nodules of a CT with a detector that you give, and write them as points for `ctxai explain --points`.

    OUT gets position (LPS mm), nodule_id, series_uid, diameter_mm and score of each candidate, the highest score first.
    ctxai comes with no detector, and has not measured the one you give. For research use only.

    Args:
        input: a folder of one CT series, or a NIfTI, NRRD or MetaImage file.
        out: CSV file; one that is there is replaced.
        detector: folder of a MONAI detection bundle in the layout of lung_nodule_ct_detection (configs/inference.json,
            models/model.pt). Its code is not executed, and of its weights only tensors are read.
        acquisition: of a series with several acquisitions or phases the one with this value, such as 2 or
            AcquisitionNumber=2; without it the largest.
        device: auto (a GPU where there is one), cpu, cuda or cuda:1.
    """
    from ctxai.api import open_series
    from ctxai.detection.candidates import write_candidates
    from ctxai.detection.detector import load_detector, propose
    from ctxai.run.device import torch_device

    if out.suffix.lower() != ".csv" or out.is_dir():
        raise InputError(f"{out}: expected the name of a CSV file, such as candidates.csv")
    settings, find_boxes = load_detector(detector, torch_device(device))
    ct = open_series(input, acquisitions=acquisition)
    candidates = propose(ct, settings, find_boxes)
    write_candidates(out, candidates, ct.series_uid)
    say(f"{len(candidates)} candidates -> {out}" if candidates else f"no candidate found; {out} has its header alone")
