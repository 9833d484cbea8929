"""Flags of Lightning's Trainer that a user may give, and those that belong to options of ctxai."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import yaml
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from ctxai.errors import InputError, one_line
from ctxai.suggestions import did_you_mean

#: Flags that go to the Trainer as they are.
PASSED = (
    "benchmark",
    "detect_anomaly",
    "deterministic",
    "enable_model_summary",
    "enable_progress_bar",
    "gradient_clip_algorithm",
    "inference_mode",
    "limit_train_batches",
    "log_every_n_steps",
    "profiler",
    "strategy",
    "sync_batchnorm",
)
#: Flags that an option of ctxai sets.
OPTIONS = {
    "accelerator": "accelerator",
    "accumulate_grad_batches": "compute.accumulate",
    "devices": "devices",
    "gradient_clip_val": "optim.gradient_clip",
    "limit_val_batches": "folds.monitor",
    "logger": "logger",
    "max_epochs": "optim.epochs",
    "num_nodes": "num-nodes",
    "precision": "compute.precision",
}


def trainer_flags(given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `pytorch_lightning.Trainer` from flags as a user gives them.

    Args:
        given: by name; text is read as YAML, so that ``"0.5"`` is a number and ``"true"`` a truth value.

    Raises:
        InputError: for an unknown flag, one that the training sets itself, or a value that Lightning does not take.
    """
    found = {}
    for name, value in given.items():
        name = name.replace("-", "_")
        if name in OPTIONS:
            raise InputError(f"--trainer.{name}: this flag is set by an option of its own; give --{OPTIONS[name]}")
        if name not in PASSED:
            known = name in inspect.signature(pl.Trainer).parameters
            what = "the training sets this flag itself" if known else "Lightning's Trainer has no such flag"
            meant = "" if known else did_you_mean(name, PASSED)
            raise InputError(f"--trainer.{name}: {what}; expected one of {', '.join(PASSED)}{meant}")
        found[name] = yaml.safe_load(value) if isinstance(value, str) else value
    if found:
        _check(found)
    return found


def _check(flags: Mapping[str, Any]) -> None:
    """Refuse values that Lightning refuses, before anything is written."""
    quiet: dict[str, Any] = {name: False for name in ("logger", "enable_checkpointing", "enable_progress_bar")}
    try:
        pl.Trainer(**(quiet | {"accelerator": "cpu", "devices": 1} | dict(flags)))
    except (MisconfigurationException, ImportError, TypeError, ValueError) as error:
        raise InputError(f"--trainer.{', --trainer.'.join(flags)}: refused by Lightning ({one_line(error)})") from None
