"""How much of a backbone learns: all of it, its last blocks, adapters, or nothing but the heads."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from ctxai.errors import InputError
from ctxai.models.backbone import ViT
from ctxai.models.lora import add_lora


@dataclass(frozen=True)
class TuneConfig:
    """Which weights of the backbone change in training.

    Args:
        blocks: learn the last so many blocks and the final norm; 0 learns the heads alone, none learns everything.
        layer_decay: factor of the learning rate per layer away from the heads; 1 treats all layers alike.
        lora_rank: learn adapters of this rank on the attention of those blocks, instead of the blocks; 0 for none.
        lora_alpha: scale of the adapters' update, in units of the rank.
    """

    blocks: int | None = None
    layer_decay: float = 1.0
    lora_rank: int = 0
    lora_alpha: float = 16.0

    def __post_init__(self) -> None:
        if self.lora_rank < 0 or (self.blocks is not None and self.blocks < 0):
            raise InputError("tune: blocks and lora_rank cannot be negative")
        if not 0 < self.layer_decay <= 1:
            raise InputError(f"tune: layer_decay is {self.layer_decay:g}, expected above 0 and at most 1")
        if self.lora_rank and self.blocks == 0:
            raise InputError("tune: adapters (lora_rank) need blocks to sit in; leave blocks out, or set it above 0")


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
