"""Intervals, tests and verdicts on scores whose answer is known."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wilcoxon
from score_tables import BASE, NODULES, scores

from ctxai.evaluate.explanations.comparison import (
    blind_metrics,
    bootstrap_means,
    compare,
    controls,
    holm,
    order_methods,
    paired_test,
    patient_draws,
)


def row_of(table, **wanted):
    for name, value in wanted.items():
        table = table[table[name] == value]
    (row,) = table.to_dict("records")
    return row


def test_a_draw_takes_whole_patients_with_replacement():
    patients = np.array(["a", "a", "b", "c", "c", "c"])
    draws = patient_draws(patients, seed=1, resamples=50)
    assert (draws[:, 0] == draws[:, 1]).all()
    assert (draws[:, [0, 2, 3]].sum(axis=1) == 3).all()


def test_means_of_draws_leave_out_what_is_not_defined():
    draws = np.array([[1.0, 1.0, 0.0], [2.0, 0.0, 1.0], [0.0, 0.0, 3.0]])
    assert bootstrap_means(np.array([1.0, 4.0, np.nan]), draws).tolist() == [2.5, 1.0]


def test_the_interval_of_a_mean_is_that_of_a_slow_bootstrap():
    table = compare(scores({"cdam": BASE}), seed=3, resamples=400)
    generator = np.random.default_rng(5)
    pairs = BASE.reshape(-1, 2)
    slow = [pairs[generator.integers(len(pairs), size=len(pairs))].mean() for _ in range(4000)]
    row = row_of(table, method="cdam")
    assert row["value"] == pytest.approx(BASE.mean())
    assert [row["low"], row["high"]] == pytest.approx(np.percentile(slow, [2.5, 97.5]), abs=0.1)
    assert (row["n"], row["patients"]) == (NODULES, NODULES // 2)


def test_differences_are_paired():
    table = compare(scores({"cdam": BASE, "lime": BASE - 1, "random_map": BASE - 3}), resamples=100)
    row = row_of(table, method="lime")
    assert [row[f"minus_cdam{end}"] for end in ("", "_low", "_high")] == pytest.approx([-1, -1, -1])
    assert [row[f"minus_random{end}"] for end in ("", "_low", "_high")] == pytest.approx([2, 2, 2])


def test_the_test_is_wilcoxons_on_patients():
    rng = np.random.default_rng(1)
    difference = rng.normal(0.3, 1, NODULES)
    patients = np.array([f"p{i // 2}" for i in range(NODULES)])
    assert paired_test(difference, patients) == wilcoxon(difference.reshape(-1, 2).mean(axis=1)).pvalue
    assert paired_test(np.zeros(4), patients[:4]) == 1


def test_holm_by_hand():
    found = holm(np.array([0.01, np.nan, 0.04, 0.03]))
    assert found[[0, 2, 3]] == pytest.approx([0.03, 0.06, 0.06])
    assert np.isnan(found[1])


def test_a_metric_that_tells_nothing_from_chance_is_named():
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(3, NODULES))
    useless = scores(dict(zip(["cdam", "lime", "random_map"], noise, strict=True)), metric="saco[lung_mean]")
    useful = scores({"cdam": BASE + 5, "lime": BASE, "random_map": BASE})
    found = blind_metrics(compare(pd.concat([useless, useful]), resamples=200)).set_index("metric")
    assert found["blind"].to_dict() == {"saco[lung_mean]": True, "fidelity[lung_mean]": False}
    assert found.loc["fidelity[lung_mean]", "beats_chance"] == 1


def test_controls_are_at_chance_where_their_interval_holds_zero():
    rng = np.random.default_rng(1)
    noise = rng.normal(size=NODULES)
    noise -= noise.mean()
    table = compare(scores({"cdam": BASE, "random_map": noise, "cdam_randomised": noise + 9}), resamples=200)
    found = controls(table).set_index("method")["at_chance"]
    assert found.to_dict() == {"cdam_randomised": False, "random_map": True}


def test_cdam_comes_first_and_controls_last():
    names = ["lime", "random_map", "smooth_cdam", "cdam_randomised", "cdam", "agcam"]
    assert order_methods(names) == ["cdam", "smooth_cdam", "agcam", "lime", "random_map", "cdam_randomised"]
