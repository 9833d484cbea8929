"""MONAI's RetinaNet detector on a CT: resampled to the detector's spacing, its boxes in patient space."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from monai.apps.detection.networks.retinanet_detector import RetinaNetDetector
from monai.apps.detection.networks.retinanet_network import RetinaNet
from monai.apps.detection.utils.anchor_utils import AnchorGeneratorWithAnchorShape
from monai.data import MetaTensor
from monai.networks.blocks.backbone_fpn_utils import BackboneWithFPN
from monai.networks.nets import resnet
from monai.transforms import Compose, Orientation, ScaleIntensityRange, Spacing

from ctxai.ct.volume import CT
from ctxai.detection.bundle import WEIGHTS, DetectorSettings, read_settings
from ctxai.detection.candidates import Candidate
from ctxai.errors import InputError, ModelError, one_line
from ctxai.models.weights_io import read_tensors
from ctxai.progress import console

#: How much coarser than the detector's voxels those of a CT may be: LUNA16 ends at twice, LIDC-IDRI at four times.
_COARSER = 4.0
#: 4 GB in single precision; a whole chest at .7 x .7 x 1.25 mm has 150 million.
_MOST_VOXELS = 1e9
_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])  # RAS <-> LPS

#: Image (1, right, anterior, superior) → boxes (N, 6) as (low, high) corners in its voxels, and scores (N).
FindBoxes = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def load_detector(bundle: Path, device: torch.device) -> tuple[DetectorSettings, FindBoxes]:
    """Settings and detector of a bundle; of ``models/model.pt`` plain tensors only are read.

    Raises:
        InputError: as :func:`ctxai.detection.bundle.read_settings`.
        ModelError: when the weights cannot be read as plain tensors, or do not fit the network.
    """
    settings = read_settings(bundle)
    network = build_network(settings)
    state = read_tensors(bundle / WEIGHTS)
    state = state["model"] if isinstance(state, Mapping) and isinstance(state.get("model"), Mapping) else state
    try:
        network.load_state_dict(state)
    except (AttributeError, RuntimeError, TypeError) as error:
        raise ModelError(f"{bundle / WEIGHTS}: weights do not fit the bundle's network: {one_line(error)}") from None
    if not all(bool(torch.isfinite(value).all()) for value in network.state_dict().values()):
        raise ModelError(f"{bundle / WEIGHTS}: some weights are not finite; get the bundle again")
    return settings, _BoxFinder(settings, network.to(device).eval(), device)


def build_network(settings: DetectorSettings) -> RetinaNet:
    """The network of the settings, with random weights."""
    backbone = getattr(resnet, settings.backbone)(spatial_dims=3, n_input_channels=1, **settings.backbone_options)
    levels = {f"layer{layer}": str(level) for level, layer in enumerate(settings.returned_layers)}
    widths = [backbone.in_planes // 2 ** (4 - layer) for layer in settings.returned_layers]
    return RetinaNet(
        spatial_dims=3,
        num_classes=settings.num_classes,
        num_anchors=len(settings.base_anchor_shapes),
        feature_extractor=BackboneWithFPN(backbone, levels, widths, settings.pyramid_channels, 3),
        size_divisible=settings.size_divisible,
    )


def with_anchors(settings: DetectorSettings, network: RetinaNet) -> RetinaNetDetector:
    """MONAI's detector of a network: anchors, their boxes and the loss of training."""
    anchors = AnchorGeneratorWithAnchorShape(settings.feature_map_scales, settings.base_anchor_shapes)
    return RetinaNetDetector(network, anchors)


class _BoxFinder:
    def __init__(self, settings: DetectorSettings, network: RetinaNet, device: torch.device) -> None:
        self.detector = with_anchors(settings, network).eval()
        self.detector.set_box_selector_parameters(**settings.box_selector)
        self.detector.set_sliding_window_inferer(
            settings.patch, overlap=settings.overlap, sw_device=device, device="cpu", progress=console.is_terminal
        )
        self.window_voxels = int(np.prod(settings.patch))
        self.device = device

    @torch.inference_mode()
    def __call__(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        windows = image.numel() >= self.window_voxels
        (found,) = self.detector((image if windows else image.to(self.device))[None], use_inferer=windows)
        return found[self.detector.target_box_key].cpu(), found[self.detector.pred_score_key].cpu()


def propose(ct: CT, settings: DetectorSettings, find_boxes: FindBoxes) -> Sequence[Candidate]:
    """Candidates of a CT, the highest score first.

    Args:
        ct: the CT, on a regular grid.
        settings: of the detector.
        find_boxes: the detector.

    Raises:
        InputError: when the detector's spacing does not fit the CT.
    """
    _check_spacing(ct, settings)
    image = network_input(ct, settings)
    to_lps = _FLIP @ image.affine.numpy()
    boxes, scores = find_boxes(image.as_tensor())
    found = [
        Candidate(to_lps[:3, :3] @ ((box[:3] + box[3:]) / 2) + to_lps[:3, 3], _diameter(box, to_lps), float(score))
        for box, score in zip(boxes.double().numpy(), scores, strict=True)
    ]
    return sorted(found, key=lambda candidate: -candidate.score)


def _check_spacing(ct: CT, settings: DetectorSettings) -> None:
    """Refuse a CT that a detector's voxels do not fit.

    Raises:
        InputError: when the CT is much coarser, or would become larger than memory.
    """
    expected = max(settings.spacing_mm)
    coarsest = float(ct.grid.spacing_mm.max())
    if coarsest > _COARSER * expected:
        raise InputError(
            f"{ct.source_label}: its voxels are {coarsest:.3g} mm apart, and the detector expects "
            f"{' x '.join(f'{mm:g}' for mm in settings.spacing_mm)} mm; give a CT of thinner slices"
        )
    voxels = float(np.prod(ct.grid.shape)) * ct.grid.voxel_volume_mm3 / float(np.prod(settings.spacing_mm))
    if voxels > _MOST_VOXELS:
        raise InputError(
            f"{ct.source_label}: would be {voxels:.2g} voxels at the detector's "
            f"{' x '.join(f'{mm:g}' for mm in settings.spacing_mm)} mm, expected at most {_MOST_VOXELS:.2g}; "
            "give a detector of a coarser pixdim"
        )


def network_input(ct: CT, settings: DetectorSettings) -> MetaTensor:
    """A CT as the network takes it, (1, right, anterior, superior), with the affine from its voxels to RAS mm."""
    hu = torch.from_numpy(ct.read().transpose(2, 1, 0).astype(np.float32))[None]
    prepare = Compose(
        [
            Orientation(axcodes="RAS", labels=(("L", "R"), ("P", "A"), ("I", "S"))),
            Spacing(settings.spacing_mm, mode="bilinear", dtype=np.float32),
            ScaleIntensityRange(*settings.window_hu, *settings.scaled, clip=True),
        ]
    )
    image: MetaTensor = prepare(MetaTensor(hu, affine=torch.from_numpy(_FLIP @ ct.grid.affine)))
    return image


def boxes_in(image: MetaTensor, centres_lps: np.ndarray, diameters_mm: np.ndarray) -> torch.Tensor:
    """Cubes about nodules, of their diameter, as boxes (nodule, [low corner, high corner]) in voxels of an image."""
    to_lps = _FLIP @ image.affine.numpy()
    centres = np.linalg.solve(to_lps[:3, :3], (centres_lps - to_lps[:3, 3]).T).T
    half = diameters_mm[:, None] / 2 / np.linalg.norm(to_lps[:3, :3], axis=0)
    return torch.from_numpy(np.hstack([centres - half, centres + half]).astype(np.float32))


def _diameter(box: np.ndarray, affine: np.ndarray) -> float:
    """Longest side of a box, mm."""
    return float(((box[3:] - box[:3]) * np.linalg.norm(affine[:3, :3], axis=0)).max())
