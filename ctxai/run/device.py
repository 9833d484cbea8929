"""Devices that a model runs on, by name: one rule for every command and for the Python API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctxai.errors import InputError

if TYPE_CHECKING:
    import torch

AUTO = "auto"
"""The first GPU where there is one, else the processor; the default wherever a device is asked for."""


def torch_device(name: str) -> torch.device:
    """A device by name.

    Args:
        name: `AUTO`, ``cpu``, ``cuda`` or ``cuda:1``.

    Raises:
        InputError: for another name, or a GPU that is not there.
    """
    import torch  # here: commands name a device before they need it

    if name == AUTO:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"--device {name}: expected auto, cpu, cuda or cuda:0, cuda:1, ...") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"--device {name}: {torch.cuda.device_count()} CUDA device(s) here; give cpu or auto")
    return device
