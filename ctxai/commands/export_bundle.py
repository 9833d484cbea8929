"""``ctxai export-bundle``: a run as a MONAI bundle, for MONAI's own runner."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from importlib.metadata import distribution, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctxai import __version__
from ctxai.disclaimer import RESEARCH_USE_ONLY
from ctxai.errors import InputError
from ctxai.files import atomic_folder, write_json, write_text
from ctxai.folder_kinds import refuse_to_lose

if TYPE_CHECKING:
    from ctxai.run.run import Run

_SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
_RUN = "models/run"
_NAME = "Lung-nodule ratings"
_FILES = re.compile(
    rf"configs/(inference|metadata)\.json|docs/README\.md|LICENSE|{_RUN}/[^/]+\.(yaml|json|safetensors)"
)
_README = f"""\
# Lung-nodule ratings

A run of ctxai as a MONAI bundle, for {RESEARCH_USE_ONLY}. Python with `ctxai[bundle]` runs it from any folder:

    python -m monai.bundle run --config_file BUNDLE/configs/inference.json --bundle_root BUNDLE \\
        --image ct.nii.gz --points points.csv --output predictions.csv

`points.csv` holds the nodules' centres as x,y,z in LPS mm; without `--points`, the image's centre is taken. Rows of the
table are nodules. `{_RUN}` is the run itself, with its weights as safetensors, and `ctxai explain --run` takes it, too.
`LICENSE` is the software's; the weights are their maker's to license.

"""

_INFERENCE = {
    "imports": ["$import torch"],
    "bundle_root": ".",
    "image": "ct.nii.gz",
    "points": None,
    "output": "$str(@bundle_root) + '/eval/predictions.csv'",
    "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
    "network_def": {"_target_": "ctxai.run.bundle.load_network", "run_dir": f"$str(@bundle_root) + '/{_RUN}'"},
    "preprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "LoadImaged", "keys": "image"},
            {"_target_": "EnsureChannelFirstd", "keys": "image"},
            {"_target_": "ctxai.run.bundle.NodulePatchd", "keys": "image"},
        ],
    },
    "datalist": {"_target_": "ctxai.run.bundle.nodules", "image": "@image", "points": "@points"},
    "dataset": {"_target_": "Dataset", "data": "@datalist", "transform": "@preprocessing"},
    "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "num_workers": 0},
    "inferer": {"_target_": "SimpleInferer"},
    "run": [
        {
            "_target_": "ctxai.run.bundle.predict_table",
            "loader": "@dataloader",
            "inferer": "@inferer",
            "network": "@network_def",
            "device": "@device",
            "path": "@output",
        }
    ],
}


def export_bundle(run_dir: Path, out_dir: Path, /) -> None:
    """Write a run as a MONAI bundle, which `python -m monai.bundle run` executes on a CT.

    The bundle holds the run, MONAI's inference config and metadata, a README and the software's licence. The same
    run and packages give the same bytes. MONAI's runner needs the package's extra `bundle`.

    Args:
        run_dir: run folder, or the name of a run that comes with the package.
        out_dir: folder for the bundle; a bundle that is there is replaced.
    """
    from ctxai.run.files import NOVELTY, REQUIRED
    from ctxai.run.model_card import model_card
    from ctxai.run.run import Run

    run = Run.open(run_dir, device="cpu")
    _refuse_others(out_dir)
    with atomic_folder(out_dir) as folder:
        (folder / _RUN).mkdir(parents=True)
        for name in (*REQUIRED, NOVELTY):
            if (run.folder / name).is_file():
                shutil.copyfile(run.folder / name, folder / _RUN / name)
        write_json(folder / "configs" / "inference.json", _INFERENCE, sort_keys=False)
        write_json(folder / "configs" / "metadata.json", _metadata(run), sort_keys=False)
        card = model_card(run.name, run.config, run.provenance, run.metrics)
        write_text(folder / "docs" / "README.md", _README + "#" + card.replace("\n## ", "\n### "))
        write_text(
            folder / "LICENSE",
            distribution("ctxai").read_text("licenses/LICENSE") or "SPDX-License-Identifier: Apache-2.0\n",
        )


def _refuse_others(out_dir: Path) -> None:
    """Refuse to replace a folder that is no bundle of ours, or that has other files than one.

    Raises:
        InputError: naming the folder or the file.
    """
    if not out_dir.exists() or (out_dir.is_dir() and not any(out_dir.iterdir())):
        return
    try:
        ours = json.loads((out_dir / "configs" / "metadata.json").read_text(encoding="utf-8"))["name"] == _NAME
    except (OSError, ValueError, TypeError, KeyError):
        ours = False
    if not ours:
        raise InputError(f"{out_dir}: is there and is not a bundle of ctxai; give a folder that does not exist yet")
    refuse_to_lose(out_dir, _FILES)


def _metadata(run: Run) -> dict[str, Any]:
    """Metadata by MONAI's schema."""
    from ctxai.data.patches import AIR_HU
    from ctxai.run.bundle import PATCH_SHAPE, BundleNetwork

    about = "patch about a nodule, axes superior, posterior, left, 1 mm"
    patch = _tensor("image", "hounsfield", [about], PATCH_SHAPE, (AIR_HU, 3071)) | {"modality": "CT"}
    predictions = _tensor("tuples", "ratings", BundleNetwork(run).columns)
    return {
        "schema": _SCHEMA,
        "version": __version__,
        "changelog": {__version__: f"run {run.name}, weights with SHA-256 {run.weights_sha256}"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch"),
        "numpy_version": version("numpy"),
        "required_packages_version": {name: version(name) for name in ("ctxai", "nibabel", "safetensors", "timm")},
        "name": _NAME,
        "task": "Predict labels of a lung nodule on CT"
        if run.own
        else "Rate a lung nodule on CT as radiologists would",
        "description": _description(run),
        "authors": "The ctxai authors (software), whoever trained the run (weights)",
        "copyright": "The ctxai authors (software), whoever trained the run (weights)",
        "data_type": "nibabel",
        "intended_use": f"{RESEARCH_USE_ONLY}; not a medical device".capitalize(),
        "network_data_format": {"inputs": {"image": patch}, "outputs": {"pred": predictions}},
    }


def _description(run: Run) -> str:
    """The predictions in a sentence, for people."""
    if run.own is None:
        what = "malignancy as LIDC-IDRI's readers rate it, its calibrated probability, eight biomarkers, and conformal "
        return f"A vision transformer on views of a nodule: {what}intervals. The nodule's centre has to be given."
    targets = ", ".join(f"{one.name} ({one.unit or one.kind})" for one in run.own)
    return f"A vision transformer on views of a nodule: {targets}. The nodule's centre has to be given."


def _tensor(
    kind: str, form: str, channels: Sequence[str], shape: Sequence[int] = (), values: Sequence[int] = ()
) -> dict[str, Any]:
    """MONAI's description of a tensor."""
    names = {str(place): name for place, name in enumerate(channels)}
    layout = {"num_channels": len(names), "spatial_shape": [*shape], "dtype": "float32", "value_range": [*values]}
    return {"type": kind, "format": form, **layout, "is_patch_data": False, "channel_def": names}
