"""A small RetinaNet trained with MONAI's matcher, sampler and losses, and written as a bundle."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from monai.losses import FocalLoss
from pytorch_lightning.callbacks import ModelCheckpoint

from ctxai.detection.bundle import CONFIG, WEIGHTS, DetectorSettings
from ctxai.detection.detector import build_network, with_anchors
from ctxai.detection.layout import inference_config, metadata
from ctxai.detection.samples import Batch, PatchDataModule, Sample
from ctxai.errors import ModelError
from ctxai.files import atomic_folder, write_json
from ctxai.models.optim import rate_factor
from ctxai.models.settings import OptimConfig
from ctxai.progress import epochs
from ctxai.training.checkpoints import CHECKPOINT
from ctxai.training.distributed import CoordinatedStop
from ctxai.training.resume import train_resumably
from ctxai.training.settings import Execution

#: Record of a training by `ctxai train-detector`, beside the files of MONAI's layout.
RECORD = "training.json"
METADATA = Path("configs") / "metadata.json"
#: Paths of the files of a bundle that is written.
FILES = re.compile("|".join(re.escape(Path(one).as_posix()) for one in (CONFIG, WEIGHTS, METADATA, RECORD)))
#: Steps between two checkpoints.
EPOCH_STEPS = 25
_DESCRIPTION = f"A small RetinaNet that ctxai trained; {RECORD} lists the patients. Its score is no probability."


def small_settings(spacing_mm: float) -> DetectorSettings:
    """A RetinaNet that one processor trains: ResNet-10 of quarter width, a pyramid of 16 channels at 2, 4 and 8 voxels.

    MONAI rounds half the side of an anchor to whole voxels, so that the sides are even numbers of them. A window is as
    large as a patch of training, because the heads normalise their features over it.

    Args:
        spacing_mm: distance of the network's voxels along each axis.
    """
    return DetectorSettings(
        backbone="resnet10",
        backbone_options={"conv1_t_stride": (1, 1, 1), "conv1_t_size": (3, 3, 3), "widen_factor": 0.25},
        returned_layers=(1, 2),
        pyramid_channels=16,
        num_classes=1,
        size_divisible=(8, 8, 8),
        feature_map_scales=(1.0, 2.0, 4.0),
        base_anchor_shapes=((2.0,) * 3, (4.0,) * 3),
        box_selector={
            "score_thresh": 0.02,
            "nms_thresh": 0.22,
            "topk_candidates_per_level": 1000,
            "detections_per_img": 100,
        },
        patch=(48, 48, 48),
        overlap=0.25,
        spacing_mm=(spacing_mm,) * 3,
        window_hu=(-1024.0, 300.0),
        scaled=(0.0, 1.0),
    )


@dataclass(frozen=True)
class DetectorBudget:
    """How long a detector learns.

    Args:
        steps: of the optimiser; rounded up to a multiple of 25.
        batch_size: patches of 48 x 48 x 48 voxels of a step.
        learning_rate: AdamW's highest; it rises for a tenth of the steps and falls as a cosine.
        precision: of the products, fp32 or bf16; the weights are kept in single precision.
        weight_decay: of every weight.
    """

    steps: int = 1500
    batch_size: int = 4
    learning_rate: float = 2e-3
    precision: Literal["fp32", "bf16"] = "fp32"
    weight_decay: float = 1e-4


class _FocalLoss(FocalLoss):
    """Sum over all anchors of a batch, by the number of its positive ones."""

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        each = super().forward(input, target)
        return each.sum() / target.sum().clamp(min=1)


class DetectorTraining(pl.LightningModule):
    """A RetinaNet that learns.

    The positive anchors of a nodule are those of adaptive training sample selection (Zhang et al., CVPR 2020), all
    others are negative; focal loss of a batch by its number of positives (Lin et al., ICCV 2017), and smooth L1 of
    encoded boxes.

    Attributes:
        history: mean losses of every epoch.
    """

    def __init__(self, settings: DetectorSettings, budget: DetectorBudget) -> None:
        super().__init__()
        self.budget = budget
        self.detector = with_anchors(settings, build_network(settings))
        self.detector.set_target_keys(box_key="box", label_key="label")
        self.detector.set_atss_matcher(num_candidates=4, center_in_gt=False)
        self.detector.set_cls_loss(_FocalLoss(gamma=2.0, alpha=0.25, reduction="none"))
        self.history: list[dict[str, float]] = []
        self._losses: list[torch.Tensor] = []

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        """Loss of one batch.

        Raises:
            ModelError: when it is not finite.
        """
        images, targets = batch
        losses = torch.stack([each.float() for each in self.detector(images, targets).values()])
        if not torch.isfinite(losses).all():
            raise ModelError(f"the training diverged in epoch {self.current_epoch}; lower --learning_rate")
        self._losses.append(losses.detach())
        return losses.sum()

    def on_train_epoch_end(self) -> None:
        """Record the epoch's mean loss."""
        classification, boxes = torch.stack(self._losses).mean(0).tolist()
        self._losses.clear()
        self.history.append({"classification": round(classification, 6), "box_regression": round(boxes, 6)})
        loss = classification + boxes
        told = f"loss {loss:.3f}, classification {classification:.3f}, boxes {boxes:.3f}"
        epochs.info("epoch %d of %d: %s", self.current_epoch + 1, self.trainer.max_epochs, told)
        self.log("loss", loss, prog_bar=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the history with a checkpoint."""
        checkpoint["history"] = list(self.history)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the history from a checkpoint."""
        self.history = list(checkpoint["history"])

    def configure_optimizers(self) -> Any:
        """AdamW with a warm-up and a cosine."""
        budget = self.budget
        optimizer = torch.optim.AdamW(
            self.detector.network.parameters(), lr=budget.learning_rate, weight_decay=budget.weight_decay
        )
        factor = rate_factor(OptimConfig(), int(self.trainer.estimated_stepping_batches))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def fit_detector(
    samples: Sequence[Sample],
    settings: DetectorSettings,
    budget: DetectorBudget,
    work_dir: Path,
    *,
    seed: int = 0,
    resume: bool = True,
    accelerator: str = "auto",
) -> DetectorTraining:
    """Train for the whole budget and return the network in evaluation mode; the same seed gives the same weights.

    Args:
        samples: CTs with their nodules.
        settings: of the detector.
        budget: how long.
        work_dir: where ``last.ckpt`` is kept every :data:`EPOCH_STEPS` steps, until the caller removes it.
        seed: of the initial weights and of every random draw.
        resume: go on from ``last.ckpt`` where there is one.
        accelerator: Lightning's name of the hardware.

    Raises:
        InputError, RunError, KeyboardInterrupt: as `ctxai.training.resume.train_resumably`.
        ModelError: when training diverges.
    """
    torch.manual_seed(seed)
    return train_resumably(
        DetectorTraining(settings, budget),
        PatchDataModule(samples, settings.patch, budget.batch_size, EPOCH_STEPS, seed),
        work_dir,
        CoordinatedStop(),
        [ModelCheckpoint(work_dir, Path(CHECKPOINT).stem, enable_version_counter=False)],
        seed=seed,
        execution=Execution(accelerator=accelerator, resume=resume),
        precision={"fp32": "32-true", "bf16": "bf16-mixed"}[budget.precision],
        max_epochs=-(-budget.steps // EPOCH_STEPS),
        gradient_clip_val=1.0,
        reload_dataloaders_every_n_epochs=1,
    )


def save_detector(path: Path, trained: DetectorTraining, settings: DetectorSettings, record: Mapping[str, Any]) -> None:
    """Write a detector as a bundle in the layout of MONAI's lung_nodule_ct_detection; it appears whole.

    Args:
        path: folder, replaced where it is there.
        trained: the network.
        settings: of the detector.
        record: of :data:`RECORD`: what it was trained on and how.

    Raises:
        InputError: when the folder cannot be written.
    """
    weights = {name: value.detach().cpu().contiguous() for name, value in trained.detector.network.state_dict().items()}
    buffer = io.BytesIO()
    torch.save(weights, buffer)
    with atomic_folder(path) as folder:
        (folder / WEIGHTS.parent).mkdir()
        (folder / WEIGHTS).write_bytes(buffer.getvalue())
        write_json(folder / CONFIG, inference_config(settings), sort_keys=False)
        write_json(folder / METADATA, metadata(_DESCRIPTION), sort_keys=False)
        write_json(folder / RECORD, {**record, "epoch_losses": trained.history})
