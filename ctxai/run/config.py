"""The resolved options of a run, as `config.yaml` holds them and as `ctxai train --config` reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml

from ctxai.data.labels import TARGETS
from ctxai.data.plain_options import build_options, plain_options
from ctxai.data.settings import AugmentConfig, FoldConfig, LabelKind, ViewConfig
from ctxai.data.targets import Target, TargetTable, own_table
from ctxai.errors import RunError, one_line
from ctxai.models.backbone import patch_pixels
from ctxai.models.ensemble import EnsembleClassifier
from ctxai.models.network import NoduleNetwork
from ctxai.models.settings import BackboneConfig, HeadsConfig, LossConfig, OptimConfig, TuneConfig
from ctxai.training.settings import LIMIT, ComputeConfig

if TYPE_CHECKING:
    from ctxai.data.datamodule import NoduleDataModule
    from ctxai.models.classifier import NoduleClassifier


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides what a run learns, apart from the store.

    Args:
        views: images the run was trained for, with the training fold's statistics.
        backbone: the vision transformer.
        optim: the training budget.
        augment: random changes while training.
        folds: which nodules were for what.
        label: how malignancy is given: soft or hard labels, or the rating itself.
        shuffle_labels: whether labels were permuted between training patients.
        half_precision: whether weights are stored in half precision.
        seed: of the initial weights and of every random draw.
        targets: what is predicted: some of `TARGETS`, or a table of one's own.
        tune: which weights of the backbone learn.
        loss: what is minimised.
        compute: precision, compilation, accumulation.
        heads: how the embedding is read out, and what is learnt beside the targets.
        trainer: flags of Lightning's Trainer that were given; not written where there are none.
    """

    views: ViewConfig = field(default_factory=ViewConfig)
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    folds: FoldConfig = field(default_factory=FoldConfig)
    label: LabelKind = "soft"
    shuffle_labels: bool = False
    half_precision: bool = False
    seed: int = 0
    targets: tuple[str, ...] | tuple[Target, ...] = TARGETS
    tune: TuneConfig = field(default_factory=TuneConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    heads: HeadsConfig = field(default_factory=HeadsConfig)
    trainer: dict[str, Any] = field(default_factory=dict)

    @property
    def own(self) -> TargetTable | None:
        """The table of targets of one's own; None where LIDC-IDRI's are predicted."""
        return own_table(self.targets)

    def make_network(self, members: int = 1) -> NoduleNetwork | EnsembleClassifier:
        """The network of these options, or an ensemble of them, for a caller that loads trained weights.

        Raises:
            InputError: when options do not exist or do not fit each other.
        """
        networks = [
            NoduleNetwork(self.backbone, self.views.pixels, targets=self.targets, label=self.label, heads=self.heads)
            for _ in range(members)
        ]
        return networks[0] if members == 1 else EnsembleClassifier(networks, torch.ones(1 + members, 2))

    def make_model(self) -> NoduleClassifier:
        """The classifier of these options, to be trained; of an ensemble, one member.

        Raises:
            InputError: when options do not exist or do not fit each other.
        """
        from ctxai.models.classifier import NoduleClassifier  # here: explaining does without Lightning

        return NoduleClassifier(
            self.backbone,
            self.views.pixels,
            self.optim,
            targets=self.targets,
            label=self.label,
            tune=self.tune,
            loss=self.loss,
            heads=self.heads,
            compiled=self.compute.compile,
        )

    def make_data(self, store_dir: Path, workers: int = 0) -> NoduleDataModule:
        """Rows, targets and images of a store for a training by these options.

        Args:
            store_dir: the nodule store.
            workers: processes that render images; 0 renders in the training process.

        Raises:
            InputError: when the store cannot be trained on by these options.
        """
        from ctxai.data.datamodule import NoduleDataModule  # here: explaining does without Lightning

        side = 2 * self.views.pixels // patch_pixels(self.backbone, self.views.pixels) if self.heads.outline else 0
        data = NoduleDataModule(
            store_dir,
            self.views,
            self.augment,
            self.folds,
            self.label,
            self.shuffle_labels,
            self.optim.batch_size,
            self.seed,
            workers,
            self.compute.accumulate,
            auxiliary=self.heads.auxiliary,
            reader_weights=self.loss.reader_weights,
            outline_side=side,
            features=self.heads.features > 0,
            own=self.own,
        )
        data.train_dataloader().limit(self.trainer.get(LIMIT))
        return data

    def to_yaml(self) -> str:
        """YAML text with every option, in the order above."""
        options = plain_options(self)
        if not self.trainer:
            del options["trainer"]
        return yaml.safe_dump(options, sort_keys=False, default_flow_style=None)

    @classmethod
    def from_yaml(cls, text: str | bytes) -> RunConfig:
        """The reverse of :meth:`to_yaml`.

        Raises:
            RunError: for anything that is not such a document.
        """
        try:
            return build_options(cls, yaml.safe_load(text))
        except (yaml.YAMLError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise RunError(
                f"config.yaml: damaged or of another version ({one_line(error)}); train the run again"
            ) from None


def flat_options(text: str) -> dict[str, Any]:
    """The options of YAML text by their full names, such as ``optim.epochs``."""

    def walk(values: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
        for name, value in values.items():
            if isinstance(value, dict):
                yield from walk(value, f"{prefix}{name}.")
            else:
                yield prefix + name, value

    return dict(walk(yaml.safe_load(text) or {}, ""))
