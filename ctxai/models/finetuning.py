"""How much of a backbone learns: all of it, its last blocks, adapters, or nothing but the heads."""

from __future__ import annotations

from torch import nn

from ctxai.errors import InputError
from ctxai.models.backbone import ViT
from ctxai.models.lora import add_lora
from ctxai.models.settings import TuneConfig


def prepare_backbone(backbone: ViT, config: TuneConfig) -> list[nn.Module]:
    """Freeze what does not learn and add adapters.

    Returns:
        the frozen parts, which stay in evaluation mode (no dropout, no stochastic depth) while training.

    Raises:
        InputError: for more blocks than there are.
    """
    total = len(backbone.blocks)
    count = total if config.blocks is None else config.blocks
    if count > total:
        raise InputError(f"tune: blocks is {count}, but the backbone has {total}")
    learning = list(backbone.blocks[total - count :])
    if config.lora_rank:
        backbone.requires_grad_(False)
        for block in learning:
            add_lora(block, config.lora_rank, config.lora_alpha)
    elif config.blocks is not None:
        backbone.requires_grad_(False)
        after = [getattr(backbone, name, None) for name in ("norm", "fc_norm")] if count else []
        for part in [*learning, *(part for part in after if part is not None)]:
            part.requires_grad_(True)
    else:
        return []
    return [part for part in (*backbone.children(), *backbone.blocks) if _all_frozen(part)]


def _all_frozen(part: nn.Module) -> bool:
    return not any(parameter.requires_grad for parameter in part.parameters())
