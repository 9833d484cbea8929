"""``ctxai benchmark``: every explanation method by every metric, on real nodules or on planted truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from ctxai.commands.options import CLUSTER
from ctxai.evaluate.explanations.effort import FULL, Effort
from ctxai.folder_kinds import BENCHMARK, refuse_foreign, refuse_other
from ctxai.progress import track
from ctxai.quick_imports import quick_imports
from ctxai.run.device import AUTO
from ctxai.shards import parse_shard


def benchmark(
    run_dir: Path,
    store_dir: Path,
    out_dir: Path,
    /,
    *,
    methods: list[str] | None = None,
    metrics: list[str] | None = None,
    targets: list[str] | None = None,
    limit: int = 32,
    fill: str = "lung_mean",
    effort: Effort = Effort(),
    full: bool = False,
    shard: Annotated[str, CLUSTER] = "0/1",
    seed: int = 0,
    resume: bool = True,
    device: str = AUTO,
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
        run_dir: run folder of the model, or the name of a run that comes with the package.
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
        resume: keep the methods that are done; a folder with scores of other options is refused. --no-resume judges
            all again and replaces such scores.
        device: what the model runs on: auto (a GPU where there is one), cpu, cuda or cuda:1.
    """
    with quick_imports(for_good=True):
        from ctxai.benchmark.plan import contenders, make_plan, unseen_rows
        from ctxai.benchmark.results import RESULT_FILES, write_results
        from ctxai.benchmark.runner import is_evaluated, refuse_other_plan, run_method
        from ctxai.data.store import NoduleStore
        from ctxai.evaluate.explanations.evaluation_set import choose_rows
        from ctxai.evaluate.explanations.protocol import make_metrics
        from ctxai.explain.network import find_vit
        from ctxai.run.run import Run

    index, count = parse_shard(shard)
    refuse_other(out_dir, BENCHMARK, (run_dir, store_dir))
    if not any((out_dir / "scores").glob("*.json")):
        refuse_foreign(out_dir, BENCHMARK, RESULT_FILES)
    run, store = Run.open(run_dir, device), NoduleStore(store_dir)
    rows, check = unseen_rows(run, store)
    chosen = choose_rows(store.table, rows, limit or len(rows), seed, run.own)
    effort = FULL if full else effort
    methods_by_name, missing = contenders(run, methods, seed)
    token_pixels = find_vit(run.model).patch_embed.feat_ratio()
    assert isinstance(token_pixels, int)  # tokens of every run are square
    wanted = make_metrics(metrics or [], fill, effort, token_pixels)
    plan = make_plan(run, store, chosen, targets, wanted, fill, effort, seed)
    if resume:
        refuse_other_plan(out_dir, plan)
    for number, (name, method) in enumerate(track(list(methods_by_name.items()), "Judging explanation methods")):
        if number % count == index and not (resume and is_evaluated(out_dir, name, plan)):
            run_method(out_dir, name, method, plan)
    if all(is_evaluated(out_dir, name, plan) for name in methods_by_name):
        write_results(out_dir, list(methods_by_name), missing, plan, store, check)
