"""Settings of backbone, fine-tuning, loss and self-distillation: plain dataclasses, importable without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ctxai.errors import InputError, ModelError

#: More than any of timm's transformers has, so that nothing is built that no machine holds.
_LARGEST_PATCH, _MOST_BLOCKS = 64, 128


@dataclass(frozen=True)
class BackboneConfig:
    """Which vision transformer to build.

    Args:
        name: a vision transformer of timm, such as vit_small_patch8_224.dino, vit_small_patch14_reg4_dinov2.lvd142m or
            vit_small_patch16_dinov3.lvd1689m; the tag after the dot names published weights.
        patch_size: pixels per token side; none keeps the architecture's own.
        depth: number of blocks; none keeps the architecture's own.
        drop_rate: dropout of the tokens, of the attention and of the blocks' outputs.
        drop_path_rate: stochastic depth of the last block, rising linearly from 0.
        pretrained: download the weights that timm publishes for `name`; without effect beside `weights`.
        weights: what to start from: a checkpoint file (safetensors, or a PyTorch file of plain tensors, such as
            DINO's), a folder that `ctxai pretrain` wrote, or `ctxai:NAME`, one that comes with the package.
    """

    name: str = "vit_tiny_patch16_224"
    patch_size: int | None = 8
    depth: int | None = None
    drop_rate: float = 0.0
    drop_path_rate: float = 0.1
    pretrained: bool = False
    weights: Path | None = None

    def __post_init__(self) -> None:
        if self.patch_size is not None and not 1 <= self.patch_size <= _LARGEST_PATCH:
            raise ModelError(f"backbone: patch_size is {self.patch_size}, expected 1 to {_LARGEST_PATCH} pixels")
        if self.depth is not None and not 1 <= self.depth <= _MOST_BLOCKS:
            raise ModelError(f"backbone: depth is {self.depth}, expected 1 to {_MOST_BLOCKS} blocks")
        if not (0 <= self.drop_rate < 1 and 0 <= self.drop_path_rate < 1):
            raise ModelError("backbone: drop_rate and drop_path_rate have to be from 0 to below 1")


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


@dataclass(frozen=True)
class LossConfig:
    """What training minimises.

    Args:
        balance: weight the malignancy loss so that malignant and benign nodules count the same in all; a soft label
            counts for both classes in its parts.
        huber_delta: error, in standard deviations of a biomarker (rating points for a malignancy rating), from which
            the Huber loss grows linearly.
    """

    balance: bool = False
    huber_delta: float = 1.0


@dataclass(frozen=True)
class DinoConfig:
    """DINO's head, temperatures and training budget; AdamW with a linear warm-up and a cosine.

    Args:
        epochs: passes over the patches.
        batch_size: patches per step, over all processes together.
        learning_rate: at the end of the warm-up.
        final_learning_rate: at the end.
        warmup_fraction: part of all steps that the learning rate rises over.
        weight_decay: on matrices only, at the beginning.
        final_weight_decay: at the end; rises by a cosine.
        gradient_clip: largest gradient norm.
        momentum: of the teacher's moving average at the beginning; rises to 1 by a cosine.
        student_temperature: of the student's softmax.
        first_teacher_temperature: of the teacher's softmax at the beginning.
        teacher_temperature: of the teacher's softmax after its linear warm-up.
        temperature_warmup_fraction: part of all steps that the teacher's temperature changes over.
        token_drop: share of every crop's patch tokens that the student does not see, drawn anew; it saves time.
        freeze_last_layer_epochs: epochs at the beginning in which the head's last layer stays as it is.
        head_width: width of the head's hidden layers.
        bottleneck: width of the normalised layer before the prototypes.
        prototypes: number of outputs.
    """

    epochs: int = 100
    batch_size: int = 32
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-6
    warmup_fraction: float = 0.1
    weight_decay: float = 0.04
    final_weight_decay: float = 0.2
    gradient_clip: float = 3.0
    momentum: float = 0.99
    student_temperature: float = 0.1
    first_teacher_temperature: float = 0.04
    teacher_temperature: float = 0.06
    temperature_warmup_fraction: float = 0.3
    token_drop: float = 0.0
    freeze_last_layer_epochs: int = 1
    head_width: int = 512
    bottleneck: int = 128
    prototypes: int = 2048
