"""Which number of a model's answer a map explains."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import SupportsIndex, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor

from ctxai.errors import InputError
from ctxai.explain.concept import Concept
from ctxai.explain.contrast import Contrast
from ctxai.explain.network import Readout

OneTarget: TypeAlias = int | str | Tensor | Concept | Contrast | Callable[[Tensor], Tensor] | None
Target: TypeAlias = OneTarget | Sequence[OneTarget]
_Resolved: TypeAlias = Tensor | Concept | Contrast | Callable[[Tensor], Tensor]

DEFAULT_NAME = "malignancy"


class Targets:
    """The targets of one call, resolved against a model's outputs.

    Args:
        target: an output index; a name out of ``names``; an integer tensor (N,), one index per image; a
            :class:`Concept`; a :class:`Contrast`; a callable from outputs (N, K) to (N,); None, the output named
            "malignancy" or else each image's largest output; or a list or tuple of these, several at once.
        names: the outputs' names, or nothing.
        n_images: N.

    Raises:
        InputError: for a target of another kind, an unknown name, or a tensor of another length.
    """

    def __init__(self, target: Target, names: Sequence[str], n_images: int) -> None:
        self.several = isinstance(target, list | tuple)
        given = cast(list[OneTarget], list(target) if isinstance(target, list | tuple) else [target])
        if not given:
            raise InputError("expected at least one target, found an empty list; name an output, or pass None")
        self._names = tuple(names)
        self._n = n_images
        self._targets = [self._parse(one) for one in given]

    def __len__(self) -> int:
        return len(self._targets)

    @property
    def needs_embedding(self) -> bool:
        """Whether a target is a concept, which reads the embedding and not the outputs."""
        return any(isinstance(one, Concept) for one in self._targets)

    @property
    def all_outputs(self) -> bool:
        """Whether every target is one of the model's outputs."""
        return all(one is None or isinstance(one, Tensor) for one in self._targets)

    def of_image(self, position: int, outputs: Tensor) -> Targets:
        """The same targets for one image by itself; ``outputs`` (N, K) are those of the whole batch.

        A callable goes on seeing the batch, in which only this image's outputs change.
        """

        def alone(one: _Resolved) -> _Resolved:
            if isinstance(one, Tensor):
                return one[position : position + 1]
            if isinstance(one, Concept | Contrast):
                return one

            def score(row: Tensor) -> Tensor:
                whole = torch.cat([outputs[:position], row, outputs[position + 1 :]])
                return self._checked(one(whole))[position : position + 1]

            return score

        own = Targets([0], self._names, 1)
        own._targets = [alone(one) for one in self._fixed(outputs)]
        return own

    def fix(self, outputs: Tensor) -> None:
        """Turn None into each image's largest output, and check every index against ``outputs`` (N, K).

        Raises:
            InputError: for an index beyond the outputs.
        """
        for position, one in enumerate(self._targets):
            if one is None:
                self._targets[position] = outputs.detach().argmax(dim=1)
            elif isinstance(one, Tensor):
                self._check_range(int(one.min()), int(one.max()), outputs)
            elif isinstance(one, Contrast):
                self._check_range(min(one.indices), max(one.indices), outputs)

    def _fixed(self, outputs: Tensor) -> list[_Resolved]:
        self.fix(outputs)
        return [one for one in self._targets if one is not None]

    def _check_range(self, lowest: int, highest: int, outputs: Tensor) -> None:
        if lowest < 0 or highest >= outputs.shape[1]:
            raise InputError(
                f"expected a target index from 0 to {outputs.shape[1] - 1}, found {lowest if lowest < 0 else highest}; "
                f"the model has {outputs.shape[1]} outputs{self._known()}"
            )

    def indices(self, outputs: Tensor) -> Tensor:
        """The output index of every target and image, (T, N).

        Raises:
            InputError: when a target is not an output.
        """
        indices = [one for one in self._fixed(outputs) if isinstance(one, Tensor)]
        if len(indices) < len(self):
            raise InputError(
                "expected targets that are outputs of the model, found a concept, a contrast or a callable"
            )
        return torch.stack([one.to(outputs.device) for one in indices])

    def scores(self, readout: Readout, draws: int = 1) -> Tensor:
        """The explained numbers, (T, M), for a read-out of M = draws x N rows, draw by draw."""
        outputs = readout.outputs
        if draws == 1:
            self.fix(outputs)
        resolved = [one for one in self._targets if one is not None]
        return torch.stack([self._score(one, readout, draws) for one in resolved])

    def _score(self, one: _Resolved, readout: Readout, draws: int) -> Tensor:
        outputs = readout.outputs
        if isinstance(one, Tensor):
            index = one.to(outputs.device).repeat(draws)
            return outputs.gather(1, index[:, None])[:, 0]
        if isinstance(one, Concept):
            return one.similarity(readout.embedding())
        if isinstance(one, Contrast):
            return one.difference(outputs)
        return torch.cat([self._checked(one(part)) for part in outputs.split(self._n)])

    def _checked(self, scores: Tensor) -> Tensor:
        if not isinstance(scores, Tensor) or scores.shape != (self._n,):
            found = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise InputError(f"expected a target callable to return shape ({self._n},), found {found}")
        return scores

    def _parse(self, one: OneTarget) -> _Resolved | None:
        if one is None:
            return None if DEFAULT_NAME not in self._names else self._index(self._names.index(DEFAULT_NAME))
        if isinstance(one, Concept):
            return one
        if isinstance(one, Contrast):
            return one.by_index(self._place)
        if isinstance(one, str):
            return self._index(self._place(one))
        if isinstance(one, Tensor | np.ndarray) and one.ndim > 0:
            return self._per_image(torch.as_tensor(one))
        if not isinstance(one, bool) and hasattr(one, "__index__"):
            return self._index(self._place(cast(SupportsIndex, one)))
        if callable(one):
            return one
        raise InputError(
            f"expected a target index, name, integer tensor, Concept, Contrast, callable or list, found {one!r}"
        )

    def _place(self, output: SupportsIndex | str) -> int:
        """Index of an output given by name or index."""
        if not isinstance(output, str):
            return operator.index(output)
        if output not in self._names:
            raise InputError(f"expected a target that the model has, found {output!r}{self._known()}")
        return self._names.index(output)

    def _index(self, index: int) -> Tensor:
        return torch.full((self._n,), index, dtype=torch.long)

    def _per_image(self, indices: Tensor) -> Tensor:
        if indices.shape != (self._n,) or indices.dtype.is_floating_point or indices.dtype == torch.bool:
            raise InputError(
                f"expected one integer target per image, shape ({self._n},), found {tuple(indices.shape)} of "
                f"{indices.dtype}; pass a list for several targets at once"
            )
        return indices.long()

    def _known(self) -> str:
        return f"; known names: {', '.join(self._names)}" if self._names else "; the model names no outputs"
