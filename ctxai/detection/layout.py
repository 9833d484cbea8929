"""A detector's settings as the files of a MONAI bundle: the reverse of `ctxai.detection.bundle`."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from ctxai import __version__
from ctxai.detection.bundle import DetectorSettings
from ctxai.disclaimer import RESEARCH_USE_ONLY

_DETECTION = "monai.apps.detection"
_BOXES = f"{_DETECTION}.transforms.dictionary"


def inference_config(settings: DetectorSettings) -> dict[str, Any]:
    """Content of ``configs/inference.json``: network, detector and transforms, as MONAI's ConfigParser takes them."""
    options = "".join(
        f", {name}={list(value) if isinstance(value, tuple) else value}"
        for name, value in settings.backbone_options.items()
    )
    levels = {f"layer{layer}": str(level) for level, layer in enumerate(settings.returned_layers)}
    width = 64 * settings.backbone_options.get("widen_factor", 1)
    widths = [int(width * 2 ** (layer - 1)) for layer in settings.returned_layers]
    selector = ", ".join(f"{name}={value}" for name, value in settings.box_selector.items())
    low, high = settings.window_hu
    return {
        "imports": ["$import torch", "$import monai"],
        "bundle_root": ".",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "infer_patch_size": list(settings.patch),
        "anchor_generator": {
            "_target_": f"{_DETECTION}.utils.anchor_utils.AnchorGeneratorWithAnchorShape",
            "feature_map_scales": list(settings.feature_map_scales),
            "base_anchor_shapes": [list(shape) for shape in settings.base_anchor_shapes],
        },
        "backbone": f"$monai.networks.nets.resnet.{settings.backbone}(spatial_dims=3, n_input_channels=1{options})",
        "feature_extractor": "$monai.networks.blocks.backbone_fpn_utils.BackboneWithFPN"
        f"(@backbone, {levels}, {widths}, {settings.pyramid_channels}, 3)",
        "network_def": {
            "_target_": f"{_DETECTION}.networks.retinanet_network.RetinaNet",
            "spatial_dims": 3,
            "num_classes": settings.num_classes,
            "num_anchors": len(settings.base_anchor_shapes),
            "feature_extractor": "@feature_extractor",
            "size_divisible": list(settings.size_divisible),
        },
        "network": "$@network_def.to(@device)",
        "detector": {
            "_target_": f"{_DETECTION}.networks.retinanet_detector.RetinaNetDetector",
            "network": "@network",
            "anchor_generator": "@anchor_generator",
        },
        "detector_ops": [
            "$@detector.set_target_keys(box_key='box', label_key='label')",
            f"$@detector.set_box_selector_parameters({selector})",
            "$@detector.set_sliding_window_inferer(roi_size=@infer_patch_size, "
            f"overlap={settings.overlap}, sw_batch_size=1, mode='constant', device='cpu')",
        ],
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image"},
                {"_target_": "EnsureChannelFirstd", "keys": "image"},
                {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
                {"_target_": "Spacingd", "keys": "image", "pixdim": list(settings.spacing_mm)},
                {
                    "_target_": "ScaleIntensityRanged",
                    "keys": "image",
                    **{"a_min": low, "a_max": high, "b_min": settings.scaled[0], "b_max": settings.scaled[1]},
                    "clip": True,
                },
                {"_target_": "EnsureTyped", "keys": "image"},
            ],
        },
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {
                    "_target_": f"{_BOXES}.ClipBoxToImaged",
                    "box_keys": "box",
                    "label_keys": ["label", "label_scores"],
                    "box_ref_image_keys": "image",
                    "remove_empty": True,
                },
                {
                    "_target_": f"{_BOXES}.AffineBoxToWorldCoordinated",
                    "box_keys": "box",
                    "box_ref_image_keys": "image",
                    "affine_lps_to_ras": True,
                },
                {
                    "_target_": f"{_BOXES}.ConvertBoxModed",
                    "box_keys": "box",
                    "src_mode": "xyzxyz",
                    "dst_mode": "cccwhd",
                },
            ],
        },
    }


def metadata(description: str) -> dict[str, Any]:
    """Content of ``configs/metadata.json``.

    Args:
        description: what the detector was trained on.
    """
    return {
        "version": __version__,
        "monai_version": version("monai"),
        "pytorch_version": version("torch"),
        "numpy_version": version("numpy"),
        "name": "Lung nodule CT detection",
        "task": "Propose lung nodules on CT",
        "description": description,
        "authors": "The ctxai authors (software), whoever trained the detector (weights)",
        "copyright": "The ctxai authors (software), whoever trained the detector (weights)",
        "intended_use": f"{RESEARCH_USE_ONLY}; not a medical device".capitalize(),
        "network_data_format": {
            "inputs": {"image": {"type": "image", "format": "hounsfield", "modality": "CT", "num_channels": 1}},
            "outputs": {"pred": {"type": "object", "format": "dictionary", "dtype": "float32"}},
        },
    }
