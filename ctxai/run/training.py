"""Training a run: classifier, calibration and novelty from a nodule store, written as one folder."""

from __future__ import annotations

import hashlib
import logging
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ctxai.data.datamodule import NoduleDataModule
from ctxai.data.labels import NODULE_FOLDS, TARGETS, targets_of
from ctxai.data.patches import Patches
from ctxai.data.targets import Target
from ctxai.data.views import render_own_views
from ctxai.errors import InputError, RunError
from ctxai.files import write_text
from ctxai.folder_kinds import kind_of, refuse_to_lose
from ctxai.models.classifier import NoduleClassifier
from ctxai.run.calibration import Calibration
from ctxai.run.config import RunConfig, flat_options
from ctxai.run.files import CONFIG, RUN_FILES
from ctxai.run.learning_curve import learning_curve
from ctxai.run.ood import Novelty
from ctxai.run.provenance import provenance_of
from ctxai.run.run import Run
from ctxai.run.target_calibration import TableCalibration
from ctxai.run.weights import round_weights
from ctxai.training.checkpoints import CHECKPOINT
from ctxai.training.distributed import check_execution, is_first_process
from ctxai.training.settings import LOGS, Execution
from ctxai.training.trainer import fit

_BLOCK = 64
CURVE = "learning_curve.png"

logger = logging.getLogger(__name__)


def train_run(
    config: RunConfig,
    store_dir: Path,
    run_dir: Path,
    execution: Execution = Execution(),
) -> None:
    """Train, calibrate and write a run; a finished one of the same options is left as it is.

    Args:
        config: the run's options; the statistics of its views are taken from the training nodules.
        store_dir: nodule store with ratings and folds.
        run_dir: folder to write; it appears whole, at the end.
        execution: hardware, and what happens to files that are there.

    Raises:
        InputError: when the store cannot be trained on by these options, or the hardware is not here.
        RunError: when the folder holds a run of other options.
    """
    check_execution(execution, config.compute)
    data = config.make_data(store_dir, execution.workers)
    labelled = _labelled(config, data)
    if config.own is not None and labelled != config.targets:
        config = replace(config, targets=labelled)
        data = config.make_data(store_dir, execution.workers)
    config = replace(config, views=data.views, targets=labelled)
    provenance = provenance_of(store_dir, data.table, data.split, config.seed)
    if (
        execution.resume
        and kind_of(run_dir)
        and _is_finished(run_dir, config, provenance["store"], execution.overwrite)
    ):
        logger.info("%s: this run is finished; nothing to do", run_dir)
        return
    refuse_to_lose(run_dir, RUN_FILES)
    torch.manual_seed(config.seed)
    model = config.make_model()
    model.fit_scaler(data.targets[data.split.training])
    work_dir = _work_folder(run_dir, config, provenance["store"], execution)
    fit(model, data, work_dir, seed=config.seed, execution=execution, compute=config.compute, flags=config.trainer)
    if not is_first_process():
        return
    if config.half_precision:
        round_weights(model)
    run = Run(run_dir.name, config, model, Calibration() if config.own is None else TableCalibration(), provenance)
    run.to("cpu" if execution.accelerator == "cpu" else "auto")
    run.metrics = {"training": _record(model, config)}
    if model.readout == "ordinal":
        _fit_rating_scale(model, data)
    _calibrate(run, data)
    _fit_novelty(run, data)
    run.save(run_dir, {CURVE: learning_curve(model.epoch_losses, model.epoch_validation)}, work_dir / LOGS)
    shutil.rmtree(work_dir.parent)
    logger.info("run %s: %d epochs on %d nodules", run_dir, len(model.epoch_losses), len(data.split.training))


def _labelled(config: RunConfig, data: NoduleDataModule) -> tuple[str, ...] | tuple[Target, ...]:
    """The targets that any training nodule has a label of; the others are named, and neither learnt nor predicted.

    Raises:
        InputError: when there is none.
    """
    known = ~np.isnan(data.targets[data.split.training]).all(axis=0)
    names = TARGETS if config.own is None else config.own.names
    labelled = [name for name, has in zip(names, known, strict=True) if has]
    asked = {one if isinstance(one, str) else one.name: one for one in config.targets}
    found = {name: one for name, one in asked.items() if name in labelled}
    without = ", ".join(name for name in asked if name not in found)
    if not found:
        raise InputError(f"targets: no training nodule has a label of {without}; give targets that are labelled")
    if without:
        logger.warning("no training nodule has a label of %s: not learnt, and not predicted by the run", without)
    return tuple(found.values())  # type: ignore[return-value]  # names or targets, as they were asked for


def _record(model: NoduleClassifier, config: RunConfig) -> dict[str, object]:
    """Figures of the training in `metrics.json`."""
    record: dict[str, object] = {"epoch_losses": [round(loss, 6) for loss in model.epoch_losses]}
    if model.epoch_validation:
        record["monitored"] = [
            {name: round(value, 6) for name, value in figures.items() if not math.isnan(value)}
            for figures in model.epoch_validation
        ]
    if config.optim.patience and config.folds.monitor:
        record["selected_by"] = "patients of the training folds that were not learnt from"
    elif config.optim.patience:
        record["selected_by"] = "the validation fold: calibration on it does not guarantee its coverage"
    if config.folds.unit == "nodule":
        record["folds"] = NODULE_FOLDS
    return record


def _fit_rating_scale(model: NoduleClassifier, data: NoduleDataModule) -> None:
    """Bring the malignancy output of ordinal heads to the scale of the expected rating, on the training images."""
    rows = data.split.training
    patches = Patches(data.store, rows, memory_limit_bytes=0, beyond=data.views.beyond)
    blocks = np.array_split(rows, -(-len(rows) // _BLOCK))
    model.fit_rating_scale(render_own_views(patches[block], data.views).flatten(0, 1) for block in blocks)


def _calibrate(run: Run, data: NoduleDataModule) -> None:
    """Fit the run's calibration on the validation fold, and keep its predictions there."""
    rows = data.split.validation
    patches = Patches(data.store, rows, beyond=run.views.beyond)
    predictions = run.predict_marked(patches[rows])
    table = data.table.iloc[rows]
    if run.own is not None:
        run.calibration = TableCalibration.fit(run.own, predictions, run.own.values(table))
        return
    predictions = predictions.reindex(columns=["malignancy_logit", *TARGETS])
    truths = targets_of(table)
    truths[:, 0] = 1 + 4 * truths[:, 0]
    run.calibration = Calibration.fit(
        predictions["malignancy_logit"].to_numpy(),
        table["label_malignancy"].to_numpy(float),
        predictions[list(TARGETS)].to_numpy(),
        truths.astype(np.float64),
    )


def _fit_novelty(run: Run, data: NoduleDataModule) -> None:
    """Record what the training nodules look like, so that the run can tell how unlike them another nodule is."""
    rows = data.split.training
    patients = data.table["patient_id"].to_numpy()[rows]
    if len(set(patients)) > 1:
        patches = Patches(data.store, rows, memory_limit_bytes=0, beyond=run.views.beyond)
        blocks = np.array_split(rows, -(-len(rows) // _BLOCK))
        features = [run.features(patches[block], run.recentre(patches[block])) for block in blocks]
        run.novelty = Novelty.fit(np.concatenate(features), patients)


def _is_finished(run_dir: Path, config: RunConfig, store: dict[str, object], overwrite: bool) -> bool:
    """Whether the folder holds this very run.

    Raises:
        RunError: when it holds another one that is not to be replaced.
    """
    found = Run.load(run_dir)
    if found.config == config and found.provenance["store"] == store:
        return True
    if overwrite:
        return False
    what = "another store" if found.config == config else "other options"
    raise RunError(f"{run_dir}: holds a run of {what}; give another folder, or --overwrite to replace it")


def _work_folder(run_dir: Path, config: RunConfig, store: dict[str, object], execution: Execution) -> Path:
    """The folder beside the run for its checkpoints, named by options and store, the same for every process.

    Raises:
        RunError: when an interrupted training of other options or of another store is there, and may be resumed.
    """
    name = hashlib.sha256(f"{config.to_yaml()}{sorted(store.items())}".encode()).hexdigest()[:12]
    folder = run_dir.with_name(f".{run_dir.name}.training") / name
    if is_first_process():
        for other in sorted(folder.parent.glob("*")):
            keep = execution.resume and not execution.overwrite and other != folder
            if keep and (other.name == CHECKPOINT or any(other.glob(CHECKPOINT))):
                raise RunError(interrupted(folder.parent, other / CONFIG, config.to_yaml()))
            if other != folder or not execution.resume:
                shutil.rmtree(other) if other.is_dir() else other.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / CONFIG, config.to_yaml())
    return folder


def interrupted(folder: Path, options: Path, now: str) -> str:
    """Error for an interrupted training of other options: the option that differs, and the ways out.

    Args:
        folder: its checkpoints.
        options: YAML file of its options.
        now: YAML text of the options asked for.
    """
    before = flat_options(options.read_text(encoding="utf-8")) if options.is_file() else {}
    after = flat_options(now)
    changed = [
        f"{name} was {before[name]}, now {after.get(name)}" for name in before if before[name] != after.get(name)
    ]
    which = f" ({changed[0]})" if changed else ""
    return (
        f"{folder}: an interrupted training of other options or of another store has its checkpoint here{which}; give "
        "the same options to go on with it, another folder, or --no-resume to begin anew"
    )
