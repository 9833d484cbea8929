import json

import pytest
from detection_bundles import config

from ctxai.detection.bundle import read_settings
from ctxai.errors import InputError


@pytest.fixture
def write(tmp_path):
    """A function that writes a bundle of a configuration, without weights that fit."""

    def written(content):
        for name in ("configs", "models"):
            (tmp_path / name).mkdir()
        (tmp_path / "configs" / "inference.json").write_text(json.dumps(content))
        (tmp_path / "models" / "model.pt").write_bytes(b"")
        return tmp_path

    return written


def test_the_published_layout_is_read_as_values(write):
    settings = read_settings(write(config(patch=(512, 512, 192))))
    assert (settings.backbone, settings.returned_layers) == ("resnet50", (1, 2))
    assert settings.backbone_options == {"conv1_t_stride": (2, 2, 1), "conv1_t_size": (7, 7, 7)}
    assert settings.base_anchor_shapes == ((6, 8, 4), (8, 6, 5), (10, 10, 6))
    assert settings.patch == (512, 512, 192)
    assert settings.spacing_mm == (0.703125, 0.703125, 1.25)
    assert (settings.window_hu, settings.scaled) == ((-1024, 300), (0, 1))
    assert (settings.box_selector["score_thresh"], settings.box_selector["nms_thresh"]) == (0.02, 0.22)


def _set(*keys_and_value):
    *keys, last, value = keys_and_value

    def change(content):
        for key in keys:
            content = content[key]
        content[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_set("network_def", "_target_", "os.system"), "network_def: expected RetinaNet, found 'os.system'"),
        (_set("network_def", "_target_", "evil.RetinaNet"), "found 'evil.RetinaNet'"),
        (_set("backbone", "$__import__('os').system('touch hacked')"), "found \"__import__('os').system\""),
        (_set("backbone", "$monai.networks.nets.resnet.resnet50(spatial_dims=open('hacked','w'))"), "not the layout"),
        (_set("preprocessing", "transforms", 1, "_target_", "scripts.Own"), "found 'scripts.Own'"),
        (_set("preprocessing", "transforms", 3, "pixdim", [0, 1, 1]), "pixdim: expected 0.1 to 10 mm"),
        (_set("preprocessing", "transforms", 2, "axcodes", "LPS"), "expected axcodes RAS"),
        (_set("infer_patch_size", [60, 64, 32]), "multiples of size_divisible"),
        (_set("network_def", "num_anchors", 4), "num_anchors: expected 3"),
        (_set("anchor_generator", "feature_map_scales", [1, 2]), "expected 3, one per level"),
        (lambda content: content.pop("detector_ops"), "no 'detector_ops'"),
        (_set("detector_ops", ["$@detector.set_target_keys()"]), "no 'set_box_selector_parameters'"),
        (_set("detector_ops", "nonsense"), "expected a call"),
        (_set("postprocessing", {"_target_": "Compose", "transforms": [{"_target_": "scripts.Own"}]}), "scripts.Own"),
        (
            _set("feature_extractor", "$BackboneWithFPN(@backbone,{'layer9':'0'},[1],0,3)"),
            "out_channels: expected whole",
        ),
        (_set("backbone", 7), "not the layout"),
    ],
)
def test_what_is_not_the_published_layout_is_refused_in_one_line_and_not_executed(
    write, change, said, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    content = config()
    change(content)
    folder = write(content)
    with pytest.raises(InputError) as refused:
        read_settings(folder)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "hacked").exists()


def test_a_folder_that_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(InputError, match="expected a MONAI detection bundle"):
        read_settings(tmp_path)
