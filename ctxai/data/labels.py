"""Targets of a run, and the nodules it learns from: targets, patient-level folds, label checks."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ctxai.data.settings import FoldConfig, LabelKind
from ctxai.data.targets import LIDC, TargetTable
from ctxai.errors import StoreError
from ctxai.suggestions import did_you_mean

TARGETS = LIDC.names
BIOMARKERS = TARGETS[1:]

SCALES: dict[str, tuple[float, float]] = {one.name: one.limits for one in LIDC}
"""Lowest and highest value of each target: LIDC-IDRI's rating scales, and millimetres for the diameter."""

NODULE_FOLDS = (
    "folds were drawn by nodule: patients lie on both sides of the split, so these figures are too good and only "
    "comparable with others of the same kind"
)
"""Remark beside every figure from such folds."""

logger = logging.getLogger(__name__)


def column_of(target: str) -> str:
    """The column of a store's table that holds a target."""
    return LIDC[target].column


@dataclass(frozen=True)
class Split:
    """Row numbers of a store's table, each rising; ``monitor`` is a part of the training patients."""

    training: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    monitor: np.ndarray = field(default_factory=lambda: np.empty(0, int))


def usable(table: pd.DataFrame, own: TargetTable | None = None) -> pd.Series:
    """Rows without a fault that have ratings, or a label of any target of one's own.

    Raises:
        StoreError: when the table has no label columns or no labelled row.
    """
    needed = ["patient_id", "nodule_id", "n_readers", "fault", "fold"]
    if own is not None:
        return _labelled(table, needed, own)
    needed += ["label_malignancy", *map(column_of, TARGETS)]
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise StoreError(
            f"the store has no labels: columns {', '.join(missing)} are missing from its table; "
            "ingest an annotated collection (`ctxai ingest` on LIDC-IDRI or a phantom)"
        )
    labelled = (table["fault"].fillna("") == "") & table["malignancy_mean"].notna()
    if not labelled.any():
        raise StoreError(f"the store has no labels: none of its {len(table)} nodules is both rated and free of faults")
    return labelled


def _labelled(table: pd.DataFrame, needed: list[str], own: TargetTable) -> pd.Series:
    missing = [name for name in (*needed, *(one.column for one in own)) if name not in table.columns]
    if missing:
        raise StoreError(
            f"the store has no column {', '.join(missing)}; ingest with --labels and a table that has them, or name "
            f"another column of a target{did_you_mean(missing[0], list(map(str, table.columns)))}"
        )
    labelled = (table["fault"].fillna("") == "") & table[[one.column for one in own]].notna().any(axis=1)
    if not labelled.any():
        raise StoreError(f"none of the store's {len(table)} nodules has a label of {', '.join(own.names)}")
    return labelled


def split_rows(table: pd.DataFrame, config: FoldConfig, own: TargetTable | None = None) -> Split:
    """Cut the usable rows into training, validation and test rows.

    Args:
        table: of a store.
        config: which fold is for what.
        own: targets of one's own, in place of LIDC-IDRI's.

    Raises:
        StoreError: without labels; when the folds are not of ``config.unit``; when a fold that is needed has no
            nodule, or, of LIDC-IDRI's targets, nodules of one class only.
    """
    good = usable(table, own)
    if config.test == "all":
        raise StoreError(
            "an ensemble of all folds has no test fold of its own; give the run of one fold, or, to evaluate, another "
            "store (--external NAME)"
        )
    _check_unit(table[good], config.unit)
    if config.test == config.validation:
        raise StoreError(f"test and validation fold are both {config.test}; give two different folds")
    fold = table["fold"]
    enough = good & (table["n_readers"] >= config.min_readers)
    learnable = good & (table["n_readers"] >= config.training_min_readers)
    rows = {
        "training": learnable & ~fold.isin([config.test, config.validation]),
        f"validation (fold {config.validation})": enough & (fold == config.validation),
        f"test (fold {config.test})": enough & (fold == config.test),
    }
    for name, chosen in rows.items():
        if own is not None:
            if not chosen.any():
                raise StoreError(
                    f"{name}: no nodule with a label; add patients, choose other folds, or fewer readers "
                    "(folds.min_readers, folds.training_min_readers)"
                )
            continue
        labels = table.loc[chosen, "label_malignancy"]
        malignant, benign = int((labels == 1).sum()), int((labels == 0).sum())
        if not malignant or not benign:
            raise StoreError(
                f"{name}: {malignant} malignant and {benign} benign nodules of {len(labels)}; both classes are needed: "
                "add patients, choose other folds, or fewer readers (folds.min_readers, folds.training_min_readers)"
            )
    training, validation, test = (np.flatnonzero(chosen) for chosen in rows.values())
    patients = table["patient_id"].to_numpy()
    monitored = _monitored(patients[training], config.monitor)
    return Split(training[~monitored], validation, test, training[monitored])


def _monitored(patients: np.ndarray, share: float) -> np.ndarray:
    """Which rows belong to the ``share`` of the patients (row,) that training leaves out; the same for every seed."""
    everyone = np.unique(patients)
    chosen = np.random.default_rng(len(everyone)).permutation(everyone)[: round(share * len(everyone))]
    return np.isin(patients, chosen)


def _check_unit(table: pd.DataFrame, unit: str) -> None:
    folds = table.groupby("patient_id")["fold"].nunique()
    cut = int((folds > 1).sum())
    if unit == "nodule" and not cut:
        raise StoreError(
            "folds.unit is nodule, but this store's folds hold whole patients; leave the option out, or ingest with "
            "--cohort conrad"
        )
    if unit == "nodule":
        logger.warning("%d of %d patients are in several folds: %s", cut, len(folds), NODULE_FOLDS)
    elif cut:
        raise StoreError(
            f"patient {folds.idxmax()} is in {folds.max()} folds; folds have to hold whole patients "
            "(--folds.unit nodule only to reproduce figures of such folds)"
        )


def targets_of(table: pd.DataFrame, label: LabelKind = "soft") -> np.ndarray:
    """Targets of every row, float32 (nodule, target) in the order of `TARGETS`, NaN where unknown.

    Malignancy is a probability: soft is (mean rating - 1) / 4, hard is 1 above and 0 below a median of 3 (NaN at 3);
    or, for rating, the mean rating itself.
    Biomarkers are in their own units: rating points, and millimetres for the diameter.
    """
    values = table[[column_of(name) for name in TARGETS]].to_numpy(np.float32, na_value=np.nan).copy()
    if label == "hard":
        values[:, 0] = table["label_malignancy"].to_numpy(np.float32, na_value=np.nan)
    elif label == "soft":
        values[:, 0] = (values[:, 0] - 1) / 4
    return values


def permute_patients(targets: np.ndarray, patients: np.ndarray, seed: int) -> np.ndarray:
    """Targets handed to nodules of other patients at random: a control whose model must end at chance level.

    Whole patients are put in a random order, each one's nodules too, and their targets are dealt out to the nodules
    in another such order.
    """
    generator = np.random.default_rng(seed)
    groups = [np.flatnonzero(patients == patient) for patient in np.unique(patients)]

    def any_order() -> np.ndarray:
        return np.concatenate([generator.permutation(groups[i]) for i in generator.permutation(len(groups))])

    givers, receivers = any_order(), any_order()
    shuffled = np.empty_like(targets)
    shuffled[receivers] = targets[givers]
    return shuffled
