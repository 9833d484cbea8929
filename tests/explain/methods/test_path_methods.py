"""Maps along paths from clinical baselines."""

import pytest
import torch
from tiny_vits import check_contract, linear_model, make_images, make_model, pixel_weights
from torch import nn

from ctxai.errors import InputError
from ctxai.explain import Concept, Contrast, PathCDAM, PathGradients
from ctxai.explain.clinical_baselines import ImageScale, make_clinical_baseline
from ctxai.explain.path import make_design, turned, turned_back

PLAIN = {"shift_mm": 0.0, "sigma_mm": 0.0, "baselines": ["lung"]}
SCALE = ImageScale(-600.0, 400.0, 0.5)


@pytest.mark.parametrize("baseline", ["lung", "blur"])
def test_of_a_linear_model_the_map_is_the_change_times_the_weights(baseline):
    model = linear_model()
    images = make_images(model)
    change = images - make_clinical_baseline(baseline, images, SCALE)
    expected = (change * pixel_weights(model, 2)).sum(dim=1)
    expected = expected / expected.abs().mean(dim=(1, 2), keepdim=True)
    found = PathGradients(model, draws=3, **PLAIN | {"baselines": [baseline]}).attribute(images, 2)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("turns", [1, 8])
def test_shifts_and_turns_leave_the_map_of_a_model_without_places_where_it_is(turns):
    class Squares(nn.Module):
        """Every output depends on the mean square of the pixels, so that no place is special."""

        def __init__(self):
            super().__init__()
            self.vit = linear_model()

        def forward(self, images):
            return self.vit(images.square().mean(dim=(1, 2, 3), keepdim=True).expand_as(images))

    model = Squares().eval()
    images = make_images(model.vit)
    options = {"sigma_mm": 0.0, "baselines": ["lung"], "draws": 16}
    still = PathGradients(model, shift_mm=0, **options).attribute(images, 1)
    moved = PathGradients(model, shift_mm=2, turns=turns, **options).attribute(images, 1)
    pair = torch.stack([still[:, 8:24, 8:24].flatten(), moved[:, 8:24, 8:24].flatten()])
    assert torch.corrcoef(pair)[0, 1] > 0.99


@pytest.mark.parametrize("kind", ["vit", "rotary"])
def test_the_unscaled_pixel_map_sums_to_the_change_of_the_output(kind):
    model = make_model(kind)
    images = make_images(model, 1)
    start = make_clinical_baseline("blur", images, SCALE)
    weights = 0
    for k in range(400):
        at = (start + (k + 0.5) / 400 * (images - start)).requires_grad_()
        weights = weights + torch.autograd.grad(model(at)[:, 1].sum(), at)[0] / 400
    expected = ((images - start) * weights).sum(dim=1)
    change = (model(images) - model(start))[:, 1]
    torch.testing.assert_close(expected.sum(dim=(1, 2)), change, rtol=1e-2, atol=1e-3)
    found = PathGradients(model, draws=400, **PLAIN | {"baselines": ["blur"]}).attribute(images, 1)
    torch.testing.assert_close(found, expected / expected.abs().mean())


@pytest.mark.parametrize("block", [0, -1])
def test_path_cdam_is_the_change_of_tokens_times_their_mean_gradient(block):
    model = make_model("vit")
    images = make_images(model, 1)
    start = make_clinical_baseline("lung", images, SCALE)
    tokens = []
    handle = model.blocks[block].norm1.register_forward_hook(
        lambda module, inputs, output: tokens.append(output) or (output.requires_grad and output.retain_grad()) or None
    )
    with torch.no_grad():
        model(images), model(start)
    change = tokens[0] - tokens[1]
    total = 0
    for k in range(4):
        tokens.clear()
        model(start + (k + 0.5) / 4 * (images - start))[:, 2].sum().backward()
        total = total + tokens[0].grad / 4
    handle.remove()
    expected = (change * total).sum(dim=-1)[:, 1:].unflatten(1, (4, 4)).detach()
    expected = expected.repeat_interleave(8, 1).repeat_interleave(8, 2)
    found = PathCDAM(model, block=block, draws=4, **PLAIN).attribute(images, 2)
    torch.testing.assert_close(found, expected / expected.abs().mean())


@pytest.mark.parametrize("method", [PathGradients, PathCDAM])
def test_a_path_method_keeps_the_contract(method):
    check_contract(method, ["vit", "wide grid", "registers", "classifier"], draws=2, turns=8)


@pytest.mark.parametrize("method", [PathGradients, PathCDAM])
def test_concepts_and_contrasts_are_explained_in_one_go(method):
    model = make_model("classifier")
    images = make_images(model)
    targets = [Contrast("margin", "texture"), Concept.from_images(model, images), 2]
    maps = method(model, draws=2).attribute(images, targets)
    assert maps.shape == (2, 3, 32, 32)
    torch.testing.assert_close(maps[:, 0], method(model, draws=2).attribute(images, targets[0]))


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


def test_the_scale_of_a_runs_images_becomes_options():
    options = PathCDAM.options_for(ImageScale(-500.0, 300.0, 0.75), 8)
    assert options == {"hu_mean": -500.0, "hu_std": 300.0, "mm_per_pixel": 0.75, "turns": 8}
    assert PathCDAM(make_model("vit"), **options).options.items() >= options.items()
