import pytest

from ctxai.errors import InputError
from ctxai.evaluate.explanations.effort import FULL, Effort
from ctxai.evaluate.explanations.metric import list_metrics
from ctxai.evaluate.explanations.protocol import explains_again, for_every_target, make_metrics


def by_label(names=(), fill="lung_mean", effort=Effort()):
    return {metric.label: metric for metric in make_metrics(names, fill, effort, token_pixels=8)}


def test_every_metric_takes_part_and_fidelity_with_the_published_fill_too():
    found = by_label()
    assert {label.split("[")[0] for label in found} == set(list_metrics())
    assert {"fidelity[lung_mean, steps=10]", "fidelity[blur_14, steps=10]"} <= set(found)
    assert found["aopc[lung_mean, region=8, steps=10]"].region == 8
    assert found["box_sensitivity[lung_mean, boxes=40]"].boxes == 40
    assert found["iou"].boxes is False  # another option of the same name


def test_the_fill_that_is_asked_for_is_the_one_that_is_used():
    assert set(by_label(["abpc", "deletion"], fill="noise")) == {"abpc[noise]", "deletion[noise, steps=10]"}
    assert set(by_label(["fidelity"], fill="blur_14", effort=FULL)) == {"fidelity[blur_14]"}


def test_metrics_that_need_passes_of_the_model_are_for_the_first_target_alone():
    kept = {metric.name for metric in by_label().values() if for_every_target(metric, "lung_mean")}
    assert {"fidelity", "fidelity_normalised", "compactness", "rim_energy", "class_sensitivity"} <= kept
    assert not kept & {"abpc", "box_sensitivity", "stability", "positive_perturbation"}
    assert not for_every_target(by_label()["fidelity[blur_14, steps=10]"], "lung_mean")


def test_what_explains_again_is_known():
    again = {metric.name for metric in by_label().values() if explains_again(metric)}
    assert again == {"stability", "mark_stability", "kernel_stability", "max_sensitivity", "randomisation"}


def test_an_unknown_metric_is_refused():
    with pytest.raises(InputError, match="known"):
        by_label(["beauty"])
