"""How much of a label features carry that never saw it: k nearest neighbours and a linear probe, over patient folds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ctxai.evaluate.predictions.bootstrap import RESAMPLES, bootstrap_patients
from ctxai.evaluate.predictions.scores import area_under_curve

NEIGHBOURS = 20
_TEMPERATURE = 0.07  # of the neighbours' votes, as in DINO's own evaluation
_INVERSE_PENALTIES = np.logspace(-4, 1, 6)
_INNER_FOLDS = 5

PROBES = ("knn", "linear")


def knn_scores(
    features: np.ndarray, labels: np.ndarray, queries: np.ndarray, neighbours: int = NEIGHBOURS
) -> np.ndarray:
    """Share of positive votes (query,) among the nearest features by cosine similarity s, weighted by exp(s / 0.07).

    Wu et al., Unsupervised Feature Learning via Non-Parametric Instance Discrimination, CVPR 2018.

    Args:
        features: (sample, width) of labelled samples.
        labels: (sample,) 0 or 1.
        queries: (query, width).
        neighbours: how many vote; at most all samples.
    """
    similarity = _unit(queries) @ _unit(features).T
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :neighbours]
    votes = np.exp(np.take_along_axis(similarity, nearest, axis=1) / _TEMPERATURE)
    return (votes * labels[nearest]).sum(1) / votes.sum(1)


def linear_scores(features: np.ndarray, labels: np.ndarray, patients: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Log odds (query,) of a logistic regression on standardised features.

    Its penalty is the best of six by the area under the ROC curve over five inner folds of the samples' patients.

    Args:
        features: (sample, width) of labelled samples.
        labels: (sample,) 0 or 1.
        patients: (sample,), which the inner folds keep together.
        queries: (query, width).
    """
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
    choices = {"logisticregression__C": _INVERSE_PENALTIES}
    search = GridSearchCV(probe, choices, cv=GroupKFold(_INNER_FOLDS), scoring="roc_auc")
    return search.fit(features, labels, groups=patients).decision_function(queries)


def probe_scores(
    features: np.ndarray, labels: np.ndarray, patients: np.ndarray, folds: np.ndarray
) -> dict[str, np.ndarray]:
    """Scores (sample,) of every probe; each fold is scored by what the other folds' labels say.

    Args:
        features: (sample, width).
        labels: (sample,) 0 or 1.
        patients: (sample,).
        folds: (sample,), with all samples of a patient in one.
    """
    scores = {name: np.empty(len(labels)) for name in PROBES}
    for fold in np.unique(folds):
        test = folds == fold
        known = features[~test], labels[~test]
        scores["knn"][test] = knn_scores(*known, features[test])
        scores["linear"][test] = linear_scores(*known, patients[~test], features[test])
    return scores


def compare_features(
    features: Mapping[str, np.ndarray],
    labels: np.ndarray,
    patients: np.ndarray,
    folds: np.ndarray,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict[str, dict[str, float | None]]:
    """Area under the ROC curve, mean over folds, of every probe on every kind of features.

    Args:
        features: (sample, width) by name.
        labels: (sample,) 0 or 1.
        patients: (sample,).
        folds: (sample,), with all samples of a patient in one.
        seed: of the bootstrap over patients.
        resamples: its number of draws.

    Returns:
        value, low and high of ``<name> <probe>``, and of ``<first> minus <name> <probe>`` for every name but the first.
    """
    scores = {name: probe_scores(values, labels, patients, folds) for name, values in features.items()}
    first, *others = scores

    def statistics(rows: np.ndarray) -> dict[str, float]:
        areas = {
            f"{name} {probe}": _fold_mean(labels[rows], scores[name][probe][rows], folds[rows])
            for name in scores
            for probe in PROBES
        }
        differences = {
            f"{first} minus {name} {probe}": areas[f"{first} {probe}"] - areas[f"{name} {probe}"]
            for name in others
            for probe in PROBES
        }
        return areas | differences

    return bootstrap_patients(statistics, patients, labels, seed, resamples)


def _fold_mean(labels: np.ndarray, scores: np.ndarray, folds: np.ndarray) -> float:
    areas = [area_under_curve(labels[folds == fold], scores[folds == fold]) for fold in np.unique(folds)]
    return float(np.nanmean(areas))


def _unit(features: np.ndarray) -> np.ndarray:
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
