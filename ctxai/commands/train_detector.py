"""``ctxai train-detector``: a small nodule detector from annotated CTs, as a bundle for ``ctxai detect``."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ctxai import __version__
from ctxai.errors import GeometryError, InputError, RunError
from ctxai.files import write_json
from ctxai.folder_kinds import DETECTOR, kind_of, refuse_to_lose, refuse_to_replace
from ctxai.progress import console, track

if TYPE_CHECKING:
    from ctxai.detection.bundle import DetectorSettings
    from ctxai.detection.samples import Sample

_PACKAGES = ("torch", "monai", "pytorch-lightning", "numpy", "SimpleITK")

logger = logging.getLogger(__name__)


def train_detector(
    dicom_dir: Path,
    out_dir: Path,
    /,
    *,
    points: Path | None = None,
    key: Path | None = None,
    spacing_mm: float = 2.0,
    steps: int = 1500,
    batch_size: int = 4,
    learning_rate: float = 2e-3,
    precision: Literal["fp32", "bf16"] = "fp32",
    seed: int = 0,
    accelerator: str = "auto",
    resume: bool = True,
) -> None:
    """Train a small RetinaNet to find nodules, and write it as a bundle that `ctxai detect --detector` takes.

    It learns from every CT series under DICOM_DIR: nodules are LIDC-IDRI's own, all that a reader outlined, or those of
    --points, and what is not marked counts as no nodule. A series that cannot be read is told and left out. A killed
    training goes on from its last checkpoint when the same command is given again, and ends with the same bytes; a
    finished one of the same options is left as it is. Measure it on patients that it has not seen before you use it.

    Args:
        dicom_dir: tree of DICOM files.
        out_dir: bundle to write; it appears whole, at the end.
        points: where the nodules are, of every kind that ctxai explain --points takes; each needs a diameter.
        key: file with the secret under which training.json names patients without a public id; without it,
            ~/.config/ctxai/deidentify.key.
        spacing_mm: distance of the voxels that the network sees; a CT of a whole chest takes 10 MB of memory at 2.
        steps: of the optimiser, in multiples of 25.
        batch_size: patches of 48 x 48 x 48 voxels in a step.
        learning_rate: the highest; it rises for a tenth of the steps and falls as a cosine.
        precision: of the products; bf16 is faster on processors that have it.
        seed: of the first weights and of everything random.
        accelerator: Lightning's name of the hardware, such as cpu or gpu.
        resume: go on from the last checkpoint, and keep a finished training.
    """
    from ctxai.detection.training import DetectorBudget, fit_detector, save_detector, small_settings
    from ctxai.training.distributed import check_execution
    from ctxai.training.settings import Execution

    if not 0.5 <= spacing_mm <= 4 or steps < 1 or batch_size < 1 or not 0 < learning_rate < 1:
        raise InputError(
            f"--spacing_mm {spacing_mm:g} --steps {steps} --batch_size {batch_size} --learning_rate {learning_rate:g}: "
            "expected 0.5 to 4 mm, at least 1 step and 1 patch, and a rate between 0 and 1"
        )
    check_execution(Execution(accelerator=accelerator))
    settings = small_settings(spacing_mm)
    budget = DetectorBudget(steps, batch_size, learning_rate, precision)
    samples, series = _samples(dicom_dir, points, key, settings)
    options = {"spacing_mm": spacing_mm, **asdict(budget)}
    record = {
        "ctxai": __version__,
        "packages": {name: version(name) for name in _PACKAGES},
        **({"options": options} | {"seed": seed, "series": series}),
    }
    refuse_to_replace(out_dir, DETECTOR)
    if kind_of(out_dir) == DETECTOR and _is_finished(out_dir, record, resume):
        return
    work_dir = _work_folder(out_dir, record, resume)
    trained = fit_detector(samples, settings, budget, work_dir, seed=seed, resume=resume, accelerator=accelerator)
    save_detector(out_dir, trained, settings, record)
    shutil.rmtree(work_dir)
    console.print(f"{len(samples)} CTs -> {out_dir}", highlight=False, markup=False, soft_wrap=True)


def _samples(
    dicom_dir: Path, points: Path | None, key: Path | None, settings: DetectorSettings
) -> tuple[list[Sample], list[dict[str, Any]]]:
    """Usable CTs of a tree as samples, and the record's entry of each.

    Raises:
        InputError: when there is none, or a nodule has no diameter.
    """
    import numpy as np

    from ctxai.annotations import annotate, open_annotations
    from ctxai.annotations.matching import require_some
    from ctxai.ct.archive import unpacked
    from ctxai.ct.search import find_series
    from ctxai.deidentification.pseudonyms import Pseudonymizer
    from ctxai.detection.samples import make_sample
    from ctxai.inference.nodules import candidates_of, describe_series, open_series

    source = open_annotations(points) if points else None
    names = Pseudonymizer(key)
    samples, records = [], []
    with unpacked(dicom_dir) as folder:
        damaged: dict[Path, str] = {}
        found = find_series(folder, damaged, label=dicom_dir)
        for reason in damaged.values():
            logger.warning("left out: %s", reason)
        cts = describe_series(found.values()) if source else []
        marked = annotate(source, cts) if source else None
        if source and marked:
            require_some(source, marked, cts)
        for uid in track(sorted(found), "Reading CT series"):
            nodules = marked.of(uid) if marked else None
            try:
                ct = open_series(found[uid], nodules)
                candidates = candidates_of(ct, nodules)
            except GeometryError as error:
                logger.warning("left out: %s", error)
                continue
            if bare := next((each for each in candidates if not each.diameter_mm), None):
                raise InputError(f"{points}: {bare.nodule_id} has no diameter; add a column diameter_mm")
            centres = np.array([each.centre_lps for each in candidates]).reshape(-1, 3)
            diameters = np.array([each.diameter_mm for each in candidates], dtype=float)
            samples.append(make_sample(ct, centres, diameters, settings))
            records.append(
                {"series_uid": uid, "patient_id": names(found[uid][0]), "nodules": len(candidates)}
                | {"content_sha256": ct.content_sha256}
            )
    if not any(len(sample.boxes) for sample in samples):
        raise InputError(f"{dicom_dir}: no nodule in its {len(samples)} usable CT series; give CTs with marked nodules")
    return samples, records


def _is_finished(out_dir: Path, record: dict[str, Any], resume: bool) -> bool:
    """Whether the folder holds the detector of this very training.

    Raises:
        InputError: when somebody else's files lie in it.
        RunError: when it holds another one that is not to be replaced.
    """
    from ctxai.detection.training import FILES, RECORD

    refuse_to_lose(out_dir, FILES)
    if not resume:
        return False
    try:
        found = json.loads((out_dir / RECORD).read_text(encoding="utf-8"))
        same = all(found.get(name) == value for name, value in record.items())
    except (OSError, ValueError, AttributeError):
        same = False
    if not same:
        raise RunError(f"{out_dir}: holds a detector of other options or CTs; give another folder, or --no-resume")
    logger.info("%s: this training is finished; nothing to do", out_dir)
    return True


def _work_folder(out_dir: Path, record: dict[str, Any], resume: bool) -> Path:
    """The folder beside the bundle that holds its checkpoint.

    Raises:
        RunError: when an interrupted training of other options or CTs is there, and may be resumed.
    """
    from ctxai.detection.training import RECORD
    from ctxai.training.checkpoints import CHECKPOINT

    folder = out_dir.with_name(f".{out_dir.name}.training")
    same = (folder / RECORD).is_file() and json.loads((folder / RECORD).read_text(encoding="utf-8")) == record
    if resume and not same and (folder / CHECKPOINT).is_file():
        raise RunError(
            f"{folder}: an interrupted training of other options or CTs has its checkpoint here; give the same options "
            "to go on with it, another folder, or --no-resume to begin anew"
        )
    if folder.exists() and not (resume and same):
        shutil.rmtree(folder)
    write_json(folder / RECORD, record)
    return folder
