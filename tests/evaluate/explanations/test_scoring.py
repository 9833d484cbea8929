"""Every figure of a method, against the metrics called one by one."""

from functools import cache

import numpy as np
import pytest
import torch

from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.evaluate.explanations.effort import Effort
from ctxai.evaluate.explanations.evaluation_set import EvaluationSet
from ctxai.evaluate.explanations.scoring import evaluate_method
from ctxai.evaluate.metrics.faithfulness.fidelity import Fidelity
from ctxai.evaluate.metrics.faithfulness.perturbation_accuracy import NegativePerturbation
from ctxai.evaluate.metrics.localisation.energy_inside import EnergyInside
from ctxai.evaluate.metrics.randomisation.class_sensitivity import ClassSensitivity
from ctxai.evaluate.metrics.robustness.stability import Stability
from ctxai.explain import CDAM, AttentionMap

from runs import untrained_run

TARGETS = ("malignancy", "margin")
METRICS = (Fidelity(steps=2), NegativePerturbation(), EnergyInside(), ClassSensitivity(), Stability(draws=1))
EFFORT = Effort(again=1)


@cache
def run_and_subjects():
    """Three nodules of two images each; the last one has no outline."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(6, 3, 16, 16, generator=generator)
    masks = torch.zeros(6, 16, 16, dtype=torch.bool)
    masks[:4, 4:12, 4:12] = True
    labels = torch.tensor([1.0, 1, 0, 0, torch.nan, torch.nan]).double()
    nodule = np.repeat(np.arange(3), 2)
    hu = np.zeros((3, 16, 16), np.int16)
    subjects = EvaluationSet(
        np.array(list("abc")), np.array(list("xxy")), images, nodule, labels, {"readers": masks}, hu
    )
    return untrained_run(), subjects


@cache
def judged(kind):
    run, subjects = run_and_subjects()
    return evaluate_method(run, kind(run.model), subjects, TARGETS, METRICS, "lung_mean", EFFORT)


def found(kind, target, metric):
    table = judged(kind).scores
    return table[(table["target"] == target) & (table["metric"] == metric.label)].set_index("nodule_id")["score"]


def case_of(kind, place, **more):
    run, subjects = run_and_subjects()
    target = run.target_names.index(TARGETS[place])
    given = {"model": run.model, "target": target, "views": run.views, "method": kind(run.model)}
    given |= {"link": "identity" if place else "sigmoid", "labels": None if place else subjects.labels}
    return ExplanationBatch(subjects.images, judged(kind).maps[:, place], **(given | more))


@pytest.mark.parametrize("kind", [CDAM, AttentionMap])
@pytest.mark.parametrize("place", [0, 1])
def test_a_figure_of_a_nodule_is_the_mean_of_its_images(kind, place):
    expected = Fidelity(steps=2).score(case_of(kind, place)).reshape(3, 2).mean(axis=1)
    assert found(kind, TARGETS[place], METRICS[0]).to_numpy() == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_maps_are_those_of_the_method_for_each_target():
    run, subjects = run_and_subjects()
    assert judged(CDAM).maps.equal(CDAM(run.model).attribute(subjects.images, target=list(TARGETS)))


def test_places_are_named_and_a_nodule_without_one_has_no_score():
    scores = judged(CDAM).scores
    row = scores[(scores["metric"] == "energy_inside") & (scores["target"] == "malignancy")]
    assert set(row["place"]) == {"readers"}
    assert np.isnan(row["score"].to_numpy()).tolist() == [False, False, True]
    assert set(scores.loc[scores["metric"] != "energy_inside", "place"]) == {""}


def test_labels_belong_to_malignancy_alone():
    assert found(CDAM, "malignancy", METRICS[1]).notna().tolist() == [True, True, False]
    assert found(CDAM, "margin", METRICS[1]).empty


def test_further_targets_are_compared_with_the_first_one():
    maps = judged(CDAM).maps
    first, second = (maps[:, place].flatten(1) for place in (0, 1))
    pairs = zip(first, second, strict=True)
    expected = [float(torch.corrcoef(torch.stack(pair).double())[0, 1]) for pair in pairs]
    assert found(CDAM, "malignancy", METRICS[3]).empty
    assert found(CDAM, "margin", METRICS[3]).to_numpy() == pytest.approx(np.reshape(expected, (3, 2)).mean(axis=1))
    assert (found(AttentionMap, "margin", METRICS[3]) == 1).all()


def test_metrics_that_explain_again_see_the_first_nodules_for_the_first_target():
    assert found(CDAM, "malignancy", METRICS[4]).index.tolist() == ["a"]
    assert found(CDAM, "margin", METRICS[4]).empty


def test_the_cost_is_more_than_nothing():
    assert judged(CDAM).forward_passes > 0
