"""Trust figures where the best, the worst and the empty map are known."""

import numpy as np
import pytest
import torch
from tiny_vits import grid_of, linear_model, make_images, make_model, pixel_weights

from ctxai.data.settings import ViewConfig
from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.evaluate.explanations.perturbation_baselines import make_fill
from ctxai.evaluate.map_quality import (
    FIDELITY,
    FIDELITY_BLUR,
    PERCENTILE_NEEDED,
    RANDOM_MAPS,
    MapReliability,
    percentile,
)
from ctxai.explain import CDAM, RandomMap

VIEWS = ViewConfig()
TARGETS = ("benign", "malignancy", "margin", "texture", "other")
TARGET = 1


def best_map(model, images):
    """What every token really adds to the output of a linear model, against the lung's mean HU."""
    change = images - make_fill("lung_mean", images, VIEWS, 0)
    per_pixel = (change * pixel_weights(model, TARGET)).sum(dim=1)
    rows, columns = grid_of(model)
    return torch.nn.functional.adaptive_avg_pool2d(per_pixel, (rows, columns))


@pytest.fixture
def fixed_seed():
    with torch.random.fork_rng():
        torch.manual_seed(5)
        yield


@pytest.fixture(scope="module")
def linear():
    model = linear_model()
    images = make_images(model, 2)
    return model, images, MapReliability(model, images, VIEWS, TARGETS)


def judged(linear, change):
    model, images, gauge = linear
    return gauge.assess(CDAM(model), TARGETS[TARGET], change(best_map(model, images)))


def test_the_true_map_of_a_linear_model_beats_every_random_map(linear):
    found = judged(linear, lambda best: best)
    assert found.fidelity > 0
    assert found.fidelity_percentile == 100


def test_the_reversed_map_has_minus_its_fidelity_and_loses_to_every_random_map(linear):
    best, worst = judged(linear, lambda best: best), judged(linear, lambda best: -best)
    assert worst.fidelity == -best.fidelity
    assert worst.fidelity_percentile == 0


def test_a_constant_map_is_at_chance(linear):
    found = judged(linear, torch.zeros_like)
    assert found.fidelity == 0
    assert found.fidelity_percentile == 50


def test_a_map_that_ignores_the_weights_fails_the_sanity_check_and_cdam_does_not():
    model = make_model("vit")
    images = make_images(model, 2)
    gauge = MapReliability(model, images, VIEWS, TARGETS)
    random, cdam = RandomMap(model), CDAM(model)
    assert gauge.assess(random, TARGETS[TARGET], random.attribute(images)).sanity is False
    found = gauge.assess(cdam, TARGETS[TARGET], cdam.attribute(images, TARGET))
    assert found.sanity is True
    assert -1 <= found.stability <= 1


def test_figures_do_not_depend_on_what_was_judged_before():
    model = make_model("vit")
    images = make_images(model, 2)
    cdam = CDAM(model)
    maps = cdam.attribute(images, [0, TARGET])
    gauge = MapReliability(model, images, VIEWS, TARGETS)
    gauge.assess(cdam, TARGETS[0], maps[:, 0])
    alone = MapReliability(model, images, VIEWS, TARGETS).assess(cdam, TARGETS[TARGET], maps[:, 1])
    assert gauge.assess(cdam, TARGETS[TARGET], maps[:, 1]) == alone
    assert np.isfinite([alone.fidelity, alone.randomisation]).all()


def test_a_map_without_information_passes_in_at_most_five_percent_of_nodules():
    generator = np.random.default_rng(0)
    fidelities = generator.standard_t(3, size=(20000, 11))  # exchangeable, and as likely of either sign
    passed = [percentile(row[0], row[1:11]) >= PERCENTILE_NEEDED for row in fidelities]
    assert np.mean(passed) == pytest.approx(1 / 22, abs=0.005)


@pytest.mark.usefixtures("fixed_seed")
def test_random_maps_of_a_model_pass_no_more_often():
    model = make_model("vit")
    passed = []
    for seed in range(44):
        images = make_images(model, 1, seed=seed)
        random = RandomMap(model, seed=1000 + seed)
        batch = ExplanationBatch(images, random.attribute(images), model, target=TARGET, views=VIEWS)
        chance = [
            float(FIDELITY.score(ExplanationBatch(images, torch.rand(1, 4, 4), model, target=TARGET, views=VIEWS))[0])
            for _ in range(10)
        ]
        passed.append(percentile(float(FIDELITY.score(batch)[0]), chance) >= PERCENTILE_NEEDED)
    assert sum(passed) <= 6  # 2 on average; more in 1 of 200 repetitions


def test_curves_that_share_their_ends_give_the_figures_of_curves_of_their_own_in_fewer_passes():
    model, passes = make_model("vit"), 0
    images = make_images(model, 2)
    cdam = CDAM(model)
    maps = cdam.attribute(images, TARGET)

    def count(_module, given):
        nonlocal passes
        passes += len(given[0])

    found = MapReliability(model, images, VIEWS, TARGETS)
    with model.register_forward_pre_hook(count):
        trust = found.assess(cdam, TARGETS[TARGET], maps)
    curves, ends, maps_anew = (RANDOM_MAPS + 1) * 2 * 2 * 4, 1 + 2, 8  # fills, orders, places between the ends
    assert passes == len(images) * (curves + ends + maps_anew)
    draws = torch.rand(RANDOM_MAPS * 2, 8, 8, generator=torch.Generator().manual_seed(0)).split(2)
    percentiles = []
    for metric in (FIDELITY, FIDELITY_BLUR):
        own, *chance = (
            metric.score(ExplanationBatch(images, one, model, target=TARGET, views=VIEWS)).mean()
            for one in (maps, *draws)
        )
        percentiles.append(percentile(own, chance))
    assert percentiles == [trust.fidelity_percentile, trust.fidelity_percentile_blur]
