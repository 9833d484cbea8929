"""What every metric of explanations shares: its metadata, one verb, its registration."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.metadata
import logging
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from ctxai.errors import InputError
from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.suggestions import did_you_mean

NEEDS = frozenset({"model", "mask", "method", "second_target", "labels", "views"})
ENTRY_POINTS = "ctxai.metrics"

_log = logging.getLogger(__name__)
_metrics: dict[str, type[Metric]] = {}


class Metric(ABC):
    """A figure that tells how good explanations are.

    A metric is a frozen dataclass in one file of ``ctxai/evaluate/metrics/``: its fields are its options, it sets the
    class attributes below and defines :meth:`_score`. Defining it registers it; nothing else has to change.
    """

    name: ClassVar[str]
    """The name in registries, tables and file names."""
    higher_is_better: ClassVar[bool | None]
    """The direction; None for a figure that describes and does not rank."""
    units: ClassVar[str]
    """Of a score: "output" is the target's own unit, a logit or a z-score."""
    needs: ClassVar[frozenset[str]] = frozenset()
    """What a batch has to hold beside images and maps, out of :data:`NEEDS`."""
    reference: ClassVar[str]
    """Where the metric is published."""
    published: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """Options that give the published variant, where the defaults do not."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" not in vars(cls):
            return
        missing = [field for field in ("higher_is_better", "units", "reference") if not hasattr(cls, field)]
        if missing or not cls.needs <= NEEDS:
            raise InputError(f"{cls.__qualname__}: expected metadata {missing or sorted(NEEDS)}; see Metric")
        known = _metrics.get(cls.name)
        if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise InputError(f"expected a new name for {cls.__qualname__}, found {cls.name!r}, {known.__qualname__}'s")
        _metrics[cls.name] = cls

    @property
    def options(self) -> dict[str, Any]:
        """What the metric was made with, by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @property
    def label(self) -> str:
        """What a result has to be called: the name, with the fill where there is one and options that differ."""
        given = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name == "fill":
                given.insert(0, value)
            elif value != field.default:
                given.append(f"{field.name}={value}")
        return f"{self.name}[{', '.join(given)}]" if given else self.name

    def missing(self, batch: ExplanationBatch) -> list[str]:
        """What this metric needs and ``batch`` does not hold, sorted."""
        held = {
            "model": batch.model,
            "mask": batch.masks,
            "method": batch.method,
            "second_target": batch.second_target,
            "labels": batch.labels,
            "views": batch.views,
        }
        return sorted(need for need in self.needs if held[need] is None)

    def score(self, batch: ExplanationBatch) -> np.ndarray:
        """The figure of every image, float64 (N,); NaN where it is not defined.

        An image's score does not depend on the others in the batch.

        Raises:
            InputError: when the batch lacks something that the metric needs.
        """
        missing = self.missing(batch)
        if missing:
            raise InputError(f"{self.name}: expected a batch with {', '.join(missing)}, found none")
        scores = self._score(batch)
        scores = scores.detach().cpu().numpy() if isinstance(scores, Tensor) else np.asarray(scores)
        if scores.shape != (len(batch),):
            raise InputError(f"{self.name}: expected one score per image, ({len(batch)},), found {scores.shape}")
        return scores.astype(np.float64)

    def parts(self, batch: ExplanationBatch) -> np.ndarray:
        """What :meth:`summary` needs of every image, float64 (N, m); rows can be drawn again for a bootstrap."""
        return self.score(batch)[:, None]

    def summary(self, parts: np.ndarray) -> float:
        """The figure of a set of images out of their :meth:`parts`: the mean of the scores that are defined, or NaN.

        Some published figures are no mean over images; their metrics say so and define both functions.
        """
        known = parts[~np.isnan(parts[:, 0]), 0]
        return float(known.mean()) if len(known) else float("nan")

    @abstractmethod
    def _score(self, batch: ExplanationBatch) -> Tensor | np.ndarray:
        """The scores (N,) of a batch that holds what is needed."""


def list_metrics() -> list[str]:
    """The names of all metrics, sorted."""
    _load()
    return sorted(_metrics)


def get_metric(name: str) -> type[Metric]:
    """The class of a metric by name.

    Raises:
        InputError: for an unknown name.
    """
    if name not in list_metrics():
        known = list_metrics()
        raise InputError(
            f"expected a metric of explanations, found {name!r}; known: {', '.join(known)}{did_you_mean(name, known)}"
        )
    return _metrics[name]


@functools.cache
def _load() -> None:
    package = importlib.import_module("ctxai.evaluate.metrics")
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        try:
            entry.load()
        except (ImportError, AttributeError) as error:
            _log.warning("the metric %s (%s) cannot be loaded: %s", entry.name, entry.value, error)
