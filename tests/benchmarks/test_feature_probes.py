import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks.feature_probes import compare_features, knn_scores, linear_scores, probe_scores


def clusters(count=60, width=6, distance=3.0, seed=0):
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    features = generator.standard_normal((count, width))
    features[:, 0] += distance * labels
    return features + 1.0, labels


def naive_knn(features, labels, query, neighbours):
    similarity = [float(f @ query / np.sqrt(f @ f) / np.sqrt(query @ query)) for f in features]
    nearest = sorted(range(len(features)), key=lambda i: -similarity[i])[:neighbours]
    votes = [np.exp(similarity[i] / 0.07) for i in nearest]
    return sum(vote * labels[i] for vote, i in zip(votes, nearest, strict=True)) / sum(votes)


def test_neighbours_vote_by_similarity():
    features, labels = clusters()
    queries, _ = clusters(10, seed=1)
    expected = [naive_knn(features, labels, query, 7) for query in queries]
    np.testing.assert_allclose(knn_scores(features, labels, queries, neighbours=7), expected)


def test_the_length_of_a_feature_does_not_count():
    features, labels = clusters()
    queries, _ = clusters(10, seed=1)
    np.testing.assert_allclose(
        knn_scores(features * 7, labels, queries * 0.1), knn_scores(features, labels, queries), rtol=1e-9
    )


def test_a_linear_probe_finds_the_direction_of_a_label_and_ignores_scale():
    features, labels = clusters(400, distance=4.0)
    groups = np.arange(400) // 2
    queries, truth = clusters(100, distance=4.0, seed=1)
    scores = linear_scores(features, labels, groups, queries)
    assert roc_auc_score(truth, scores) > 0.97
    stretched = np.array([1.0, 100.0, 0.01, 5.0, 1.0, 1.0])
    np.testing.assert_allclose(
        linear_scores(features * stretched, labels, groups, queries * stretched), scores, atol=1e-4
    )


def test_features_without_a_label_are_at_chance_and_those_with_one_are_not():
    patients = np.repeat(np.arange(100), 2)
    folds = patients % 5
    features, labels = clusters(200, distance=4.0)
    kinds = {"informed": features, "noise": features[:, 1:]}
    found = compare_features(kinds, labels, patients, folds, resamples=200)
    for probe in ("knn", "linear"):
        good, bad = found[f"informed {probe}"], found[f"noise {probe}"]
        assert good["value"] > 0.9 and abs(bad["value"] - 0.5) < 0.15
        difference = found[f"informed minus noise {probe}"]
        assert difference["low"] > 0.2
        assert difference["value"] == pytest.approx(good["value"] - bad["value"])


def test_the_area_is_the_mean_over_folds():
    patients = np.repeat(np.arange(50), 2)
    folds = patients % 5
    features, labels = clusters(100, distance=1.0)
    scores = probe_scores(features, labels, patients, folds)
    found = compare_features({"one": features}, labels, patients, folds, resamples=5)
    for probe in ("knn", "linear"):
        areas = [roc_auc_score(labels[folds == fold], scores[probe][folds == fold]) for fold in range(5)]
        assert found[f"one {probe}"]["value"] == pytest.approx(np.mean(areas))


def test_no_label_of_a_fold_reaches_its_own_scores():
    patients = np.repeat(np.arange(50), 2)
    folds = patients % 5
    features, labels = clusters(100)
    scores = probe_scores(features, labels, patients, folds)
    changed = probe_scores(features, np.where(folds == 0, 1 - labels, labels), patients, folds)
    for probe in ("knn", "linear"):
        np.testing.assert_array_equal(scores[probe][folds == 0], changed[probe][folds == 0])
        assert not np.array_equal(scores[probe][folds == 1], changed[probe][folds == 1])
