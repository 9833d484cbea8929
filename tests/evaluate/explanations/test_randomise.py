"""Models that have forgotten."""

import itertools

import pytest
import torch
from tiny_vits import make_images, make_model, state_of, vit_of

from ctxai.errors import ModelError
from ctxai.evaluate.explanations.randomise import cascade, randomised


@pytest.mark.parametrize("kind", ["classifier", "registers", "rotary"])
def test_every_weight_is_shuffled_and_keeps_its_values(kind):
    model = make_model(kind)
    before = state_of(model)
    other = randomised(model, seed=1)
    for old, new in zip(model.parameters(), other.parameters(), strict=True):
        assert old.flatten().sort().values.equal(new.flatten().sort().values)
        assert old.numel() < 4 or not old.equal(new)
    assert state_of(model) == before
    assert not torch.allclose(model(make_images(model)), other(make_images(model)))


def test_the_seed_decides():
    model = make_model("vit")
    images = make_images(model)
    assert randomised(model, 1)(images).equal(randomised(model, 1)(images))
    assert not torch.allclose(randomised(model, 1)(images), randomised(model, 2)(images))


def test_the_cascade_goes_from_the_outputs_to_the_patches():
    model = make_model("classifier")
    stages = []
    for changed in cascade(model, seed=0):
        pairs = zip(model.named_parameters(), changed.parameters(), strict=True)
        stages.append({name for (name, old), new in pairs if not old.equal(new)})
    depth = len(vit_of(model).blocks)
    assert len(stages) == depth + 2
    assert stages[0] == {name for name, _ in model.named_parameters() if name.startswith(("head", "backbone.norm"))}
    for number, (earlier, later) in enumerate(itertools.pairwise(stages)):
        assert earlier < later
        added = {name.removeprefix("backbone.") for name in later - earlier}
        prefix = f"blocks.{depth - 1 - number}." if number < depth else ("patch_embed", "cls_token", "pos_embed")
        assert all(name.startswith(prefix) for name in added)
    assert stages[-1] == {name for name, _ in model.named_parameters()}


def test_a_model_without_a_transformer_is_refused():
    with pytest.raises(ModelError):
        randomised(torch.nn.Linear(2, 2))
