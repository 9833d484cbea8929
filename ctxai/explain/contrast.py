"""A contrast: why one output is large and another is not."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import SupportsIndex, cast

from torch import Tensor

from ctxai.errors import InputError


@dataclass(frozen=True)
class Contrast:
    """A target that is the difference of two outputs: f = y_a - y_b.

    Outputs are taken as the model gives them, in the project's classifier a logit for malignancy and z-scores for the
    biomarkers. So a contrast of two biomarkers is in standard deviations of the training nodules; one with malignancy
    mixes units. Positive evidence of a signed map speaks for the first and against the second output.

    Args:
        positive: y_a, an output's name or index.
        negative: y_b, likewise; None contrasts with 0.

    Raises:
        InputError: for parts that are equal, or neither names nor indices.
    """

    positive: int | str
    negative: int | str | None = None

    def __post_init__(self) -> None:
        for part in (self.positive, 0 if self.negative is None else self.negative):
            if isinstance(part, bool) or not (isinstance(part, str) or hasattr(part, "__index__")):
                raise InputError(f"expected a contrast of outputs by name or index, found {part!r}")
        if self.positive == self.negative:
            raise InputError(f"expected a contrast of two outputs, found {self.positive!r} twice; it is always 0")

    @property
    def name(self) -> str:
        """Name in file names and reports."""
        return str(self.positive) if self.negative is None else f"{self.positive}-{self.negative}"

    def by_index(self, index_of: Callable[[int | str], int]) -> Contrast:
        """The same contrast with ``index_of`` applied to each part."""
        negative = None if self.negative is None else index_of(self.negative)
        return Contrast(index_of(self.positive), negative)

    @property
    def indices(self) -> tuple[int, ...]:
        """Indices of the outputs that take part, one or two; names have to be resolved first (:meth:`by_index`)."""
        parts = (self.positive,) if self.negative is None else (self.positive, self.negative)
        return tuple(operator.index(cast(SupportsIndex, part)) for part in parts)

    def difference(self, outputs: Tensor) -> Tensor:
        """The contrast of ``outputs`` (N, K), shape (N,); the parts have to be indices."""
        first, *rest = (outputs[:, part] for part in self.indices)
        return first - rest[0] if rest else first
