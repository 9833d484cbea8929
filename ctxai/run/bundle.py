"""Parts of a run's MONAI bundle: nodules of an image, their patches, the network, the table it writes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from monai.data import MetaTensor
from monai.transforms import MapTransform, SpatialCrop, SpatialResample

from ctxai.annotations import read_points
from ctxai.ct.grid import Grid
from ctxai.data.patches import AIR_HU
from ctxai.data.views import PATCH_SPACING_MM
from ctxai.errors import GeometryError, InputError
from ctxai.files import write_text
from ctxai.run.run import Run

PATCH_SHAPE = (64, 64, 64)
"""Voxels (superior, posterior, left) of the patches that the network takes."""

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])  # RAS <-> LPS
_REVERSE = np.eye(4)[[2, 1, 0, 3]]  # index in the array's order <-> (column, row, slice)


def nodules(image: str | Path, points: str | Path | None = None) -> list[dict[str, Any]]:
    """MONAI's data list: one entry for each nodule of an image.

    Args:
        image: a CT that MONAI reads.
        points: nodules as `read_points` takes them, all taken to lie in ``image``; without it, the image's centre.

    Raises:
        InputError: as `read_points`.
    """
    if points is None:
        return [{"image": str(image), "nodule_id": "centre"}]
    found = read_points(str(points))
    return [{"image": str(image), "nodule_id": point.nodule_id, "centre_lps": point.centre_lps} for point in found]


class NodulePatchd(MapTransform):
    """Cut the patch about a nodule out of a CT with one trilinear interpolation, also from an oblique grid.

    As `ctxai.ct.patch.extract_patch`: axes (superior, posterior, left) at 1 mm, whole HU, air beyond the CT. Only in
    the half voxel around the CT's outermost voxel centres the two differ: there this one fades into air.

    Args:
        keys: entries to cut: channel-first `MetaTensor` (1, i, j, k) in HU, with a RAS affine as MONAI loads it.
        centre_key: entry with the nodule's centre, LPS mm. Without one, it becomes the image's centre.

    Raises:
        InputError: when called on other than one volume.
        GeometryError: when called on a centre outside of the CT.
    """

    def __init__(self, keys: Hashable | Collection[Hashable] = "image", centre_key: str = "centre_lps") -> None:
        super().__init__(keys)
        self.centre_key = centre_key
        self.resample = SpatialResample(mode="bilinear", padding_mode="zeros", dtype=np.float64)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """A copy of ``data`` with patches (1, superior, posterior, left), float32 HU, and the centre they lie about."""
        cut = dict(data)
        for key in self.keys:
            ct: MetaTensor = cut[key]
            if ct.ndim != 4 or len(ct) != 1:
                raise InputError(f"{key}: expected one CT volume (1, i, j, k), found shape {tuple(ct.shape)}")
            _, slices, rows, columns = ct.shape
            source = Grid((slices, rows, columns), _converted(ct.affine.numpy()))
            centre = np.asarray(cut.setdefault(self.centre_key, source.centre), dtype=float)
            if not source.contains(centre):
                raise GeometryError(f"{key}: point {centre.tolist()} (LPS mm) lies outside of the CT")
            target = Grid.cube(centre, PATCH_SHAPE, PATCH_SPACING_MM)
            corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(PATCH_SHAPE[::-1]) - 1)
            reached = source.to_index(target.to_lps(corners))[:, ::-1]
            start = np.maximum(np.floor(reached.min(axis=0)).astype(int) - 1, 0)
            near = SpatialCrop(roi_start=start, roi_end=np.ceil(reached.max(axis=0)).astype(int) + 2)(ct)
            affine = torch.from_numpy(_converted(target.affine))
            patch = self.resample(near - AIR_HU, dst_affine=affine, spatial_size=PATCH_SHAPE) + AIR_HU
            cut[key] = patch.round()
        return cut


class BundleNetwork(torch.nn.Module):
    """Patches in HU → predictions, everything that `Run.predict_marked` does; ``columns`` names the outputs."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run
        self.model = run.model
        self.columns: tuple[str, ...] = tuple(run.predict(torch.empty(0, *PATCH_SHAPE)).columns)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Predictions (N, column), float32, of patches (N, 1, superior, posterior, left) at 1 mm in HU."""
        hu = patches.as_tensor() if isinstance(patches, MetaTensor) else patches
        self.model.to(hu.device)
        predictions = self.run.predict_marked(hu.squeeze(1).cpu())
        return torch.tensor(predictions.to_numpy(np.float32), device=hu.device)


def load_network(run_dir: str | Path) -> BundleNetwork:
    """The network of a run folder; reads safetensors, JSON and YAML, and unpickles nothing.

    Raises:
        RunError: as `Run.load`.
    """
    return BundleNetwork(Run.load(run_dir))


def predict_table(
    loader: Iterable[Mapping[str, Any]],
    inferer: Callable[[torch.Tensor, torch.nn.Module], torch.Tensor],
    network: BundleNetwork,
    device: torch.device,
    path: str | Path,
) -> None:
    """Predict the nodules of a data loader and write them as CSV: nodule_id, centre x, y, z (LPS mm), predictions."""
    rows = []
    for batch in loader:
        predictions = inferer(batch["image"].to(device), network).cpu()
        for nodule_id, centre, values in zip(batch["nodule_id"], batch["centre_lps"], predictions, strict=True):
            names = ("nodule_id", "x", "y", "z", *network.columns)
            rows.append(dict(zip(names, (nodule_id, *centre.tolist(), *values.tolist()), strict=True)))
    write_text(path, pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))


def _converted(affine: np.ndarray) -> np.ndarray:
    """A `Grid`'s affine, (column, row, slice) → LPS, from MONAI's, index in the array's order → RAS; and back."""
    return _FLIP @ affine @ _REVERSE
