"""Results of a benchmark: tables, verdicts, figures and pages over all evaluated methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ctxai import __version__
from ctxai.benchmark.plan import Plan
from ctxai.benchmark.runner import maps_of, record_of, scores_of
from ctxai.data.store import TABLE, NoduleStore
from ctxai.evaluate.explanations.claims import evaluate_claims, evaluate_zones
from ctxai.evaluate.explanations.comparison import blind_metrics, compare, controls, order_methods
from ctxai.evaluate.explanations.metric import Metric
from ctxai.evaluate.explanations.planted_check import PlantedCheck
from ctxai.evaluate.predictions.label_relations import label_correlations
from ctxai.files import sha256, write_json, write_text
from ctxai.report.benchmark import Findings, write_markdown, write_page
from ctxai.report.benchmark_figures import write_examples, write_pareto

#: Names of the files that are written over all methods.
RESULT_FILES = (
    "results.csv",
    "claims.csv",
    "controls.csv",
    "blind.csv",
    "label_correlations.csv",
    "benchmark.json",
    "pareto.png",
    "examples.png",
    "results.md",
    "benchmark.html",
)


def write_results(
    out_dir: Path,
    names: Sequence[str],
    missing: Mapping[str, str],
    plan: Plan,
    store: NoduleStore,
    check: PlantedCheck | None,
) -> None:
    """Write everything over the methods, all of them evaluated, and print the most important figures.

    Args:
        out_dir: folder of the results.
        names: the methods, in their order.
        missing: methods that could not run, with the reason.
        plan: what was done.
        store: the nodules.
        check: whether the run has learnt the planted trait; None without planted truth.
    """
    scores, records = scores_of(out_dir, names), {name: record_of(out_dir, name) for name in names}
    table = compare(scores, plan.seed)
    table["forward_passes"] = table["method"].map(lambda name: records[name]["forward_passes"])
    claims = pd.concat([evaluate_claims(scores, plan.seed), evaluate_zones(scores, seed=plan.seed)], ignore_index=True)
    labels = label_correlations(store.table, plan.subjects.nodule_ids, plan.targets, plan.run.own)
    results = {"results": table, "claims": claims, "controls": controls(table), "blind": blind_metrics(table)}
    for name, content in (results | {"label_correlations": labels}).items():
        text = content.to_csv(index=False, lineterminator="\n", float_format="%.6g")
        write_text(out_dir / f"{name}.csv", text)
    facts = _facts(plan, store, check, missing)
    write_json(
        out_dir / "benchmark.json",
        {"facts": facts, "methods": {n: r["options"] for n, r in records.items()}, "not_run": dict(missing)}
        | {"metrics": {metric.label: metric.options for metric in plan.metrics}, "digest": plan.digest},
    )
    title = f"Run {plan.run.name} on {store.path.name}: {len(plan.subjects)} nodules of unseen patients"
    outline = {"evidence": "the planted evidence", "readers": "the readers' outline"}[plan.outline]
    findings = Findings(title, facts, table, claims, results["controls"], results["blind"], outline)
    summary = _summary(plan.metrics)
    write_pareto(out_dir / "pareto.png", table, plan.targets[0], summary[0].label)
    first, views = plan.shown, plan.run.views
    write_examples(
        out_dir / "examples.png",
        (plan.subjects.images[first, 0] * views.std + views.mean).cpu().numpy(),
        plan.subjects.masks[plan.outline][first].cpu().numpy(),
        {name: maps_of(out_dir, name) for name in names},
        ["malignant" if plan.subjects.labels[image] == 1 else "benign" for image in first],
    )
    write_markdown(out_dir / "results.md", findings)
    write_page(out_dir / "benchmark.html", findings, out_dir / "pareto.png", out_dir / "examples.png")
    _print(findings, plan, summary, out_dir)


def _summary(metrics: Sequence[Metric]) -> list[Metric]:
    """Metrics of the printed summary, left to right: the first variant of each that asks for a place, or any metric."""
    first = {metric.name: metric for metric in reversed(metrics)}
    chosen = sorted((m for m in first.values() if m.summary_column is not None), key=lambda m: m.summary_column or 0)
    return chosen or list(metrics[:1])


def _facts(plan: Plan, store: NoduleStore, check: PlantedCheck | None, missing: Mapping[str, str]) -> dict[str, str]:
    subjects, effort = plan.subjects, plan.effort
    per_nodule = len(subjects.images) // len(subjects)
    facts = {
        "run": f"{plan.run.name}, weights {plan.run.weights_sha256}",
        "store": f"{store.path.name}, table {sha256(store.path / TABLE)}",
        "nodules": f"{len(subjects)} of {len(set(subjects.patient_ids))} patients, {per_nodule} image(s) each; "
        f"chosen with seed {plan.seed}, as many of either label as there are",
        "removed pixels": f"{plan.fill}, and blur_14 as published for fidelity; {effort.steps} steps, "
        f"{effort.boxes} boxes",
        "explained again": f"the first {min(effort.again, len(subjects))} nodules (stability, randomisation, "
        f"sensitivity to noise), {effort.draws} draws",
        "intervals": "95 %, bootstrap over patients, 1000 draws; tests against CDAM: Wilcoxon's signed-rank on the "
        "patients' means, Holm's correction for all tests of the benchmark",
        "software": f"ctxai {__version__}, torch {torch.__version__}",
    }
    if check is not None:
        facts["planted truth"] = (
            f"AUC {check.auc:.3f} on unseen patients; removing the trait flips {check.removed:.1%} of the predictions, "
            f"adding it {check.added:.1%}; only nodules that flip are scored"
        )
    for name, reason in missing.items():
        facts[f"{name} was not run"] = reason
    return facts


def _print(findings: Findings, plan: Plan, summary: Sequence[Metric], out_dir: Path) -> None:
    console = Console()
    table = findings.table[findings.table["target"] == plan.targets[0]]
    columns = [(metric.label, plan.outline if "mask" in metric.needs else "") for metric in summary]
    shown = Table(title=f"{findings.title}; {plan.targets[0]}")
    shown.add_column("method")
    for label, where in columns:
        shown.add_column(escape(f"{label}{f' ({where})' if where else ''}"), justify="right")
    shown.add_column("forward passes", justify="right")
    cells = {key: rows.iloc[0] for key, rows in table.groupby(["method", "metric", "place"])}
    for method in order_methods(list(table["method"].unique())):
        rows = [cells.get((method, *column)) for column in columns]
        cost = table.loc[table["method"] == method, "forward_passes"].iloc[0]
        shown.add_row(method, *("–" if row is None else f"{row['value']:.3f}" for row in rows), f"{cost:.1f}")
    console.print(shown)
    for row in findings.claims[findings.claims["verdict"].notna()].itertuples(index=False):
        line = f"{row.claim} ({row.metric}, against {row.against}): {row.verdict}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(str(out_dir / "benchmark.html"), highlight=False, markup=False, soft_wrap=True)
