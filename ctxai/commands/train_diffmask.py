"""``ctxai train-diffmask``: the gates that the method vision_diffmask needs, for one run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from ctxai.data.settings import ViewConfig
from ctxai.errors import InputError
from ctxai.explain.diffmask.settings import DiffMaskSettings, Groups
from ctxai.progress import track
from ctxai.run.device import AUTO

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch

    from ctxai.data.patches import Patches
    from ctxai.run.run import Run

#: Published rates suit 30 000 steps; these suit the few thousand that a cohort of nodules gives.
SETTINGS = DiffMaskSettings(learning_rate=1e-3, placeholder_rate=1e-2, warmup_steps=50, scale=10.0, offset=5.0)

_SHOWN = 16
_OPEN = 0.95


def train_diffmask(
    run_dir: Path,
    store_dir: Path,
    /,
    *,
    out: Path | None = None,
    epochs: int = 20,
    batch_size: int = 32,
    settings: DiffMaskSettings = SETTINGS,
    seed: int = 0,
    device: str = AUTO,
) -> None:
    """Train the gates of Vision DiffMask for a run, on the views of the patients that the run was trained on.

    The gates learn which patches can be hidden while the run's answer stays: malignancy and own binary and ordinal
    targets as probabilities (the Bernoulli divergence of the logit), classes as a distribution (the divergence of their
    softmax), biomarkers and own numbers as such (squared errors of their z-scores). The run itself is not changed.
    The margin is for all outputs together: a run with many needs a larger one than a run with one. Afterwards
    `ctxai explain --run RUN_DIR --method vision_diffmask` uses the gates. The same command gives the same bytes, and
    replaces gates that are there.

    Args:
        run_dir: run folder of the model.
        store_dir: the store that the run was trained on.
        out: file to write, safetensors; without it, diffmask.safetensors in RUN_DIR, where explain looks.
        epochs: passes over the training nodules.
        batch_size: images per step; all views of a nodule are in one step.
        settings: of the optimisation.
        seed: of the gates' first weights, of their draws and of the order of nodules.
        device: what the model runs on: auto (a GPU where there is one), cpu, cuda or cuda:1.
    """
    import numpy as np

    from ctxai.data.patches import Patches
    from ctxai.data.store import NoduleStore
    from ctxai.data.views import render_own_views
    from ctxai.explain.methods.vision_diffmask import VisionDiffMask
    from ctxai.run.files import GATES
    from ctxai.run.run import Run

    if epochs < 1 or batch_size < 1:
        raise InputError(f"--epochs {epochs} --batch_size {batch_size}: expected at least 1 of both")
    run = Run.load(run_dir).to(device)
    path = run_dir / GATES if out is None else out
    if path.exists():
        VisionDiffMask(run.model, path)  # gates are replaced, another file is not
    store = NoduleStore(store_dir)
    rows = _training_rows(run, store.table, store_dir)
    patches = Patches(store, rows)
    images = _Images(patches, rows, run.views, batch_size, seed)
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    groups = _groups(run) if settings.divergence == "auto" else None
    method = VisionDiffMask(run.model).fit(images, epochs, settings, seed, groups=groups)
    method.save(path, run.weights_sha256)
    last = method.training_steps[-max(1, len(method.training_steps) // epochs) :]
    change = float(np.mean([step.divergence for step in last]))
    some = render_own_views(patches[rows[:_SHOWN]], run.views).flatten(0, 1).to(run.model.device)
    kept = float(method.attribute(some).mean())
    advice = ""
    if change > settings.margin:
        advice = "; give more --epochs"
    elif kept > _OPEN:
        advice = "; gates that hide nothing explain nothing: allow more change by --settings.margin"
    Console().print(
        f"{len(method.training_steps)} steps on {len(rows)} nodules; {kept:.0%} of the patches are kept, "
        f"and the answer changes by {change:.3f} (allowed: {settings.margin:g}){advice}",
        highlight=False,
        soft_wrap=True,
    )


def _groups(run: Run) -> Groups:
    """Outputs with the divergence that suits their kind."""
    kinds: dict[str, list[int]] = {"bernoulli": [], "squared": []}
    groups: list[Any] = []
    for place, name in enumerate(run.target_names):
        owner = None if run.own is None else run.own.owner(name)
        if owner is None or owner.kind != "multiclass":
            number = name != "malignancy" if owner is None else owner.kind == "regression"
            kinds["squared" if number else "bernoulli"].append(place)
        elif name == owner.outputs[0]:
            groups.append(("categorical", list(range(place, place + len(owner.outputs)))))
    return [*((kind, places) for kind, places in kinds.items() if places), *groups]


class _Images:
    """The run's own images of nodules, in another order every time they are iterated."""

    def __init__(self, patches: Patches, rows: np.ndarray, views: ViewConfig, batch_size: int, seed: int) -> None:
        import numpy as np

        self._patches, self._rows, self._views = patches, rows, views
        self._nodules = max(1, batch_size // (len(views.views) * len(views.slice_offsets_mm)))
        self._order = np.random.default_rng(seed)

    def __iter__(self) -> Iterator[torch.Tensor]:
        from ctxai.data.views import render_own_views

        rows = self._order.permutation(self._rows)
        starts = range(0, len(rows), self._nodules)
        for start in track(starts, "Training the gates"):
            hu = self._patches[rows[start : start + self._nodules]]
            yield render_own_views(hu, self._views).flatten(0, 1)


def _training_rows(run: Run, table: pd.DataFrame, store_dir: Path) -> np.ndarray:
    """Rows of the nodules that the run was trained on.

    Raises:
        StoreError: as :func:`~ctxai.data.labels.split_rows`.
        InputError: when the store holds other patients there.
    """
    from ctxai.data.labels import split_rows

    rows = split_rows(table, run.config.folds, run.own).training
    others = sorted(set(table["patient_id"].iloc[rows].astype(str)) - set(run.provenance["patients"]["training"]))
    if others:
        raise InputError(
            f"{store_dir}: the run was not trained on {len(others)} patients of its training folds "
            f"(first {others[0]}); give the store that the run was trained on"
        )
    return rows
