"""``ctxai benchmark``: every explanation method by every metric, on real nodules or on planted truth."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ctxai import __version__
from ctxai.data.labels import split_rows
from ctxai.data.planted import PlantedTruth, is_planted
from ctxai.data.store import TABLE, NoduleStore
from ctxai.errors import InputError, RunError
from ctxai.evaluate.case import to_pixels
from ctxai.evaluate.claims import judge_claims, judge_zones
from ctxai.evaluate.comparison import RANDOMISED, REFERENCE, blind_metrics, compare, controls, order_methods
from ctxai.evaluate.label_relations import label_correlations
from ctxai.evaluate.metric import Metric
from ctxai.evaluate.planted_check import PlantedCheck, check_planted
from ctxai.evaluate.protocol import FULL, Effort, make_metrics
from ctxai.evaluate.randomise import randomised
from ctxai.evaluate.scoring import COLUMNS, judge_method
from ctxai.evaluate.subjects import Subjects, choose_rows, read_subjects
from ctxai.explain.base import Attribution
from ctxai.explain.network import find_vit
from ctxai.explain.random_map import RandomMap
from ctxai.explain.registry import get_method, list_methods
from ctxai.explain.vision_diffmask import VisionDiffMask
from ctxai.files import atomic_path, sha256, write_json, write_text
from ctxai.models.run import Run
from ctxai.progress import track
from ctxai.report.benchmark import Findings, write_markdown, write_page
from ctxai.report.benchmark_figures import write_examples, write_pareto
from ctxai.stages.shards import parse_shard
from ctxai.stages.train_diffmask import load_gates

_SCORES = "scores"
_SHOWN = 6
_RANDOM_MAPS = 10

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _Plan:
    """What is done for every method."""

    run: Run
    subjects: Subjects
    targets: Sequence[str]
    metrics: Sequence[Metric]
    fill: str
    effort: Effort
    seed: int
    digest: str


def benchmark(
    run_dir: Path,
    store_dir: Path,
    out_dir: Path,
    *,
    methods: list[str] | None = None,
    metrics: list[str] | None = None,
    targets: list[str] | None = None,
    limit: int = 32,
    fill: str = "lung_mean",
    effort: Effort = Effort(),  # noqa: B008 (frozen)
    full: bool = False,
    shard: str = "0/1",
    seed: int = 0,
    resume: bool = True,
) -> None:
    """Judge every explanation method by every metric, on the test fold of the store that the run was trained on.

    OUT_DIR gets results.csv, results.md and benchmark.html: means over nodules with 95 % intervals over patients,
    differences to CDAM with tests corrected by Holm's method, the cost in forward passes, verdicts on published claims
    and on where readers look (claims.csv), what chance gives (controls.csv), and example maps. A random map and CDAM of
    the model with shuffled weights are judged beside. On a store of `ctxai planted` maps are also scored against the
    place of the evidence, provided that the run has learnt the trait.

    Without --full, curves have 10 steps, the targets after the first get fidelity and what needs no pass of the model,
    and metrics that explain again see 16 nodules; --effort.steps and its like change that. A killed benchmark goes on
    with the method where it stopped.

    Args:
        run_dir: run folder of the model.
        store_dir: the store that the run was trained on.
        out_dir: folder for the results.
        methods: explanation methods; without it all, vision_diffmask where `ctxai train-diffmask` has been run.
        metrics: metrics of explanations; without it all.
        targets: outputs to explain; without it all of the run's. Claims are judged on the first one.
        limit: nodules, as many malignant as benign ones; 0 takes the whole test fold.
        fill: what replaces removed pixels: lung_mean, blur or noise (made in HU), or a published one such as zero.
        effort: how thorough; the defaults suit a small model on two processor cores.
        full: as published, for a GPU: curves of 40 steps, all metrics for all targets, all nodules explained again.
        shard: i/n, the i-th of n equal parts of the methods; the last one to finish writes the tables.
        seed: of the choice of nodules, of metrics' draws and of the bootstrap.
        resume: keep the methods that are done.
    """
    index, count = parse_shard(shard)
    run, store = Run.load(run_dir), NoduleStore(store_dir)
    rows, check = _rows(run, store, store_dir)
    chosen = choose_rows(store.table, rows, limit or len(rows), seed)
    effort = FULL if full else effort
    contenders, missing = _contenders(run, methods, seed)
    token_pixels = int(find_vit(run.model).patch_embed.patch_size[0])
    wanted = make_metrics(metrics or [], fill, effort, token_pixels)
    plan = _plan(run, store, chosen, targets, wanted, fill, effort, seed)
    for number, (name, method) in enumerate(track(list(contenders.items()), "Judging explanation methods")):
        if number % count == index and not (resume and _done(out_dir, name, plan)):
            _judge(out_dir, name, method(), plan)
    if all(_done(out_dir, name, plan) for name in contenders):
        _write_results(out_dir, list(contenders), missing, plan, store, check)


def _rows(run: Run, store: NoduleStore, store_dir: Path) -> tuple[np.ndarray, PlantedCheck | None]:
    """The nodules of unseen patients; on planted truth those whose prediction the trait alone decides."""
    rows = split_rows(store.table, run.config.folds).test
    seen = sorted({patient for patient in store.table["patient_id"].iloc[rows] if run.in_sample(str(patient))})
    if seen:
        raise InputError(
            f"{store_dir}: {len(seen)} patients of its test fold were trained or calibrated on (first {seen[0]}); "
            "give the store that the run was trained on"
        )
    if not is_planted(store):
        return rows, None
    check = check_planted(run, PlantedTruth(store), rows)
    return rows[check.flipped], check


def _plan(
    run: Run,
    store: NoduleStore,
    chosen: np.ndarray,
    targets: Sequence[str] | None,
    metrics: Sequence[Metric],
    fill: str,
    effort: Effort,
    seed: int,
) -> _Plan:
    names = list(targets or run.target_names)
    unknown = [name for name in names if name not in run.target_names]
    if unknown:
        raise InputError(f"--targets {unknown[0]}: the run has {', '.join(run.target_names)}")
    subjects = read_subjects(store, chosen, run.views, PlantedTruth(store) if is_planted(store) else None)
    content = {
        "weights": run.weights_sha256,
        "table": sha256(store.path / TABLE),
        "rows": chosen.tolist(),
        "targets": names,
        "metrics": [[metric.name, metric.options] for metric in metrics],
        "effort": asdict(effort),
        "seed": seed,
        "version": __version__,
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
    return _Plan(run, subjects, names, metrics, fill, effort, seed, digest)


def _contenders(
    run: Run, names: Sequence[str] | None, seed: int
) -> tuple[dict[str, Callable[[], Attribution]], dict[str, str]]:
    """How to make each method, CDAM first, the controls last; and the methods that cannot run, with the reason."""
    found: dict[str, Callable[[], Attribution]] = {}
    missing: dict[str, str] = {}
    for name in [get_method(name).name for name in names] if names else list_methods():
        kind = get_method(name)
        if kind is VisionDiffMask:
            try:
                gates = load_gates(run)
            except RunError as error:
                missing[name] = str(error)
            else:
                found[name] = lambda gates=gates: gates
        elif "training" in kind.needs:
            missing[name] = "has to be trained for a run, which only Python code can do"
        else:
            found[name] = lambda kind=kind: kind(run.model)
    found.setdefault("random_map", lambda: get_method("random_map")(run.model))
    found[RANDOMISED] = lambda: get_method(REFERENCE)(randomised(run.model, seed))
    return {name: found[name] for name in order_methods(list(found))}, missing


def _judge(out_dir: Path, name: str, method: Attribution, plan: _Plan) -> None:
    """Scores, maps to show and, last, the record of one method."""
    draws = [
        judge_method(plan.run, each, plan.subjects, plan.targets, plan.metrics, plan.fill, plan.effort, plan.seed)
        for each in _draws(method)
    ]
    judged, keys = draws[0], list(COLUMNS[:-1])
    every = pd.concat([draw.scores for draw in draws])
    scores = every.groupby(keys, sort=False)["score"].mean().reset_index().assign(method=name)
    write_text(out_dir / _SCORES / f"{name}.csv", scores.to_csv(index=False, lineterminator="\n", float_format="%.9g"))
    first = _first_images(plan.subjects)
    size = tuple(plan.subjects.images.shape[2:])
    maps = to_pixels(judged.maps[first, 0], size, method.upsampling).float().numpy()
    with atomic_path(out_dir / _SCORES / f"{name}.npy") as temporary:
        np.save(temporary, maps, allow_pickle=False)
    record = {"digest": plan.digest, "options": method.options, "forward_passes": round(judged.forward_passes, 3)}
    record |= {"draws": len(draws)}
    write_json(out_dir / _SCORES / f"{name}.json", json.loads(json.dumps(record, default=str)))


def _draws(method: Attribution) -> list[Attribution]:
    """What is judged in a method's name: of the random map several, because chance is the mean and not one draw."""
    if not isinstance(method, RandomMap):
        return [method]
    return [RandomMap(method.model, method.seed + number) for number in range(_RANDOM_MAPS)]


def _done(out_dir: Path, name: str, plan: _Plan) -> bool:
    path = out_dir / _SCORES / f"{name}.json"
    return path.is_file() and json.loads(path.read_text(encoding="utf-8"))["digest"] == plan.digest


def _first_images(subjects: Subjects) -> np.ndarray:
    """The first image of each of the nodules that are shown."""
    return np.unique(subjects.nodule, return_index=True)[1][:_SHOWN]


def _write_results(
    out_dir: Path,
    names: Sequence[str],
    missing: Mapping[str, str],
    plan: _Plan,
    store: NoduleStore,
    check: PlantedCheck | None,
) -> None:
    files = [out_dir / _SCORES / f"{name}.csv" for name in names]
    scores = pd.concat([pd.read_csv(file, dtype={"place": str}).fillna({"place": ""}) for file in files])
    records = {name: json.loads((out_dir / _SCORES / f"{name}.json").read_text()) for name in names}
    table = compare(scores, plan.seed)
    table["forward_passes"] = table["method"].map(lambda name: records[name]["forward_passes"])
    claims = pd.concat([judge_claims(scores, plan.seed), judge_zones(scores, seed=plan.seed)], ignore_index=True)
    labels = label_correlations(store.table, plan.subjects.nodule_ids, plan.targets)
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
    place = "evidence" if "evidence" in plan.subjects.masks else "readers"
    title = f"Run {plan.run.name} on {store.path.name}: {len(plan.subjects)} nodules of unseen patients"
    outline = "the planted evidence" if place == "evidence" else "the readers' outline"
    findings = Findings(title, facts, table, claims, results["controls"], results["blind"], outline)
    faithfulness = next((m.label for m in plan.metrics if m.name == "fidelity"), plan.metrics[0].label)
    write_pareto(out_dir / "pareto.png", table, plan.targets[0], faithfulness)
    first = _first_images(plan.subjects)
    views = plan.run.views
    write_examples(
        out_dir / "examples.png",
        (plan.subjects.images[first, 0] * views.std + views.mean).numpy(),
        plan.subjects.masks[place][first].numpy(),
        {name: np.load(out_dir / _SCORES / f"{name}.npy", allow_pickle=False) for name in names},
        [f"{'malignant' if plan.subjects.labels[image] == 1 else 'benign'}" for image in first],
    )
    write_markdown(out_dir / "results.md", findings)
    write_page(out_dir / "benchmark.html", findings, out_dir / "pareto.png", out_dir / "examples.png")
    _print(findings, plan, faithfulness, out_dir)


def _facts(plan: _Plan, store: NoduleStore, check: PlantedCheck | None, missing: Mapping[str, str]) -> dict[str, str]:
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


def _print(findings: Findings, plan: _Plan, faithfulness: str, out_dir: Path) -> None:
    console = Console()
    table = findings.table[findings.table["target"] == plan.targets[0]]
    wanted = [faithfulness, *(m.label for m in plan.metrics if m.name in {"box_sensitivity", "compactness"})]
    place = "evidence" if "evidence" in plan.subjects.masks else "readers"
    columns = [*((label, "") for label in wanted), ("energy_inside", place)]
    shown = Table(title=f"{findings.title}; {plan.targets[0]}")
    shown.add_column("method")
    for label, where in columns:
        shown.add_column(escape(f"{label}{f' ({where})' if where else ''}"), justify="right")
    shown.add_column("forward passes", justify="right")
    cells = {key: rows.iloc[0] for key, rows in table.groupby(["method", "metric", "place"])}
    for method in order_methods(table["method"].unique()):
        rows = [cells.get((method, *column)) for column in columns]
        cost = table.loc[table["method"] == method, "forward_passes"].iloc[0]
        shown.add_row(method, *("–" if row is None else f"{row['value']:.3f}" for row in rows), f"{cost:.1f}")
    console.print(shown)
    for row in findings.claims[findings.claims["verdict"].notna()].itertuples(index=False):
        line = f"{row.claim} ({row.metric}, against {row.against}): {row.verdict}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(str(out_dir / "benchmark.html"), highlight=False, markup=False, soft_wrap=True)
