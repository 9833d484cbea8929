"""How the gates of Vision DiffMask are trained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from timm.optim import Lookahead
from torch import Tensor, nn
from torch.nn import functional as F

from ctxai.errors import ModelError
from ctxai.explain.diffmask import hard_concrete
from ctxai.explain.diffmask.gates import Gates, hidden_states, run_masked
from ctxai.explain.diffmask.settings import DiffMaskSettings, Groups
from ctxai.explain.network import Network
from ctxai.explain.targets import DEFAULT_NAME


@dataclass(frozen=True)
class DiffMaskStep:
    """One training step: the last layer whose gate was used, the divergence, log L0 and that layer's multiplier."""

    layer: int
    divergence: float
    log_kept: float
    alpha: float


class Batches:
    """Any iterable of batches as one loader; Lightning takes a list for several loaders."""

    def __init__(self, batches: Iterable[Any]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[Any]:
        return iter(self._batches)


class DiffMaskTraining(pl.LightningModule):
    """Minimises the log-probability of keeping patches over gates and placeholder, so that the answer stays.

    A step draws a layer and uses the gates up to it. With D the divergence between the answers to whole and masked
    images, the loss is alpha_layer * (D - margin) + mean over tokens of the log-probability that all these gates are
    open; gates and placeholder descend, the multipliers alpha explicitly ascend.

    Args:
        network: the frozen model.
        gates: what is trained.
        settings: of the optimisation.
        groups: outputs with the divergence of each group; without it, by ``settings.divergence``.

    Attributes:
        steps: what happened in every step.
    """

    def __init__(
        self, network: Network, gates: Gates, settings: DiffMaskSettings, groups: Groups | None = None
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.gates = gates
        # one parameter each, as the offsets of the gates
        start = torch.tensor(settings.alpha, device=network.device)
        self.alpha = nn.ParameterList(nn.Parameter(start.clone()) for _ in range(gates.states))
        self.steps: list[DiffMaskStep] = []
        self._network, self._settings, self._groups = network, settings, groups

    def configure_optimizers(self) -> Any:
        """Lookahead over Adam for both players, as published; ascent for the multipliers."""
        settings = self._settings
        groups = [
            {"params": [*self.gates.layers.parameters(), *self.gates.offsets], "lr": settings.learning_rate},
            {"params": [self.gates.placeholder], "lr": settings.placeholder_rate},
        ]
        descent = Lookahead(torch.optim.Adam(groups), alpha=0.5, k=6)
        ascent = Lookahead(
            torch.optim.Adam(self.alpha.parameters(), lr=settings.alpha_rate, maximize=True), alpha=0.5, k=6
        )
        self._rates = [settings.learning_rate, settings.placeholder_rate]
        return descent, ascent

    def training_step(self, batch: Any, batch_index: int) -> None:
        """One step of both players.

        Raises:
            ModelError: when the loss is not finite.
        """
        network, settings = self._network, self._settings
        images = (batch if isinstance(batch, Tensor) else batch[0]).to(network.device, network.dtype)
        layer = int(torch.randint(self.gates.states, ()))
        with torch.no_grad():
            readout, states = hidden_states(network, images)
        logits = self.gates.logits(states[: layer + 1])
        keep = hard_concrete.sample(logits).prod(dim=0)
        masked = run_masked(network, images, keep, self.gates.placeholder)
        divergence = self._divergence(readout.outputs, masked.outputs)
        log_kept = hard_concrete.log_open(logits).sum(dim=0).mean()
        loss = self.alpha[layer] * (divergence - settings.margin) + log_kept
        if not loss.isfinite():
            raise ModelError(
                f"step {len(self.steps)}: expected a finite loss, found {float(loss.detach())}; lower the rates"
            )
        descent, ascent = cast(list[LightningOptimizer], self.optimizers())
        warm = min(1.0, (len(self.steps) + 1) / max(1, settings.warmup_steps))
        for group, rate in zip(descent.param_groups, self._rates, strict=True):
            group["lr"] = rate * warm
        descent.zero_grad()
        ascent.zero_grad()
        self.manual_backward(loss)
        descent.step()
        ascent.step()
        with torch.no_grad():
            self.alpha[layer].clamp_(0, settings.alpha_maximum)
        numbers = (float(value.detach()) for value in (divergence, log_kept, self.alpha[layer]))
        self.steps.append(DiffMaskStep(layer, *numbers))

    def _divergence(self, whole: Tensor, masked: Tensor) -> Tensor:
        groups = self._groups or self._groups_of(whole.shape[1])
        parts = [_DIVERGENCES[kind](whole[:, chosen], masked[:, chosen]) for kind, chosen in groups]
        return torch.stack(parts).sum(dim=0).mean()

    def _groups_of(self, count: int) -> Groups:
        names = self._network.target_names
        kind = self._settings.divergence
        if kind == "auto":
            kind = "bernoulli" if count == 1 else "categorical"
            kind = "mixed" if DEFAULT_NAME in names else kind
        if kind != "mixed":
            return [(kind, list(range(count)))]
        if DEFAULT_NAME not in names:
            raise ModelError(f"expected an output named {DEFAULT_NAME!r}, found {names or 'no names'}")
        index = names.index(DEFAULT_NAME)
        return [("bernoulli", [index]), ("squared", [other for other in range(count) if other != index])]


def _categorical(whole: Tensor, masked: Tensor) -> Tensor:
    """Divergence of softmax(masked) from softmax(whole), (N,)."""
    return F.kl_div(masked.log_softmax(1), whole.log_softmax(1), log_target=True, reduction="none").sum(dim=1)


def _squared(whole: Tensor, masked: Tensor) -> Tensor:
    """Sum of the squared differences, (N,)."""
    return (whole - masked).square().sum(dim=1)


def _bernoulli(whole: Tensor, masked: Tensor) -> Tensor:
    """Sum of the divergences of sigmoid(masked) from sigmoid(whole), (N,)."""
    probability = whole.sigmoid()
    cross = F.binary_cross_entropy_with_logits(masked, probability, reduction="none")
    return (cross - F.binary_cross_entropy_with_logits(whole, probability, reduction="none")).sum(dim=1)


_DIVERGENCES = {"bernoulli": _bernoulli, "categorical": _categorical, "squared": _squared}
