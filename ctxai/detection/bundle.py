"""A detection bundle in the layout of MONAI's lung_nodule_ct_detection: settings as values, nothing of it executed.

MONAI's own runner evaluates the ``$`` expressions of ``configs/inference.json`` as Python. Here those that describe the
network are parsed, their names compared with the few that are expected, and their arguments read as literals.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ctxai.errors import InputError

CONFIG = Path("configs") / "inference.json"
WEIGHTS = Path("models") / "model.pt"
BACKBONES = ("resnet10", "resnet18", "resnet34", "resnet50")
_TRANSFORMS = ("LoadImaged", "EnsureChannelFirstd", "Orientationd", "Spacingd", "ScaleIntensityRanged", "EnsureTyped")
#: These bring boxes to world coordinates, as :mod:`ctxai.detection.detector` does by itself.
_POSTPROCESSING = (
    "ClipBoxToImaged",
    "AffineBoxToWorldCoordinated",
    "ConvertBoxModed",
    "DeleteItemsd",
)
_SETTERS = ("set_target_keys", "set_box_selector_parameters", "set_sliding_window_inferer")
#: How MONAI's own configurations name the scales of the levels.
_SCALES_BY_LEVEL = "$[2**l for l in range(len(@returned_layers)+1)]"
_REFERENCE = re.compile(r"@(\w+)")


@dataclass(frozen=True)
class DetectorSettings:
    """Values of a bundle's ``inference.json``; axes of the image are (right, anterior, superior).

    Attributes:
        backbone: name of MONAI's ResNet, one of :data:`BACKBONES`.
        backbone_options: ``conv1_t_stride``, ``conv1_t_size`` and ``widen_factor``, where the bundle has them.
        returned_layers: levels of the ResNet that the feature pyramid takes.
        pyramid_channels: of the feature pyramid and of the heads.
        num_classes: classes besides the background.
        size_divisible: the network's input is padded to multiples of this, voxels per axis.
        feature_map_scales: scale of the anchors, per level of the pyramid.
        base_anchor_shapes: voxels per axis of each anchor.
        box_selector: ``score_thresh``, ``nms_thresh`` and limits of the number of boxes.
        patch: voxels per axis of the sliding window.
        overlap: of neighbouring windows, a fraction.
        spacing_mm: voxel distance per axis.
        window_hu: Hounsfield units that become the two ends of ``scaled``.
        scaled: values of the network's input.
    """

    backbone: str
    backbone_options: Mapping[str, Any]
    returned_layers: tuple[int, ...]
    pyramid_channels: int
    num_classes: int
    size_divisible: tuple[int, int, int]
    feature_map_scales: tuple[float, ...]
    base_anchor_shapes: tuple[tuple[float, ...], ...]
    box_selector: Mapping[str, Any]
    patch: tuple[int, int, int]
    overlap: float
    spacing_mm: tuple[float, float, float]
    window_hu: tuple[float, float]
    scaled: tuple[float, float]


def read_settings(bundle: Path) -> DetectorSettings:
    """Settings of a bundle.

    Raises:
        InputError: when the folder is no such bundle, a value is missing or of another kind, or the bundle names a
            network, an anchor generator or a transform other than the published ones.
    """
    path = bundle / CONFIG
    for needed in (CONFIG, WEIGHTS):
        if not (bundle / needed).is_file():
            raise InputError(f"{bundle}: no {needed}; expected a MONAI detection bundle with {CONFIG} and {WEIGHTS}")
    try:
        return _settings(json.loads(path.read_text(encoding="utf-8")))
    except _Unexpected as error:
        raise InputError(f"{path}: {error}") from None
    except KeyError as error:
        raise InputError(f"{path}: no {error}; expected the layout of MONAI's lung_nodule_ct_detection") from None
    except (AttributeError, IndexError, RecursionError, SyntaxError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: not the layout of MONAI's lung_nodule_ct_detection ({type(error).__name__}); get the bundle again"
        ) from None


class _Unexpected(Exception):
    """A name or value that this reader does not take."""


def _settings(config: Mapping[str, Any]) -> DetectorSettings:
    anchors = _target(config, "anchor_generator", "AnchorGeneratorWithAnchorShape")
    network = _target(config, "network_def", "RetinaNet")
    _target(config, "detector", "RetinaNetDetector")
    backbone, _, options = _call(config, config["backbone"], BACKBONES)
    layers, channels = _pyramid(config)
    calls = {}
    for expression in config["detector_ops"]:
        setter, _, arguments = _call(config, expression, _SETTERS)
        calls[setter] = arguments
    selector, inferer = calls["set_box_selector_parameters"], calls["set_sliding_window_inferer"]
    transforms = dict(_transforms(config))
    scaling = transforms["ScaleIntensityRanged"]
    if transforms["Orientationd"]["axcodes"] != "RAS":
        raise _Unexpected("Orientationd: expected axcodes RAS")
    if "postprocessing" in config:
        for transform in _target(config, "postprocessing", "Compose")["transforms"]:
            _known("postprocessing", transform["_target_"], _POSTPROCESSING)
    scales = _numbers("feature_map_scales", anchors["feature_map_scales"])
    shapes = tuple(_numbers("base_anchor_shapes", shape, 3) for shape in anchors["base_anchor_shapes"])
    if len(scales) != len(layers) + 1:
        raise _Unexpected(f"feature_map_scales: expected {len(layers) + 1}, one per level, found {len(scales)}")
    if network["num_anchors"] != len(shapes):
        raise _Unexpected(f"num_anchors: expected {len(shapes)}, one per shape, found {network['num_anchors']!r}")
    divisible = _whole("size_divisible", network["size_divisible"], 3)
    patch = _whole("roi_size", inferer["roi_size"], 3)
    if any(side % step for side, step in zip(patch, divisible, strict=True)):
        raise _Unexpected(f"roi_size: expected multiples of size_divisible {divisible}, found {patch}")
    low, high, *scaled = _numbers(
        "ScaleIntensityRanged", [scaling[key] for key in ("a_min", "a_max", "b_min", "b_max")]
    )
    if not low < high:
        raise _Unexpected(f"ScaleIntensityRanged: expected a_min below a_max, found {low:g} and {high:g}")
    return DetectorSettings(
        backbone=backbone,
        backbone_options=_backbone_options(options),
        returned_layers=layers,
        pyramid_channels=channels,
        num_classes=_whole("num_classes", [network["num_classes"]])[0],
        size_divisible=divisible,
        feature_map_scales=scales,
        base_anchor_shapes=shapes,
        box_selector={
            "score_thresh": _numbers("score_thresh", [selector["score_thresh"]])[0],
            "nms_thresh": _numbers("nms_thresh", [selector["nms_thresh"]])[0],
            "topk_candidates_per_level": _whole("topk", [selector.get("topk_candidates_per_level", 1000)])[0],
            "detections_per_img": _whole("detections_per_img", [selector.get("detections_per_img", 300)])[0],
        },
        patch=patch,
        overlap=_numbers("overlap", [inferer.get("overlap", 0.25)])[0],
        spacing_mm=_spacing(transforms["Spacingd"]["pixdim"]),
        window_hu=(low, high),
        scaled=(scaled[0], scaled[1]),
    )


def _pyramid(config: Mapping[str, Any]) -> tuple[tuple[int, ...], int]:
    """Levels of the ResNet that the feature pyramid takes, and its channels: 256 where the bundle gives none."""
    expression = config["feature_extractor"]
    name, values, named = _call(config, expression, ["resnet_fpn_feature_extractor", "BackboneWithFPN"])
    if name == "resnet_fpn_feature_extractor":
        return _whole("returned_layers", named["returned_layers"] if "returned_layers" in named else values[3]), 256
    _, levels, _, channels, *_ = values
    layers = _whole("return_layers", [level.removeprefix("layer") for level in levels])
    return layers, _whole("out_channels", [channels])[0]


def _backbone_options(options: Mapping[str, Any]) -> dict[str, Any]:
    known: dict[str, Any] = {
        name: _whole(name, options[name], 3) for name in ("conv1_t_stride", "conv1_t_size") if name in options
    }
    if "widen_factor" in options:
        (known["widen_factor"],) = _numbers("widen_factor", [options["widen_factor"]])
    return known


def _target(config: Mapping[str, Any], key: str, expected: str) -> Mapping[str, Any]:
    """The part ``key``, of which ``_target_`` is the class ``expected``; its references to plain values are these."""
    _known(key, config[key]["_target_"], [expected])
    part: Mapping[str, Any] = _plain(config, config[key])
    return part


def _transforms(config: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for transform in _target(config, "preprocessing", "Compose")["transforms"]:
        if transform.get("_disabled_") is True:
            continue
        yield _known("preprocessing", transform["_target_"], _TRANSFORMS), transform


def _known(key: str, name: str, expected: tuple[str, ...] | list[str]) -> str:
    """Last part of a dotted name of MONAI's, one of ``expected``."""
    package, _, last = name.rpartition(".")
    if last not in expected or (package and package.split(".")[0] not in ("monai", "'@detector'")):
        raise _Unexpected(f"{key}: expected {' or '.join(expected)}, found {name[:80]!r}; nothing else is executed")
    return last


def _call(
    config: Mapping[str, Any], expression: str, expected: tuple[str, ...] | list[str]
) -> tuple[str, list[Any], dict[str, Any]]:
    """Name and literal arguments of a ``$`` expression that calls one of ``expected``; nothing is evaluated."""
    tree = ast.parse(_REFERENCE.sub(r"'@\1'", expression.removeprefix("$")), mode="eval").body
    if not isinstance(tree, ast.Call):
        raise _Unexpected(f"expected a call of {' or '.join(expected)}, found {expression[:80]!r}")
    name = _known("expression", ast.unparse(tree.func), expected)
    return (
        name,
        [_value(config, each) for each in tree.args],
        {each.arg: _value(config, each.value) for each in tree.keywords if each.arg},
    )


def _value(config: Mapping[str, Any], node: ast.expr) -> Any:
    """A literal; a reference to a plain value of the bundle is that value."""
    return _plain(config, ast.literal_eval(node))


def _plain(config: Mapping[str, Any], value: Any) -> Any:
    """A value with its references to plain values, ``@name`` and ``$@name``, replaced by these; others are left."""
    if isinstance(value, Mapping):
        return {name: _plain(config, each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(config, each) for each in value]
    if not isinstance(value, str):
        return value
    if value == _SCALES_BY_LEVEL:
        return [2**level for level in range(len(config["returned_layers"]) + 1)]
    named = re.fullmatch(r"\$?@(\w+)", value)
    found = config.get(named[1], value) if named else value
    plain = isinstance(found, bool | int | float | list) or (isinstance(found, str) and found.startswith("@"))
    return _plain(config, found) if plain and found != value else value


def _numbers(name: str, values: Any, count: int | None = None) -> tuple[float, ...]:
    numbers = tuple(float(value) for value in values)
    if not numbers or not np.isfinite(numbers).all() or (count is not None and len(numbers) != count):
        raise _Unexpected(f"{name}: expected {count or 'some'} finite numbers, found {values}")
    return numbers


def _whole(name: str, values: Any, count: int | None = None) -> Any:
    numbers = _numbers(name, values, count)
    if any(number != int(number) or number < 1 for number in numbers):
        raise _Unexpected(f"{name}: expected whole numbers above 0, found {values}")
    return tuple(int(number) for number in numbers)


def _spacing(values: Any) -> Any:
    spacing = _numbers("pixdim", values, 3)
    if not all(0.1 <= mm <= 10 for mm in spacing):
        raise _Unexpected(f"pixdim: expected 0.1 to 10 mm, found {values}")
    return spacing
