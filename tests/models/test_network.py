import torch

from ctxai.models.classifier import NoduleClassifier
from ctxai.models.network import NoduleNetwork
from ctxai.models.settings import BackboneConfig, HeadsConfig, OptimConfig, TuneConfig


def test_a_network_takes_the_weights_of_a_trained_classifier_and_gives_its_outputs_to_the_bit():
    backbone, heads = BackboneConfig(depth=1), HeadsConfig(readout="ordinal", outline=1.0)
    trained = NoduleClassifier(backbone, 16, OptimConfig(), tune=TuneConfig(blocks=1), heads=heads).eval()
    network = NoduleNetwork(backbone, 16, heads=heads).eval()
    network.load_state_dict(trained.state_dict())
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(network(images), trained(images))
    assert torch.equal(network.to_units(network(images)), trained.to_units(trained(images)))
    assert torch.equal(network.outline(images), trained.outline(images))
    assert network.device == trained.device == torch.device("cpu")
