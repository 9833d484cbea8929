"""A concept: a direction in a model's embedding that example images point out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ctxai.errors import InputError
from ctxai.explain.images import check_images
from ctxai.explain.network import Network


class Concept:
    """A target that no output stands for: f(x) = e(x) . v, with e(x) the embedding before the classification layer.

    The product is not normalised: it is a dot product and no cosine (CDAM, arXiv 2312.02364).

    Args:
        vector: v, shape (d,).
        name: what to call it in file names and reports.

    Raises:
        InputError: when the vector is not one finite vector.
    """

    def __init__(self, vector: Tensor, name: str = "concept") -> None:
        vector = torch.as_tensor(vector)
        if vector.ndim != 1 or not vector.is_floating_point() or not vector.isfinite().all():
            raise InputError(
                f"expected a concept as one finite vector of shape (d,), found {tuple(vector.shape)} of "
                f"{vector.dtype}; give the mean embedding, or use Concept.from_images"
            )
        self.vector = vector.detach()
        self.name = name

    @classmethod
    def from_images(cls, model: nn.Module, images: Tensor, name: str = "concept") -> Concept:
        """The mean embedding of example ``images`` (N, C, H, W), preprocessed as ``model`` expects.

        Raises:
            InputError: for images that are not finite, or of another shape than the model takes.
            ModelError: as :class:`~ctxai.explain.network.Network`.
        """
        check_images(images)
        with torch.inference_mode(False), torch.no_grad():
            network = Network(model)
            readout = network.run(images.to(network.device, network.dtype))
            return cls(readout.embedding().mean(dim=0), name)

    def similarity(self, embedding: Tensor) -> Tensor:
        """Dot product of the concept with every row of ``embedding`` (N, d), shape (N,).

        Raises:
            InputError: when the concept comes from an embedding of another width.
        """
        if embedding.shape[1] != len(self.vector):
            raise InputError(
                f"concept {self.name!r}: expected {embedding.shape[1]} numbers as in the model's embedding, found "
                f"{len(self.vector)}; make it with the model that it explains"
            )
        return embedding @ self.vector.to(embedding)

    def __repr__(self) -> str:
        return f"Concept({self.name!r}, {len(self.vector)} dimensions)"
