"""``ctxai train``: from a nodule store to a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ctxai.data.settings import AugmentConfig, FoldConfig, LabelKind, ViewConfig
from ctxai.folder_kinds import RUN, refuse_to_replace
from ctxai.models.settings import BackboneConfig, HeadsConfig, LossConfig, OptimConfig, TuneConfig
from ctxai.training.settings import ComputeConfig, Execution


def train(
    store_dir: Path,
    run_dir: Path,
    /,
    *,
    views: ViewConfig = ViewConfig(),
    backbone: BackboneConfig = BackboneConfig(),
    optim: OptimConfig = OptimConfig(),
    augment: AugmentConfig = AugmentConfig(),
    folds: FoldConfig = FoldConfig(),
    label: LabelKind = "soft",
    shuffle_labels: bool = False,
    half_precision: bool = False,
    seed: int = 0,
    targets: list[str] | None = None,
    tune: TuneConfig = TuneConfig(),
    loss: LossConfig = LossConfig(),
    compute: ComputeConfig = ComputeConfig(),
    heads: HeadsConfig = HeadsConfig(),
    trainer: dict[str, str] = {},  # noqa: B006
    execution: Annotated[Execution, Parameter(name="*")] = Execution(),
) -> None:
    """Fine-tune a vision transformer on a nodule store and write a run folder.

    The training budget is fixed and the last (averaged) weights are kept, so that nothing is selected by a held-out
    fold, unless optim.patience asks for it. The validation fold is used once, after training, to calibrate. A killed
    training goes on from its last checkpoint when the same command is given again; a finished run of the same options
    is left as it is.

    Args:
        store_dir: nodule store with ratings and folds.
        run_dir: run folder to write; it appears whole, at the end.
        views: images of a nodule; their statistics come from the training nodules.
        backbone: the vision transformer.
        optim: the training budget.
        augment: random changes while training.
        folds: which nodules are for what; folds.test all trains on every fold in turn, and writes the ensemble.
        label: soft learns (mean rating - 1) / 4 as a probability, hard learns whether the median rating is above 3,
            rating learns the mean rating itself.
        shuffle_labels: permute labels between training patients; such a run has to end at chance level.
        half_precision: store the weights in half precision.
        seed: of the initial weights, the order of nodules and the augmentation.
        targets: what is predicted, malignancy or biomarkers or some of each; all nine when not given.
        tune: which weights of the backbone learn.
        loss: what is minimised.
        compute: precision, compilation, accumulation.
        heads: how the embedding is read out, and what is learnt beside the targets.
        trainer: flags of Lightning's Trainer, each as --trainer.FLAG VALUE, such as --trainer.profiler simple.
        execution: hardware, logger, and what happens to files that are there.
    """
    from ctxai.data.labels import TARGETS
    from ctxai.data.targets import read_targets
    from ctxai.evaluate.predictions.cross_validation import train_folds
    from ctxai.run.config import RunConfig
    from ctxai.run.training import train_run
    from ctxai.training.trainer_flags import trainer_flags

    config = RunConfig(
        *(views, backbone, optim, augment, folds, label, shuffle_labels, half_precision, seed),
        targets=read_targets(targets) if targets else TARGETS,
        tune=tune,
        loss=loss,
        compute=compute,
        heads=heads,
        trainer=trainer_flags(trainer),
    )
    refuse_to_replace(run_dir, RUN)
    train_all = train_folds if folds.test == "all" else train_run
    train_all(config, store_dir, run_dir, execution)
