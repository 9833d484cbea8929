import pytest
import torch
from torchvision.ops import sigmoid_focal_loss

from ctxai.detection.training import DetectorBudget, DetectorTraining, small_settings


@pytest.fixture(scope="module")
def training():
    """The small network before its first step."""
    torch.manual_seed(0)
    return DetectorTraining(small_settings(2.0), DetectorBudget())


def test_the_anchors_have_the_sides_that_the_settings_name(training):
    settings = small_settings(2.0)
    generator = training.detector.anchor_generator
    for scale, anchors in zip(settings.feature_map_scales, generator.cell_anchors, strict=True):
        sides = anchors[:, 3:] - anchors[:, :3]  # MONAI has rounded half of each
        assert sides.tolist() == [[scale * side for side in shape] for shape in settings.base_anchor_shapes]


@pytest.mark.parametrize("diameter", [2, 4, 8, 16])
def test_a_nodule_anywhere_in_a_patch_has_positive_anchors_that_overlap_it(training, diameter):
    detector = training.detector
    images = torch.zeros(1, 1, *small_settings(2.0).patch)
    with torch.no_grad():
        maps = detector.network.eval()(images)[detector.cls_key]
    detector.generate_anchors(images, {detector.cls_key: maps})
    (anchors,) = detector.anchors
    for middle in ([24.0, 24, 24], [21.3, 26.1, 22.7]):
        box = torch.tensor([[*(at - diameter / 2 for at in middle), *(at + diameter / 2 for at in middle)]])
        (matched,) = detector.compute_anchor_matched_idxs(
            [anchors], [{"box": box, "label": torch.zeros(1, dtype=torch.long)}], [one[0, 0].numel() for one in maps]
        )
        overlaps = detector.box_overlap_metric(box, anchors[matched >= 0])
        assert 1 <= overlaps.numel() <= 24
        assert overlaps.max() >= 0.125  # of a nodule of 2 voxels in the middle between its anchors


def test_the_loss_is_the_focal_loss_of_all_anchors_by_the_number_of_positive_ones(training):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(500, 1, generator=generator)
    positive = (torch.rand(500, 1, generator=generator) < 0.02).float()
    expected = sigmoid_focal_loss(logits, positive, alpha=0.25, gamma=2.0, reduction="sum")
    loss = training.detector.cls_loss_func
    torch.testing.assert_close(loss(logits, positive), expected / positive.sum())
    without = torch.zeros_like(positive)
    torch.testing.assert_close(
        loss(logits, without), sigmoid_focal_loss(logits, without, alpha=0.25, gamma=2.0, reduction="sum")
    )
