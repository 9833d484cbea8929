"""What maps along paths have in common."""

import pytest
import torch
from tiny_vits import make_model

from ctxai.errors import InputError
from ctxai.explain import PathCDAM, PathGradients
from ctxai.explain.clinical_baselines import ImageScale
from ctxai.explain.path import make_design, turned, turned_back


def test_the_design_covers_steps_and_balances_shifts():
    design = make_design(10, reach=4, turns=8)
    assert sorted(draw.step for draw in design) == pytest.approx([(k + 0.5) / 10 for k in range(10)])
    assert sum(draw.rows for draw in design) == sum(draw.columns for draw in design) == 0
    assert max(abs(draw.rows) for draw in design) <= 4
    assert len({draw.turn for draw in design}) == 8


@pytest.mark.parametrize("number", range(8))
def test_every_turn_is_undone(number):
    images = torch.randn(2, 3, 5, 5)
    assert torch.equal(turned_back(turned(images, number), number), images)


@pytest.mark.parametrize(
    "options",
    [{"baselines": ["black"]}, {"draws": 0}, {"turns": 4}, {"shift_mm": -1}, {"hu_std": 0}, {"baselines": []}],
)
def test_options_without_a_map_are_refused(options):
    with pytest.raises(InputError):
        PathGradients(make_model("vit"), **options)


@pytest.mark.parametrize("method", [PathGradients, PathCDAM])
def test_the_scale_of_a_runs_images_becomes_options(method):
    options = method.options_for(ImageScale(-500.0, 300.0, 0.75), 8, outlined=False)
    expected = {"hu_mean": -500.0, "hu_std": 300.0, "mm_per_pixel": 0.75, "turns": 8}
    assert {name: value for name, value in options.items() if value is not None} == expected
    assert method(make_model("vit"), **options).options.items() >= options.items()
