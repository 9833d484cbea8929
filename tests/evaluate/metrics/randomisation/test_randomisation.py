"""The sanity check: what must fail it does, what may pass it is measured rightly."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from tiny_vits import make_images, make_model, state_of

from ctxai.errors import InputError
from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.evaluate.explanations.randomise import cascade, randomised
from ctxai.evaluate.metrics.randomisation.randomisation import Randomisation
from ctxai.explain import CDAM, AttentionMap, RandomMap


def case_of(method, count=2):
    images = make_images(method.model, count)
    return ExplanationBatch(images, method.attribute(images, 1), target=1, method=method, seed=4)


def test_a_map_that_ignores_the_model_scores_exactly_one():
    method = RandomMap(make_model("classifier"))
    assert Randomisation(draws=2).score(case_of(method)).tolist() == [1, 1]


@pytest.mark.parametrize("method", [CDAM, AttentionMap])
def test_stages_agree_with_explaining_each_randomised_model(method):
    explain = method(make_model("classifier"))
    before = state_of(explain.model)
    batch = case_of(explain)
    expected = []
    for model in cascade(explain.model, seed=4):
        maps = method(model).attribute(batch.images, 1)
        expected.append([spearmanr(a.flatten(), b.flatten()).statistic for a, b in zip(batch.maps, maps, strict=True)])
    metric = Randomisation()
    np.testing.assert_allclose(metric.stages(batch)[0].T, expected, atol=1e-9)
    np.testing.assert_allclose(metric.score(batch), np.abs(expected).mean(axis=0))
    assert (metric.score(batch) < 0.9).all()
    assert state_of(explain.model) == before


def test_without_the_cascade_everything_is_random_at_once():
    batch = case_of(CDAM(make_model("vit")))
    last = Randomisation().stages(batch)[0, :, -1]
    torch.testing.assert_close(Randomisation(cascading=False).stages(batch)[0, :, 0], last)
    maps = CDAM(randomised(batch.method.model, 4)).attribute(batch.images, 1)
    assert Randomisation(cascading=False).score(batch)[0] == pytest.approx(
        abs(spearmanr(batch.maps[0].flatten(), maps[0].flatten()).statistic)
    )


def test_a_method_keeps_its_options_on_the_randomised_model():
    model = make_model("vit")
    first, second = (Randomisation().score(case_of(RandomMap(model, seed=seed))) for seed in (0, 7))
    assert first.tolist() == second.tolist() == [1, 1]  # a lost seed would draw other maps


def test_attention_does_not_change_while_only_the_head_is_random():
    batch = case_of(AttentionMap(make_model("classifier")))
    stages = Randomisation().stages(batch)[0]
    assert stages[:, 0].tolist() == [1, 1]
    assert (stages[:, 1:].abs() < 1).all()


def test_no_draw_is_refused():
    with pytest.raises(InputError, match="draw"):
        Randomisation(draws=0)
