"""Settings of networks, loss, optimisation and self-distillation: plain dataclasses, importable without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ctxai.errors import InputError, ModelError

#: More than any of timm's transformers has, so that nothing is built that no machine holds.
_LARGEST_PATCH, _MOST_BLOCKS, _LARGEST_WIDTH = 64, 128, 2**14


@dataclass(frozen=True)
class BackboneConfig:
    """Which vision transformer to build.

    Args:
        name: a vision transformer of timm, such as vit_small_patch8_224.dino, vit_small_patch14_reg4_dinov2.lvd142m or
            vit_small_patch16_dinov3.lvd1689m; the tag after the dot names published weights.
        patch_size: pixels per token side; none keeps the architecture's own. On the command line it follows a given
            name (the architecture's own) or given weights where it is not given. With a stem of timm's own, as in
            vit_tiny_r_s16_p8_224, a multiple of the stem's stride.
        depth: number of blocks; none keeps the architecture's own.
        width: of the tokens, a multiple of the number of heads; none keeps the architecture's own.
        heads: of every attention; none keeps the architecture's own.
        mlp_ratio: width of the blocks' hidden layers, in units of the tokens'; none keeps the architecture's own.
        stem: widths of a convolutional stem before the tokens, each of which halves the resolution (see `ConvStem`);
            the patch size is then a multiple of 2 to the power of their number. Without any, timm's own linear patch
            embedding.
        coarse_margin: tokens of patch_size in the middle half of the image's rows and columns alone, and of twice that
            size around it (see `MixedEmbed`): a field of twice the width for less than twice the tokens. Needs a stem,
            and a side of a multiple of 8 patches.
        drop_rate: dropout of the tokens, of the attention and of the blocks' outputs.
        drop_path_rate: stochastic depth of the last block, rising linearly from 0.
        pretrained: download the weights that timm publishes for `name`; without effect beside `weights`.
        weights: what to start from: a checkpoint file (safetensors, or a PyTorch file of plain tensors, such as
            DINO's), a folder that `ctxai pretrain` wrote, or `ctxai:NAME`, one that comes with the package.
    """

    name: str = "vit_tiny_patch16_224"
    patch_size: int | None = 8
    depth: int | None = None
    width: int | None = None
    heads: int | None = None
    mlp_ratio: float | None = None
    stem: tuple[int, ...] = ()
    coarse_margin: bool = False
    drop_rate: float = 0.0
    drop_path_rate: float = 0.1
    pretrained: bool = False
    weights: Path | None = None

    def __post_init__(self) -> None:
        if self.patch_size is not None and not 1 <= self.patch_size <= _LARGEST_PATCH:
            raise ModelError(f"backbone: patch_size is {self.patch_size}, expected 1 to {_LARGEST_PATCH} pixels")
        if self.depth is not None and not 1 <= self.depth <= _MOST_BLOCKS:
            raise ModelError(f"backbone: depth is {self.depth}, expected 1 to {_MOST_BLOCKS} blocks")
        sizes = [size for size in (self.width, self.heads, self.mlp_ratio, *self.stem) if size is not None]
        if any(not 0 < size <= _LARGEST_WIDTH for size in sizes):
            raise ModelError(f"backbone: width, heads, mlp_ratio and stem have to be from above 0 to {_LARGEST_WIDTH}")
        if self.stem and (self.patch_size is None or self.patch_size % 2 ** len(self.stem)):
            raise ModelError(
                f"backbone: a stem of {len(self.stem)} widths needs a patch_size that is a multiple of "
                f"{2 ** len(self.stem)}, found {self.patch_size}"
            )
        if self.coarse_margin and not self.stem:
            raise ModelError("backbone: coarse_margin needs a stem, such as [24, 48]")
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
class HeadsConfig:
    """How a nodule's embedding is read out, and what is learnt beside the targets.

    Auxiliary heads shape the embedding in training; each is left out where its loss weight is 0.

    Args:
        readout: logit is one linear malignancy logit beside a perceptron of biomarkers. ordinal is the mean of four
            cumulative logits, of P(rating > 1), … P(rating > 4) over the readers, from a perceptron that the
            biomarkers share.
        hidden: width of the perceptron of ordinal heads, in units of the embedding's.
        dropout: of the embedding and of the perceptron of ordinal heads.
        soft: loss weight of a linear logit of the mean rating.
        rank: loss weight of one score with four learnt cut-offs (CORAL; Cao et al. 2020, "Rank consistent ordinal
            regression").
        outline: loss weight of the readers' outline, four logits a patch token: its share in each quarter of the token.
        features: loss weight of radiomic features in that outline (size, form, HU, edge, texture), as normal scores of
            their ranks among the training nodules.
    """

    readout: Literal["logit", "ordinal"] = "logit"
    hidden: float = 2.0
    dropout: float = 0.0
    soft: float = 0.0
    rank: float = 0.0
    outline: float = 0.0
    features: float = 0.0

    def __post_init__(self) -> None:
        if min(self.beside) < 0 or self.hidden <= 0 or not 0 <= self.dropout < 1:
            raise InputError("heads: hidden has to be positive, dropout from 0 to below 1, loss weights not negative")

    @property
    def beside(self) -> tuple[float, ...]:
        """Loss weights of the auxiliary heads."""
        return self.soft, self.rank, self.outline, self.features

    @property
    def auxiliary(self) -> bool:
        """Whether anything is learnt that needs more than the targets' means."""
        return self.readout == "ordinal" or max(self.beside) > 0


@dataclass(frozen=True)
class LossConfig:
    """Terms of the loss.

    Args:
        balance: weight the malignancy loss so that malignant and benign nodules count the same in all; a soft label
            counts for both classes in its parts.
        huber_delta: error, in standard deviations of a biomarker (rating points for a malignancy rating), from which
            the Huber loss grows linearly.
        malignancy_weight: of the malignancy loss.
        reader_weights: of nodules of one, two, … readers in the malignancy loss of ordinal heads and in the auxiliary
            ones; the last is that of all with more readers. Without any, all count alike.
    """

    balance: bool = False
    huber_delta: float = 1.0
    malignancy_weight: float = 1.0
    reader_weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.malignancy_weight < 0 or any(weight < 0 for weight in self.reader_weights):
            raise InputError("loss: weights cannot be negative")


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


@dataclass(frozen=True)
class ScheduleConfig:
    """How the learning rate goes over the steps of a training.

    Args:
        kind: cosine rises linearly and falls to zero as a cosine; cyclic goes up and down between a base rate and a
            peak that halves with every cycle (triangular2 of Smith, "Cyclical learning rates for training neural
            networks", 2017); drops divides by ten at given points; constant stays.
        cycles: of cyclic: the rate rises for a half and falls for one and a half of the steps divided by this number,
            so that the steps hold half as many whole cycles.
        divisor: of cyclic: the peak rate divided by the base rate.
        drops: of drops: the points, as parts of all steps.
    """

    kind: Literal["cosine", "cyclic", "drops", "constant"] = "cosine"
    cycles: int = 4
    divisor: float = 100.0
    drops: tuple[float, ...] = (0.4, 0.8)

    def __post_init__(self) -> None:
        if self.cycles < 1 or self.divisor < 1:
            raise InputError("optim.schedule: cycles and divisor have to be 1 or more")


@dataclass(frozen=True)
class OptimConfig:
    """A fixed training budget: AdamW, a schedule of the learning rate, and an average of the weights.

    Args:
        epochs: passes over the training nodules, one random view of each per pass.
        batch_size: images per step, over all devices and accumulated parts together.
        learning_rate: the highest of the schedule.
        weight_decay: of AdamW, on matrices only; with 0, AdamW is Adam.
        warmup_fraction: part of all steps that the learning rate rises over before a cosine.
        biomarker_weight: weight of the biomarkers' loss beside malignancy's.
        ema_decay: per-step decay of the exponential moving average that becomes the final weights; it starts
            half-way. 0 keeps the last weights.
        gradient_clip: largest gradient norm; 0 does not clip.
        betas: decay of AdamW's averages of the gradient and of its square; the second is below the usual 0.999
            because budgets here are hundreds to thousands of steps.
        schedule: the learning rate over the steps.
        patience: epochs without a lower validation loss after which training stops and the best epoch's weights are
            kept; the average then starts at once. 0 trains to the end and looks at no held-out nodule. With it the
            validation fold has selected, and calibration on the same fold no longer guarantees its coverage.
    """

    epochs: int = 60
    batch_size: int = 32
    learning_rate: float = 5e-4
    weight_decay: float = 0.05
    warmup_fraction: float = 0.1
    biomarker_weight: float = 1.0
    ema_decay: float = 0.99
    gradient_clip: float = 1.0
    betas: tuple[float, float] = (0.9, 0.95)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    patience: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or self.learning_rate <= 0:
            raise InputError("optim: epochs, batch_size and learning_rate have to be positive")
