"""The resolved options of a run, as `config.yaml` holds them and as `ctxai train --config` reads them."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ctxai.data.augment import AugmentConfig
from ctxai.data.labels import FoldConfig, LabelKind
from ctxai.data.views import ViewConfig
from ctxai.errors import RunError
from ctxai.models.backbone import BackboneConfig
from ctxai.models.classifier import OptimConfig


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides what a run learns, apart from the store.

    Args:
        views: images the run was trained for, with the training fold's statistics.
        backbone: the vision transformer.
        optim: the training budget.
        augment: random changes while training.
        folds: which nodules were for what.
        label: soft or hard malignancy labels.
        shuffle_labels: whether labels were permuted between training patients.
        half_precision: whether weights are stored in half precision.
        seed: of the initial weights and of every random draw.
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

    def to_yaml(self) -> str:
        """YAML text with every option, in the order above."""
        return yaml.safe_dump(_plain(dataclasses.asdict(self)), sort_keys=False, default_flow_style=None)

    @classmethod
    def from_yaml(cls, text: str) -> RunConfig:
        """The reverse of :meth:`to_yaml`.

        Raises:
            RunError: for anything that is not such a document.
        """
        try:
            return _build(cls, yaml.safe_load(text))
        except (yaml.YAMLError, TypeError, AttributeError) as error:
            reason = " ".join(str(error).split())[:160]
            raise RunError(f"config.yaml: damaged or of another version ({reason}); train the run again") from None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _build(kind: type, values: dict[str, Any]) -> Any:
    hints = typing.get_type_hints(kind)
    unknown = set(values) - set(hints)
    if unknown:
        raise TypeError(f"unknown option {', '.join(sorted(unknown))}")
    return kind(**{name: _value(hints[name], value) for name, value in values.items()})


def _value(hint: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(hint):
        return _build(hint, value)
    if isinstance(value, list):
        return tuple(value)
    return Path(value) if hint == Path | None and value is not None else value
