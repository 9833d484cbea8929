"""The model card of a run: what it saw, how well it did, what it must not be used for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ctxai.models.run_config import RunConfig

_LIMITS = """\
- Research use only: not a medical device, and no output may guide the care of a patient.
- Malignancy is the readers' impression on a scale from 1 to 5, not a diagnosis: there is no pathology behind it.
  Models trained on such ratings do clearly worse against pathology than against the ratings.
- The nodule has to be found by someone else and centred in the image; there is no detector.
- Probabilities and intervals were calibrated on nodules of the same collection; other scanners, protocols and
  populations void their guarantees.
"""
_ONE_SLICE = """\
- It sees one axial slice, the one through the nodule's centre, and nothing above or below it; it was never shown a
  nodule off that centre by more than the training's shifts.
"""
_LIDC = """\
## Data

LIDC-IDRI, The Cancer Imaging Archive, CC BY 3.0: Armato SG III et al., 2015, doi 10.7937/K9/TCIA.2015.LO9QL9SX; Armato
SG III et al., Medical Physics 38:915-931, 2011; Clark K et al., Journal of Digital Imaging 26:1045-1057, 2013.
"""

_COMPARED = (
    ("this run", "auc"),
    ("diameter alone", "diameter_auc"),
    ("difference, paired", "auc_minus_diameter"),
    ("logistic regression on hand-made features", "features_auc"),
    ("difference, paired", "auc_minus_features"),
)


def model_card(name: str, config: RunConfig, provenance: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """Markdown text, from the run's own records alone."""
    views = config.views
    lines = [
        f"# {name}",
        "",
        "A vision transformer that rates lung nodules on CT as LIDC-IDRI's readers would: malignancy and eight "
        "biomarkers.",
        "",
        "## Input",
        "",
        f"- Views: {', '.join(views.views)}; {views.field_of_view_mm:g} mm field of view, {views.pixels} x "
        f"{views.pixels} pixels, centred on the nodule, from voxels of 1 mm.",
        f"- HU clamped to {views.hu_window[0]:g} … {views.hu_window[1]:g}, standardised with mean {views.mean:g} and "
        f"standard deviation {views.std:g}.",
        f"- Slices averaged, mm from the centre: {', '.join(f'{offset:g}' for offset in views.slice_offsets_mm)}.",
        "",
        "## Training",
        "",
        f"- Backbone {config.backbone.name}, patch size {config.backbone.patch_size or 'of the architecture'}, depth "
        f"{config.backbone.depth or 'of the architecture'}; {_start(config)}.",
        f"- {config.optim.epochs} epochs, a fixed budget; {config.label} malignancy labels; seed {config.seed}.",
    ]
    if config.shuffle_labels:
        lines.append("- **Labels were permuted between patients: a chance-level control, useless for anything else.**")
    for part, role in (("training", "trained on"), ("validation", "calibrated on"), ("test", "held out for testing")):
        lines.append(
            f"- {role.capitalize()}: {len(provenance['nodules'][part])} nodules of "
            f"{len(provenance['patients'][part])} patients."
        )
    lines += [
        "- Folds hold whole patients. Nothing was selected by the validation or the test fold. `provenance.json` lists "
        "every patient and nodule.",
        f"- Command: `ctxai train STORE_DIR {name} --config config.yaml`, with this folder's `config.yaml` and a store "
        f"of {provenance['store']['nodules']} nodules whose `nodules.parquet` has the SHA-256 "
        f"`{provenance['store']['table_sha256']}`.",
        "",
        *_figures(metrics),
        "## Limits",
        "",
        _LIMITS + (_ONE_SLICE if views.views == ("axial",) and len(views.slice_offsets_mm) == 1 else ""),
    ]
    if any(str(patient).startswith("LIDC-IDRI-") for patient in provenance["patients"]["training"]):
        lines.append(_LIDC)
    return "\n".join(lines)


def _start(config: RunConfig) -> str:
    if config.backbone.pretrained:
        return "started from timm's published weights"
    return "from random weights" if config.backbone.weights is None else f"from {config.backbone.weights.name}"


def _figures(metrics: Mapping[str, Any]) -> list[str]:
    test = metrics.get("test")
    if not test:
        return ["## Figures", "", "Not evaluated yet: `ctxai evaluate RUN_DIR STORE_DIR`.", ""]
    malignancy = test["malignancy"]
    lines = [
        "## Figures on the test fold",
        "",
        f"{malignancy['nodules']} nodules of {malignancy['patients']} patients with a median rating other than 3 "
        f"({malignancy['malignant']} above 3). Intervals: 95 %, bootstrap over patients.",
        "",
        "| | AUC | 95 % interval |",
        "|---|---|---|",
    ]
    for title, key in _COMPARED:
        if key in malignancy:
            value, sign = malignancy[key], "+" if "minus" in key else ""
            lines.append(
                f"| {title} | {value['value']:{sign}.3f} | {value['low']:{sign}.3f} – {value['high']:{sign}.3f} |"
            )
    lines += [
        "",
        f"Accuracy {malignancy['accuracy']:.3f} at a probability of 0.5, Brier score {malignancy['brier']:.3f}, "
        f"expected calibration error {malignancy['ece']:.3f}.",
        "",
        "| target | nodules | mean absolute error | Spearman | interval coverage | mean interval width |",
        "|---|---|---|---|---|---|",
    ]
    for target, row in test["targets"].items():
        lines.append(
            f"| {target} | {row['nodules']} | {_number(row['mae'])} | {_number(row['spearman'])} | "
            f"{_number(row['coverage'])} | {_number(row['interval_width'])} |"
        )
    return [*lines, ""]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
