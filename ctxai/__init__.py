"""ctxai: explainable lung-nodule assessment on CT, for research use only.

The public names load what they need when they are first used, so that ``import ctxai`` is quick and free of torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ctxai.quick_imports import quick_imports

if TYPE_CHECKING:
    from ctxai.api import Results as Results
    from ctxai.api import Run as Run
    from ctxai.api import explain as explain
    from ctxai.api import open_series as open_series
    from ctxai.api import predict as predict

__version__ = "0.1.0"
__all__ = ["Results", "Run", "__version__", "explain", "open_series", "predict"]


def __getattr__(name: str) -> Any:
    """Import a public name at its first use (PEP 562)."""
    if name == "explain":  # the package of methods, which can be called as ctxai.api.explain
        return importlib.import_module("ctxai.explain")
    if name in __all__:
        with quick_imports():
            return getattr(importlib.import_module("ctxai.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
