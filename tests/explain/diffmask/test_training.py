import pytest
import torch
from tiny_vits import make_images, make_model, state_of

from ctxai.errors import ModelError
from ctxai.explain import VisionDiffMask
from ctxai.explain.diffmask.gates import Gates
from ctxai.explain.diffmask.settings import DiffMaskSettings
from ctxai.explain.diffmask.training import DiffMaskTraining
from ctxai.explain.network import Network

WHOLE = torch.tensor([[0.3, -1.0, 2.0, 0.0, 0.5], [1.0, 0.2, -0.4, 0.1, 0.0]])
MASKED = torch.tensor([[0.1, 0.4, 1.5, 0.2, 0.5], [0.3, 0.2, 0.4, 0.3, -1.0]])


def divergence(kind, model="vit", whole=WHOLE, masked=MASKED):
    network = Network(make_model(model))
    training = DiffMaskTraining(network, Gates(8, 5, 1.0, 0.0), DiffMaskSettings(divergence=kind))
    return training._divergence(whole, masked)


def bernoulli(p, q):
    return p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()


def test_categorical_divergence_is_that_of_the_softmax():
    p, q = WHOLE.softmax(1), MASKED.softmax(1)
    expected = (p * (p / q).log()).sum(1).mean()
    torch.testing.assert_close(divergence("categorical"), expected)
    torch.testing.assert_close(divergence("auto"), expected)


def test_bernoulli_divergence_is_summed_over_logits():
    expected = bernoulli(WHOLE.sigmoid(), MASKED.sigmoid()).sum(1).mean()
    torch.testing.assert_close(divergence("bernoulli"), expected)
    single = divergence("auto", whole=WHOLE[:, :1], masked=MASKED[:, :1])
    torch.testing.assert_close(single, bernoulli(WHOLE[:, :1].sigmoid(), MASKED[:, :1].sigmoid()).mean())


def test_mixed_divergence_takes_malignancy_as_a_logit_and_all_others_as_numbers():
    expected = bernoulli(WHOLE[:, 1].sigmoid(), MASKED[:, 1].sigmoid())
    expected = (expected + (WHOLE - MASKED)[:, [0, 2, 3, 4]].square().sum(1)).mean()
    torch.testing.assert_close(divergence("auto", "classifier"), expected)
    with pytest.raises(ModelError, match="malignancy"):
        divergence("mixed", "vit")


def test_groups_of_outputs_have_the_divergence_of_their_kind():
    groups = [("bernoulli", [0]), ("squared", [3]), ("categorical", [1, 2, 4])]
    training = DiffMaskTraining(Network(make_model("vit")), Gates(8, 5, 1.0, 0.0), DiffMaskSettings(), groups)
    p, q = WHOLE[:, [1, 2, 4]].softmax(1), MASKED[:, [1, 2, 4]].softmax(1)
    expected = bernoulli(WHOLE[:, 0].sigmoid(), MASKED[:, 0].sigmoid()) + (WHOLE - MASKED)[:, 3].square()
    expected = (expected + (p * (p / q).log()).sum(1)).mean()
    torch.testing.assert_close(training._divergence(WHOLE, MASKED), expected)


@pytest.mark.parametrize(("margin", "direction"), [(-5.0, 1), (1e4, -1)])
def test_multipliers_rise_while_the_answer_changes_too_much_and_fall_otherwise(margin, direction):
    model = make_model("vit")
    settings = DiffMaskSettings(margin=margin, alpha_rate=0.5)
    method = VisionDiffMask(model).fit([make_images(model)] * 12, settings=settings)
    moved = [(step.alpha - settings.alpha) * direction for step in method.training_steps]
    assert len(moved) == 12
    assert min(moved) > 0


def test_each_multiplier_moves_at_its_own_layers_steps_alone():
    model = make_model("vit")
    settings = DiffMaskSettings(margin=-1.0, alpha_rate=0.5)
    steps = VisionDiffMask(model).fit([make_images(model)] * 5, settings=settings, seed=4).training_steps
    assert len({step.layer for step in steps}) < 5  # a layer comes again
    for layer in {step.layer for step in steps}:
        alpha = torch.tensor(settings.alpha, requires_grad=True)
        adam = torch.optim.Adam([alpha], lr=settings.alpha_rate, maximize=True)
        for step in (step for step in steps if step.layer == layer):  # before the first look ahead, which is the sixth
            alpha.grad = torch.tensor(step.divergence - settings.margin)
            adam.step()
            assert step.alpha == pytest.approx(float(alpha.detach()), rel=1e-6)


def test_multipliers_stay_within_their_limits():
    model = make_model("vit")
    settings = DiffMaskSettings(margin=1e4, alpha_rate=50.0)
    steps = VisionDiffMask(model).fit([make_images(model)] * 6, settings=settings).training_steps
    assert {step.alpha for step in steps} == {0.0}


def test_only_gates_up_to_the_drawn_layer_and_the_placeholder_learn():
    model = make_model("vit")
    before = state_of(model)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        first = Gates(48, 5, 15.0, 8.0).double()
    method = VisionDiffMask(model).fit([make_images(model)], seed=3)
    (step,) = method.training_steps
    for index, (old, new) in enumerate(zip(first.layers, method.gates.layers, strict=True)):
        changed = any(not torch.equal(a, b) for a, b in zip(old.parameters(), new.parameters(), strict=True))
        assert changed == (index <= step.layer)
    assert not torch.equal(first.placeholder, method.gates.placeholder)
    assert state_of(model) == before


def test_a_loss_that_is_not_finite_stops_the_training():
    model = make_model("vit")
    with pytest.raises(ModelError, match="finite loss"):
        VisionDiffMask(model).fit([make_images(model)], settings=DiffMaskSettings(margin=float("nan")))
