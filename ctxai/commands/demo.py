"""``ctxai demo``: every stage in one go, on a synthetic cohort."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from ctxai.progress import console as progress_console
from ctxai.results_folder import PREDICTIONS

if TYPE_CHECKING:
    from ctxai.run.run import Run

_CONFIG = "hybrid-views.yaml"
_MARGIN_MM = "16"
_PICTURES = 12


def demo(
    *, out: Path = Path("demo-out"), patients: int = 70, explained: int = 4, seed: int = 0, workers: int = 0
) -> None:
    """Run phantom, ingest, train, evaluate and explain on a synthetic LIDC-IDRI, and show what came out.

    Nothing is downloaded and no patient's image is used. A second run goes on where the first stopped and leaves what
    is done. The test fold's patients are never trained or calibrated on; the ones explained are among them.

    Args:
        out: folder for everything; about 1.6 GB.
        patients: size of the cohort.
        explained: how many patients of the test fold get overlays.
        seed: of the cohort, the training and the bootstrap.
        workers: processes for drawing and ingesting; 0 takes every core.
    """
    from ctxai.report.contact_sheet import write_contact_sheet
    from ctxai.run.run import Run

    workers = workers or os.cpu_count() or 1
    dicom, store, run, results = out / "dicom", out / "store", out / "run", out / "explained"
    common = ["--workers", str(workers)]
    cohort = ["--patients", str(patients), "--margin_mm", _MARGIN_MM, "--seed", str(seed)]
    _stage(1, ["phantom", str(dicom), *cohort, *common])
    _stage(2, ["ingest", str(dicom), str(store), *common])
    _stage(3, ["train", str(store), str(run), "--config", _CONFIG, "--seed", str(seed)])
    _stage(4, ["evaluate", str(run), str(store), "--seed", str(seed)])
    chosen = _test_patients(store, run, explained)
    for patient in chosen:
        _stage(5, ["explain", str(dicom / patient), str(results), "--run", str(run)])
    rows = json.loads((results / PREDICTIONS).read_text())["nodules"]
    rows = [row for row in rows if row["nodule_id"].rpartition("-")[0] in chosen and row["n_readers"] >= 3]
    rows.sort(key=lambda row: -row["readers_malignancy"])
    write_contact_sheet(out / "contact_sheet.png", results, rows[:_PICTURES])
    _show(out, rows, Run.load(run))


def _stage(number: int, arguments: list[str]) -> None:
    """Run one stage as a user would type it, saying so."""
    from ctxai.cli import run_command

    progress_console.print(f"[bold]{number}/5[/bold] ctxai {' '.join(arguments)}", highlight=False, soft_wrap=True)
    started = time.monotonic()
    run_command(arguments)
    progress_console.print(f"    {time.monotonic() - started:.0f} s", highlight=False)


def _test_patients(store: Path, run: Path, count: int) -> list[str]:
    """Patients of the test fold by turns: one whose nodules are mostly malignant, one whose are mostly benign."""
    from ctxai.data.store import NoduleStore
    from ctxai.run.run import Run

    table = NoduleStore(store).table
    test = table[(table.fold == Run.load(run).config.folds.test) & (table.fault == "") & table.label_malignancy.notna()]
    malignant_share = test.groupby("patient_id").label_malignancy.mean()
    malignant = list(malignant_share.index[malignant_share > 0.5])
    benign = list(malignant_share.index[malignant_share <= 0.5])
    turns = [patient for pair in zip(malignant, benign, strict=False) for patient in pair]
    return (turns + [p for p in malignant + benign if p not in turns])[:count]


def _show(out: Path, rows: list[dict[str, Any]], run: Run) -> None:
    method, metrics = run.default_methods[0], run.metrics["test"]
    table = Table(
        title="Malignancy of nodules the model never saw: the readers' mean and the prediction (1 to 5),\n"
        f"and the share of positive evidence ({method}) inside the nodule. Synthetic CT, research use only.",
        title_justify="left",
    )
    table.add_column("nodule", no_wrap=True)
    for heading in ("readers", "predicted [90 %]", "evidence inside", "chance"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row["nodule_id"],
            f"{row['readers_malignancy']:.2f}",
            f"{row['malignancy']:.2f} [{row['malignancy_low']:.2f}, {row['malignancy_high']:.2f}]",
            _percent(row[f"{method}_malignancy_inside"]),
            _percent(row[f"{method}_malignancy_inside_by_chance"]),
        )
    console = Console()
    console.print(table)
    malignancy, auc = metrics["malignancy"], metrics["malignancy"]["auc"]
    console.print(
        f"Test fold: AUC {auc['value']:.3f} (95 % {auc['low']:.3f} to {auc['high']:.3f}) on {malignancy['nodules']} "
        f"nodules of {malignancy['patients']} patients; the 90 % intervals hold "
        f"{metrics['targets']['malignancy']['coverage']['value']:.0%} of the readers' mean ratings.",
        highlight=False,
    )
    console.print("\nTo look at:", highlight=False)
    for name, what in (
        ("contact_sheet.png", f"CT beside overlay, the first {_PICTURES} nodules above"),
        ("explained/report.html", "the same with all biomarkers, for a browser"),
        ("explained", "NIfTI for 3D Slicer, DICOM Parametric Maps and Segmentations for OHIF and Weasis"),
        ("dicom", "the synthetic CT series they belong to"),
        ("run/model_card.md", "what the model is, and what it is not"),
    ):
        console.print(f"  {out / name}  {what}", highlight=False, soft_wrap=True)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"
