"""Detection bundles in the layout of MONAI's lung_nodule_ct_detection, with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from ctxai.detection.bundle import read_settings
from ctxai.detection.detector import build_network

_NETS = "monai.networks.nets.resnet"
_DETECTION = "monai.apps.detection"


def config(
    score_thresh: float = 0.02,
    detections: int = 300,
    backbone: str = "resnet50",
    patch: tuple[int, ...] = (64, 64, 32),
    pixdim: tuple[float, ...] = (0.703125, 0.703125, 1.25),
) -> dict[str, Any]:
    """An ``inference.json`` as the published bundle has it, but for the size of the window,
    the spacing and the thresholds where they are given."""
    return {
        "whether_raw_luna16": False,
        "imports": ["$import glob", "$import os"],
        "bundle_root": ".",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "infer_patch_size": [*patch],
        "anchor_generator": {
            "_target_": f"{_DETECTION}.utils.anchor_utils.AnchorGeneratorWithAnchorShape",
            "feature_map_scales": [1, 2, 4],
            "base_anchor_shapes": [[6, 8, 4], [8, 6, 5], [10, 10, 6]],
        },
        "backbone": f"${_NETS}.{backbone}(spatial_dims=3,n_input_channels=1,conv1_t_stride=[2,2,1],"
        "conv1_t_size=[7,7,7])",
        "feature_extractor": f"${_DETECTION}.networks.retinanet_network.resnet_fpn_feature_extractor"
        "(@backbone,3,False,[1,2],None)",
        "network_def": {
            "_target_": "RetinaNet",
            "spatial_dims": 3,
            "num_classes": 1,
            "num_anchors": 3,
            "feature_extractor": "@feature_extractor",
            "size_divisible": [16, 16, 8],
        },
        "network": "$@network_def.to(@device)",
        "detector": {"_target_": "RetinaNetDetector", "network": "@network", "anchor_generator": "@anchor_generator"},
        "detector_ops": [
            "$@detector.set_target_keys(box_key='box', label_key='label')",
            f"$@detector.set_box_selector_parameters(score_thresh={score_thresh},topk_candidates_per_level=1000,"
            f"nms_thresh=0.22,detections_per_img={detections})",
            "$@detector.set_sliding_window_inferer(roi_size=@infer_patch_size,overlap=0.25,sw_batch_size=1,"
            "mode='constant',device='cpu')",
        ],
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image", "_disabled_": "@whether_raw_luna16"},
                {"_target_": "EnsureChannelFirstd", "keys": "image"},
                {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
                {"_target_": "Spacingd", "keys": "image", "pixdim": [*pixdim]},
                {
                    "_target_": "ScaleIntensityRanged",
                    "keys": "image",
                    "a_min": -1024.0,
                    "a_max": 300.0,
                    "b_min": 0.0,
                    "b_max": 1.0,
                    "clip": True,
                },
                {"_target_": "EnsureTyped", "keys": "image"},
            ],
        },
    }


def write_bundle(folder: Path, **options: Any) -> Path:
    """A bundle with random weights, the same every time."""
    for name in ("configs", "models"):
        (folder / name).mkdir(parents=True)
    (folder / "configs" / "metadata.json").write_text(json.dumps({"name": "Lung nodule CT detection"}))
    (folder / "configs" / "inference.json").write_text(json.dumps(config(**options)))
    (folder / "models" / "model.pt").write_bytes(b"")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save(build_network(read_settings(folder)).state_dict(), folder / "models" / "model.pt")
    return folder
