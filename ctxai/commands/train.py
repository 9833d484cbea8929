"""``ctxai train``: from a nodule store to a run folder."""

from __future__ import annotations

import hashlib
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ctxai.data.settings import AugmentConfig, FoldConfig, LabelKind, ViewConfig
from ctxai.errors import RunError
from ctxai.folder_kinds import RUN, kind_of, refuse_to_replace
from ctxai.models.settings import BackboneConfig, LossConfig, TuneConfig
from ctxai.training.settings import ComputeConfig, OptimConfig

if TYPE_CHECKING:
    from ctxai.data.datamodule import NoduleDataModule
    from ctxai.models.classifier import NoduleClassifier
    from ctxai.run.config import RunConfig
    from ctxai.run.run import Run

_BLOCK = 64

logger = logging.getLogger(__name__)


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
    workers: int = 0,
    accelerator: str = "auto",
    devices: int = 1,
    num_nodes: int = 1,
    targets: list[str] | None = None,
    tune: TuneConfig = TuneConfig(),
    loss: LossConfig = LossConfig(),
    compute: ComputeConfig = ComputeConfig(),
    resume: bool = True,
    overwrite: bool = False,
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
        folds: which nodules are for what.
        label: soft learns (mean rating - 1) / 4 as a probability, hard learns whether the median rating is above 3,
            rating learns the mean rating itself.
        shuffle_labels: permute labels between training patients; such a run has to end at chance level.
        half_precision: store the weights in half precision.
        seed: of the initial weights, the order of nodules and the augmentation.
        workers: processes that render images; 0 renders in the training process.
        accelerator: Lightning's name of the hardware, such as cpu or gpu.
        devices: how many of them; under SLURM and torchrun, on each machine. A step's images are shared out.
        num_nodes: machines, started by SLURM or torchrun.
        targets: what is predicted, malignancy or biomarkers or some of each; all nine when not given.
        tune: which weights of the backbone learn.
        loss: what is minimised.
        compute: precision, compilation, accumulation.
        resume: go on from the last checkpoint, and keep a finished run.
        overwrite: a finished run of other options or of another store is replaced at the end; it is refused otherwise.
    """
    import torch
    from pytorch_lightning.utilities import rank_zero_only

    from ctxai.data.datamodule import NoduleDataModule
    from ctxai.data.labels import TARGETS, in_order
    from ctxai.run.calibration import Calibration
    from ctxai.run.config import RunConfig
    from ctxai.run.provenance import provenance_of
    from ctxai.run.run import Run, round_weights
    from ctxai.training.trainer import fit

    config = RunConfig(
        *(views, backbone, optim, augment, folds, label, shuffle_labels, half_precision, seed),
        targets=in_order(targets) if targets else TARGETS,
        tune=tune,
        loss=loss,
        compute=compute,
    )
    data = NoduleDataModule(
        *(store_dir, views, augment, folds, label, shuffle_labels, optim.batch_size, seed, workers, compute.accumulate)
    )
    config = replace(config, views=data.views)
    provenance = provenance_of(store_dir, data.table, data.split, seed)
    refuse_to_replace(run_dir, RUN)
    if resume and kind_of(run_dir) and _is_finished(run_dir, config, provenance["store"], overwrite):
        logger.info("%s: this run is finished; nothing to do", run_dir)
        return
    torch.manual_seed(seed)
    model = config.make_model()
    model.fit_scaler(data.targets[data.split.training])
    work_dir = _work_folder(run_dir, config, provenance["store"], resume)
    hardware = {"accelerator": accelerator, "devices": devices, "num_nodes": num_nodes, "compute": compute}
    fit(model, data, work_dir, seed=seed, resume=resume, **hardware)
    if rank_zero_only.rank != 0:
        return
    if half_precision:
        round_weights(model)
    run = Run(run_dir.name, config, model, Calibration(), provenance)
    run.metrics = {"training": _record(model, config)}
    _calibrate(run, data)
    _fit_novelty(run, data)
    run.save(run_dir)
    shutil.rmtree(work_dir.parent)
    logger.info("run %s: %d epochs on %d nodules", run_dir, len(model.epoch_losses), len(data.split.training))


def _record(model: NoduleClassifier, config: RunConfig) -> dict[str, object]:
    """What `metrics.json` says of the training."""
    from ctxai.data.labels import NODULE_FOLDS

    record: dict[str, object] = {"epoch_losses": [round(loss, 6) for loss in model.epoch_losses]}
    if config.optim.patience:
        record["selected_by"] = "the validation fold: calibration on it does not guarantee its coverage"
    if config.folds.unit == "nodule":
        record["folds"] = NODULE_FOLDS
    return record


def _calibrate(run: Run, data: NoduleDataModule) -> None:
    """Fit the run's calibration on the validation fold, and keep its predictions there."""
    import numpy as np

    from ctxai.data.labels import TARGETS, targets_of
    from ctxai.data.patches import Patches
    from ctxai.run.calibration import Calibration

    rows = data.split.validation
    predictions = run.predict(Patches(data.store, rows)[rows]).reindex(columns=["malignancy_logit", *TARGETS])
    table = data.table.iloc[rows]
    truths = targets_of(table)
    truths[:, 0] = 1 + 4 * truths[:, 0]
    run.calibration = Calibration.fit(
        predictions["malignancy_logit"].to_numpy(),
        table["label_malignancy"].to_numpy(float),
        predictions[list(TARGETS)].to_numpy(),
        truths.astype(np.float64),
    )


def _fit_novelty(run: Run, data: NoduleDataModule) -> None:
    """Record what the training nodules look like, so that the run can tell how unlike them another nodule is."""
    import numpy as np

    from ctxai.data.patches import Patches
    from ctxai.run.ood import Novelty

    rows = data.split.training
    patients = data.table["patient_id"].to_numpy()[rows]
    if len(set(patients)) > 1:
        patches = Patches(data.store, rows, memory_limit_bytes=0)
        blocks = np.array_split(rows, -(-len(rows) // _BLOCK))
        run.novelty = Novelty.fit(np.concatenate([run.features(patches[block]) for block in blocks]), patients)


def _is_finished(run_dir: Path, config: RunConfig, store: dict[str, object], overwrite: bool) -> bool:
    """Whether the folder holds this very run.

    Raises:
        RunError: when it holds another one that is not to be replaced.
    """
    from ctxai.run.run import Run

    found = Run.load(run_dir)
    if found.config == config and found.provenance["store"] == store:
        return True
    if overwrite:
        return False
    what = "another store" if found.config == config else "other options"
    raise RunError(f"{run_dir}: holds a run of {what}; give another folder, or --overwrite to replace it")


def _work_folder(run_dir: Path, config: RunConfig, store: dict[str, object], resume: bool) -> Path:
    """The folder beside the run that holds its checkpoint; checkpoints of other options or stores are removed.

    It is named by options and store, so that every process of a training finds the same one without asking.
    """
    from pytorch_lightning.utilities import rank_zero_only

    name = hashlib.sha256(f"{config.to_yaml()}{sorted(store.items())}".encode()).hexdigest()[:12]
    folder = run_dir.with_name(f".{run_dir.name}.training") / name
    if rank_zero_only.rank == 0:
        for other in folder.parent.glob("*"):
            if other != folder or not resume:
                shutil.rmtree(other) if other.is_dir() else other.unlink()
        folder.mkdir(parents=True, exist_ok=True)
    return folder
