"""One method scored by every metric: scores, maps and a record in files, so that a killed benchmark resumes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ctxai.benchmark.plan import Plan
from ctxai.errors import InputError
from ctxai.evaluate.explanations.batch import to_pixels
from ctxai.evaluate.explanations.scoring import COLUMNS, evaluate_method
from ctxai.explain.base import Attribution
from ctxai.explain.images import image_size
from ctxai.explain.methods.random_map import RandomMap
from ctxai.files import atomic_path, write_json, write_text

_RANDOM_MAPS = 10


def run_method(out_dir: Path, name: str, method: Attribution, plan: Plan) -> None:
    """Evaluate a method and keep its scores, its maps to show and, last, the record that says so."""
    draws = [
        evaluate_method(plan.run, each, plan.subjects, plan.targets, plan.metrics, plan.fill, plan.effort, plan.seed)
        for each in _draws(method)
    ]
    evaluated, keys = draws[0], list(COLUMNS[:-1])
    every = pd.concat([draw.scores for draw in draws])
    scores = every.groupby(keys, sort=False)["score"].mean().reset_index().assign(method=name)
    write_text(_place(out_dir, name, "csv"), scores.to_csv(index=False, lineterminator="\n", float_format="%.9g"))
    images = plan.subjects.images
    maps = to_pixels(evaluated.maps[plan.shown, 0], image_size(images), method.upsampling).float().cpu().numpy()
    with atomic_path(_place(out_dir, name, "npy")) as temporary:
        np.save(temporary, maps, allow_pickle=False)
    record = {"digest": plan.digest, "options": method.options, "forward_passes": round(evaluated.forward_passes, 3)}
    record |= {"draws": len(draws)}
    write_json(_place(out_dir, name, "json"), json.loads(json.dumps(record, default=str)))


def _draws(method: Attribution) -> list[Attribution]:
    """Methods to score under one name: several random maps, because chance is the mean and not one draw."""
    if not isinstance(method, RandomMap):
        return [method]
    return [RandomMap(method.model, method.seed + number) for number in range(_RANDOM_MAPS)]


def is_evaluated(out_dir: Path, name: str, plan: Plan) -> bool:
    """Whether a method has been evaluated by this plan."""
    return _place(out_dir, name, "json").is_file() and record_of(out_dir, name)["digest"] == plan.digest


def refuse_other_plan(out_dir: Path, plan: Plan) -> None:
    """Refuse a folder with scores of another plan, which would be replaced.

    Raises:
        InputError: naming such a method.
    """
    for path in sorted((out_dir / "scores").glob("*.json")):
        if record_of(out_dir, path.stem)["digest"] != plan.digest:
            raise InputError(
                f"{out_dir}: {path.stem} was judged by another run, store, version or other options, and would be "
                "replaced; give another folder, or --no-resume"
            )


def record_of(out_dir: Path, name: str) -> dict[str, Any]:
    """How a method was evaluated: the plan's digest, its options, its cost in forward passes."""
    return json.loads(_place(out_dir, name, "json").read_text(encoding="utf-8"))


def scores_of(out_dir: Path, names: Iterable[str]) -> pd.DataFrame:
    """The scores of several methods in one table."""
    files = [_place(out_dir, name, "csv") for name in names]
    return pd.concat([pd.read_csv(file, dtype={"place": str}).fillna({"place": ""}) for file in files])


def maps_of(out_dir: Path, name: str) -> np.ndarray:
    """A method's maps of the images that are shown, (image, row, column)."""
    return np.load(_place(out_dir, name, "npy"), allow_pickle=False)


def _place(out_dir: Path, name: str, kind: str) -> Path:
    return out_dir / "scores" / f"{name}.{kind}"
