"""Explanation methods for vision transformers: one verb, ``Method(model, **options).attribute(images, target)``."""

import importlib
import sys
from types import ModuleType
from typing import Any

from ctxai.explain.concept import Concept
from ctxai.explain.contrast import Contrast
from ctxai.explain.fuse import FusedMap, ViewStack, fuse_views
from ctxai.explain.methods.agcam import AGCAM
from ctxai.explain.methods.attention_map import AttentionMap
from ctxai.explain.methods.attention_rollout import AttentionRollout
from ctxai.explain.methods.cdam import CDAM
from ctxai.explain.methods.generic_attribution import GenericAttribution
from ctxai.explain.methods.grad_cam import GradCAM
from ctxai.explain.methods.input_x_gradient import InputXGradient
from ctxai.explain.methods.integrated_cdam import IntegratedCDAM
from ctxai.explain.methods.integrated_gradients import IntegratedGradients
from ctxai.explain.methods.kernel_shap import KernelSHAP
from ctxai.explain.methods.lime import LIME
from ctxai.explain.methods.occlusion import Occlusion
from ctxai.explain.methods.partial_lrp import PartialLRP
from ctxai.explain.methods.random_map import RandomMap
from ctxai.explain.methods.region_cdam import RegionCDAM
from ctxai.explain.methods.smooth_cdam import SmoothCDAM
from ctxai.explain.methods.smooth_grad import SmoothGrad
from ctxai.explain.methods.token_ablation import TokenAblation
from ctxai.explain.methods.tokentm import TokenTM
from ctxai.explain.methods.transformer_attribution import TransformerAttribution
from ctxai.explain.methods.vision_diffmask import VisionDiffMask
from ctxai.explain.registry import get_method, list_methods
from ctxai.explain.uncertainty import MapWithSpread, spread_over_models

__all__ = [
    "AGCAM",
    "CDAM",
    "LIME",
    "AttentionMap",
    "AttentionRollout",
    "Concept",
    "Contrast",
    "FusedMap",
    "GenericAttribution",
    "GradCAM",
    "InputXGradient",
    "IntegratedCDAM",
    "IntegratedGradients",
    "KernelSHAP",
    "MapWithSpread",
    "Occlusion",
    "PartialLRP",
    "RandomMap",
    "RegionCDAM",
    "SmoothCDAM",
    "SmoothGrad",
    "TokenAblation",
    "TokenTM",
    "TransformerAttribution",
    "ViewStack",
    "VisionDiffMask",
    "fuse_views",
    "get_method",
    "list_methods",
    "spread_over_models",
]


class _Callable(ModuleType):
    """This package, which is also the function ``ctxai.explain(series, …)`` of the Python API."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Call :func:`ctxai.api.explain`, which is above this package and so found by name."""
        return importlib.import_module("ctxai.api").explain(*args, **options)


sys.modules[__name__].__class__ = _Callable
