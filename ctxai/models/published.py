"""Weights that timm publishes under a name: their input size, their place, and whether they are on this machine."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import try_to_load_from_cache

#: In the order in which timm looks for them.
_FILES = ("model.safetensors", "pytorch_model.bin")


def hub_repository(name: str) -> str | None:
    """Repository of a named backbone's weights on the Hugging Face hub; None where timm has none there."""
    import timm

    published = timm.get_pretrained_cfg(name, allow_unregistered=False)
    return published.hf_hub_id if published and published.hf_hub_id else None


def input_pixels(name: str) -> int | None:
    """Side of the images that a named architecture, or its published weights, are for; None where timm names none."""
    import timm

    published = timm.get_pretrained_cfg(name, allow_unregistered=True)
    return int(published.input_size[-1]) if published else None


def cached_weights(name: str) -> Path | None:
    """The file of a named backbone's weights in the hub's cache on this machine; None where it is not there."""
    repository = hub_repository(name)
    return None if repository is None else cached_file(repository)


def cached_file(repository: str) -> Path | None:
    """The file of weights of a repository in the hub's cache on this machine; None where it is not there."""
    found = (try_to_load_from_cache(repository, file) for file in _FILES)
    return next((Path(path) for path in found if isinstance(path, str)), None)
