"""Explanation methods for vision transformers: one verb, ``Method(model, **options).attribute(images, target)``."""

from ctxai.explain.agcam import AGCAM
from ctxai.explain.attention_map import AttentionMap
from ctxai.explain.attention_rollout import AttentionRollout
from ctxai.explain.cdam import CDAM
from ctxai.explain.concept import Concept
from ctxai.explain.contrast import Contrast
from ctxai.explain.fuse import FusedMap, ViewStack, fuse_views
from ctxai.explain.generic_attribution import GenericAttribution
from ctxai.explain.grad_cam import GradCAM
from ctxai.explain.input_x_gradient import InputXGradient
from ctxai.explain.integrated_cdam import IntegratedCDAM
from ctxai.explain.integrated_gradients import IntegratedGradients
from ctxai.explain.kernel_shap import KernelSHAP
from ctxai.explain.lime import LIME
from ctxai.explain.occlusion import Occlusion
from ctxai.explain.partial_lrp import PartialLRP
from ctxai.explain.random_map import RandomMap
from ctxai.explain.region_cdam import RegionCDAM
from ctxai.explain.registry import get_method, list_methods
from ctxai.explain.smooth_cdam import SmoothCDAM
from ctxai.explain.smooth_grad import SmoothGrad
from ctxai.explain.token_ablation import TokenAblation
from ctxai.explain.tokentm import TokenTM
from ctxai.explain.transformer_attribution import TransformerAttribution
from ctxai.explain.uncertainty import MapWithSpread, spread_over_models
from ctxai.explain.vision_diffmask import VisionDiffMask

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
