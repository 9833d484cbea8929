"""Verdicts on claims whose answer is known."""

import numpy as np
import pandas as pd
import pytest
from score_tables import BASE, NODULES, scores

from ctxai.evaluate.explanations.claims import ESTIMATORS, evaluate_claims, evaluate_zones


@pytest.mark.parametrize(("ahead", "verdict"), [(2.0, "yes"), (-2.0, "no"), (0.0, "not shown")])
def test_a_claim_needs_every_estimator(ahead, verdict):
    rng = np.random.default_rng(1)
    others = {name: BASE - 5 + 0.1 * rng.normal(size=NODULES) for name in ESTIMATORS[:-1]}
    closest = BASE - ahead + rng.normal(size=NODULES) * (0.5 if ahead else 3)
    found = evaluate_claims(scores({"cdam": BASE, **others, ESTIMATORS[-1]: closest}), resamples=300)
    row = found[found["verdict"].notna()].iloc[0]
    assert (row["claim"], row["verdict"]) == ("correctness", verdict)
    assert ESTIMATORS[-1] in row["against"]
    assert len(found) == len(ESTIMATORS) + 1


def test_class_sensitivity_is_better_when_lower_and_averaged_over_targets():
    tables = [scores({"cdam": BASE}, target="malignancy")]
    for shift, target in ((-0.2, "margin"), (0.2, "texture")):
        values = {"cdam": np.full(NODULES, shift), "attention_map": np.ones(NODULES)}
        tables.append(scores(values, target=target, metric="class_sensitivity"))
    found = evaluate_claims(pd.concat(tables, ignore_index=True), resamples=50)
    row = found[found["verdict"].notna() & (found["claim"] == "class sensitivity")].iloc[0]
    assert row["verdict"] == "yes"
    assert row["difference"] == pytest.approx(1)


@pytest.mark.parametrize(("rim", "verdict"), [(0.6, "yes"), (0.1, "no")])
def test_a_zone_is_compared_with_other_biomarkers_and_with_chance(rim, verdict):
    rng = np.random.default_rng(1)
    noise = 0.01 * rng.normal(size=NODULES)
    zone = {"metric": "rim_energy", "place": "readers"}
    table = pd.concat(
        [
            scores({"cdam": 0.9 + noise, "random_map": 0.3 + noise}, target="malignancy", **zone),
            scores({"cdam": rim + noise, "random_map": 0.3 - noise}, target="spiculation", **zone),
            scores({"cdam": 0.4 - noise, "random_map": 0.3 + noise}, target="margin", **zone),
        ]
    )
    found = evaluate_zones(table, resamples=200)
    assert found["against"].tolist() == ["other biomarkers", "random_map"]
    assert found["difference"].tolist() == pytest.approx([rim - 0.4, rim - 0.3], abs=0.01)
    assert found["verdict"].unique().tolist() == [verdict]
