"""What every metric shares, and what is asked of each one there is."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from linear_cases import VIEWS
from tiny_vits import make_images, make_model

from ctxai.errors import InputError
from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.evaluate.explanations.metric import METRICS, NEEDS, Metric, get_metric, list_metrics
from ctxai.explain import CDAM, IntegratedGradients

NAMES = [name for name in list_metrics() if get_metric(name).__module__.startswith("ctxai.")]
CHEAP = {"aopc": {"steps": 5}, "box_sensitivity": {"boxes": 6}, "randomisation": {"cascading": False}}
CHEAP |= {name: {"steps": 5} for name in ("fidelity", "fidelity_normalised", "abpc", "deletion", "insertion")}


@pytest.fixture(scope="module")
def full_case():
    """Everything that any metric needs."""
    model = make_model("classifier")
    images = make_images(model, 3)
    method = CDAM(model)
    maps = method.attribute(images, [1, 2])
    masks = torch.zeros(3, 32, 32, dtype=torch.bool)
    masks[0, 4:20, 8:24] = masks[1, 10:28, 2:24] = masks[2, :16, :] = True
    return ExplanationBatch(
        images,
        maps[:, 0],
        model,
        target=1,
        masks=masks,
        views=replace(VIEWS, pixels=32),
        method=method,
        link="sigmoid",
        second_target=2,
        second_maps=maps[:, 1],
        labels=torch.tensor([1.0, 0.0, 1.0]),
    )


def part_of(batch, rows, **changes):
    given = {name: getattr(batch, name) for name in ("model", "target", "views", "method", "link", "second_target")}
    given |= {name: getattr(batch, name)[rows] for name in ("masks", "second_maps", "labels")}
    return ExplanationBatch(batch.images[rows], batch.maps[rows], **(given | changes))


def made(name):
    return get_metric(name)(**CHEAP.get(name, {}))


@pytest.mark.parametrize("name", NAMES)
def test_a_score_does_not_depend_on_the_other_images_or_the_batch(name, full_case):
    metric = made(name)
    together = metric.score(part_of(full_case, [0, 1, 2], batch_size=5))
    alone = np.concatenate([metric.score(part_of(full_case, [row])) for row in range(3)])
    np.testing.assert_allclose(together, alone, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_the_same_twice_and_the_case_stays_as_it_was(name, full_case):
    batch = part_of(full_case, [0, 1])
    before = [batch.images.clone(), batch.maps.clone(), batch.masks.clone()]
    first = made(name).score(batch)
    assert first.dtype == np.float64
    np.testing.assert_array_equal(first, made(name).score(batch))
    np.testing.assert_array_equal(first, made(name).score(part_of(full_case, [0, 1])))
    assert all(now.equal(then) for now, then in zip([batch.images, batch.maps, batch.masks], before, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_missing_is_named(name, full_case):
    metric = get_metric(name)()
    if not metric.needs:
        return
    bare = ExplanationBatch(full_case.images, full_case.maps)
    assert set(metric.missing(bare)) >= metric.needs
    assert metric.missing(full_case) == []
    with pytest.raises(InputError, match=sorted(metric.needs)[0]):
        metric.score(bare)


@pytest.mark.parametrize("name", NAMES)
def test_the_published_variant_can_be_made(name, full_case):
    metric = get_metric(name)
    published = metric(**metric.published)
    assert published.options.items() >= metric.published.items()
    assert metric.higher_is_better in (True, False, None)
    assert metric.needs <= NEEDS


@pytest.mark.parametrize("name", NAMES)
def test_a_set_of_images_has_a_summary_and_an_undefined_image_changes_none(name, full_case):
    batch = full_case
    if name == "completeness_error":  # is defined for few methods
        method = IntegratedGradients(batch.model, steps=3)
        batch = ExplanationBatch(batch.images, method.attribute(batch.images, 1), batch.model, target=1, method=method)
    metric = made(name)
    parts = metric.parts(batch)
    assert len(parts) == 3
    assert np.isfinite(metric.summary(parts))
    undefined = np.full_like(parts[:1], np.nan)
    assert metric.summary(np.concatenate([parts, undefined])) == pytest.approx(metric.summary(parts))
    assert np.isnan(metric.summary(undefined))


def test_a_metric_is_registered_by_its_definition_and_its_label_tells_the_fill_and_other_options():
    @dataclass(frozen=True)
    class Mean(Metric):
        """Of the map."""

        fill: str = "zero"
        power: int = 1

        name = "test_mean"
        higher_is_better = None
        units = "map"
        reference = "here"

        def _score(self, batch):
            return batch.maps.mean(dim=(1, 2)) ** self.power

    try:
        assert get_metric("test_mean") is Mean
        assert Mean().label == "test_mean[zero]"
        assert Mean("blur", power=2).label == "test_mean[blur, power=2]"
        assert Mean(power=2).options == {"fill": "zero", "power": 2}
        batch = ExplanationBatch(torch.zeros(2, 1, 2, 2), torch.tensor([[[1.0]], [[3.0]]]))
        assert Mean(power=2).score(batch).tolist() == [1, 9]
        assert Mean().summary(Mean().parts(batch)) == 2
        with pytest.raises(InputError, match="new name"):

            class Other(Metric):
                name = "test_mean"
                higher_is_better = None
                units = "map"
                reference = "here"
    finally:
        METRICS._items.pop("test_mean", None)


def test_a_metric_without_metadata_is_refused():
    with pytest.raises(InputError, match="units"):

        class Nameless(Metric):
            name = "test_nameless"
            higher_is_better = True
            reference = "here"


def test_an_unknown_metric_is_refused_with_the_known_names():
    with pytest.raises(InputError, match="compactness"):
        get_metric("beauty")
