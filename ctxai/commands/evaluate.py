"""``ctxai evaluate``: figures of a run on its test fold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ctxai.errors import InputError
from ctxai.files import atomic_folder, write_json, write_text
from ctxai.quick_imports import quick_imports
from ctxai.resources import resource
from ctxai.run.device import AUTO
from ctxai.suggestions import did_you_mean

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from ctxai.data.labels import Split
    from ctxai.data.store import NoduleStore
    from ctxai.run.decisions import DecisionRow
    from ctxai.run.run import Run

_BASELINES, _EXTERNAL = "baselines", "external"
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_DECIMALS = 6


def evaluate(
    run_dir: Path,
    store_dir: Path,
    /,
    *,
    features: Path | None = None,
    baselines: list[str] | None = None,
    pictures: bool = True,
    seed: int = 0,
    accelerator: str = "auto",
    external: str | None = None,
    device: str = AUTO,
) -> None:
    """Evaluate a run on its test fold, with intervals, beside baselines and beside the readers themselves.

    Writes metrics.json, predictions.csv, plots, the model card and evaluation.html into the run folder, and prints the
    figures. The figures follow from predictions.csv alone. Intervals are 95 %, from a bootstrap over patients.
    Thresholds and calibrations come from the validation fold. For cross-validation, train and evaluate a run for each
    fold, with --folds.test and --folds.validation.

    Args:
        run_dir: run folder.
        store_dir: the store the run was trained on; with --external, another.
        features: CSV of hand-made features (`nodule_id` and numbers) for a logistic regression to compare with.
        baselines: networks to train on the same nodules and compare with: resnet18 (MONAI's, from scratch),
            random_vit (the run's own shape from random weights). They take as long as the run did; finished ones are
            kept in the run folder and compared with ever after.
        pictures: show the worst predicted nodules; --no-pictures where images must not be passed on.
        seed: of the bootstrap.
        accelerator: hardware to train baselines on, such as cpu or gpu.
        external: name of another collection to validate the run on: all of its nodules, with the run's own calibration
            and thresholds. Its figures stand in RUN_DIR/external/NAME and the model card, beside the run's own.
        device: what the model runs on: auto (a GPU where there is one), cpu, cuda or cuda:1.
    """
    with quick_imports(for_good=True):
        from ctxai.data.labels import split_rows
        from ctxai.data.store import NoduleStore
        from ctxai.evaluate.predictions.decisions import MALIGNANCY, add_calls, choose_all, decisions
        from ctxai.evaluate.predictions.evaluation import SCORE, evaluate_predictions, predict_rows
        from ctxai.evaluate.predictions.external import refuse_other_store, refuse_seen_patients
        from ctxai.evaluate.predictions.plots import write_plots
        from ctxai.evaluate.predictions.worst_cases import write_worst_cases
        from ctxai.report.evaluation import write_evaluation_report
        from ctxai.run.files import refuse_edited
        from ctxai.run.run import Run

    run = Run.load(run_dir).to(device)
    refuse_edited(run_dir)
    store = NoduleStore(store_dir)
    if external is not None:
        _validate(run, store, external, seed)
        return
    table = store.table
    split = split_rows(table, run.config.folds, run.own)
    refuse_seen_patients(run, store, split.test)
    refuse_other_store(run, store, split.test)
    predictions = predict_rows(run, store, split.test)
    predictions = _with_scan_facts(predictions, table.iloc[split.test])
    decided = decisions(predictions, run.own)
    validation = predict_rows(run, store, split.validation) if decided else predictions[:0]
    if MALIGNANCY in decided:
        _add_calibrations(predictions, validation)
    chosen = choose_all(validation, decided)
    add_calls(predictions, chosen, decided)
    if MALIGNANCY in decided:
        for name, scores in _scores(run, store_dir, table, split, features, baselines or (), accelerator).items():
            predictions[f"{name}{SCORE}"] = scores.round(_DECIMALS)
    metrics = evaluate_predictions(predictions, seed, own=run.own)
    write_plots(predictions, metrics, run_dir / "plots")
    worst = run_dir / "plots" / "worst_cases.png"
    if pictures and run.own is None:
        write_worst_cases(worst, predictions, store, split.test, run.views)
    else:
        worst.unlink(missing_ok=True)
    run.record({"test": metrics, "validation": chosen}, predictions)
    write_evaluation_report(run_dir / "evaluation.html", run.name, run.metrics, run_dir / "plots")
    _print(run, metrics, run.folder)


def _validate(run: Run, store: NoduleStore, name: str, seed: int) -> None:
    """Validate a run on another collection, beside its own figures."""
    from ctxai.evaluate.predictions.external import evaluate_external, external_rows
    from ctxai.evaluate.predictions.plots import write_plots
    from ctxai.folder_kinds import refuse_to_lose
    from ctxai.report.evaluation import write_evaluation_report
    from ctxai.run.files import EXTERNAL_FILES

    if not re.fullmatch(_NAME, name):
        raise InputError(f"--external {name}: expected a name of letters, digits, '.', '_' and '-'")
    refuse_to_lose(run.folder / _EXTERNAL / name, EXTERNAL_FILES)
    rows = external_rows(run, store)
    metrics, predictions = evaluate_external(run, store, rows, seed)
    with atomic_folder(run.folder / _EXTERNAL / name) as folder:
        write_plots(predictions, metrics, folder / "plots")
        write_text(folder / "predictions.csv", predictions.to_csv(index=False, lineterminator="\n"))
        write_json(folder / "metrics.json", metrics)
        shown = {"test": metrics, "validation": run.metrics.get("validation", {})}
        write_evaluation_report(folder / "evaluation.html", f"{run.name} on {name}", shown, folder / "plots")
    run.record_external(name, metrics)
    _print(run, metrics, run.folder / _EXTERNAL / name)


def _add_calibrations(predictions: pd.DataFrame, validation: pd.DataFrame) -> None:
    """Add the columns of other calibrations of malignancy, fitted on validation nodules."""
    from ctxai.evaluate.predictions.evaluation import CALIBRATIONS
    from ctxai.run.calibration import other_probabilities

    known = validation[validation["label_malignancy"].notna()]
    labels = known["label_malignancy"].to_numpy(float)
    logits, chosen = (each["malignancy_logit"].to_numpy(float) for each in (known, predictions))
    for name, values in other_probabilities(logits, labels, chosen).items():
        predictions[CALIBRATIONS[name]] = values.round(_DECIMALS)


def _scores(
    run: Run,
    store_dir: Path,
    table: pd.DataFrame,
    split: Split,
    features: Path | None,
    baselines: Sequence[str],
    accelerator: str,
) -> dict[str, np.ndarray]:
    """Scores of the test rows by every baseline: those asked for, and those the run folder has."""
    import pandas as pd

    from ctxai.evaluate.predictions.baselines import NETWORKS, features_scores, network_scores

    scores = {}
    if features is not None:
        if not features.is_file():
            raise InputError(f"{features}: no such file; give a CSV with nodule_id and a column of numbers per feature")
        scores["features"] = features_scores(pd.read_csv(features), table, split.training, split.test)
    ids = table["nodule_id"].iloc[split.test].astype(str)
    folder = run.folder / _BASELINES
    unknown = sorted(set(baselines) - set(NETWORKS))
    if unknown:
        meant = did_you_mean(unknown[0], NETWORKS)
        raise InputError(f"--baselines {unknown[0]}: expected some of {', '.join(NETWORKS)}{meant}")
    for name in NETWORKS:
        kept = folder / f"{name}.csv"
        if not kept.is_file() and name in baselines:
            work_dir = folder / f".{name}.training"
            found = network_scores(name, run.config, store_dir, split.test, work_dir, accelerator)
            text = pd.DataFrame({"nodule_id": ids, "score": found.round(_DECIMALS)}).to_csv(index=False)
            write_text(kept, text)
        if kept.is_file():
            values = pd.read_csv(kept, dtype={"nodule_id": str}).set_index("nodule_id")["score"]
            if set(ids) - set(values.index):
                raise InputError(f"{kept}: made of other test nodules; remove it to train the baseline again")
            scores[name] = values.loc[ids].to_numpy(float)
    return scores


def _with_scan_facts(predictions: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Add what LIDC-IDRI's manifest knows and the store does not: slice thickness, and each reader's diameter."""
    import pandas as pd

    table = table.reset_index(drop=True)
    if "slice_thickness_mm" not in predictions:
        scans = pd.read_csv(resource("data_manifests", "scans.csv")).set_index("series_uid")["slice_thickness_mm"]
        thickness = table["series_uid"].map(scans[~scans.index.duplicated()])
        if thickness.notna().any():
            predictions = predictions.assign(slice_thickness_mm=thickness)
    if "reading_ids" in table and "diameter_ratings" not in predictions:
        readings = pd.read_csv(resource("data_manifests", "readings.csv")).set_index("reading_id")["diameter_mm"]
        values = [
            "|".join(f"{readings[int(i)]:g}" for i in str(ids).split("|") if i and int(i) in readings.index)
            for ids in table["reading_ids"].fillna("")
        ]
        if any(values):
            predictions = predictions.assign(diameter_ratings=values)
    return predictions


def _print(run: Run, metrics: dict[str, Any], folder: Path) -> None:
    from ctxai.run.decisions import decision_rows

    console = Console()
    if "malignancy" in metrics:
        console.print(_malignancy_table(run.name, metrics["malignancy"]))
    if metrics["targets"]:
        console.print(_agreement_table(run, metrics["targets"]))
    if "own_targets" in metrics:
        console.print(_own_table(run.name, metrics["own_targets"]))
    if decided := decision_rows(metrics, run.metrics.get("validation", {})):
        console.print(_decision_table(decided))
    console.print(f"{folder / 'evaluation.html'} shows everything", highlight=False, soft_wrap=True)


def _agreement_table(run: Run, found: dict[str, Any]) -> Table:
    title = f"agreement with the readers' mean, beside one reader's; intervals of {1 - run.calibration.alpha:.0%}"
    targets = Table(title=title, box=SIMPLE_HEAD, padding=(0, 0, 0, 1))  # whole on 80 columns
    targets.add_column("target", no_wrap=True)
    for heading in ("nodules", "MAE", "reader", "Spearman", "reader", "coverage", "width"):
        targets.add_column(heading, justify="right", no_wrap=True)
    for name, row in found.items():
        reader = row.get("readers", {}).get("reader", {})
        figures = (row["mae"], reader.get("mae"), row["spearman"], reader.get("spearman"), row["coverage"])
        targets.add_row(
            *(name, str(row["nodules"])),
            *("–" if each is None else _number(each["value"]) for each in figures),
            _number(row["interval_width"]),
        )
    return targets


def _own_table(name: str, found: dict[str, Any]) -> Table:
    from ctxai.run.own_figures import figure_rows

    table = Table(title=f"{name}: targets of its own", box=SIMPLE_HEAD, padding=(0, 0, 0, 1))
    table.add_column("target", no_wrap=True)
    for heading in ("nodules", "figure", "value", "95 %"):
        table.add_column(heading, justify="left" if heading == "figure" else "right", no_wrap=True)
    for target, nodules, figure, value in figure_rows(found):
        ends = f"{_number(value['low'])} – {_number(value['high'])}"
        table.add_row(target, str(nodules), figure, _number(value["value"]), ends)
    return table


def _decision_table(rows: list[DecisionRow]) -> Table:
    table = Table(title="decisions at thresholds of the validation fold", box=SIMPLE_HEAD, padding=(0, 0, 0, 1))
    table.add_column("target")
    table.add_column("chosen for")
    for heading in ("threshold", "sensitivity", "specificity", "PPV", "NPV"):
        table.add_column(heading, justify="right", no_wrap=True)
    for target, criterion, threshold, rates in rows:
        table.add_row(target, criterion, _number(threshold), *(_number(rate["value"]) for rate in rates))
    return table


def _malignancy_table(name: str, malignancy: dict[str, Any]) -> Table:
    summary = Table(
        title=f"{name}: {malignancy['nodules']} test nodules ({malignancy['malignant']} rated malignant) "
        f"of {malignancy['patients']} patients"
    )
    summary.add_column("malignancy")
    for heading in ("value", "95 %"):
        summary.add_column(heading, justify="right")
    rows = [("AUC", "auc"), ("precision-recall area", "pr_auc")]
    for key in malignancy:
        if key.startswith("auc_minus_"):
            baseline = key.removeprefix("auc_minus_")
            rows += [(f"AUC, {baseline}", f"{baseline}_auc"), ("  difference, paired", key)]
    rows += [("accuracy", "accuracy"), ("Brier score", "brier"), ("calibration error", "ece")]
    for title, key in rows:
        value = malignancy[key]
        summary.add_row(title, _number(value["value"]), f"{_number(value['low'])} – {_number(value['high'])}")
    return summary


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
