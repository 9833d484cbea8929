"""The nodule classifier: one vision transformer, a malignancy logit and eight biomarkers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from ctxai.data.labels import TARGETS
from ctxai.errors import ModelError
from ctxai.models.backbone import BackboneConfig, make_backbone
from ctxai.models.heads import NoduleHeads, masked_loss

_BETAS = (0.9, 0.95)  # budgets here are hundreds to thousands of steps, too few for the usual 0.999


@dataclass(frozen=True)
class OptimConfig:
    """A fixed training budget: AdamW with a linear warm-up and a cosine to zero, and an average of the weights.

    Args:
        epochs: passes over the training nodules, one random view of each per pass.
        batch_size: images per step.
        learning_rate: at the end of the warm-up.
        weight_decay: of AdamW, on matrices only.
        warmup_fraction: part of all steps that the learning rate rises over.
        biomarker_weight: weight of the biomarkers' loss beside malignancy's.
        ema_decay: per-step decay of the exponential moving average that becomes the final weights; it starts
            half-way. 0 keeps the last weights.
        gradient_clip: largest gradient norm.
    """

    epochs: int = 60
    batch_size: int = 32
    learning_rate: float = 5e-4
    weight_decay: float = 0.05
    warmup_fraction: float = 0.1
    biomarker_weight: float = 1.0
    ema_decay: float = 0.99
    gradient_clip: float = 1.0


class NoduleClassifier(pl.LightningModule):
    """Images (N, 3, H, W) → outputs (N, 9): malignancy logit, then biomarkers as z-scores of the training nodules.

    ``target_names`` names the outputs. ``backbone`` is the one timm VisionTransformer; its class token, after the
    final norm, feeds both heads. The buffers ``biomarker_mean`` and ``biomarker_std`` (8,) turn z-scores into units.
    """

    target_names = TARGETS

    def __init__(self, backbone: BackboneConfig, pixels: int, optim: OptimConfig, initialise: bool = True) -> None:
        super().__init__()
        self.backbone = make_backbone(backbone, pixels, initialise)
        self.heads = NoduleHeads(self.backbone.num_features)
        self.optim = optim
        self.register_buffer("biomarker_mean", torch.zeros(len(TARGETS) - 1))
        self.register_buffer("biomarker_std", torch.ones(len(TARGETS) - 1))
        self.epoch_losses: list[float] = []
        self._losses: list[torch.Tensor] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Outputs (N, 9) of images (N, 3, H, W)."""
        return self.heads(self.backbone(images))

    def fit_scaler(self, targets: np.ndarray) -> None:
        """Set the biomarkers' mean and standard deviation from training targets (nodule, 9); NaN is left out."""
        values = np.asarray(targets, np.float64)[:, 1:]
        known = ~np.isnan(values)
        count = np.maximum(known.sum(0), 1)
        mean = np.where(known, values, 0).sum(0) / count
        std = np.sqrt((np.where(known, values - mean, 0) ** 2).sum(0) / count)
        self.biomarker_mean.copy_(torch.from_numpy(mean))
        self.biomarker_std.copy_(torch.from_numpy(np.where(std > 1e-6, std, 1.0)))

    def to_units(self, outputs: torch.Tensor) -> torch.Tensor:
        """Outputs (..., 9) in the readers' units: malignancy 1 + 4 · sigmoid(logit), biomarkers de-standardised."""
        malignancy = 1 + 4 * torch.sigmoid(outputs[..., :1])
        return torch.cat([malignancy, outputs[..., 1:] * self.biomarker_std + self.biomarker_mean], dim=-1)

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> torch.Tensor:
        """Loss of one batch.

        Raises:
            ModelError: when the loss is not finite.
        """
        images, targets = batch
        standardised = targets.clone()
        standardised[:, 1:] = (targets[:, 1:] - self.biomarker_mean) / self.biomarker_std
        loss = masked_loss(self(images), standardised, self.optim.biomarker_weight)
        if not torch.isfinite(loss):
            raise ModelError(
                f"training diverged: the loss is {loss.item()} in epoch {self.current_epoch}; "
                "lower optim.learning_rate or optim.gradient_clip"
            )
        self._losses.append(loss.detach())
        return loss

    def on_train_epoch_end(self) -> None:
        """Record the epoch's mean training loss."""
        self.epoch_losses.append(float(torch.stack(self._losses).mean()))
        self.log("loss", self.epoch_losses[-1], prog_bar=True, sync_dist=True)
        self._losses.clear()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the loss history with a checkpoint."""
        checkpoint["epoch_losses"] = list(self.epoch_losses)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the loss history from a checkpoint."""
        self.epoch_losses = list(checkpoint["epoch_losses"])

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW without decay on biases, norms, tokens and positions; warm-up, then a cosine, per step."""
        undecayed = self.backbone.no_weight_decay()
        groups: dict[bool, list[torch.nn.Parameter]] = {True: [], False: []}
        for name, parameter in self.named_parameters():
            groups[parameter.ndim > 1 and name.removeprefix("backbone.") not in undecayed].append(parameter)
        optimizer = torch.optim.AdamW(
            [
                {"params": groups[True], "weight_decay": self.optim.weight_decay},
                {"params": groups[False], "weight_decay": 0.0},
            ],
            lr=self.optim.learning_rate,
            betas=_BETAS,
        )
        steps = int(self.trainer.estimated_stepping_batches)
        warmup = max(1, round(self.optim.warmup_fraction * steps))

        def factor(step: int) -> float:
            if step < warmup:
                return (step + 1) / warmup
            return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
