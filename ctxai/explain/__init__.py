"""Explanation methods for vision transformers: one verb, ``Method(model, **options).attribute(images, target)``.

Method classes (``from ctxai.explain import CDAM``) are looked up in the registry: no list of them has to be kept here.
"""

import importlib
import sys
from types import ModuleType
from typing import Any

from ctxai.explain.base import METHODS, get_method, list_methods
from ctxai.explain.concept import Concept
from ctxai.explain.contrast import Contrast
from ctxai.explain.fuse import FusedMap, ViewStack, fuse_views
from ctxai.explain.uncertainty import MapWithStd, std_over_models

__all__ = [
    "Concept",
    "Contrast",
    "FusedMap",
    "MapWithStd",
    "ViewStack",
    "fuse_views",
    "get_method",
    "list_methods",
    "std_over_models",
]


def __getattr__(name: str) -> Any:
    """Class of an explanation method by its own name (PEP 562)."""
    if name[:1].isupper():
        for method in METHODS:
            if method.__name__ == name:
                return method
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *(method.__name__ for method in METHODS)])


class _Callable(ModuleType):
    """This package, which is also the function ``ctxai.explain(series, …)`` of the Python API."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Call :func:`ctxai.api.explain`, which is above this package and so found by name."""
        return importlib.import_module("ctxai.api").explain(*args, **options)


sys.modules[__name__].__class__ = _Callable
