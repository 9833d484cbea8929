"""Explanation methods for vision transformers: one verb, ``Method(model, **options).attribute(images, target)``.

Names are imported when they are asked for (PEP 562), so that a module that needs no torch costs none. Method classes
(``from ctxai.explain import CDAM``) are looked up in the registry: no list of them has to be kept here.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ctxai.explain.base import get_method, list_methods
    from ctxai.explain.concept import Concept
    from ctxai.explain.contrast import Contrast
    from ctxai.explain.fuse import FusedMap, ViewStack, fuse_views
    from ctxai.explain.huggingface import from_huggingface
    from ctxai.explain.uncertainty import MapWithStd, std_over_models

__all__ = [
    "Concept",
    "Contrast",
    "FusedMap",
    "MapWithStd",
    "ViewStack",
    "from_huggingface",
    "fuse_views",
    "get_method",
    "list_methods",
    "std_over_models",
]

_MODULES = {
    "Concept": "concept",
    "Contrast": "contrast",
    "FusedMap": "fuse",
    "MapWithStd": "uncertainty",
    "ViewStack": "fuse",
    "from_huggingface": "huggingface",
    "fuse_views": "fuse",
    "get_method": "base",
    "list_methods": "base",
    "std_over_models": "uncertainty",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"ctxai.explain.{_MODULES[name]}"), name)
    if name[:1].isupper():
        from ctxai.explain.base import METHODS

        for method in METHODS:
            if method.__name__ == name:
                return method
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    from ctxai.explain.base import METHODS

    return sorted({*globals(), *_MODULES, *(method.__name__ for method in METHODS)})


class _Callable(ModuleType):
    """This package, which is also the function ``ctxai.explain(series, …)`` of the Python API."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Call :func:`ctxai.api.explain`, which is above this package and so found by name."""
        return import_module("ctxai.api").explain(*args, **options)


sys.modules[__name__].__class__ = _Callable
