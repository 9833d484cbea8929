"""Lightning's loggers by name."""

from __future__ import annotations

from pathlib import Path

from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from ctxai.training.settings import LOGS, LoggerName


def make_logger(name: LoggerName, folder: Path) -> Logger | None:
    """The logger of a training, which writes to ``logs``; every start of one training gets a folder of its own there.

    Args:
        name: csv, tensorboard, wandb (kept on this machine until ``wandb sync`` is called), or none.
        folder: where ``logs`` lies.
    """
    logs = folder / LOGS
    match name:
        case "csv":
            return CSVLogger(logs, name="", flush_logs_every_n_steps=1)
        case "tensorboard":
            return TensorBoardLogger(logs, name="")
        case "wandb":
            return WandbLogger(save_dir=logs, offline=True)
        case "none":
            return None
