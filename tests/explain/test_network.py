import gc
import weakref

import pytest
import torch
from tiny_vits import KINDS, Classifier, grid_of, make_images, make_model, state_of
from torch import nn

from ctxai.errors import ModelError
from ctxai.explain.network import Network, run_block


@pytest.mark.parametrize("kind", KINDS)
def test_the_stand_in_answers_as_the_model_does(kind):
    model = make_model(kind)
    images = make_images(model)
    before = state_of(model)
    network = Network(model)
    readout = network.run(images)
    stepped = network.run(images, lambda index, block, tokens, rope: run_block(block, tokens, rope))
    again = network.read_out(readout.features, images)
    torch.testing.assert_close(readout.outputs, model(images))
    torch.testing.assert_close(stepped.outputs, readout.outputs)
    torch.testing.assert_close(again.outputs, readout.outputs)
    assert network.grid == grid_of(model)
    assert state_of(model) == before


@pytest.mark.parametrize(
    ("kind", "rows"),
    [("vit", 1), ("registers", 1), ("distilled", 2), ("pooled", 17), ("no class token", 16), ("class and mean", 17)],
)
def test_the_rows_that_are_read_out_are_found(kind, rows):
    model = make_model(kind)
    images = make_images(model)
    network = Network(model)
    assert network.rows_read(network.run(images).features, images) == rows


def test_the_embedding_can_read_other_rows_than_the_outputs():
    class ReadsClassToken(nn.Module):
        def __init__(self):
            super().__init__()
            self.vit = make_model("pooled")

        def forward(self, images):
            return self.vit.forward_features(images)[:, 0]

    model = ReadsClassToken()
    images = make_images(model.vit)
    network = Network(model)
    features = network.run(images).features
    assert network.rows_read(features, images) == 1
    assert network.rows_read(features, images, embedding=True) == 17


def test_parameters_are_shared_and_nothing_outlives_the_stand_in():
    model = make_model("classifier")
    network = Network(model)
    assert network.vit.head is not model.backbone.head
    assert network.blocks[0].mlp.fc1.weight.data_ptr() == model.backbone.blocks[0].mlp.fc1.weight.data_ptr()
    gc.collect()
    gc.disable()
    try:
        network.run(make_images(model), lambda index, block, tokens, rope: tokens)
        gone = weakref.ref(network.vit)
        del network
        assert gone() is None, "the stand-in is part of a reference cycle"
    finally:
        gc.enable()


def test_a_compiled_model_is_explained_through_the_original():
    model = make_model("vit")
    images = make_images(model)
    torch.testing.assert_close(Network(torch.compile(model)).run(images).outputs, model(images))


class CallsTwice(Classifier):
    def forward(self, images):
        return super().forward(images) + super().forward(images.flip(3))


class CallsIntermediates(Classifier):
    def forward(self, images):
        return self.head(self.backbone.forward_intermediates(images, intermediates_only=True)[-1].mean(dim=(2, 3)))


class SplitsImages(Classifier):
    def forward(self, images):
        return super().forward(torch.cat([images, images]))[: len(images)]


@pytest.mark.parametrize("wrapper", [CallsTwice, CallsIntermediates, SplitsImages])
def test_models_that_use_their_transformer_otherwise_are_refused(wrapper):
    model = make_model("classifier")
    wrapped = wrapper(model.backbone).double()
    with pytest.raises(ModelError, match=r"once|one sequence"):
        Network(wrapped).run(make_images(model))


def test_outputs_that_are_no_table_are_refused():
    model = make_model("vit")
    model.reset_classifier(0, global_pool="")
    with pytest.raises(ModelError, match=r"shape \(2, K\)"):
        Network(model).run(make_images(model))


def test_a_model_made_in_inference_mode_is_explained():
    with torch.inference_mode():
        model = make_model("vit")
    images = make_images(model)
    network = Network(model)
    assert not any(parameter.is_inference() for parameter in network.vit.parameters())
    with torch.no_grad():
        torch.testing.assert_close(network.run(images).outputs, model(images))
