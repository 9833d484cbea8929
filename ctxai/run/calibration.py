"""Calibration on held-out nodules: a probability that agrees with frequencies, and intervals that cover."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, ndtri

from ctxai.data.labels import SCALES, TARGETS
from ctxai.errors import RunError

_SLOPES = (1e-3, 1e3)


@dataclass(frozen=True)
class Calibration:
    """Platt scaling of the malignancy logit and split-conformal half-widths of every target.

    Probability: P(median rating > 3) = sigmoid(slope · logit + intercept), fitted by maximum likelihood on the
    validation nodules with a median other than 3, with Platt's smoothed labels (Platt 1999, "Probabilistic outputs
    for support vector machines"), so that separable nodules do not give an infinite slope. The slope stays positive:
    calibration never reorders nodules.

    Intervals: prediction ± half-width, where the half-width is the ceil((n + 1)(1 - alpha))-th smallest absolute
    error on the n validation nodules, that is the finite-sample quantile ceil((n + 1)(1 - alpha)) / n of split
    conformal prediction (Lei et al. 2018, "Distribution-free predictive inference for regression"). The mean reader
    rating of a new nodule then lies inside with probability at least 1 - alpha, on average over validation sets and
    new nodules, whatever the model, provided that the validation nodules and the new one are exchangeable and that
    nothing was chosen by looking at the validation nodules. Nodules of one patient resemble each other and other
    hospitals' scans differ: for those the guarantee is approximate or void. Below ceil(1 / alpha) - 1 nodules the
    quantile does not exist; the half-width is then None and the interval is the whole scale.

    A probability goes no further than what the labels were smoothed to, 1 / (negatives + 2) and (positives + 1) /
    (positives + 2): so few nodules cannot tell a rarer exception. Its interval is that of the fitted curve at level
    1 - alpha, from the inverse Fisher information of slope and intercept; nodules of one patient count as independent.

    Args:
        slope: of the logit, above 0.
        intercept: in logits.
        covariance: variance of the slope, covariance, and variance of the intercept.
        positives: nodules with a median rating above 3 that the curve was fitted to; without any nodule, a probability
            has no limits and its interval is 0 to 1.
        negatives: those with a median rating below 3.
        alpha: share of nodules that may fall outside of their interval.
        half_widths: per target, in its units, or None.
        counts: validation nodules per target.
    """

    slope: float = 1.0
    intercept: float = 0.0
    covariance: tuple[float, float, float] = (0.0, 0.0, 0.0)
    positives: int = 0
    negatives: int = 0
    alpha: float = 0.1
    half_widths: dict[str, float | None] = field(default_factory=lambda: dict.fromkeys(TARGETS))
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TARGETS, 0))

    @classmethod
    def fit(
        cls,
        logits: np.ndarray,
        labels: np.ndarray,
        predictions: np.ndarray,
        truths: np.ndarray,
        alpha: float = 0.1,
        names: Sequence[str] = TARGETS,
    ) -> Calibration:
        """Fit on nodules that were neither trained on nor selected by.

        Args:
            logits: malignancy logits (nodule,), NaN from a model without them.
            labels: 1 malignant, 0 benign, NaN neither (nodule,).
            predictions: in units (nodule, target), in the order of ``names``.
            truths: readers' means in the same units and order, NaN where unknown.
            alpha: share of nodules that may fall outside of their interval.
            names: of the targets.
        """
        known = ~(np.isnan(labels) | np.isnan(logits))
        slope, intercept = platt_scaling(logits[known], labels[known]) if known.any() else (1.0, 0.0)
        positives = int((labels[known] == 1).sum())
        covariance = _covariance(logits[known], slope, intercept)
        widths: dict[str, float | None] = {}
        counts: dict[str, int] = {}
        for place, target in enumerate(names):
            errors = np.abs(predictions[:, place] - truths[:, place])
            errors = errors[~np.isnan(errors)]
            widths[target] = conformal_half_width(errors, alpha)
            counts[target] = len(errors)
        negatives = int(known.sum()) - positives
        return cls(slope, intercept, covariance, positives, negatives, alpha, widths, counts)

    def probability(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated P(median rating > 3) of malignancy logits, within what the calibration nodules support."""
        return self._supported(expit(self.score(logits)))

    def score(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated logits without limits, for ranking and averaging."""
        return self.slope * np.asarray(logits, float) + self.intercept

    def probability_interval(self, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper end of the interval of :meth:`probability`, at level 1 - alpha.

        By the fit's covariance (Fisher information), and never tighter than what as many calibration nodules without
        an exception would allow: p**n = alpha / 2 of n positives, and likewise of n negatives.
        """
        logits = np.asarray(logits, float)
        if not self.positives + self.negatives:
            return np.zeros_like(logits), np.ones_like(logits)
        slope, both, intercept = self.covariance
        error = ndtri(1 - self.alpha / 2) * np.sqrt(np.maximum(slope * logits**2 + 2 * both * logits + intercept, 0))
        low = np.minimum(expit(self.score(logits) - error), (self.alpha / 2) ** (1 / (self.positives + 1)))
        high = np.maximum(expit(self.score(logits) + error), 1 - (self.alpha / 2) ** (1 / (self.negatives + 1)))
        return self._supported(low), self._supported(high)

    def _supported(self, probabilities: np.ndarray) -> np.ndarray:
        if not self.positives + self.negatives:
            return probabilities
        return np.clip(probabilities, 1 / (self.negatives + 2), (self.positives + 1) / (self.positives + 2))

    def interval(self, target: str, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper end for predictions in units, within the target's scale."""
        width = self.half_widths[target]
        width = math.inf if width is None else width
        low, high = SCALES[target]
        return np.clip(values - width, low, high), np.clip(values + width, low, high)

    def predictions(self, names: Sequence[str], outputs: np.ndarray, units: np.ndarray) -> pd.DataFrame:
        """Columns of predictions.

        ``malignancy_logit``; ``malignancy_probability``, calibrated P(median reader rating > 3) within what the
        calibration nodules support, with ``malignancy_probability_low`` and ``malignancy_probability_high``;
        ``malignancy`` (reader's scale 1-5) with ``malignancy_low`` and ``malignancy_high``; and for each biomarker
        ``<name>``, ``<name>_low``, ``<name>_high`` in rating points, or mm for the diameter.

        Args:
            names: of the targets, in the order of `TARGETS`.
            outputs: of the model (nodule, target).
            units: the same in the readers' units.
        """
        columns: dict[str, np.ndarray] = {}
        if "malignancy" in names:
            logits = outputs[:, 0]
            low, high = self.probability_interval(logits)
            columns |= {
                "malignancy_logit": logits,
                "malignancy_probability": self.probability(logits),
                "malignancy_probability_low": low,
                "malignancy_probability_high": high,
            }
        for place, target in enumerate(names):
            values = np.clip(units[:, place], *SCALES[target])
            low, high = self.interval(target, values)
            columns |= {target: values, f"{target}_low": low, f"{target}_high": high}
        return pd.DataFrame(columns)

    def to_json(self) -> dict[str, Any]:
        """Plain values for `calibration.json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any], names: Sequence[str] = TARGETS) -> Calibration:
        """The reverse of :meth:`to_json`, for targets of these names.

        Raises:
            RunError: when a field is missing or of another kind.
        """
        try:
            widths = {name: value["half_widths"][name] for name in names}
            covariance = [float(number) for number in value.get("covariance", (0.0, 0.0, 0.0))]
            variance, both, other = covariance
            numbers = [
                value["slope"],
                value["intercept"],
                value["alpha"],
                *covariance,
                *(w for w in widths.values() if w is not None),
            ]
            if not all(math.isfinite(float(number)) for number in numbers) or not float(value["slope"]) > 0:
                raise ValueError("expected finite numbers and a positive slope")
            return cls(
                slope=float(value["slope"]),
                intercept=float(value["intercept"]),
                covariance=(variance, both, other),
                positives=int(value.get("positives", 0)),
                negatives=int(value.get("negatives", 0)),
                alpha=float(value["alpha"]),
                half_widths={name: None if width is None else float(width) for name, width in widths.items()},
                counts={name: int(value["counts"][name]) for name in names},
            )
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            raise RunError(
                f"calibration.json: damaged or of another version ({error!r}); train the run again"
            ) from None


def conformal_half_width(errors: np.ndarray, alpha: float) -> float | None:
    """The ceil((n + 1)(1 - alpha))-th smallest of n absolute errors; None when there is no such one."""
    # Rounded first: (n + 1)(1 - 0.1) may come out a hair above the whole number that it is.
    rank = math.ceil(round((len(errors) + 1) * (1 - alpha), 9))
    return float(np.sort(errors)[rank - 1]) if rank <= len(errors) else None


def other_probabilities(logits: np.ndarray, labels: np.ndarray, chosen: np.ndarray) -> dict[str, np.ndarray]:
    """Other calibrations than Platt's of the same logits, for comparison.

    ``none``: sigmoid(logit). ``temperature``: sigmoid(logit / T), T by maximum likelihood. ``isotonic``: the rising
    step function of least squares, level beyond its ends.

    Args:
        logits: of the nodules to fit on (nodule,), neither trained on nor selected by.
        labels: of the same nodules, 1 malignant, 0 benign.
        chosen: logits to give probabilities of.
    """
    from scipy.optimize import minimize_scalar  # here: explaining does without
    from sklearn.isotonic import IsotonicRegression

    signs = np.where(labels == 1, 1.0, -1.0)
    found = minimize_scalar(
        lambda slope: float(np.logaddexp(0, -np.exp(slope) * signs * logits).sum()),
        bounds=tuple(np.log(_SLOPES)),
        method="bounded",
    )
    isotonic = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(logits, labels)
    return {
        "none": expit(chosen),
        "temperature": expit(np.exp(found.x) * chosen),
        "isotonic": isotonic.predict(chosen),
    }


def platt_scaling(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of the most likely logistic curve through labels (nodule,), smoothed as Platt has it."""
    from scipy.optimize import minimize  # here: explaining does without

    positives = int((labels == 1).sum())
    negatives = len(labels) - positives
    smoothed = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    logits = np.asarray(logits, float)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        scores = parameters[0] * logits + parameters[1]
        residual = expit(scores) - smoothed
        value = np.logaddexp(0, scores) - smoothed * scores
        return float(value.sum()), np.array([(residual * logits).sum(), residual.sum()])

    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[_SLOPES, (None, None)])
    return float(found.x[0]), float(found.x[1])


def _covariance(logits: np.ndarray, slope: float, intercept: float) -> tuple[float, float, float]:
    """Inverse Fisher information of a logistic curve fitted to logits (nodule,)."""
    probabilities = expit(slope * logits + intercept)
    weights = probabilities * (1 - probabilities)
    design = np.stack([logits, np.ones_like(logits)])
    inverse = np.linalg.pinv((design * weights) @ design.T)
    return float(inverse[0, 0]), float(inverse[0, 1]), float(inverse[1, 1])
