"""Agreement of readers with a model, from the verdicts that they gave with and without its map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ctxai.evaluate.predictions.bootstrap import bootstrap_patients

AGREE, MISLEADING = "agree", "map misleading"
COLUMNS = ("time", "reader", "patient", "series_uid", "nodule_id", "verdict", "rating", "map_shown", "malignancy")
READER, MODEL = "reader_", "model_"
"""Beginnings of columns: the reader's value of a target, and the model's numbers of it."""
_WITHOUT, _WITH = "without map", "with map"


def agreement(reviews: pd.DataFrame, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Shares and rating errors with 95 % intervals, from a bootstrap over patients.

    Of one reader and nodule the last verdict counts, once of those given without the map and once of those given with
    it. "Map misleading" is a verdict on the map: it counts as agreement neither with nor without the map. The
    differences are paired: of readers and nodules with a verdict of both kinds, with the map minus without it.

    Args:
        reviews: a verdict a row, with :data:`COLUMNS`; ``malignancy`` is the model's rating, 1 to 5. Of further
            targets with numbers, ``reader_<target>`` and ``model_<target>``.
        seed: of the bootstrap.

    Returns:
        by figure: ``n`` verdicts, ``patients``, ``value``, ``low`` and ``high`` (None where there is no value).
    """
    reviews = reviews.sort_values("time", kind="stable")
    patient = reviews["patient"].fillna("").astype(str)
    reviews = reviews.assign(
        patient=patient.where(patient != "", reviews["series_uid"].astype(str)),
        agrees=(reviews["verdict"] == AGREE).astype(float),
        misleads=(reviews["verdict"] == MISLEADING).astype(float),
        rating_error=(reviews["rating"] - reviews["malignancy"]).abs(),
    )
    found: dict[str, dict[str, Any]] = {}
    judged = reviews[reviews["verdict"].fillna("") != ""]
    compared = [("agrees", "agreement", judged), ("rating_error", "difference of ratings", reviews)]
    for target in number_targets(reviews):
        error = (reviews[f"{READER}{target}"] - reviews[f"{MODEL}{target}"]).abs()
        compared.append((f"error_{target}", f"difference of {target}", reviews.assign(**{f"error_{target}": error})))
    for column, name, given in compared:
        last = _last(given.dropna(subset=[column]))
        for shown, words in ((False, _WITHOUT), (True, _WITH)):
            found[f"{name}, {words}"] = _mean(last[last["map_shown"] == shown], column, seed)
        found[f"{name}, with minus without"] = _mean(_paired(last, column), column, seed)
    last = _last(judged)
    found["maps called misleading"] = _mean(last[last["map_shown"]], "misleads", seed)
    return found


def number_targets(reviews: pd.DataFrame) -> list[str]:
    """Targets with numbers, of which the table has the reader's and the model's."""
    names = [str(name).removeprefix(READER) for name in reviews if str(name).startswith(READER)]
    return [name for name in names if f"{MODEL}{name}" in reviews]


def _last(reviews: pd.DataFrame) -> pd.DataFrame:
    return reviews.drop_duplicates(["reader", "series_uid", "nodule_id", "map_shown"], keep="last")


def _paired(last: pd.DataFrame, column: str) -> pd.DataFrame:
    """With the map minus without it, of those who judged both ways."""
    keys = ["reader", "patient", "series_uid", "nodule_id"]
    sides = [last.loc[last["map_shown"] == shown, [*keys, column]] for shown in (False, True)]
    both = sides[0].merge(sides[1], on=keys, suffixes=("_without", "_with"))
    return both.assign(**{column: both[f"{column}_with"] - both[f"{column}_without"]})


def _mean(rows: pd.DataFrame, column: str, seed: int) -> dict[str, Any]:
    values, patients = rows[column].to_numpy(float), rows["patient"].to_numpy(str)
    counted = {"n": len(values), "patients": len(set(patients))}
    if not len(values):
        return counted | {"value": None, "low": None, "high": None}

    def statistics(drawn: np.ndarray) -> Mapping[str, float]:
        return {"mean": float(values[drawn].mean())}

    interval = bootstrap_patients(statistics, patients, seed=seed)["mean"]
    return counted | (interval if counted["patients"] > 1 else interval | {"low": None, "high": None})
