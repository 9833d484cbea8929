"""Page of a run's evaluation: discrimination, decisions, calibration, readers, subgroups, worst cases."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ctxai.evaluate.predictions.plots import CALIBRATION_TITLES
from ctxai.files import write_text
from ctxai.report.page import render_page
from ctxai.run.decisions import RATES, decision_rows
from ctxai.run.model_card import BASELINE_TITLES, NOT_A_DIAGNOSIS
from ctxai.run.own_figures import figure_rows

_BESIDE_READERS = {"mae": "mean absolute error", "spearman": "Spearman", "within_one": "within one point", "auc": "AUC"}


def write_evaluation_report(path: Path, name: str, metrics: Mapping[str, Any], plots: Path) -> None:
    """Write the page; self-contained, no server.

    Args:
        path: HTML file to write.
        name: name of the run.
        metrics: the run's metrics, with ``test`` from `ctxai.evaluate.predictions.evaluation.evaluate_predictions`.
        plots: folder of the figures; those that are missing are left out.
    """
    test = metrics["test"]
    malignancy = test.get("malignancy")
    page = render_page(
        "evaluation.html",
        style="tables.css",
        name=name,
        malignancy=malignancy,
        baselines=_baselines(malignancy or {}),
        decisions=decision_rows(test, metrics.get("validation", {})),
        rates=list(RATES.values()),
        calibrations=CALIBRATION_TITLES,
        targets=test["targets"],
        own=figure_rows(test.get("own_targets", {}), subgroups=True),
        beside_readers=_beside_readers(test["targets"]),
        subgroups=test.get("subgroups"),
        plots={file.name: file.read_bytes() for file in sorted(plots.glob("*.png"))},
        limits=() if "own_targets" in test else NOT_A_DIAGNOSIS,
    )
    write_text(path, page)


def _baselines(malignancy: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """(title, AUC, this run's AUC minus it) of every baseline."""
    names = [key.removeprefix("auc_minus_") for key in malignancy if key.startswith("auc_minus_")]
    return [
        (BASELINE_TITLES.get(name, name), malignancy[f"{name}_auc"], malignancy[f"auc_minus_{name}"]) for name in names
    ]


def _beside_readers(targets: Mapping[str, Any]) -> list[tuple[str, str, Any, Any, Any]]:
    """(target, figure, the run, one reader, run minus reader) of every comparison with single readers."""
    return [
        (name, title, readers["run"][key], readers["reader"][key], readers["difference"][key])
        for name, row in targets.items()
        if (readers := row.get("readers"))
        for key, title in _BESIDE_READERS.items()
        if key in readers["run"]
    ]
