"""The gates of Vision DiffMask, and the hidden states they look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from ctxai.explain.diffmask import hard_concrete
from ctxai.explain.network import Network, Readout, run_block
from ctxai.explain.timm_types import TransformerBlock


class Gates(nn.Module):
    """One gate per hidden state, and the placeholder that stands in for hidden patches.

    The logit of gate i is scale * tanh(W2 tanh(W1 [h_0 ; h_i] + b1) + b2) + offset_i, both layers weight-normalised.

    Args:
        width: d.
        states: number of hidden states, blocks + 2.
        scale: of the tanh.
        offset: first value of the learned offsets; large ones begin with everything kept.
    """

    def __init__(self, width: int, states: int, scale: float, offset: float) -> None:
        super().__init__()
        self.width, self.states, self.scale = width, states, scale
        hidden = max(1, width // 4)
        self.layers = nn.ModuleList(
            nn.Sequential(
                weight_norm(nn.Linear(2 * width, hidden)), nn.Tanh(), weight_norm(nn.Linear(hidden, 1)), nn.Tanh()
            )
            for _ in range(states)
        )
        # one parameter each: in one tensor, momentum would move the offsets of layers that a step does not use
        self.offsets = nn.ParameterList(nn.Parameter(torch.tensor(float(offset))) for _ in range(states))
        self.placeholder = nn.Parameter(nn.init.xavier_normal_(torch.empty(1, width))[0])

    def to_file(self) -> dict[str, Tensor]:
        """Weights by name, with all offsets in one tensor (state,)."""
        state = {name: value for name, value in self.state_dict().items() if not name.startswith("offsets.")}
        return state | {"offsets": torch.stack(list(self.offsets))}

    def from_file(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights that :meth:`to_file` gave."""
        offsets = {f"offsets.{index}": offset for index, offset in enumerate(state["offsets"])}
        self.load_state_dict({name: value for name, value in state.items() if name != "offsets"} | offsets)

    def logits(self, states: Sequence[Tensor]) -> Tensor:
        """Logits (i, N, n) of the gates of the first hidden states, (N, n, d) each."""
        found = [
            self.scale * layer(torch.cat([states[0], state], dim=-1))[..., 0] + offset
            for layer, state, offset in zip(self.layers, states, self.offsets, strict=False)
        ]
        return torch.stack(found)

    def log_open(self, states: Sequence[Tensor]) -> Tensor:
        """Logarithms (i, N, n) of the probabilities that the gates of the first hidden states are open."""
        return hard_concrete.log_open(self.logits(states))


def hidden_states(network: Network, images: Tensor) -> tuple[Readout, list[Tensor]]:
    """The answer to ``images`` and the hidden states, (N, n, d) each.

    The first is the patch embedding without positions behind the raw prefix tokens, then come the tokens entering each
    block, and at last those leaving the last one.
    """
    patches: list[Tensor] = []
    states: list[Tensor] = []

    def keep_patches(embedded: Tensor) -> Tensor:
        patches.append(embedded)
        return embedded

    def step(index: int, block: TransformerBlock, tokens: Tensor, rope: Tensor | None) -> Tensor:
        states.append(tokens)
        leaving = run_block(block, tokens, rope)
        if index == len(network.blocks) - 1:
            states.append(leaving)
        return leaving

    readout = network.run(images, step, keep_patches)
    names = ("cls_token", "dist_token", "reg_token")
    prefix = [token for name in names if (token := getattr(network.vit, name, None)) is not None]
    first = torch.cat([*(token.expand(len(images), -1, -1) for token in prefix), patches[0]], dim=1)
    return readout, [first, *states]


def run_masked(network: Network, images: Tensor, keep: Tensor, placeholder: Tensor) -> Readout:
    """Run ``images`` with every patch embedding h put as keep * h + (1 - keep) * placeholder.

    ``keep`` is (N, n) with the prefix tokens, whose gates do not count.
    """
    share = keep[:, network.prefix :, None]
    return network.run(images, embed=lambda patches: patches * share + placeholder * (1 - share))
