import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from ctxai.data.labels import TARGETS
from ctxai.errors import InputError, ModelError
from ctxai.models.classifier import NoduleClassifier
from ctxai.models.settings import BackboneConfig, LossConfig, OptimConfig


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


def test_a_subset_of_targets_has_its_outputs_alone_in_the_usual_order():
    apart = NoduleClassifier(BackboneConfig(depth=1), 16, OptimConfig(), targets=["texture", "malignancy"]).eval()
    assert apart.target_names == ("malignancy", "texture")
    apart.fit_scaler(np.arange(18, dtype=np.float32).reshape(2, 9))
    assert apart(torch.zeros(2, 3, 16, 16)).shape == (2, 2)
    units = apart.to_units(torch.tensor([[0.0, 1.0]]))
    texture = TARGETS.index("texture")
    torch.testing.assert_close(units, torch.tensor([[3.0, texture + 4.5 + 4.5]]))  # mean plus one standard deviation


def test_biomarkers_alone_leave_malignancy_out_of_the_loss():
    apart = NoduleClassifier(BackboneConfig(depth=1), 16, OptimConfig(), targets=TARGETS[1:]).eval()
    images, targets = torch.randn(4, 3, 16, 16), torch.randn(4, 9)
    first = apart.training_step((images, targets), 0).item()
    targets[:, 0] = 0.5
    assert first == apart.training_step((images, targets), 0).item() > 0


def test_other_targets_are_refused():
    with pytest.raises(InputError, match=r"targets: expected some of malignancy, .* found colour"):
        NoduleClassifier(BackboneConfig(depth=1), 16, OptimConfig(), targets=["malignancy", "colour"])


def test_a_rating_output_counts_from_the_middle_of_the_scale():
    rating = NoduleClassifier(
        BackboneConfig(depth=1), 16, OptimConfig(), targets=["malignancy"], label="rating", loss=LossConfig(False, 10.0)
    ).eval()
    assert float(rating.to_units(torch.tensor([[-1.5]]))) == 1.5
    with torch.no_grad():
        rating.heads.malignancy.weight.zero_()
        rating.heads.malignancy.bias.fill_(0.5)
    targets = torch.full((2, 9), float("nan"))
    targets[:, 0] = 5.0
    assert rating.training_step((torch.zeros(2, 3, 16, 16), targets), 0).item() == pytest.approx(1.5**2 / 2)


@pytest.mark.parametrize("label", ["soft", "rating"])
def test_balance_gives_both_classes_the_same_weight_in_all(label):
    model = NoduleClassifier(BackboneConfig(depth=1), 16, OptimConfig(), label=label, loss=LossConfig(balance=True))
    share = np.array([0.0, 0.0, 0.0, 0.25, 1.0])
    targets = np.full((5, 9), np.nan, np.float32)
    targets[:, 0] = 1 + 4 * share if label == "rating" else share
    model.fit_scaler(targets)
    benign, malignant = model._class_weights
    assert benign * (1 - share).sum() == pytest.approx(malignant * share.sum())
    plain = NoduleClassifier(BackboneConfig(depth=1), 16, OptimConfig(), label=label).eval()
    plain.load_state_dict(model.eval().state_dict())
    batch = (torch.randn(5, 3, 16, 16), torch.from_numpy(targets))
    assert plain.training_step(batch, 0).item() != pytest.approx(model.training_step(batch, 0).item())


def test_balance_without_two_classes_is_refused():
    model = NoduleClassifier(BackboneConfig(depth=1), 16, OptimConfig(), loss=LossConfig(balance=True))
    with pytest.raises(InputError, match="all of one class"):
        model.fit_scaler(np.ones((3, 9), np.float32))


def test_an_image_with_a_value_that_is_no_number_is_named_as_the_cause(model):
    images = torch.zeros(3, 3, 16, 16)
    images[1, 0, 4, 4] = float("nan")
    with pytest.raises(ModelError, match="1 of 3 images of a batch in epoch 0 hold values that are not finite"):
        model.training_step((images, torch.zeros(3, 9)), 0)


def test_a_loss_that_is_not_finite_stops_training_in_one_line(model):
    with torch.no_grad():
        model.heads.malignancy.weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="training diverged: the loss is nan in epoch 0; lower"):
        model.training_step((torch.zeros(2, 3, 16, 16), torch.zeros(2, 9)), 0)
