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
            (tmp_path / name).mkdir(exist_ok=True)
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


def test_references_to_values_are_these_values(write):
    content = config()
    expected = read_settings(write(content))
    content |= {
        "spatial_dims": 3,
        "num_classes": 1,
        "returned_layers": [1, 2],
        "base_anchor_shapes": content["anchor_generator"]["base_anchor_shapes"],
        "size_divisible": [16, 16, 8],
        "air": -1024.0,
        "whether_raw_luna16": True,
    }
    content["anchor_generator"] |= {
        "feature_map_scales": "$[2**l for l in range(len(@returned_layers)+1)]",
        "base_anchor_shapes": "$@base_anchor_shapes",
    }
    content["network_def"] |= {name: f"@{name}" for name in ("spatial_dims", "num_classes", "size_divisible")}
    content["feature_extractor"] = content["feature_extractor"].replace("[1,2]", "@returned_layers")
    transforms = content["preprocessing"]["transforms"]
    transforms[4]["a_min"] = "@air"
    transforms.append({"_target_": "Spacingd", "pixdim": [9, 9, 9], "_disabled_": "@whether_raw_luna16"})
    assert read_settings(write(content)) == expected


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
        (_set("network_def", "num_classes", "@absent"), "not the layout"),
        (_set("network_def", "num_classes", "$__import__('os').system('touch hacked')"), "not the layout"),
        (
            lambda content: content.update(a="@b", b="@a") or _set("network_def", "num_classes", "@a")(content),
            "not the",
        ),
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
