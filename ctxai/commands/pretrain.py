"""``ctxai pretrain``: from a nodule store, without its labels, to a backbone that knows what lung CT looks like."""

from __future__ import annotations

import json
import logging
import platform
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ctxai import __version__
from ctxai.data.settings import MultiCropConfig, ViewConfig
from ctxai.errors import RunError, StoreError
from ctxai.files import sha256, write_text
from ctxai.folder_kinds import BACKBONE, kind_of, refuse_to_lose, refuse_to_replace
from ctxai.models.settings import BackboneConfig, DinoConfig
from ctxai.progress import track
from ctxai.training.settings import LOGS, Execution

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from ctxai.ct.series import CTSeries
    from ctxai.data.store import NoduleStore
    from ctxai.deidentification.pseudonyms import Pseudonymizer
    from ctxai.run.pretrained import PretrainConfig

_PACKAGES = ("torch", "timm", "lightly", "pytorch-lightning", "numpy", "safetensors")

logger = logging.getLogger(__name__)


def pretrain(
    store_dir: Path,
    run_dir: Path,
    /,
    *,
    series: list[Path] | None = None,
    key: Path | None = None,
    windows: int = 256,
    views: ViewConfig = ViewConfig(),
    backbone: BackboneConfig = BackboneConfig(drop_path_rate=0.0),
    crops: MultiCropConfig = MultiCropConfig(),
    optim: DinoConfig = DinoConfig(),
    leave_out_fold: int | None = None,
    half_precision: bool = False,
    seed: int = 0,
    trainer: dict[str, str] = {},  # noqa: B006
    execution: Annotated[Execution, Parameter(name="*")] = Execution(),
) -> None:
    """Train a vision transformer on the images of a nodule store without labels, by DINO's self-distillation.

    The folder that it writes goes to `ctxai train` as backbone.weights. All rows without a fault are used. A killed
    pretraining goes on from its last checkpoint when the same command is given again; a finished one of the same
    options is left as it is.

    Args:
        store_dir: nodule store; ratings are not needed.
        run_dir: folder to write; it appears whole, at the end.
        series: folders of further CT series, of which patches at random places in the body are used too.
        key: file with the secret that the store was made under, where their patients have no public id; without it,
            ~/.config/ctxai/deidentify.key.
        windows: how many patches of each further series.
        views: the images; their statistics come from the nodules.
        backbone: the vision transformer.
        crops: how the crops of one patch differ.
        optim: DINO's head and the training budget.
        leave_out_fold: leave out the patients of this fold, for a fine-tuning that tests on them.
        half_precision: store the weights in half precision.
        seed: of the initial weights, the order of patches and the crops.
        trainer: flags of Lightning's Trainer, each as --trainer.FLAG VALUE, such as --trainer.profiler simple.
        execution: hardware, logger, and what happens to files that are there.
    """
    import numpy as np
    import torch

    from ctxai.data.datamodule import with_statistics
    from ctxai.data.multicrop import MultiCropDataModule
    from ctxai.data.patches import Patches
    from ctxai.data.random_patches import PretrainingPatches, random_patches
    from ctxai.data.store import NoduleStore
    from ctxai.deidentification.pseudonyms import Pseudonymizer
    from ctxai.models.dino import Dino
    from ctxai.run.pretrained import BACKBONE_FILES, PretrainConfig, save_pretrained
    from ctxai.training.distributed import check_execution, is_first_process
    from ctxai.training.trainer import fit_dino
    from ctxai.training.trainer_flags import trainer_flags

    check_execution(execution)
    flags = trainer_flags(trainer)
    store = NoduleStore(store_dir)
    rows = _rows(store, leave_out_fold)
    nodules = Patches(store, rows)
    views = with_statistics(views, nodules, rows)
    config = PretrainConfig(views, backbone, crops, optim, windows, leave_out_fold, half_precision, seed, flags)
    scans = _open(series or [])
    names = Pseudonymizer(key)
    owners = [names(scan.headers[0]) for scan in scans]
    _refuse_left_out(scans, owners, names, store, leave_out_fold)
    provenance = _provenance(store, rows, scans, owners, config)
    refuse_to_replace(run_dir, BACKBONE)
    if execution.resume and kind_of(run_dir) and _is_finished(run_dir, config, provenance, execution.overwrite):
        logger.info("%s: this pretraining is finished; nothing to do", run_dir)
        return
    refuse_to_lose(run_dir, BACKBONE_FILES)
    cut = [random_patches(scan, windows, store.patch_shape, seed) for scan in track(scans, "Windows of further series")]
    patches = PretrainingPatches(nodules, rows, np.concatenate([np.empty((0, *store.patch_shape), np.int16), *cut]))
    data = MultiCropDataModule(patches, views, crops, optim.batch_size, seed, execution.workers)
    torch.manual_seed(seed)
    model = Dino(backbone, views.pixels, optim)
    work_dir = _work_folder(run_dir, config, provenance, execution)
    fit_dino(model, data, work_dir, seed=seed, execution=execution, flags=flags)
    if not is_first_process():
        return
    save_pretrained(run_dir, config, model.teacher, provenance, model.history, work_dir / LOGS)
    shutil.rmtree(work_dir)
    logger.info("pretraining %s: %d epochs on %d patches", run_dir, optim.epochs, len(patches))


def _rows(store: NoduleStore, leave_out_fold: int | None) -> np.ndarray:
    import numpy as np

    table = store.table
    good = table["fault"].fillna("") == ""
    if leave_out_fold is not None:
        left_out = _patients_of(table, leave_out_fold)
        good &= ~table["patient_id"].isin(left_out)
    if not good.any():
        raise StoreError(f"{store.path}: none of its {len(table)} nodules is usable; ingest it again")
    return np.flatnonzero(good)


def _patients_of(table: pd.DataFrame, fold: int) -> set[str]:
    patients = set(table.loc[table["fold"] == fold, "patient_id"]) if "fold" in table else set()
    if not patients:
        raise StoreError(f"the store has no patient in fold {fold}; give another leave_out_fold, or none")
    return patients


def _open(folders: Sequence[Path]) -> list[CTSeries]:
    from ctxai.ct.series import CTSeries, find_series

    return [CTSeries(headers) for folder in folders for _, headers in sorted(find_series(folder).items())]


def _refuse_left_out(
    scans: Sequence[CTSeries],
    owners: Sequence[str],
    names: Pseudonymizer,
    store: NoduleStore,
    leave_out_fold: int | None,
) -> None:
    if leave_out_fold is None or not scans:
        return
    left_out = _patients_of(store.table, leave_out_fold)
    names.refuse_foreign(left_out, store.path)
    for scan, owner in zip(scans, owners, strict=True):
        if owner in left_out:
            raise StoreError(
                f"{scan.source_label}: this patient is in fold {leave_out_fold}, which is left out; remove it"
            )


def _provenance(
    store: NoduleStore, rows: np.ndarray, scans: Sequence[CTSeries], owners: Sequence[str], config: PretrainConfig
) -> dict[str, Any]:
    from ctxai.data.store import TABLE
    from ctxai.run.provenance import git_commit

    table = store.table.iloc[rows]
    return {
        "ctxai": __version__,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "git_commit": git_commit(),
        "seed": config.seed,
        "store": {"table_sha256": sha256(store.path / TABLE), "nodules": len(store)},
        "patients": sorted({*table["patient_id"].astype(str), *owners}),
        "nodules": sorted(table["nodule_id"].astype(str)),
        "series": [
            {
                "series_uid": scan.series_uid,
                "patient_id": owner,
                "slices": len(scan.headers),
                "windows": config.windows,
            }
            for scan, owner in zip(scans, owners, strict=True)
        ],
    }


def _same_images(provenance: dict[str, Any]) -> dict[str, Any]:
    return {name: provenance[name] for name in ("store", "nodules", "series")}


def _is_finished(run_dir: Path, config: PretrainConfig, provenance: dict[str, Any], overwrite: bool) -> bool:
    """Whether the folder holds this very pretraining.

    Raises:
        RunError: when it holds another one that is not to be replaced.
    """
    from ctxai.run.pretrained import CONFIG, PROVENANCE

    try:
        found = json.loads((run_dir / PROVENANCE).read_text(encoding="utf-8"))
        same = (run_dir / CONFIG).read_text(encoding="utf-8") == config.to_yaml()
        same = same and _same_images(found) == _same_images(provenance)
    except (OSError, ValueError, KeyError) as error:
        raise RunError(f"{run_dir}: not the folder of a pretraining ({error}); give another folder") from None
    if same or overwrite:
        return same
    raise RunError(
        f"{run_dir}: holds a pretraining of other options or images; give another folder, or --overwrite to replace it"
    )


def _work_folder(run_dir: Path, config: PretrainConfig, provenance: dict[str, Any], execution: Execution) -> Path:
    """The folder beside the run that holds its checkpoint.

    Raises:
        RunError: when an interrupted pretraining of other options or images is there, and may be resumed.
    """
    from ctxai.run.pretrained import CONFIG
    from ctxai.run.training import interrupted
    from ctxai.training.checkpoints import CHECKPOINT
    from ctxai.training.distributed import is_first_process

    folder = run_dir.with_name(f".{run_dir.name}.training")
    if not is_first_process():
        return folder
    options = folder / "options.txt"
    text = config.to_yaml() + json.dumps(_same_images(provenance), sort_keys=True)
    same = options.is_file() and options.read_text(encoding="utf-8") == text
    keep = execution.resume and not execution.overwrite
    if folder.exists() and keep and not same and (folder / CHECKPOINT).is_file():
        raise RunError(interrupted(folder, folder / CONFIG, config.to_yaml()))
    if folder.exists() and not (execution.resume and same):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(options, text)
    write_text(folder / CONFIG, config.to_yaml())
    return folder
