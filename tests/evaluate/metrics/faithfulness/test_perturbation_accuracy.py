"""Chefer's positive and negative perturbation where they are known."""

import numpy as np
import pytest
import torch
from linear_cases import AddingUp, one_pixel_case, random_case, slow_curve

from ctxai.evaluate.metrics.faithfulness.perturbation_accuracy import NegativePerturbation, PositivePerturbation

SEEN = AddingUp(torch.ones(1, 1, 4, 4).double(), constant=-0.5)  # right as long as the pixel is there


@pytest.mark.parametrize(("label", "positive", "negative"), [(1.0, 5.0, 90.0), (0.0, 85.0, 0.0)])
def test_recognition_that_hangs_on_one_pixel(label, positive, negative):
    batch = one_pixel_case(model=SEEN, link="sigmoid", labels=torch.tensor([label]))
    assert PositivePerturbation("zero").score(batch)[0] == pytest.approx(positive)
    assert NegativePerturbation("zero").score(batch)[0] == pytest.approx(negative)


def test_images_without_a_label_and_outputs_without_classes_have_no_score():
    unknown = one_pixel_case(model=SEEN, link="sigmoid", labels=torch.tensor([torch.nan]))
    assert np.isnan(PositivePerturbation("zero").score(unknown)).all()
    assert np.isnan(NegativePerturbation("zero").score(one_pixel_case(model=SEEN, labels=torch.ones(1)))).all()


def test_the_mean_over_images_is_the_area_under_the_accuracy_of_the_set():
    labels = torch.tensor([1.0, 0.0, 2.0])
    batch = random_case(link="softmax", labels=labels)
    counts = [36 * k // 10 for k in range(10)]
    for metric, most in ((PositivePerturbation("black"), True), (NegativePerturbation("black"), False)):
        classes = torch.stack([slow_curve(batch, i, most, counts, "black").argmax(dim=1) for i in range(3)])
        accuracy = (classes == labels[:, None]).double().mean(dim=0)
        expected = 100 * np.trapezoid(accuracy, np.arange(10) / 10)
        assert metric.summary(metric.parts(batch)) == pytest.approx(expected)
