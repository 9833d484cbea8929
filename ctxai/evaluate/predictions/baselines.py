"""Baselines of a run: hand-made features, a convolutional network, the run's own architecture from random weights.

Each baseline learns from the run's own training nodules and gives a score, higher for malignant, of any nodule.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import torch
from monai.networks.nets import resnet18
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from ctxai.data.patches import Patches
from ctxai.data.views import render_own_views
from ctxai.errors import InputError
from ctxai.models.classifier import NoduleClassifier
from ctxai.models.heads import NoduleHeads
from ctxai.models.settings import HeadsConfig, TuneConfig
from ctxai.run.config import RunConfig
from ctxai.training.distributed import check_execution
from ctxai.training.settings import Execution
from ctxai.training.trainer import fit

NETWORKS = ("resnet18", "random_vit")
"""Baselines that have to be trained: MONAI's ResNet-18 from scratch, and the run's own network from random weights."""

_BLOCK = 64

logger = logging.getLogger(__name__)


def network_scores(
    name: str, config: RunConfig, store_dir: Path, chosen: np.ndarray, work_dir: Path, accelerator: str = "auto"
) -> np.ndarray:
    """Malignancy outputs (row,) of a baseline network trained as the run was, on the same nodules.

    Same nodules, images, augmentation, labels, heads, loss, optimiser, budget and seed; only the network differs, or
    its first weights. A killed training goes on where it was.

    Args:
        name: one of `NETWORKS`.
        config: the run's options.
        store_dir: the store it was trained on.
        chosen: rows to score.
        work_dir: where a training keeps its checkpoint.
        accelerator: Lightning's name of the hardware.

    Raises:
        InputError: for another name; when the run predicts no malignancy; when it began from random weights itself;
            when the hardware is not here.
    """
    if name not in NETWORKS:
        raise InputError(f"baseline {name!r}: expected one of {', '.join(NETWORKS)}")
    if "malignancy" not in config.targets:
        raise InputError("baselines score malignancy, which this run does not predict")
    execution = Execution(accelerator=accelerator)
    check_execution(execution, config.compute)
    data = replace(config, heads=HeadsConfig()).make_data(store_dir)
    torch.manual_seed(config.seed)
    model = baseline_network(name, replace(config, views=data.views))
    model.fit_scaler(data.targets[data.split.training])
    work_dir.mkdir(parents=True, exist_ok=True)
    logger.info("baseline %s: training on %d nodules", name, len(data.split.training))
    fit(model, data, work_dir, seed=config.seed, execution=execution, compute=config.compute)
    patches = Patches(data.store, chosen, memory_limit_bytes=0)
    scores = []
    with torch.inference_mode():
        for start in range(0, len(chosen), _BLOCK):
            images = render_own_views(patches[chosen[start : start + _BLOCK]], data.views)
            scores.append(model(images.flatten(0, 1)).unflatten(0, images.shape[:2]).mean(1)[:, 0])
    return torch.cat(scores).double().numpy()


def baseline_network(name: str, config: RunConfig) -> NoduleClassifier:
    """The classifier of a baseline, untrained; all of its weights learn."""
    if name == "random_vit" and not (config.backbone.pretrained or config.backbone.weights):
        raise InputError("baseline random_vit: the run itself began from random weights")
    scratch = replace(config.backbone, pretrained=False, weights=None)
    model = replace(config, backbone=scratch, tune=TuneConfig(), heads=HeadsConfig()).make_model()
    if name == "resnet18":
        model.backbone = cast(VisionTransformer, ResNet18())  # has what the classifier calls
        model.heads = NoduleHeads(ResNet18.num_features, model.target_names)
    return model


class ResNet18(nn.Module):
    """MONAI's 2-D ResNet-18 without its last layer: images (N, 3, H, W) to features (N, 512)."""

    num_features = 512
    blocks = ()  # none that could learn at rates of their own

    def __init__(self) -> None:
        super().__init__()
        self.network = resnet18(spatial_dims=2, n_input_channels=3, conv1_t_stride=2, num_classes=1)
        self.network.fc = nn.Identity()  # type: ignore[assignment]  # MONAI types it as Linear

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features of images."""
        return self.network(images)

    def no_weight_decay(self) -> set[str]:
        """No parameter is spared beyond biases and norms."""
        return set()


def features_scores(
    features: pd.DataFrame, table: pd.DataFrame, training: np.ndarray, chosen: np.ndarray, seed: int = 0
) -> np.ndarray:
    """Log-odds of a logistic regression on hand-made features: the baseline that a model of pixels has to beat.

    It learns from the labelled training rows; the strength of its penalty comes from patient-level cross-validation
    inside of them.

    Args:
        features: one row per nodule, a column ``nodule_id`` and numbers.
        table: the store's table.
        training: rows to learn from.
        chosen: rows to score.
        seed: of the inner folds.

    Raises:
        InputError: when the features lack a nodule.
    """
    indexed = features.assign(nodule_id=features["nodule_id"].astype(str)).set_index("nodule_id")
    missing = set(table["nodule_id"].iloc[np.concatenate([training, chosen])].astype(str)) - set(indexed.index)
    if missing:
        raise InputError(f"features: {len(missing)} nodules of the store are missing, first {min(missing)}")
    labels = table["label_malignancy"].to_numpy(float)
    training = training[~np.isnan(labels[training])]
    values = {
        name: indexed.loc[list(table["nodule_id"].iloc[rows].astype(str))].to_numpy(float)
        for name, rows in (("training", training), ("chosen", chosen))
    }
    patients = table["patient_id"].to_numpy()[training]
    inner = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(training, labels[training], patients)
    regression = LogisticRegressionCV(
        Cs=10, cv=list(inner), scoring="roc_auc", max_iter=5000, l1_ratios=(0.0,), use_legacy_attributes=False
    )
    model = make_pipeline(StandardScaler(), regression)
    model.fit(values["training"], labels[training].astype(int))
    return model.decision_function(values["chosen"])
