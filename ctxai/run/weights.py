"""A run's weights as its file holds them."""

from __future__ import annotations

import torch


def round_weights(model: torch.nn.Module) -> None:
    """Round the parameters to half precision in place, so that a half-precision file loses nothing more."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half())


def stored_weights(model: torch.nn.Module, half: bool) -> dict[str, torch.Tensor]:
    """Every parameter and buffer by name, on the CPU; with ``half``, parameters in half precision."""
    parameters = {name for name, _ in model.named_parameters()}
    return {
        name: (value.half() if half and name in parameters else value).detach().cpu().contiguous()
        for name, value in model.state_dict().items()
    }
