"""Plan of a benchmark: nodules of unseen patients, targets, metrics, and the methods that can run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ctxai import __version__
from ctxai.data.labels import split_rows
from ctxai.data.planted import PlantedTruth, is_planted
from ctxai.data.store import TABLE, NoduleStore
from ctxai.errors import InputError, ModelError, RunError
from ctxai.evaluate.explanations.comparison import CHANCE, RANDOMISED, REFERENCE, order_methods
from ctxai.evaluate.explanations.effort import Effort
from ctxai.evaluate.explanations.evaluation_set import EvaluationSet, first_binary, read_subjects
from ctxai.evaluate.explanations.metric import Metric
from ctxai.evaluate.explanations.planted_check import PlantedCheck, check_planted
from ctxai.evaluate.explanations.randomise import randomised
from ctxai.evaluate.predictions.external import refuse_seen_patients
from ctxai.explain.base import Attribution, get_method, list_methods
from ctxai.files import json_sha256, sha256
from ctxai.run.methods import make_method
from ctxai.run.run import Run

_SHOWN = 6


@dataclass(frozen=True, eq=False)
class Plan:
    """Settings that all methods share.

    Attributes:
        run: the model.
        subjects: images of the nodules.
        targets: outputs that are explained; claims are evaluated on the first one.
        metrics: of explanations.
        fill: what replaces removed pixels.
        effort: how thorough.
        seed: of everything that is drawn.
        digest: checksum of what scores depend on.
    """

    run: Run
    subjects: EvaluationSet
    targets: Sequence[str]
    metrics: Sequence[Metric]
    fill: str
    effort: Effort
    seed: int
    digest: str

    @property
    def shown(self) -> np.ndarray:
        """The first image of each of the nodules that are shown."""
        return np.unique(self.subjects.nodule, return_index=True)[1][:_SHOWN]

    @property
    def outline(self) -> str:
        """Truth that maps are measured against: the planted evidence, or else the readers' outlines."""
        return "evidence" if "evidence" in self.subjects.masks else "readers"


def make_plan(
    run: Run,
    store: NoduleStore,
    chosen: np.ndarray,
    targets: Sequence[str] | None,
    metrics: Sequence[Metric],
    fill: str,
    effort: Effort,
    seed: int,
) -> Plan:
    """The plan for some rows of a store.

    Args:
        run: the model.
        store: the nodules.
        chosen: rows of the nodules.
        targets: outputs to explain; None takes all.
        metrics: of explanations.
        fill: what replaces removed pixels.
        effort: how thorough.
        seed: of everything that is drawn.

    Raises:
        InputError: for a target that the run has not.
    """
    names = list(targets or run.target_names)
    unknown = [name for name in names if name not in run.target_names]
    if unknown:
        raise InputError(f"--targets {unknown[0]}: the run has {', '.join(run.target_names)}")
    subjects = read_subjects(
        store, chosen, run.views, PlantedTruth(store) if is_planted(store) else None, first_binary(run.own)
    )
    content = {
        "weights": run.weights_sha256,
        "table": sha256(store.path / TABLE),
        "rows": chosen.tolist(),
        "targets": names,
        "metrics": [[metric.name, metric.options] for metric in metrics],
        "fill": fill,
        "effort": asdict(effort),
        "seed": seed,
        "version": __version__,
    }
    return Plan(run, subjects.to(run.model.device), names, metrics, fill, effort, seed, json_sha256(content))


def unseen_rows(run: Run, store: NoduleStore) -> tuple[np.ndarray, PlantedCheck | None]:
    """The nodules of unseen patients; on planted truth those whose prediction the trait alone decides.

    Raises:
        InputError: when the run has learnt from one of them, or has not learnt the planted trait.
    """
    rows = split_rows(store.table, run.config.folds, run.own).test
    refuse_seen_patients(run, store, rows)
    if not is_planted(store):
        return rows, None
    check = check_planted(run, PlantedTruth(store), rows)
    return rows[check.flipped], check


def contenders(run: Run, names: Sequence[str] | None, seed: int) -> tuple[dict[str, Attribution], dict[str, str]]:
    """Methods by name, CDAM first, the controls last; and those that cannot run, with the reason."""
    found: dict[str, Attribution] = {}
    missing: dict[str, str] = {}
    for name in [get_method(name).name for name in names] if names else list_methods():
        try:
            found[name] = make_method(run, name)
        except (RunError, ModelError) as error:
            missing[name] = str(error)
    found.setdefault(CHANCE, make_method(run, CHANCE))
    found[RANDOMISED] = make_method(run, REFERENCE).changed(lambda model: randomised(model, seed))
    return {name: found[name] for name in order_methods(list(found))}, missing
