"""Devices that a model runs on, by name."""

from __future__ import annotations

import torch

from ctxai.errors import InputError


def torch_device(name: str) -> torch.device:
    """A device by name.

    Args:
        name: ``auto`` (the first GPU where there is one, else the processor), ``cpu``, ``cuda`` or ``cuda:1``.

    Raises:
        InputError: for another name, or a GPU that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"--device {name}: expected auto, cpu, cuda or cuda:0, cuda:1, ...") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"--device {name}: {torch.cuda.device_count()} CUDA device(s) here; give cpu or auto")
    return device
