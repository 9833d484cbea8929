"""``CTXAI_OFFLINE=1``: no weights are fetched, nothing is installed; what is in the hub's cache can be used."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ctxai.errors import ModelError
from ctxai.models import published
from ctxai.models.backbone import make_backbone
from ctxai.models.settings import BackboneConfig
from ctxai.offline import is_offline

NAME = "vit_tiny_patch16_224.augreg_in21k"
INSTALL = Path(__file__).parents[1] / "ctxai" / "viewer" / "install.sh"


@pytest.mark.parametrize(("value", "expected"), [("1", True), ("yes", True), ("0", False), ("", False)])
def test_the_variable_is_read_each_time(monkeypatch, value, expected):
    monkeypatch.setenv("CTXAI_OFFLINE", value)
    assert is_offline() is expected


def test_weights_that_are_not_here_are_refused_with_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("CTXAI_OFFLINE", "1")
    monkeypatch.setattr(published, "try_to_load_from_cache", lambda repository, file: None)
    with pytest.raises(ModelError, match=r"CTXAI_OFFLINE is set.*model\.safetensors from https://huggingface.co/timm"):
        make_backbone(BackboneConfig(NAME, patch_size=None, depth=1, pretrained=True), 32)


def test_weights_in_the_cache_are_loaded(monkeypatch, tmp_path):
    expected = make_backbone(BackboneConfig(NAME, patch_size=None, depth=12), 224)
    save_file({name: value.contiguous() for name, value in expected.state_dict().items()}, tmp_path / "w.safetensors")
    monkeypatch.setenv("CTXAI_OFFLINE", "1")
    monkeypatch.setattr(published, "try_to_load_from_cache", lambda repository, file: str(tmp_path / "w.safetensors"))
    model = make_backbone(BackboneConfig(NAME, patch_size=None, pretrained=True), 224)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, expected.state_dict()[name])


def test_the_viewer_is_not_installed(tmp_path):
    environment = {"PATH": "/usr/bin:/bin", "CTXAI_OFFLINE": "1"}
    done = subprocess.run([INSTALL, tmp_path / "viewer"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: CTXAI_OFFLINE is set")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "viewer").exists()
