"""The folder of `ctxai pretrain`: a backbone that was trained without labels, and its origin."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save

from ctxai.data.settings import MultiCropConfig, ViewConfig
from ctxai.files import atomic_folder, sha256, write_json, write_text
from ctxai.folder_kinds import refuse_to_lose
from ctxai.models.settings import BackboneConfig, DinoConfig
from ctxai.run.model_card import LIDC_DATA
from ctxai.training.settings import LOGS

CONFIG, WEIGHTS, PROVENANCE, METRICS, CARD = (
    "config.yaml",
    "weights.safetensors",
    "provenance.json",
    "metrics.json",
    "model_card.md",
)
#: Paths of a backbone's files in its folder.
BACKBONE_FILES = re.compile("|".join(map(re.escape, (CONFIG, WEIGHTS, PROVENANCE, METRICS, CARD))) + rf"|{LOGS}/.+")


@dataclass(frozen=True)
class PretrainConfig:
    """Everything that decides what a pretraining learns, apart from its images.

    Args:
        views: the global crops, with the statistics of the patches.
        backbone: the vision transformer.
        crops: how the crops of one patch differ.
        optim: DINO's head and the training budget.
        windows: patches at random places of every further CT series.
        leave_out_fold: fold whose patients were not seen; none for all.
        half_precision: whether weights are stored in half precision.
        seed: of the initial weights and of every random draw.
        trainer: flags of Lightning's Trainer that were given; not written where there are none.
    """

    views: ViewConfig = field(default_factory=ViewConfig)
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    crops: MultiCropConfig = field(default_factory=MultiCropConfig)
    optim: DinoConfig = field(default_factory=DinoConfig)
    windows: int = 256
    leave_out_fold: int | None = None
    half_precision: bool = False
    seed: int = 0
    trainer: dict[str, Any] = field(default_factory=dict)

    def to_yaml(self) -> str:
        """YAML text with every option, as `ctxai pretrain --config` takes it."""
        plain = json.loads(json.dumps(dataclasses.asdict(self), default=str))
        if not self.trainer:
            del plain["trainer"]
        return yaml.safe_dump(plain, sort_keys=False, default_flow_style=None)


def save_pretrained(
    path: Path,
    config: PretrainConfig,
    backbone: torch.nn.Module,
    provenance: dict[str, Any],
    history: Sequence[dict[str, float]],
    logs: Path,
) -> None:
    """Write the folder of a pretraining; it appears whole, and replaces one that is there.

    Args:
        path: the folder.
        config: options.
        backbone: the trained network.
        provenance: versions, store, patients, nodules and series.
        history: figures of every epoch.
        logs: folder of the training's logs, copied where it is there.

    Raises:
        InputError: when the folder cannot be written, or other files than a backbone's would be lost.
    """
    tensors = {
        name: (value.half() if config.half_precision else value).detach().cpu().contiguous()
        for name, value in backbone.state_dict().items()
    }
    refuse_to_lose(path, BACKBONE_FILES)
    with atomic_folder(path) as folder:
        (folder / WEIGHTS).write_bytes(save(tensors))
        record = provenance | {"weights_sha256": sha256(folder / WEIGHTS)}
        write_text(folder / CONFIG, config.to_yaml())
        write_json(folder / PROVENANCE, record)
        write_json(folder / METRICS, {"epochs": [_rounded(figures) for figures in history]})
        write_text(folder / CARD, model_card(path.name, config, record, history))
        if logs.is_dir():
            shutil.copytree(logs, folder / LOGS)


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in figures.items()}


def model_card(
    name: str, config: PretrainConfig, provenance: dict[str, Any], history: Sequence[dict[str, float]]
) -> str:
    """Markdown text, from the pretraining's own records alone."""
    views, backbone, crops, optim = config.views, config.backbone, config.crops, config.optim
    series = provenance["series"]
    lines = [
        f"# {name}",
        "",
        "A vision transformer that learnt from lung CT without labels (DINO, Caron et al. 2021): features to start "
        "other training from. It predicts nothing by itself.",
        "",
        "## Input",
        "",
        f"- Views: {', '.join(views.views)}; {views.field_of_view_mm:g} mm field of view, {views.pixels} x "
        f"{views.pixels} pixels, from voxels of 1 mm.",
        f"- HU clamped to {views.hu_window[0]:g} … {views.hu_window[1]:g}, standardised with mean {views.mean:g} and "
        f"standard deviation {views.std:g}.",
        "",
        "## Training",
        "",
        f"- Backbone {backbone.name}, patch size {backbone.patch_size or 'of the architecture'}, depth "
        f"{backbone.depth or 'of the architecture'}; the teacher's weights.",
        f"- {optim.epochs} epochs in batches of {optim.batch_size}; seed {config.seed}. Two global crops and "
        f"{crops.local_crops} local ones of {crops.local_field_of_view_mm:g} mm, none of them zoomed.",
        f"- Images: {len(provenance['nodules'])} nodules of {len(provenance['patients'])} patients; no label, rating "
        "or outline was read. `provenance.json` lists every patient and nodule.",
        *(
            f"- {found['windows']} patches at random places of series {found['series_uid']} of {found['patient_id']}."
            for found in series
        ),
        f"- Patients of fold {config.leave_out_fold} were left out."
        if config.leave_out_fold is not None
        else "- Patients of every fold were seen: fine-tuning on some and testing on others of them is transductive.",
        f"- Command: `ctxai pretrain STORE_DIR {name} --config config.yaml{' --series DICOM_DIR' if series else ''}`, "
        f"with this folder's `config.yaml` and a store of {provenance['store']['nodules']} nodules whose "
        f"`nodules.parquet` has the SHA-256 `{provenance['store']['table_sha256']}`.",
        "",
        "## Course",
        "",
        "| epoch | loss | teacher's entropy, nats | spread of features |",
        "|---|---|---|---|",
        *(
            f"| {number} | {history[number - 1]['loss']:.3f} | {history[number - 1]['teacher_entropy']:.3f} | "
            f"{history[number - 1]['feature_spread']:.3f} |"
            for number in sorted({1, max(1, len(history) // 2), len(history)})
            if history
        ),
        "",
        "## Limits",
        "",
        "- Research use only: not a medical device, and no output may guide the care of a patient.",
        "- It has seen nodules in the middle of its images, of one collection.",
        "",
    ]
    if any(str(patient).startswith("LIDC-IDRI-") for patient in provenance["patients"]):
        lines.append(LIDC_DATA)
    return "\n".join(lines)
