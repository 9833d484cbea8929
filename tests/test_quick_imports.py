"""Imports without torch's compiler, which is there when it is asked for."""

import gc
import subprocess
import sys

from ctxai.quick_imports import quick_imports


def told(code: str) -> list[str]:
    """What a process of its own prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_timm_comes_without_torch_s_compiler_which_works_when_it_is_called():
    code = """
import sys
from ctxai.quick_imports import quick_imports
with quick_imports():
    import timm, torch, torchvision
    @torch.compiler.disable
    def kept(x):
        return x * 2 if not torch.compiler.is_compiling() else x
print('torch._dynamo' in sys.modules)
print(torchvision.ops.roi_align(torch.full((1, 1, 4, 4), 7.0), torch.tensor([[0, 0, 0, 3, 3.0]]), 1).item())
print(torch.compile(lambda x: kept(x) + 1, backend='eager')(torch.ones(1)).item())
print(type(sys.modules['torch._dynamo']).__name__)
"""
    assert told(code) == ["False", "7.0", "3.0", "module"]


def test_what_else_is_asked_of_the_compiler_meanwhile_is_the_compiler_s_own():
    code = """
from ctxai.quick_imports import quick_imports
with quick_imports():
    import torch
    from torch._dynamo.utils import counters
    from torch._dynamo import config
import torch._dynamo
print(counters is torch._dynamo.utils.counters, config is torch._dynamo.config)
"""
    assert told(code) == ["True", "True"]


def test_garbage_is_collected_afterwards_as_before():
    import torch  # noqa: F401

    before, frozen = gc.isenabled(), gc.get_freeze_count()
    with quick_imports(for_good=True):
        assert not gc.isenabled()
    assert gc.isenabled() == before and gc.get_freeze_count() == frozen  # torch was there: not the start of a process
