import json
import warnings

import pytest
import torch
from detection_bundles import config
from monai.bundle import ConfigParser

from ctxai.detection.bundle import WEIGHTS, read_settings
from ctxai.detection.detector import build_network, load_detector
from ctxai.detection.layout import inference_config
from ctxai.detection.training import DetectorBudget, DetectorTraining, save_detector, small_settings


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A bundle of the small network with its first weights."""
    folder = tmp_path_factory.mktemp("layouts") / "bundle"
    torch.manual_seed(0)
    settings = small_settings(2.0)
    save_detector(folder, DetectorTraining(settings, DetectorBudget()), settings, {})
    return folder


def by_monai(content):
    """The parts of a configuration as MONAI's own parser makes them."""
    parser = ConfigParser(content)
    parser.parse()
    return parser


def test_what_is_written_is_what_is_read(bundle):
    assert read_settings(bundle) == small_settings(2.0)


def test_monai_makes_the_same_detector_of_the_bundle(bundle):
    parser = by_monai(json.loads((bundle / "configs" / "inference.json").read_text()))
    detector = parser.get_parsed_content("detector").eval()
    parser.get_parsed_content("detector_ops")
    detector.network.load_state_dict(torch.load(bundle / WEIGHTS, weights_only=True))
    image = torch.rand((1, 64, 48, 32), generator=torch.Generator().manual_seed(1))
    _, find_boxes = load_detector(bundle, torch.device("cpu"))
    boxes, scores = find_boxes(image)
    with torch.no_grad():
        (expected,) = detector(image[None], use_inferer=False)
    torch.testing.assert_close(boxes, expected["box"])
    torch.testing.assert_close(scores, expected["label_scores"])
    names = [type(each).__name__ for each in parser.get_parsed_content("postprocessing").transforms]
    assert names == ["ClipBoxToImaged", "AffineBoxToWorldCoordinated", "ConvertBoxModed"]


def test_the_published_network_is_monais_own(tmp_path):
    content = config(backbone="resnet50")
    content["network_def"]["_target_"] = "monai.apps.detection.networks.retinanet_network.RetinaNet"
    content["imports"] = ["$import monai"]
    (tmp_path / "configs").mkdir()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "model.pt").write_bytes(b"")
    (tmp_path / "configs" / "inference.json").write_text(json.dumps(content))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = by_monai(content).get_parsed_content("network_def")
    ours = build_network(read_settings(tmp_path))
    assert {name: value.shape for name, value in ours.state_dict().items()} == {
        name: value.shape for name, value in theirs.state_dict().items()
    }


def test_options_of_every_kind_are_written_as_monai_reads_them(tmp_path):
    content = inference_config(small_settings(1.25))
    assert "widen_factor=0.25" in content["backbone"] and "conv1_t_size=[3, 3, 3]" in content["backbone"]
    assert content["anchor_generator"]["base_anchor_shapes"][0] == [2.0] * 3
