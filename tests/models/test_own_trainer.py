"""The classifier and the data module in a trainer that knows nothing of this package."""

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from ctxai.data.datamodule import NoduleDataModule
from ctxai.data.settings import AugmentConfig, FoldConfig, ViewConfig
from ctxai.models.classifier import NoduleClassifier
from ctxai.models.settings import BackboneConfig, OptimConfig, TuneConfig

from cohorts import sphere_store


@pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning")
def test_both_train_in_anyones_trainer(tmp_path):
    store = sphere_store(tmp_path / "store", nodules=40, depth=1)
    views = ViewConfig(views=("axial",), pixels=16)
    data = NoduleDataModule(store.path, views, AugmentConfig(), FoldConfig(), batch_size=8)
    model = NoduleClassifier(
        BackboneConfig(depth=1), pixels=16, optim=OptimConfig(epochs=2, batch_size=8), tune=TuneConfig(lora_rank=2)
    )
    model.fit_scaler(data.targets[data.split.training])
    before = {name for name in model.state_dict() if "base" in name}
    seen = []
    model.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, data)
    assert before and not [name for name in model.state_dict() if "base" in name]  # adapters are plain weights now
    assert len(model.epoch_losses) == 2 and np.isfinite(model.epoch_losses).all()
    assert seen and torch.isfinite(trainer.callback_metrics["validation_loss"])
