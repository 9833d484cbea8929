"""Explanation methods for vision transformers: one verb, ``Method(model, **options).attribute(images, target)``."""

from ctxai.explain.cdam import CDAM
from ctxai.explain.concept import Concept
from ctxai.explain.fuse import FusedMap, ViewStack, fuse_views
from ctxai.explain.integrated_cdam import IntegratedCDAM
from ctxai.explain.registry import get_method, list_methods
from ctxai.explain.smooth_cdam import SmoothCDAM

__all__ = [
    "CDAM",
    "Concept",
    "FusedMap",
    "IntegratedCDAM",
    "SmoothCDAM",
    "ViewStack",
    "fuse_views",
    "get_method",
    "list_methods",
]
