import pytest
import torch

from ctxai.data.settings import ViewConfig
from ctxai.data.views import turn, turn_back
from ctxai.errors import InputError
from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.evaluate.metrics.randomisation.randomisation import Randomisation
from ctxai.explain import CDAM, InputXGradient, Occlusion
from ctxai.models.ensemble import EnsembleClassifier
from ctxai.run.explaining import MeanOverMembers, MeanOverTurns
from ctxai.run.methods import make_method

from runs import untrained_run

TURNED = ViewConfig(pixels=16, turns=8)


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", [CDAM, Occlusion])
def test_a_map_of_a_run_that_averages_over_turns_is_the_mean_of_the_turned_maps(kind, images):
    run = untrained_run(views=TURNED)
    method, alone = make_method(run, kind.name), kind(run.model)
    assert (method.name, method.options["turns"], method.resolution) == (kind.name, 8, kind.resolution)
    expected = [turn_back(alone.attribute(turn(images, k), "texture"), k) for k in range(8)]
    torch.testing.assert_close(method.attribute(images, "texture"), torch.stack(expected).mean(0))


def test_a_turned_image_has_the_turned_map(images):
    method = make_method(untrained_run(views=TURNED), "cdam")
    maps = method.attribute(images, ["malignancy", "margin"])
    torch.testing.assert_close(method.attribute(turn(images, 5), ["malignancy", "margin"]), turn(maps, 5))


def test_targets_of_each_image_are_those_of_its_turns(images):
    method = make_method(untrained_run(views=TURNED), "cdam")
    by_index = method.attribute(images, torch.tensor([1, 4]))
    torch.testing.assert_close(by_index[1], method.attribute(images, 4)[1])
    called = method.attribute(images, [lambda outputs: outputs[:, 1], torch.tensor([1, 1])])
    torch.testing.assert_close(called[:, 0], called[:, 1])


def test_images_that_cannot_be_turned_are_refused():
    with pytest.raises(InputError, match="square"):
        MeanOverTurns(CDAM(untrained_run().model), 8).attribute(torch.zeros(1, 3, 16, 32))


def test_a_run_that_reads_an_image_once_keeps_the_method_itself():
    assert type(make_method(untrained_run(), "cdam")) is CDAM
    assert type(make_method(untrained_run(views=TURNED), "path_gradients")).__name__ == "PathGradients"


@pytest.mark.parametrize("wrapped", ["turns", "members"])
def test_shuffled_weights_change_the_maps_of_every_part(wrapped, images):
    run = untrained_run(views=TURNED)
    if wrapped == "members":
        model = EnsembleClassifier([run.model, untrained_run().model], torch.tensor([[0.0, 1.0]] * 3)).eval()
        method = MeanOverMembers(model, CDAM)
    else:
        model, method = run.model, make_method(run, "cdam")
    batch = ExplanationBatch(images, method.attribute(images, 0), model, method=method)
    correlations = Randomisation(cascading=False, draws=2).stages(batch)
    assert (correlations < 0.99).all()


def test_maps_of_an_ensemble_are_those_of_its_output_where_its_members_have_scales_of_their_own(images):
    members = [untrained_run().model, untrained_run().model]
    for parameter in members[1].heads.parameters():
        parameter.data += 0.1
    for member, mean, std in zip(members, (0.0, 1.0), (1.0, 3.0), strict=True):
        member.biomarker_mean.fill_(mean)
        member.biomarker_std.fill_(std)
    model = EnsembleClassifier(members, torch.tensor([[0.0, 1.0]] * 3)).eval()
    images = images.clone().requires_grad_()
    named = ["malignancy", "texture"]
    maps = MeanOverMembers(model, InputXGradient).attribute(images, named)
    for place, target in enumerate(named):
        (gradient,) = torch.autograd.grad(model(images)[:, model.target_names.index(target)].sum(), images)
        torch.testing.assert_close(maps[:, place], (gradient * images).mean(1), rtol=1e-4, atol=1e-5)
    index = torch.tensor([model.target_names.index("texture")] * 2)
    torch.testing.assert_close(MeanOverMembers(model, InputXGradient).attribute(images.detach(), index), maps[:, 1])
