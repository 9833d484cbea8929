"""The training of the nodule classifier, as a LightningModule: losses, optimiser, record of epochs, checkpoints."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torchmetrics.functional.classification import binary_auroc

from ctxai.data.auxiliary import AuxiliaryTargets
from ctxai.data.labels import TARGETS
from ctxai.data.loader import Batch
from ctxai.data.plain_options import build_options, plain_options
from ctxai.data.settings import LabelKind
from ctxai.data.targets import Target, build_targets, plain_targets
from ctxai.errors import InputError, ModelError, one_line
from ctxai.models.finetuning import prepare_backbone
from ctxai.models.heads import OrdinalHeads, between, malignancy_loss, rating_loss, share_loss
from ctxai.models.lora import merge_lora
from ctxai.models.network import MIDDLE, NoduleNetwork
from ctxai.models.optim import make_optimizer, parameter_groups
from ctxai.models.settings import BackboneConfig, HeadsConfig, LossConfig, OptimConfig, TuneConfig
from ctxai.models.target_heads import TargetHeads
from ctxai.progress import epochs

_OPTIONS: dict[str, type] = {
    "backbone": BackboneConfig,
    "optim": OptimConfig,
    "tune": TuneConfig,
    "loss": LossConfig,
    "heads": HeadsConfig,
}


class NoduleClassifier(NoduleNetwork, pl.LightningModule):
    """A `NoduleNetwork` that learns.

    Usable in any ``pytorch_lightning.Trainer``: batches are pairs of images (N, 3, H, W) and targets (N, 9) in the
    order of `TARGETS`, as `targets_of` makes them, or (N, target) of `TargetTable.values`, NaN where unknown. Call
    :meth:`fit_scaler` first.

    Args:
        backbone, pixels, targets, label, heads: of the network.
        optim: training budget.
        tune: which weights of the backbone learn.
        loss: what is minimised.
        compiled: whether the backbone runs through torch.compile while training.

    Raises:
        InputError: for targets that do not exist, or options that do not fit each other.
    """

    def __init__(
        self,
        backbone: BackboneConfig,
        pixels: int,
        optim: OptimConfig,
        *,
        targets: Sequence[str] | Sequence[Target] = TARGETS,
        label: LabelKind = "soft",
        tune: TuneConfig | None = None,
        loss: LossConfig | None = None,
        heads: HeadsConfig | None = None,
        compiled: bool = False,
    ) -> None:
        super().__init__(backbone, pixels, initialise=True, targets=targets, label=label, heads=heads)
        chosen = {"backbone": backbone, "optim": optim, "tune": tune, "loss": loss, "heads": heads}
        chosen = {name: _OPTIONS[name]() if value is None else value for name, value in chosen.items()}
        self._options: dict[str, Any] = {name: plain_options(value) for name, value in chosen.items()}
        self._options["plain"] = {"pixels": pixels, "targets": plain_targets(targets), "label": label}
        self.optim, self.tune, self.loss = optim, tune or TuneConfig(), loss or LossConfig()
        binary = [(one.name, place) for place, one in enumerate(self.own or ()) if one.kind == "binary"]
        self._binary = binary[0] if binary else None
        self._frozen = prepare_backbone(self.backbone, self.tune)
        self._class_weights = (1.0, 1.0)
        self.epoch_losses: list[float] = []
        self.epoch_validation: list[dict[str, float]] = []
        self._validated: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._losses: list[torch.Tensor] = []
        self._kept: list[tuple[torch.nn.Parameter, torch.Tensor]] = []
        self._compiled = compiled
        self._fast: list[Callable[[torch.Tensor], torch.Tensor]] = []  # in a list: not a part of the module

    def train(self, mode: bool = True) -> NoduleClassifier:
        """Set the mode; frozen parts stay in evaluation mode."""
        super().train(mode)
        for part in self._frozen:
            part.eval()
        return self

    def fit_scaler(self, targets: np.ndarray) -> None:
        """Take scales and class weights from training targets (nodule, 9) or (nodule, target); NaN is left out."""
        if isinstance(self.heads, TargetHeads):
            self.heads.fit_scaler(np.asarray(targets, np.float64), self.loss.balance)
            return
        values = np.asarray(targets, np.float64)[:, 1:]
        known = ~np.isnan(values)
        count = np.maximum(known.sum(0), 1)
        mean = np.where(known, values, 0).sum(0) / count
        std = np.sqrt((np.where(known, values - mean, 0) ** 2).sum(0) / count)
        self.biomarker_mean.copy_(torch.from_numpy(mean))
        self.biomarker_std.copy_(torch.from_numpy(np.where(std > 1e-6, std, 1.0)))
        if self.loss.balance:
            share = float(np.nanmean(self._share(np.asarray(targets, np.float64)[:, 0])))
            if not 0 < share < 1:
                raise InputError("loss.balance: the training nodules are all of one class; switch it off")
            self._class_weights = (0.5 / (1 - share), 0.5 / share)

    def _share(self, malignancy: Any) -> Any:
        """How far a malignancy target is towards malignant, in [0, 1]."""
        return (malignancy - 1) / 4 if self.label == "rating" else malignancy

    @torch.inference_mode()
    def fit_rating_scale(self, images: Iterable[torch.Tensor]) -> None:
        """Fit the scale that brings the mean cumulative logit to the model's own expected rating, by least squares.

        No label is read: the mean of four logits and the logit of their mean probability differ by a smooth function.

        Args:
            images: batches (N, 3, H, W).
        """
        assert isinstance(self.heads, OrdinalHeads)
        found = []
        for batch in images:
            outputs, cumulative = self.heads.read(self.heads.trunk(self.backbone(batch.to(self.device))))
            found.append(torch.stack([outputs[:, 0], cumulative.sigmoid().mean(1).logit(1e-4)], dim=1))
        mean, expected = torch.cat(found).double().cpu().T
        design = torch.stack([mean, torch.ones_like(mean)], dim=1)
        self.rating_scale.copy_(torch.linalg.lstsq(design, expected[:, None]).solution[:, 0])

    def _loss(self, outputs: torch.Tensor, targets: torch.Tensor, ordinal: torch.Tensor | None = None) -> torch.Tensor:
        """Loss of outputs (N, K) against targets (N, 9); ``ordinal`` is the malignancy loss of ordinal heads."""
        if isinstance(self.heads, TargetHeads):
            return self.heads.loss(outputs, targets, self.loss.huber_delta)
        delta, total = self.loss.huber_delta, outputs.new_zeros(())
        if ordinal is not None:
            total = self.loss.malignancy_weight * ordinal
        elif self._malignancy and self.label == "rating":
            weights = between(self._class_weights, self._share(targets[:, 0]))
            total = rating_loss(outputs[:, 0], targets[:, 0] - MIDDLE, delta, weights) * self.loss.malignancy_weight
        elif self._malignancy:
            loss = malignancy_loss(outputs[:, 0], targets[:, 0], self._class_weights)
            total = loss * self.loss.malignancy_weight
        if self.heads.biomarkers is not None:
            chosen = self._places[self._malignancy :]
            standardised = (targets[:, 1:] - self.biomarker_mean) / self.biomarker_std
            biomarkers = rating_loss(
                outputs[:, self._malignancy :], standardised[:, [place - 1 for place in chosen]], delta
            )
            total = total + self.optim.biomarker_weight * biomarkers
        return total

    def _auxiliary_loss(self, images: torch.Tensor, targets: torch.Tensor, auxiliary: AuxiliaryTargets) -> torch.Tensor:
        """Loss of a batch with auxiliary targets."""
        tokens = self._network()(images)
        embedding, patches = self.backbone.forward_head(tokens), tokens[:, self.backbone.num_prefix_tokens :]
        ordinal = None
        if isinstance(self.heads, OrdinalHeads):
            outputs, cumulative = self.heads.read(self.heads.trunk(embedding))
            ordinal = share_loss(cumulative, auxiliary["shares"], auxiliary["weight"])
        else:
            outputs = self.heads(embedding)
        total = self._loss(outputs, targets, ordinal)
        if hasattr(self, "auxiliary"):
            total = total + self.auxiliary.loss(embedding, patches, auxiliary)
        return total

    def _network(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """The part of the backbone that training runs, compiled where that is asked for."""
        whole = self.backbone.forward_features if self.uses_auxiliary else self.backbone
        if not self._compiled:
            return whole
        if not self._fast:
            self._fast.append(torch.compile(whole))
        return self._fast[0]

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        """Loss of one batch.

        Raises:
            ModelError: when the loss is not finite.
        """
        images, targets, *auxiliary = batch
        if self.uses_auxiliary:
            loss = self._auxiliary_loss(images, targets, auxiliary[0])
        else:
            loss = self._loss(self.heads(self._network()(images)), targets)
        if not torch.isfinite(loss):
            raise self._not_finite(loss, images)
        self._losses.append(loss.detach())
        return loss

    def _not_finite(self, loss: torch.Tensor, images: torch.Tensor) -> ModelError:
        spoilt = int((~torch.isfinite(images).flatten(1).all(1)).sum())
        if spoilt:
            return ModelError(
                f"training: {spoilt} of {len(images)} images of a batch in epoch {self.current_epoch} hold values that "
                "are not finite numbers; check the patches they were cut from"
            )
        return ModelError(
            f"training diverged: the loss is {loss.item()} in epoch {self.current_epoch}; "
            "lower optim.learning_rate or optim.gradient_clip"
        )

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Log the loss of test nodules as ``test_loss``."""
        images, targets = batch[:2]
        self.log("test_loss", self._loss(self(images), targets), batch_size=len(images), sync_dist=True)

    def predict_step(self, batch: Batch | torch.Tensor, batch_idx: int) -> torch.Tensor:
        """Outputs in units (N, K) of a batch of images, or of images with targets."""
        return self.to_units(self(batch if isinstance(batch, torch.Tensor) else batch[0]))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log the loss of held-out nodules as ``validation_loss``."""
        images, targets = batch[:2]
        outputs = self(images)
        loss = self._loss(outputs, targets)
        self.log("validation_loss", loss, prog_bar=True, batch_size=len(images), sync_dist=True)
        if self._malignancy:
            self._validated.append((outputs[:, 0].float(), self._share(targets[:, 0])))
        elif self._binary is not None:
            name, place = self._binary
            self._validated.append((outputs[:, self.target_names.index(name)].float(), targets[:, place]))

    def on_validation_epoch_end(self) -> None:
        """Record the epoch's loss and AUC on held-out nodules, whose share towards malignant is not one half.

        Of targets of one's own, the AUC is that of the first binary one.
        """
        loss = float(self.trainer.callback_metrics["validation_loss"])
        figures = {"loss": loss, "auc": float("nan")}
        if self._validated:
            outputs, shares = (torch.cat(values) for values in zip(*self._validated, strict=True))
            known = ~torch.isnan(shares) & (shares != 0.5)
            labels = (shares[known] > 0.5).int()
            if labels.any() and not labels.all():
                figures["auc"] = float(binary_auroc(outputs[known].sigmoid(), labels))
            self._validated.clear()
        self.log("validation_auc", figures["auc"], sync_dist=True)
        if not self.trainer.sanity_checking:
            self.epoch_validation.append(figures)

    def on_train_epoch_end(self) -> None:
        """Record the epoch's mean training loss."""
        mean = self.trainer.strategy.reduce(torch.stack(self._losses).mean(), reduce_op="mean")
        self.epoch_losses.append(float(mean))
        if self.trainer.is_global_zero:
            figures = {"loss": self.epoch_losses[-1]}
            if self.epoch_validation:
                figures |= {f"monitored {name}": value for name, value in self.epoch_validation[-1].items()}
            told = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
            epochs.info("epoch %d of %d: %s", self.current_epoch + 1, self.trainer.max_epochs, told)
        self.log("loss", self.epoch_losses[-1], prog_bar=True, sync_dist=True)
        self._losses.clear()

    def on_fit_start(self) -> None:
        """Note the frozen weights, since averaging them with themselves rounds."""
        self._kept = [(p, p.detach().clone()) for p in self.parameters() if not p.requires_grad]

    @torch.no_grad()
    def on_fit_end(self) -> None:
        """Put the frozen weights back, and make adapters part of the plain weights."""
        for parameter, value in self._kept:
            parameter.copy_(value)
        self._kept.clear()
        merge_lora(self)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the loss history with a checkpoint: of this epoch, every process's own (process, step)."""
        losses = torch.stack(self._losses) if self._losses else torch.empty(0, device=self.device)
        checkpoint["options"] = self._options
        checkpoint["epoch_losses"] = list(self.epoch_losses)
        checkpoint["epoch_validation"] = [dict(figures) for figures in self.epoch_validation]
        checkpoint["losses"] = gather(self, losses).cpu()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the loss history from a checkpoint."""
        self.epoch_losses = list(checkpoint["epoch_losses"])
        self.epoch_validation = list(checkpoint["epoch_validation"])
        losses = checkpoint["losses"]
        own = losses[self.global_rank] if len(losses) == self.trainer.world_size else losses.mean(0)
        self._losses = list(own.to(self.device))

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: Any,
        map_location: Any = "cpu",
        hparams_file: Any = None,
        strict: bool | None = None,
        weights_only: bool | None = None,
        **kwargs: Any,
    ) -> NoduleClassifier:
        """A classifier from a checkpoint of any trainer, in evaluation mode; nothing is unpickled.

        Args:
            checkpoint_path: the file.
            map_location: where the weights go.
            hparams_file, weights_only, kwargs: of Lightning's method; without effect here.
            strict: False lets weights be missing.

        Raises:
            ModelError: when the file is no checkpoint of such a classifier.
        """
        try:
            state = torch.load(checkpoint_path, map_location=map_location, weights_only=True)
            options = {name: build_options(kind, state["options"][name]) for name, kind in _OPTIONS.items()}
            scratch = replace(options.pop("backbone"), weights=None, pretrained=False)
            plain = state["options"]["plain"] | {"targets": build_targets(state["options"]["plain"]["targets"])}
            model = cls(scratch, **options, **plain)
            model.load_state_dict(state["state_dict"], strict=strict is not False)
        except (pickle.UnpicklingError, LookupError, RuntimeError, TypeError, EOFError) as error:
            raise ModelError(f"{checkpoint_path}: no checkpoint of a classifier ({one_line(error)})") from None
        return model.eval()

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW on the weights that learn, with the schedule of ``optim``, per step."""
        groups = parameter_groups(self, self.backbone, self.optim, self.tune.layer_decay)
        return make_optimizer(groups, self.optim, int(self.trainer.estimated_stepping_batches))


def gather(module: pl.LightningModule, values: torch.Tensor) -> torch.Tensor:
    """Values (n,) of every process, as many in each: (process, n), the same in all of them."""
    gathered = module.all_gather(values)
    assert isinstance(gathered, torch.Tensor)
    return gathered.reshape(module.trainer.world_size, len(values))
