"""Training on every fold in turn: pooled out-of-fold figures, and one run that averages the networks."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from ctxai.data.labels import TARGETS, usable
from ctxai.data.store import TABLE, NoduleStore
from ctxai.errors import RunError, StoreError
from ctxai.evaluate.predictions.decisions import choose_all, decisions
from ctxai.evaluate.predictions.evaluation import evaluate_predictions, predict_rows
from ctxai.evaluate.predictions.own_targets import LABEL
from ctxai.files import sha256
from ctxai.folder_kinds import kind_of, refuse_to_lose
from ctxai.models.ensemble import EnsembleClassifier
from ctxai.models.network import NoduleNetwork
from ctxai.run.calibration import Calibration
from ctxai.run.config import RunConfig
from ctxai.run.files import PLOTS, RUN_FILES
from ctxai.run.run import Run
from ctxai.run.target_calibration import TableCalibration
from ctxai.run.training import CURVE, train_run
from ctxai.training.settings import LOGS, Execution

logger = logging.getLogger(__name__)


def train_folds(
    config: RunConfig,
    store_dir: Path,
    run_dir: Path,
    execution: Execution = Execution(),
) -> None:
    """Train one network for each fold that is left out, and write their ensemble as one run.

    Each network is tested on its own fold; the pooled predictions give the figures and the calibration of the ensemble,
    whose own networks have together seen every patient. Networks that are finished are kept when the command is given
    again.

    Args:
        config: the run's options; ``folds.test`` is all.
        store_dir: nodule store with ratings and folds.
        run_dir: folder to write; it appears whole, at the end.
        execution: as `train_run`.

    Raises:
        StoreError: when the store has fewer than three folds.
        RunError: when the folder holds another run.
    """
    store = NoduleStore(store_dir)
    table = store.table
    folds = sorted({int(fold) for fold in table.loc[usable(table, config.own), "fold"]})
    if len(folds) < 3:
        raise StoreError(f"{store_dir}: {len(folds)} folds; training on all of them needs three or more")
    work_dir = run_dir.with_name(f".{run_dir.name}.folds")
    if (
        kind_of(run_dir)
        and execution.resume
        and _is_finished(Run.load(run_dir), config, len(folds), sha256(store_dir / TABLE), execution.overwrite)
    ):
        logger.info("%s: this ensemble is finished; nothing to do", run_dir)
        return
    refuse_to_lose(run_dir, RUN_FILES)
    members, curves = [], {}
    for place, fold in enumerate(folds):
        own = replace(config, folds=replace(config.folds, test=fold, validation=folds[(place + 1) % len(folds)]))
        folder = work_dir / f"fold{fold}"
        train_run(own, store_dir, folder, execution)
        members.append(Run.load(folder))
        curves[f"{folder.name}_{CURVE}"] = (folder / PLOTS / CURVE).read_bytes()
        if (folder / LOGS).is_dir():
            shutil.copytree(folder / LOGS, work_dir / LOGS / folder.name, dirs_exist_ok=True)
    ensemble(members, config, store, run_dir.name).save(run_dir, curves, work_dir / LOGS)
    shutil.rmtree(work_dir)


def ensemble(members: Sequence[Run], config: RunConfig, store: NoduleStore, name: str) -> Run:
    """One run of the mean outputs of runs that were tested on different folds, calibrated on their pooled predictions.

    Args:
        members: one run for each fold, of the same options.
        config: their options, with ``folds.test`` all.
        store: the store that they were trained on.
        name: of the new run.
    """
    rows = [_test_rows(member, store) for member in members]
    pooled = pd.concat(
        [predict_rows(member, store, found) for member, found in zip(members, rows, strict=True)], ignore_index=True
    )
    statistics = torch.tensor([[member.views.mean, member.views.std] for member in members])
    networks = [member.model for member in members if isinstance(member.model, NoduleNetwork)]
    model = EnsembleClassifier(networks, torch.cat([statistics.mean(0, keepdim=True), statistics])).eval()
    mean, std = (round(float(value), 3) for value in model.statistics[0])
    model.statistics[0] = torch.tensor([mean, std])
    config = replace(config, views=replace(config.views, mean=mean, std=std))
    run = Run(name, config, model, _calibration(pooled, members[0]), _provenance(members))
    run.novelty = members[0].novelty  # in whose features the ensemble's is measured
    losses = [member.metrics["training"]["epoch_losses"] for member in members]
    figures = evaluate_predictions(pooled, config.seed, own=config.own)
    run.metrics = {"training": {"epoch_losses": losses}, "test": figures}
    run.metrics["validation"] = choose_all(pooled, decisions(pooled, config.own))
    run.predictions = pooled
    return run


def _test_rows(member: Run, store: NoduleStore) -> np.ndarray:
    ids = set(member.provenance["nodules"]["test"])
    return np.flatnonzero(store.table["nodule_id"].astype(str).isin(ids))


def _calibration(pooled: pd.DataFrame, member: Run) -> Calibration | TableCalibration:
    alpha = member.calibration.alpha
    if member.own is not None:
        labels = pooled[[f"{name}{LABEL}" for name in member.own.names]].to_numpy(float)
        return TableCalibration.fit(member.own, pooled, labels, alpha)
    pooled = pooled.reindex(columns=[*pooled.columns, *({"malignancy_logit", *TARGETS} - set(pooled.columns))])
    return Calibration.fit(
        pooled["malignancy_logit"].to_numpy(float),
        pooled["label_malignancy"].to_numpy(float),
        pooled[list(TARGETS)].to_numpy(float),
        pooled[[f"{target}_readers" for target in TARGETS]].to_numpy(float),
        alpha,
    )


def _provenance(members: Sequence[Run]) -> dict[str, Any]:
    """Every patient of any member is one of training: none is unseen by the ensemble."""
    first = members[0].provenance
    parts = ("training", "validation", "test")
    everyone = {
        kind: sorted({one for member in members for part in parts for one in member.provenance[kind][part]})
        for kind in ("patients", "nodules")
    }
    record = {kind: {"training": everyone[kind], "validation": [], "test": []} for kind in everyone}
    own = {name: value for name, value in first.items() if name != "weights_sha256"}
    return own | record | {"members": len(members)}


def _is_finished(found: Run, config: RunConfig, members: int, table_sha256: str, overwrite: bool) -> bool:
    """Whether a run is this very ensemble.

    Raises:
        RunError: when it is another one that is not to be replaced.
    """
    same_views = replace(config.views, mean=found.views.mean, std=found.views.std)
    same = found.config == replace(config, views=same_views) and found.provenance.get("members") == members
    same = same and found.provenance["store"]["table_sha256"] == table_sha256
    if same or overwrite:
        return same
    what = f"{found.folder}: holds a run of other options or of another store"
    raise RunError(f"{what}; give another folder, or --overwrite to replace it")
