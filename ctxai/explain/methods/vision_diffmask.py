"""Learned masks: patches that can be hidden without changing the output."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from ctxai.errors import InputError, ModelError
from ctxai.explain.base import Attribution
from ctxai.explain.diffmask.gates import Gates, hidden_states
from ctxai.explain.network import Network
from ctxai.explain.targets import Targets
from ctxai.files import atomic_path, sha256

if TYPE_CHECKING:
    import pytorch_lightning as pl

    from ctxai.explain.diffmask.settings import DiffMaskSettings, Groups
    from ctxai.explain.diffmask.training import DiffMaskStep


class VisionDiffMask(Attribution):
    """Vision DiffMask: for every patch, the probability that it is kept in the smallest mask with the same answer.

    A gate per hidden state looks at a patch and decides whether to keep its embedding or to put a learned placeholder
    in its place. The gates are trained once, by :meth:`fit`, on images of the model's kind; then a map costs one
    forward pass. A mask is about the whole answer, so that every target has the same map.

    Args:
        model: as :class:`~ctxai.explain.base.Attribution`.
        checkpoint: trained gates, written by :meth:`save`.
        layer: the last hidden state whose gate counts: 0 is the patch embedding, -1 the last block's output.
        aggregated: whether the gates of all earlier hidden states count too; otherwise this one alone.

    Attributes:
        weights_sha256: checksum of the weights that the checkpoint was trained for; empty where it does not say.

    Raises:
        InputError: for a checkpoint that cannot be read, or a layer that does not exist.
        ModelError: for a checkpoint of another architecture.

    Source: Nalmpantis et al., "Vision DiffMask: Faithful Interpretation of Vision Transformers with Differentiable
    Patch Masking", CVPR workshops 2023.
    """

    name = "vision_diffmask"
    signed = False
    class_specific = False
    needs = frozenset({"training"})
    reference = "arXiv:2304.06391"

    def __init__(
        self, model: nn.Module, checkpoint: Path | str | None = None, layer: int = -1, aggregated: bool = True
    ) -> None:
        super().__init__(model)
        network = Network(model)
        self._states = len(network.blocks) + 2
        self._width: int = network.vit.embed_dim
        if not -self._states <= layer < self._states:
            raise InputError(f"expected a layer from {-self._states} to {self._states - 1}, found {layer}")
        self.checkpoint, self.layer, self.aggregated = checkpoint, layer, aggregated
        self.gates: Gates | None = None
        self.training_steps: list[DiffMaskStep] = []
        self.weights_sha256 = ""
        self._checksum: str | None = None
        if checkpoint is not None:
            self._load(Path(checkpoint))

    @property
    def options(self) -> dict[str, Any]:
        """Options of the method; the checkpoint by its SHA-256, since written files name no paths."""
        return super().options | {"checkpoint": self._checksum}

    def fit(
        self,
        batches: Iterable[Any],
        epochs: int = 1,
        settings: DiffMaskSettings | None = None,
        seed: int = 0,
        trainer: pl.Trainer | None = None,
        groups: Groups | None = None,
    ) -> VisionDiffMask:
        """Train the gates on images, with the model frozen.

        Args:
            batches: images (N, C, H, W), or tuples that begin with them; iterated once per epoch.
            epochs: passes over the batches.
            settings: of the optimisation; the published ones by default.
            seed: of the gates' first weights and draws.
            trainer: to train with instead; its own number of epochs counts.
            groups: outputs with the divergence of each group, in place of ``settings.divergence``.

        Raises:
            ModelError: when training diverges.

        Returns:
            This method, with trained gates; :attr:`training_steps` tells what happened.
        """
        import pytorch_lightning as pl

        from ctxai.explain.diffmask.settings import DiffMaskSettings
        from ctxai.explain.diffmask.training import Batches, DiffMaskTraining

        with torch.inference_mode(False), torch.random.fork_rng():
            torch.manual_seed(seed)
            network = Network(self.model)
            settings = settings or DiffMaskSettings()
            gates = Gates(self._width, self._states, settings.scale, settings.offset).to(network.device, network.dtype)
            training = DiffMaskTraining(network, gates, settings, groups)
            trainer = trainer or pl.Trainer(
                max_epochs=epochs,
                accelerator=network.device.type,
                devices=1 if network.device.type == "cpu" else [network.device.index or 0],
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)  # Lightning's own
                trainer.fit(training, Batches(batches))
        self.gates = gates.to(network.device).requires_grad_(False)
        self.weights_sha256, self._checksum = "", None
        self.training_steps = training.steps
        return self

    def save(self, path: Path | str, weights_sha256: str = "") -> None:
        """Write the trained gates as safetensors.

        Args:
            path: file to write.
            weights_sha256: checksum of the weights that the gates were trained for, to recognise them by.

        Raises:
            InputError: before training, or when the file cannot be written.
        """
        gates = self._trained()
        shape = {"width": gates.width, "states": gates.states, "scale": gates.scale, "weights_sha256": weights_sha256}
        state = {name: value.contiguous() for name, value in gates.to_file().items()}
        with atomic_path(path) as temporary:
            safetensors.torch.save_file(state, temporary, metadata={"vision_diffmask": json.dumps(shape)})

    def _load(self, path: Path) -> None:
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                shape = json.loads((file.metadata() or {})["vision_diffmask"])
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        except (OSError, safetensors.SafetensorError, KeyError, json.JSONDecodeError) as error:
            raise InputError(f"{path}: expected gates written by VisionDiffMask.save, found {error!r}") from error
        if (shape["width"], shape["states"]) != (self._width, self._states):
            raise ModelError(
                f"{path}: expected gates for {self._states} hidden states of width {self._width}, found "
                f"{shape['states']} of width {shape['width']}; train gates for this model"
            )
        gates = Gates(self._width, self._states, shape["scale"], 0.0).to(state["offsets"].dtype)
        gates.from_file(state)
        self.gates = gates.requires_grad_(False)
        self.weights_sha256, self._checksum = shape.get("weights_sha256", ""), sha256(path)

    def _trained(self) -> Gates:
        if self.gates is None:
            raise InputError("expected trained gates, found none; call fit with images, or pass checkpoint=")
        return self.gates

    def _maps(self, network: Network, images: Tensor, targets: Targets) -> Tensor:
        gates = self._trained().to(network.device, network.dtype)
        readout, states = hidden_states(network, images)
        targets.fix(readout.outputs)
        layer = range(self._states)[self.layer]
        kept = gates.log_open(states[: layer + 1])
        kept = kept.sum(dim=0) if self.aggregated else kept[-1]
        return network.tokens.spread(kept.exp()[:, network.prefix :], additive=False)[None]
