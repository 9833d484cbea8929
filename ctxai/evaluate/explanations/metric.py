"""Base class of metrics of explanations: metadata, one verb, registration by name."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from torch import Tensor

from ctxai.errors import InputError
from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.registry import Registry

NEEDS = frozenset({"model", "mask", "method", "second_target", "labels", "views"})

Setting = Literal["fill", "steps", "boxes", "draws", "region", "cascading"]
"""Settings of a benchmark that an option of a metric can take its value from."""


def option(default: Any, setting: Setting) -> Any:
    """Field of a metric with a default, which a benchmark sets from one of its own settings."""
    return dataclasses.field(default=default, metadata={"setting": setting})


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
    """Fields that a batch needs beside images and maps, out of :data:`NEEDS`."""
    reference: ClassVar[str]
    """Where the metric is published."""
    published: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """Options that give the published variant, where the defaults do not."""
    zero_by_chance: ClassVar[bool] = False
    """Whether the mean score of random maps is 0."""
    every_target: ClassVar[bool] = False
    """Whether a benchmark scores the further targets too, although the metric needs passes of the model."""
    also: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """Options of a second variant that a benchmark scores as well."""
    summary_column: ClassVar[int | None] = None
    """Place in a benchmark's printed summary; the leftmost metric is drawn against cost."""

    if TYPE_CHECKING:
        __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" not in vars(cls):
            return
        missing = [field for field in ("higher_is_better", "units", "reference") if not hasattr(cls, field)]
        if missing or not cls.needs <= NEEDS:
            raise InputError(f"{cls.__qualname__}: expected metadata {missing or sorted(NEEDS)}; see Metric")
        METRICS.register(cls.name, cls)

    @property
    def options(self) -> dict[str, Any]:
        """Options of the metric, by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @property
    def label(self) -> str:
        """Name of a result: the metric's, with the fill where there is one and options that differ."""
        given: list[str] = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name == "fill":
                given.insert(0, value)
            elif value != field.default:
                given.append(f"{field.name}={value}")
        return f"{self.name}[{', '.join(given)}]" if given else self.name

    def missing(self, batch: ExplanationBatch) -> list[str]:
        """Needed fields that ``batch`` lacks, sorted."""
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
        """Values of every image for :meth:`summary`, float64 (N, m); rows can be drawn again for a bootstrap."""
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


METRICS: Registry[type[Metric]] = Registry("a metric of explanations", "ctxai.evaluate.metrics", "ctxai.metrics")


def list_metrics() -> list[str]:
    """Names of all metrics, sorted."""
    return METRICS.names()


def get_metric(name: str) -> type[Metric]:
    """Class of a metric by name; capitals, hyphens and underscores are ignored.

    Raises:
        InputError: for an unknown name.
    """
    return METRICS.get(name)
