"""Imports of torch and timm without what no command uses, and without searching them for garbage."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

_COMPILER, _COMPILER_UTILS = "torch._dynamo", "torch._dynamo.utils"


class _LateModule(ModuleType):
    """A module that is imported when a name of it is asked for that was not given here."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and (self.__name__, name) != (_COMPILER, "__path__"):
            raise AttributeError(name)  # inspect asks all modules for their files
        return getattr(_imported(self.__name__), name)


def _imported(name: str) -> ModuleType:
    for late in (_COMPILER, _COMPILER_UTILS):
        if isinstance(sys.modules.get(late), _LateModule):
            del sys.modules[late]
    return import_module(name)


def _disable(function: Callable[..., Any], *options: Any, **named: Any) -> Callable[..., Any]:
    """``torch._dynamo.disable``, which is applied at the function's first call."""

    def disabled(*args: Any, **keywords: Any) -> Any:
        return _imported(_COMPILER).disable(function, *options, **named)(*args, **keywords)

    return disabled


def _is_compile_supported(device: Any) -> Any:
    return _imported(_COMPILER_UTILS).is_compile_supported(device)


@contextmanager
def quick_imports(for_good: bool = False) -> Iterator[None]:
    """Import timm and what needs it in half the time.

    timm and torchvision import torch's compiler (``torch._dynamo``) for two functions which nothing here calls; in this
    block it is imported when one of them is called, or anything else of it is asked for. Python's garbage collector
    rests, which would look through the million objects of the modules again and again.

    Args:
        for_good: never look through them afterwards either, nor through anything else that is there by then; for a
            process which is a command's own. Only once, where torch was not there before.
    """
    for_good = for_good and "torch" not in sys.modules
    collects = gc.isenabled()
    gc.disable()
    late = [] if _COMPILER in sys.modules else [_LateModule(_COMPILER), _LateModule(_COMPILER_UTILS)]
    for module in late:
        sys.modules[module.__name__] = module
    if late:
        late[0].disable, late[0].utils = _disable, late[1]  # type: ignore[attr-defined]
        late[1].is_compile_supported = _is_compile_supported  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for module in late:
            if sys.modules.get(module.__name__) is module:
                del sys.modules[module.__name__]
        if for_good:
            gc.freeze()
        if collects:
            gc.enable()
