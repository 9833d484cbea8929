"""The same model with weights that have learnt nothing."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import nn

from ctxai.explain.network import find_vit


def randomised(model: nn.Module, seed: int = 0) -> nn.Module:
    """A copy of ``model`` in which every weight tensor's entries are shuffled; the original is left as it is.

    Raises:
        ModelError: when the model holds not exactly one vision transformer.
    """
    *_, last = cascade(model, seed)
    return last


def cascade(model: nn.Module, seed: int = 0) -> Iterator[nn.Module]:
    """Randomise a copy of ``model`` from its outputs down to its patches, and give it after every stage.

    The stages are whatever comes after the blocks (heads and final norm), each block from the last to the first, and
    the embedding of patches. Entries of a tensor change places, so that its values keep their distribution, and
    attention stays as far from uniform as it was. It is one copy, changed from stage to stage: use it before the next.

    Args:
        model: holds one vision transformer.
        seed: of the shuffling.

    Raises:
        ModelError: when the model holds not exactly one vision transformer.
    """
    find_vit(model)
    changed = copy.deepcopy(model).eval()
    vit = find_vit(changed)
    embedding = [vit.patch_embed.parameters(), (p for _, p in vit.named_parameters(recurse=False))]
    blocks = [list(block.parameters()) for block in reversed(vit.blocks)]
    first = [parameter for group in embedding for parameter in group]
    below = {id(parameter) for group in [*blocks, first] for parameter in group}
    above = [parameter for parameter in changed.parameters() if id(parameter) not in below]
    generator = torch.Generator().manual_seed(seed)
    for stage in [above, *blocks, first]:
        for parameter in stage:
            order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            parameter.data = parameter.data.flatten()[order].view_as(parameter)
        yield changed
