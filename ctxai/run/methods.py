"""Explanation methods for a run, by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ctxai.errors import InputError, ModelError
from ctxai.explain.base import Attribution, get_method
from ctxai.explain.clinical_baselines import ImageScale
from ctxai.explain.methods.vision_diffmask import VisionDiffMask
from ctxai.run.explaining import MeanOverTurns, method_on
from ctxai.run.gates import load_gates

if TYPE_CHECKING:
    from ctxai.run.run import Run


def make_method(run: Run, method: str | Attribution, options: Mapping[str, Any] | None = None) -> Attribution:
    """A method for the run's model, with what was trained for it where it needs that.

    Its maps explain the mean over the turns of an image that the run's predictions average over.

    Args:
        run: the model.
        method: a name such as ``cdam``; an instance is handed back.
        options: arguments of the method's constructor; the defaults when not given.

    Raises:
        InputError: for an unknown method, an option that it has not, or one whose training is missing.
    """
    if not isinstance(method, str):
        return method
    kind = get_method(method)
    if issubclass(kind, VisionDiffMask):
        return _over_turns(load_gates(run), run)
    if "training" in kind.needs:
        raise ModelError(f"{kind.name} has to be trained for a run, which only Python code can do; choose another")
    views = run.views
    scale = ImageScale(views.mean, views.std, views.field_of_view_mm / views.pixels)
    own = kind.options_for(scale, views.turns, run.model.has_outline)
    options = {**own, **(options or {})}
    try:
        inspect.signature(kind).bind(run.model, **options)
    except TypeError as error:
        raise InputError(f"{kind.name}: {error}; docs/methods has its options") from None
    made = method_on(run.model, kind, **options)
    return made if "turns" in own else _over_turns(made, run)


def _over_turns(method: Attribution, run: Run) -> Attribution:
    return method if run.views.turns == 1 else MeanOverTurns(method, run.views.turns)
