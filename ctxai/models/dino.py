"""DINO: a vision transformer that learns from images without labels, by self-distillation.

Caron et al., Emerging Properties in Self-Supervised Vision Transformers, ICCV 2021. The student sees all crops of an
image, the teacher the global ones; the student learns to give every crop the teacher's output for another crop. The
teacher is a moving average of the student. Head and loss are lightly's.
"""

from __future__ import annotations

import warnings
from typing import Any

import pytorch_lightning as pl
import torch
from lightly.loss import DINOLoss
from lightly.models.modules import DINOProjectionHead
from lightly.models.utils import update_momentum
from lightly.utils.scheduler import cosine_schedule
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import nn

from ctxai.data.multicrop import GLOBAL_CROPS, Crops
from ctxai.errors import ModelError
from ctxai.models.backbone import make_backbone
from ctxai.models.settings import BackboneConfig, DinoConfig
from ctxai.progress import epochs

_BETAS = (0.9, 0.95)  # budgets here are thousands of steps, too few for the usual 0.999


class Dino(pl.LightningModule):
    """Student and teacher; the teacher's backbone is what pretraining is for.

    Attributes:
        student: the backbone that gradients reach.
        teacher: its moving average, images (N, 3, pixels, pixels) → features (N, width).
        history: of every epoch the mean loss, the teacher's entropy (nats; 0 or the logarithm of the number of
            prototypes means collapse) and the mean standard deviation of its normalised features over a batch, times
            the square root of their width (0 means collapse, 1 is the most).
    """

    def __init__(self, backbone: BackboneConfig, pixels: int, optim: DinoConfig) -> None:
        super().__init__()
        self.optim = optim
        self.student = make_backbone(backbone, pixels, any_size=True, token_drop=optim.token_drop)
        self.teacher = make_backbone(backbone, pixels, initialise=False, any_size=True)
        self.student_head, self.teacher_head = self._make_head(), self._make_head()
        self.teacher.load_state_dict(self.student.state_dict())
        self.teacher_head.load_state_dict(self.student_head.state_dict())
        for frozen in (self.teacher, self.teacher_head):
            frozen.requires_grad_(False)
        self.loss = DINOLoss(optim.prototypes, student_temp=optim.student_temperature)
        self.history: list[dict[str, float]] = []
        self._figures: list[torch.Tensor] = []

    def _make_head(self) -> DINOProjectionHead:
        optim = self.optim
        with warnings.catch_warnings():  # lightly's head uses torch's older form of weight normalisation
            warnings.filterwarnings("ignore", ".*weight_norm. is deprecated", FutureWarning)
            return DINOProjectionHead(
                self.student.num_features,
                optim.head_width,
                optim.bottleneck,
                optim.prototypes,
                freeze_last_layer=optim.freeze_last_layer_epochs,
            )

    def training_step(self, batch: Crops, batch_idx: int) -> torch.Tensor:
        """Loss of one batch of global (2 * N, 3, H, W) and local crops (L * N, 3, h, w).

        Raises:
            ModelError: when the loss is not finite.
        """
        whole, local = batch
        patches = len(whole) // GLOBAL_CROPS
        self.teacher.eval()
        with torch.no_grad():
            features = self.teacher(whole)
            taught = self.teacher_head(features)
        embedded = [self.student(images) for images in (whole, local) if len(images)]
        learnt = self.student_head(torch.cat(embedded))
        temperature = self._temperature()
        loss = self.loss(taught.split(patches), learnt.split(patches), teacher_temp=temperature)
        if not torch.isfinite(loss):
            raise ModelError(
                f"pretraining diverged: the loss is {loss.item()} in epoch {self.current_epoch}; "
                "lower optim.learning_rate or optim.gradient_clip"
            )
        self._figures.append(_figures(loss.detach(), features, taught, self.loss.center[0], temperature))
        return loss

    def _progress(self) -> tuple[int, int]:
        return self.trainer.global_step, int(self.trainer.estimated_stepping_batches)

    def _temperature(self) -> float:
        step, steps = self._progress()
        share = min(1.0, step / max(1.0, self.optim.temperature_warmup_fraction * steps))
        first = self.optim.first_teacher_temperature
        return first + share * (self.optim.teacher_temperature - first)

    def on_train_batch_start(self, batch: Crops, batch_idx: int) -> None:
        """Set this step's learning rate and weight decay."""
        step, steps = self._progress()
        optim = self.optim
        warmup = max(1, round(optim.warmup_fraction * steps))
        rate = optim.learning_rate * (step + 1) / warmup
        if step >= warmup:
            rate = cosine_schedule(step - warmup, steps - warmup, optim.learning_rate, optim.final_learning_rate)
        decay = cosine_schedule(step, steps, optim.weight_decay, optim.final_weight_decay)
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        decayed, undecayed = optimizer.param_groups
        decayed["lr"] = undecayed["lr"] = rate
        decayed["weight_decay"] = decay

    def on_after_backward(self) -> None:
        """Keep the head's last layer for the first epochs."""
        self.student_head.cancel_last_layer_gradients(self.current_epoch)

    def on_train_batch_end(self, outputs: Any, batch: Crops, batch_idx: int) -> None:
        """Move the teacher towards the student."""
        step, steps = self._progress()
        momentum = cosine_schedule(min(step, steps) - 1, steps, self.optim.momentum, 1.0)
        update_momentum(self.student, self.teacher, momentum)
        update_momentum(self.student_head, self.teacher_head, momentum)
        for ours, theirs in zip(self.teacher.buffers(), self.student.buffers(), strict=True):
            ours.copy_(ours.lerp(theirs, 1 - momentum) if ours.is_floating_point() else theirs)  # batch statistics

    def on_train_epoch_end(self) -> None:
        """Record the epoch's figures."""
        mean = self.trainer.strategy.reduce(torch.stack(self._figures).mean(0), reduce_op="mean")
        loss, entropy, spread = mean.tolist()
        self.history.append({"loss": loss, "teacher_entropy": entropy, "feature_spread": spread})
        self.log_dict(self.history[-1])
        self._figures.clear()
        figures = ", ".join(f"{name} {value:.3f}" for name, value in self.history[-1].items())
        epochs.info("epoch %d of %d: %s", self.current_epoch + 1, self.optim.epochs, figures)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the history with a checkpoint."""
        checkpoint["history"] = list(self.history)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the history from a checkpoint."""
        self.history = list(checkpoint["history"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW without decay on biases, norms, tokens and positions."""
        undecayed = {f"student.{name}" for name in self.student.no_weight_decay()}
        groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                groups[parameter.ndim > 1 and name not in undecayed].append(parameter)
        options: list[dict[str, Any]] = [{"params": groups[True]}, {"params": groups[False], "weight_decay": 0.0}]
        return torch.optim.AdamW(options, betas=_BETAS)


def _figures(
    loss: torch.Tensor, features: torch.Tensor, taught: torch.Tensor, center: torch.Tensor, temperature: float
) -> torch.Tensor:
    log_shares = torch.log_softmax((taught - center) / temperature, dim=-1)
    entropy = -(log_shares.exp() * log_shares).sum(-1).mean()
    unit = nn.functional.normalize(features, dim=-1)
    return torch.stack([loss, entropy, unit.std(0).mean() * unit.shape[1] ** 0.5])
