"""`benchmarks/gpu.py` where there is no GPU, and the parts that it shares with `benchmarks/real_size.py`."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_it_says_so_in_one_line():
    done = subprocess.run([sys.executable, REPOSITORY / "benchmarks/gpu.py"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "error: no GPU that PyTorch can use; run this on a machine with one\n"


def test_its_parts_run_on_whatever_device_a_run_is_on(monkeypatch):
    gpu = pytest.importorskip("gpu")
    real_size = pytest.importorskip("real_size")
    monkeypatch.setattr(real_size, "PIXELS", 32)
    run = real_size.real_run("vit_tiny_patch16_224")
    found = gpu.parts(run)
    before = run.model.backbone.norm.weight.clone()
    found["forward pass"]()
    assert found["explained nodule"]().image_maps["cdam", "malignancy"].isfinite().all()
    assert torch.equal(run.model.backbone.norm.weight, before)
    found["training step"]()
    assert not torch.equal(run.model.backbone.norm.weight, before)


def test_bf16_rounds_the_map_and_leaves_the_run_as_it_is(monkeypatch):
    gpu = pytest.importorskip("gpu")
    real_size = pytest.importorskip("real_size")
    monkeypatch.setattr(real_size, "PIXELS", 32)
    run = real_size.real_run("vit_tiny_patch16_224")
    assert 1e-4 < gpu.bf16_difference(run) < 0.2
    assert next(run.model.parameters()).dtype == torch.float32
