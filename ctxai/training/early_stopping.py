"""Stopping when held-out nodules say so, with the weights that did best on them."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping


class StopEarly(EarlyStopping):
    """Stop after ``patience`` epochs without a lower ``validation_loss``, and go back to the best epoch's weights.

    Where weights are averaged, it is the average that is judged and kept; the averaging callback has to come later in
    the trainer's list, since it takes the average out again after every validation.
    """

    def __init__(self, patience: int) -> None:
        super().__init__("validation_loss", patience=patience, check_on_train_epoch_end=False)
        self._judged: dict[str, torch.Tensor] = {}
        self._best: dict[str, torch.Tensor] = {}

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the weights that were judged."""
        self._judged = {name: value.detach().clone() for name, value in pl_module.state_dict().items()}

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Judge, and keep the weights when they are the best so far."""
        super().on_validation_end(trainer, pl_module)
        if self.wait_count == 0:
            self._best = self._judged

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the best weights back."""
        if self._best:
            pl_module.load_state_dict(self._best)

    def state_dict(self) -> dict[str, Any]:
        """With the best weights, so that a resumed training has them."""
        return super().state_dict() | {"best": self._best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The reverse of :meth:`state_dict`."""
        self._best = state_dict.pop("best")
        super().load_state_dict(state_dict)
