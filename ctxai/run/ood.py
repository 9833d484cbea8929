"""How unlike the training nodules a nodule is: knowing when a prediction is no more than extrapolation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from ctxai.errors import InputError
from ctxai.models.backbone import ViT

_PARTS = 10
_LEAST_SPREAD = 1e-2  # of the patch embeddings, below which an image is featureless and its logarithm means nothing
_RIDGE = 1e-6  # of standardised features, so that copies of one another can be inverted too
_LEAST_DEVIATION = 1e-3  # of the most varied feature's: one that hardly varies in training is no evidence


@dataclass(frozen=True, eq=False)
class Novelty:
    """Mahalanobis distance to the training nodules in a run's own features, as a percentile of theirs.

    The covariance of the standardised features is shrunk towards a multiple of the identity (Ledoit and Wolf 2004, "A
    well-conditioned estimator for large-dimensional covariance matrices"; distance: Lee et al. 2018, "A simple unified
    framework for detecting out-of-distribution samples and adversarial attacks", with one class). The training
    nodules' own distances are measured with their patients left out, so that nodules of new patients from the same
    collection spread evenly over the percentiles. A percentile tells of unlike images (air, bone, another window,
    damage), not of hard nodules, and not of small errors of scale.

    Args:
        mean: of the features (feature,).
        whitening: features minus mean, times this (feature, feature), have unit covariance.
        distances: of the training nodules, rising (nodule,).
    """

    mean: np.ndarray
    whitening: np.ndarray
    distances: np.ndarray

    @classmethod
    def fit(cls, features: np.ndarray, patients: np.ndarray) -> Novelty:
        """Learn what training nodules look like.

        Args:
            features: of the training nodules (nodule, feature), as `outputs_and_features` gives them.
            patients: patient of every nodule (nodule,).

        Raises:
            InputError: when there are fewer than two patients.
        """
        from sklearn.model_selection import GroupKFold  # here: explaining does without scikit-learn

        found = len(np.unique(patients))
        if found < 2:
            raise InputError(f"{found} training patient(s): two are needed to measure how unlike others a nodule is")
        left_out = np.empty(len(features))
        for others, part in GroupKFold(min(_PARTS, found)).split(features, groups=patients):
            left_out[part] = _distance(features[part], *_describe(features[others]))
        return cls(*_describe(features), np.sort(left_out).astype(np.float32))

    def percentile(self, features: np.ndarray) -> np.ndarray:
        """Share of the training nodules, in percent, that lie nearer to the others than these (nodule, feature)."""
        distances = _distance(features, self.mean, self.whitening).astype(np.float32)
        return 100.0 * np.searchsorted(self.distances, distances, side="left") / len(self.distances)

    def to_tensors(self) -> dict[str, torch.Tensor]:
        """Float32 tensors for `novelty.safetensors`."""
        return {name: torch.from_numpy(getattr(self, name)) for name in ("mean", "whitening", "distances")}

    @classmethod
    def from_tensors(cls, tensors: dict[str, torch.Tensor]) -> Novelty:
        """The reverse of :meth:`to_tensors`.

        Raises:
            KeyError: when one is missing.
            ValueError: when their shapes do not fit each other, or a number is not finite.
        """
        mean, whitening, distances = (tensors[name].float().numpy() for name in ("mean", "whitening", "distances"))
        if whitening.shape != 2 * mean.shape or mean.ndim != 1 or distances.ndim != 1 or not distances.size:
            raise ValueError(f"shapes {mean.shape}, {whitening.shape} and {distances.shape} do not fit each other")
        if not all(np.isfinite(values).all() for values in (mean, whitening, distances)):
            raise ValueError("numbers that are not finite")
        return cls(mean, whitening, distances)


def outputs_and_features(model: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A classifier's outputs and the features that its novelty is measured in, from one pass.

    Features: class token and mean patch token after the backbone's last norm, which tell what the model sees; and the
    logarithm of the spread over places of each channel of the patch embedding, which is low where there is nothing to
    see and high in noise.

    Args:
        model: a module whose ``backbone`` is a timm VisionTransformer or Eva.
        images: (image, channel, row, column).

    Returns:
        outputs (image, output) and features (image, 3 x width).
    """
    backbone = model.backbone
    assert isinstance(backbone, ViT)
    seen: dict[str, torch.Tensor] = {}

    def record(name: str) -> torch.utils.hooks.RemovableHandle:
        hooked = getattr(backbone, name)
        return hooked.register_forward_hook(lambda _module, _inputs, output: seen.__setitem__(name, output))

    handles = [record("patch_embed"), record("norm")]
    try:
        outputs = model(images)
    finally:
        for handle in handles:
            handle.remove()
    tokens, patches = seen["norm"], seen["patch_embed"].reshape(len(images), -1, backbone.embed_dim)
    prefix = backbone.num_prefix_tokens
    mean = tokens[:, prefix:].mean(1)
    summary = tokens[:, 0] if prefix else mean
    return outputs, torch.cat([summary, mean, (patches.std(1) + _LEAST_SPREAD).log()], dim=1)


def _describe(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and whitening of features, float32."""
    from sklearn.covariance import LedoitWolf  # here: explaining does without scikit-learn

    features = np.asarray(features, np.float64)
    mean = features.mean(0)
    deviation = features.std(0)
    deviation = np.maximum(deviation, _LEAST_DEVIATION * deviation.max() or 1.0)
    standardised = (features - mean) / deviation
    covariance = _RIDGE * np.eye(len(mean))
    if len(features) > 1:  # a single nodule deviates from nothing
        covariance += LedoitWolf(assume_centered=True).fit(standardised).covariance_
    whitening = np.linalg.inv(np.linalg.cholesky(covariance)).T / deviation[:, None]
    return mean.astype(np.float32), np.ascontiguousarray(whitening, np.float32)


def _distance(features: np.ndarray, mean: np.ndarray, whitening: np.ndarray) -> np.ndarray:
    return np.linalg.norm((np.asarray(features, np.float64) - mean) @ whitening, axis=1)
