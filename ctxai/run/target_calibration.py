"""Calibration of targets of one's own on held-out nodules, by the kind of each; columns of their predictions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logsumexp, softmax

from ctxai.data.targets import Target, TargetTable
from ctxai.errors import RunError
from ctxai.run.calibration import Calibration, conformal_half_width

_TEMPERATURES = (1e-2, 1e2)


@dataclass(frozen=True)
class TableCalibration:
    """One `Calibration` for each target.

    Binary: Platt scaling of its logit. Multiclass: a temperature (1 / slope; Guo et al. 2017, "On calibration of modern
    neural networks"), and as half-width the conformal quantile of 1 - P(label), up to which a class is possible
    (Sadinle et al. 2019, "Least ambiguous set-valued classifiers with bounded error levels"). Ordinal and regression:
    the conformal half-width of the absolute error.

    Args:
        targets: calibration by name.
        alpha: share of nodules whose label may lie outside of the interval, or of the possible classes.
    """

    targets: dict[str, Calibration] = field(default_factory=dict)
    alpha: float = 0.1

    @classmethod
    def fit(
        cls, table: TargetTable, predictions: pd.DataFrame, labels: np.ndarray, alpha: float = 0.1
    ) -> TableCalibration:
        """Fit on nodules that were neither trained on nor selected by.

        Args:
            table: the targets.
            predictions: as :meth:`predictions` gives them, of any calibration.
            labels: of `TargetTable.values` (nodule, target).
            alpha: as above.
        """
        return cls(
            {
                target.name: _fit(target, predictions[known], labels[known, place].astype(float), alpha)
                for place, target in enumerate(table)
                for known in [~np.isnan(labels[:, place])]
            },
            alpha,
        )

    def predictions(self, table: TargetTable, outputs: np.ndarray, units: np.ndarray) -> pd.DataFrame:
        """Columns of predictions.

        Binary: ``<name>_logit``, ``<name>_probability`` and its ``_low`` and ``_high``. Multiclass: ``<output>_logit``,
        ``<output>_probability`` and ``<output>_possible`` (1 for a class of the conformal set) for every class. Ordinal
        and regression: ``<name>``, ``<name>_low``, ``<name>_high``, in units.

        Args:
            table: the targets.
            outputs: of the model (nodule, output).
            units: the same by `NoduleNetwork.to_units`.
        """
        columns: dict[str, np.ndarray] = {}
        for target, chosen in zip(table, table.slices.values(), strict=True):
            own = self.targets.get(target.name, Calibration(half_widths={target.name: None}))
            columns |= _columns(target, own, outputs[:, chosen], units[:, chosen])
        return pd.DataFrame(columns)

    def to_json(self) -> dict[str, Any]:
        """Plain values for `calibration.json`."""
        return {"alpha": self.alpha, "targets": {name: one.to_json() for name, one in self.targets.items()}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TableCalibration:
        """The reverse of :meth:`to_json`.

        Raises:
            RunError: when a field is missing or of another kind.
        """
        try:
            found = {str(name): Calibration.from_json(one, [name]) for name, one in value["targets"].items()}
            return cls(found, float(value["alpha"]))
        except (KeyError, AttributeError, TypeError, ValueError) as error:
            raise RunError(f"calibration.json: damaged ({error!r}); train the run again") from None


def _fit(target: Target, predictions: pd.DataFrame, labels: np.ndarray, alpha: float) -> Calibration:
    name, count = target.name, {target.name: len(labels)}
    if target.kind == "binary":
        logits, none = predictions[f"{name}_logit"].to_numpy(float), np.empty((len(labels), 0))
        fitted = Calibration.fit(logits, labels, none, none, alpha, names=())
        return replace(fitted, half_widths={name: None}, counts=count)
    if target.kind == "multiclass":
        outputs = predictions[[f"{output}_logit" for output in target.outputs]].to_numpy(float)
        places = labels.astype(int)
        slope = _inverse_temperature(outputs, places)
        beside = 1 - softmax(slope * outputs, axis=1)[np.arange(len(places)), places]
        width = conformal_half_width(beside, alpha)
        return Calibration(slope, alpha=alpha, half_widths={name: width}, counts=count)
    errors = np.abs(predictions[name].to_numpy(float) - labels)
    return Calibration(alpha=alpha, half_widths={name: conformal_half_width(errors, alpha)}, counts=count)


def _inverse_temperature(logits: np.ndarray, places: np.ndarray) -> float:
    """Factor of the logits (nodule, class) under which the classes (nodule,) are most likely."""
    from scipy.optimize import minimize_scalar  # here: explaining does without

    if not len(places):
        return 1.0
    chosen = logits[np.arange(len(places)), places]

    def loss(logarithm: float) -> float:
        slope = math.exp(logarithm)
        return float((logsumexp(slope * logits, axis=1) - slope * chosen).sum())

    found = minimize_scalar(loss, bounds=tuple(np.log(_TEMPERATURES)), method="bounded")
    return math.exp(float(found.x))


def _columns(target: Target, own: Calibration, outputs: np.ndarray, units: np.ndarray) -> dict[str, np.ndarray]:
    name = target.name
    if target.kind == "binary":
        logits = outputs[:, 0]
        low, high = own.probability_interval(logits)
        ends = {f"{name}_probability_low": low, f"{name}_probability_high": high}
        return {f"{name}_logit": logits, f"{name}_probability": own.probability(logits), **ends}
    width = own.half_widths[name]
    if target.kind == "multiclass":
        probabilities: np.ndarray = softmax(own.slope * outputs, axis=1)
        possible = (1 - probabilities <= (1.0 if width is None else width)).astype(float)
        kinds: dict[str, np.ndarray] = {"logit": outputs, "probability": probabilities, "possible": possible}
        return {
            f"{output}_{kind}": values[:, place]
            for place, output in enumerate(target.outputs)
            for kind, values in kinds.items()
        }
    number = np.clip(units[:, 0], *target.limits)
    width = math.inf if width is None else width
    return {
        name: number,
        f"{name}_low": np.clip(number - width, *target.limits),
        f"{name}_high": np.clip(number + width, *target.limits),
    }
