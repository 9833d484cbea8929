import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from ctxai.data.labels import TARGETS
from ctxai.errors import ModelError
from ctxai.models.backbone import BackboneConfig
from ctxai.models.classifier import NoduleClassifier, OptimConfig


@pytest.fixture
def model():
    return NoduleClassifier(BackboneConfig(depth=1), 16, OptimConfig()).eval()


def test_the_classifier_holds_one_vision_transformer_and_names_its_outputs(model):
    assert sum(isinstance(part, VisionTransformer) for part in model.modules()) == 1
    assert model.target_names == TARGETS
    assert model(torch.zeros(2, 3, 16, 16)).shape == (2, len(TARGETS))


def test_outputs_come_back_in_the_readers_units(model):
    targets = np.full((4, 9), np.nan, np.float32)
    targets[:, 6] = [5.0, 15.0, np.nan, 10.0]
    model.fit_scaler(targets)
    assert float(model.biomarker_mean[5]) == pytest.approx(10.0)
    assert float(model.biomarker_std[5]) == pytest.approx(np.sqrt(50 / 3))
    assert float(model.biomarker_std[0]) == 1.0  # never seen: left as it is
    outputs = torch.zeros(1, 9)
    outputs[0, 6] = 2.0
    units = model.to_units(outputs)
    assert float(units[0, 0]) == pytest.approx(3.0)  # an even logit is the middle of the scale
    assert float(units[0, 6]) == pytest.approx(10 + 2 * np.sqrt(50 / 3))
    assert float(model.to_units(torch.full((1, 9), 50.0))[0, 0]) == pytest.approx(5.0)


def test_a_loss_that_is_not_finite_stops_training_in_one_line(model):
    with torch.no_grad():
        model.heads.malignancy.weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="training diverged: the loss is nan in epoch 0; lower"):
        model.training_step((torch.zeros(2, 3, 16, 16), torch.zeros(2, 9)), 0)
