"""CDAM averaged along a straight path from nothing to the tokens."""

from __future__ import annotations

from torch import Tensor, nn

from ctxai.explain.base import Attribution
from ctxai.explain.last_block import LastBlock
from ctxai.explain.methods.smooth_cdam import Variant, check_options, mean_over_copies
from ctxai.explain.network import Network
from ctxai.explain.targets import Targets


class IntegratedCDAM(Attribution):
    """Integrated CDAM: the mean of the maps of k / steps times the tokens.

    "pre_norm" scales the tokens entering the last block, for k = 1 .. steps - 1. Their norm undoes the scaling, so that
    without noise only the residual stream changes. "post_norm" scales the tokens after the block's first norm, for
    k = 0 .. steps, and so what the attention sees.

    Args:
        model: as :class:`~ctxai.explain.base.Attribution`.
        variant: which tokens are scaled.
        steps: parts of the path.
        noise_level: standard deviation of noise added to every copy, relative to the range of an image's tokens.
        seed: of the noise.

    Raises:
        InputError: for options outside their range.

    Source: Brocki, Binda and Chung, TMLR 2024.
    """

    name = "integrated_cdam"
    signed = True
    class_specific = True
    needs = frozenset({"attention", "gradients"})
    reference = "arXiv:2312.02364"

    def __init__(
        self,
        model: nn.Module,
        variant: Variant = "pre_norm",
        steps: int = 50,
        noise_level: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(model)
        check_options(variant, steps - 1, noise_level)
        self.variant, self.steps, self.noise_level, self.seed = variant, steps, noise_level, seed

    def _maps(self, network: Network, images: Tensor, targets: Targets) -> Tensor:
        last = LastBlock(network, images, targets)
        counts = range(1, self.steps) if self.variant == "pre_norm" else range(self.steps + 1)
        factors = [k / self.steps for k in counts]
        return mean_over_copies(last, self.variant, factors, self.noise_level, self.seed)
