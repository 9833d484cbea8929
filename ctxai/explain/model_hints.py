"""Ways out for models that cannot be explained as they are."""

from __future__ import annotations

from torch import nn

_BY_LIBRARY = {
    "transformers": "of the HuggingFace models ViT and Dinov2 are explained, as whole models; wrap a converted one "
    "(ctxai.explain.from_huggingface) in your own module",
    "torchvision": "torchvision's transformer has other modules: load the weights into timm's vit_*_patch*_224",
    "monai": "MONAI's ViT has other modules: use timm's with MONAI's transforms, or load its weights into timm's",
}
_META = "facebookresearch's {name} has other modules: load its state dict into timm's model of the same name (.dino, "
_META += ".lvd142m)"


def hint(model: nn.Module) -> str:
    """End of an error's line: how to get from ``model`` to one that is explained."""
    for module in model.modules():
        library = type(module).__module__.split(".")[0]
        if library in _BY_LIBRARY:
            return _BY_LIBRARY[library]
    for module in model.modules():
        if "VisionTransformer" in type(module).__name__ and not type(module).__module__.startswith("timm."):
            return _META.format(name=type(module).__name__)
    return "these methods explain vision transformers only; give them timm's"


def call_hint(model: nn.Module) -> str:
    """How to get to one call of the transformer from a model that makes none or several."""
    if type(model).__module__.startswith("lightly."):
        return "lightly's wrapper runs the transformer part by part: pass its .vit"
    return "wrap it so that one call makes the features"


def linear_hint(layer: nn.Module) -> str:
    """How to get a plain ``torch.nn.Linear`` out of ``layer``."""
    library = type(layer).__module__.split(".")[0]
    if hasattr(layer, "merged") or library == "peft" or "lora" in type(layer).__name__.lower():
        return "merge its adapters into the weights (merge_lora; peft's merge_and_unload)"
    if "quant" in type(layer).__module__ or library in ("bitsandbytes", "torchao", "quanto"):
        return "load the weights without quantisation (float32, float16 or bfloat16)"
    if hasattr(layer, "parametrizations"):
        return "call torch.nn.utils.parametrize.remove_parametrizations first"
    return "replace it by torch.nn.Linear with the weights that it computes with"
