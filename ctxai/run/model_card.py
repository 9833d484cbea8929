"""The model card of a run: what it saw, how well it did, what it must not be used for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ctxai.run.config import RunConfig
from ctxai.run.decisions import RATES, decision_rows
from ctxai.run.own_figures import figure_rows

NOT_A_DIAGNOSIS = (
    "Malignancy is what a radiologist thought on looking at one CT, from 1 (highly unlikely) to 5 (highly suspicious): "
    "no biopsy, no follow-up, no outcome. A model of such ratings can be no better than they are, and does clearly "
    "worse against pathology than against the ratings.",
    "The readers knew nothing of the patient and were to rate as if each were a smoker of 60 years. A high rating is "
    "no probability of cancer in anyone, and a calibrated probability here is one of a rating above 3, not of cancer.",
    "Readers differ: the figures of a single reader say by how much. The class (median above or below 3) leaves out "
    "the nodules on which they could not decide, which makes every area under a curve look better than in practice.",
    "Ratings follow size: the diameter alone does nearly as well as anything. A good figure does not mean that a model "
    "sees more than size; the paired difference to the diameter does, where its interval lies above 0.",
    "Biomarkers are impressions too, on scales with few steps whose ends are rarely used; calcification is a list of "
    "kinds rather than a scale.",
)
"""Limits of a radiologist's rating."""

BASELINE_TITLES = {
    "diameter": "diameter alone",
    "features": "logistic regression on hand-made features",
    "resnet18": "ResNet-18 from scratch",
    "random_vit": "the same network from random weights",
}
"""How baselines are called in tables and figures."""

_LIMITS = """\
- Research use only: not a medical device, and no output may guide the care of a patient.
- The nodule has to be found and marked by someone else; there is no detector.
- Probabilities and intervals were calibrated on nodules of the same collection; other scanners, protocols and
  populations void their guarantees.
"""
_NOVELTY = """\
- `novelty_percentile` tells how unlike the training nodules an image is. It rises on what is no lung nodule (air, bone,
  another window, damaged images), not on hard nodules, and hardly on a spacing that is wrong by less than a half.
"""
_ONE_SLICE = """\
- It sees one axial slice, the one through the nodule's centre, and nothing above or below it; it was never shown a
  nodule off that centre by more than the training's shifts.
"""
_BACKBONE = (
    "- What the backbone saw before is told where its weights come from. If that includes images of the test fold, "
    "even without labels, the figures below are transductive."
)
_ENSEMBLE = (
    "- **An ensemble**: the mean of {} networks, each trained on other folds. The figures below pool the nodules of "
    "every network's own test fold; no patient of this collection is unseen by the ensemble itself."
)
LIDC_DATA = """\
## Data

LIDC-IDRI, The Cancer Imaging Archive, CC BY 3.0: Armato SG III et al., 2015, doi 10.7937/K9/TCIA.2015.LO9QL9SX; Armato
SG III et al., Medical Physics 38:915-931, 2011; Clark K et al., Journal of Digital Imaging 26:1045-1057, 2013.
"""


def model_card(name: str, config: RunConfig, provenance: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """Markdown text, from the run's own records alone."""
    views = config.views
    lines = [
        f"# {name}",
        "",
        *_purpose(config),
        "",
        "## Input",
        "",
        f"- Views: {', '.join(views.views)}; {views.field_of_view_mm:g} mm field of view, {views.pixels} x "
        f"{views.pixels} pixels, centred on the nodule, from voxels of 1 mm.",
        f"- HU clamped to {views.hu_window[0]:g} … {views.hu_window[1]:g}, standardised with mean {views.mean:g} and "
        f"standard deviation {views.std:g}.",
        f"- Slices averaged, mm from the centre: {', '.join(f'{offset:g}' for offset in views.slice_offsets_mm)}.",
        *_placing(config),
        "",
        "## Training",
        "",
        f"- Backbone {config.backbone.name}, patch size {config.backbone.patch_size or 'of the architecture'}, depth "
        f"{config.backbone.depth or 'of the architecture'}; {_start(config)}.",
        f"- {config.optim.epochs} epochs, a fixed budget; {_labels(config)}seed {config.seed}.",
        *_design(config),
    ]
    if provenance.get("members", 1) > 1:
        lines.append(_ENSEMBLE.format(provenance["members"]))
    if config.backbone.weights is not None:
        lines.append(_BACKBONE)
    if config.shuffle_labels:
        lines.append("- **Labels were permuted between patients: a chance-level control, useless for anything else.**")
    for part, role in (("training", "trained on"), ("validation", "calibrated on"), ("test", "held out for testing")):
        lines.append(
            f"- {role.capitalize()}: {len(provenance['nodules'][part])} nodules of "
            f"{len(provenance['patients'][part])} patients."
        )
    training = metrics.get("training", {})
    lines += [
        "- **Folds by nodule: patients lie on both sides of the split, and every figure is too good.**"
        if config.folds.unit == "nodule"
        else "- Folds hold whole patients.",
        f"- **Selected by {training['selected_by']}.**"
        if "selected_by" in training
        else "- Nothing was selected by the validation or the test fold.",
        "- `provenance.json` lists every patient and nodule.",
        f"- Command: `ctxai train STORE_DIR {name} --config config.yaml`, with this folder's `config.yaml` and a store "
        f"of {provenance['store']['nodules']} nodules whose `nodules.parquet` has the SHA-256 "
        f"`{provenance['store']['table_sha256']}`.",
        "",
        *_figures(metrics),
        *_external(metrics),
        *_maps(metrics.get("maps", {}), provenance.get("members", 1)),
        *_maps_of_targets(metrics.get("maps_of_targets", {})),
        *([] if config.own else ["## What a rating is not", "", *(f"- {line}" for line in NOT_A_DIAGNOSIS), ""]),
        "## Limits",
        "",
        _LIMITS + _NOVELTY + (_ONE_SLICE if views.views == ("axial",) and len(views.slice_offsets_mm) == 1 else ""),
    ]
    if any(str(patient).startswith("LIDC-IDRI-") for patient in provenance["patients"]["training"]):
        lines.append(LIDC_DATA)
    return "\n".join(lines)


def _labels(config: RunConfig) -> str:
    return "" if config.own else f"{config.label} malignancy labels; "


def _purpose(config: RunConfig) -> list[str]:
    if config.own is None:
        return [
            "A vision transformer that rates lung nodules on CT as LIDC-IDRI's readers would: malignancy and eight "
            "biomarkers."
        ]
    lines = ["A vision transformer that predicts targets of its own of lung nodules on CT:", ""]
    for one in config.own:
        facts = [one.kind, *([one.unit] if one.unit else []), *([" / ".join(one.classes)] if one.classes else [])]
        if one.low is not None or one.high is not None:
            facts.append(f"from {one.limits[0]:g} to {one.limits[1]:g}")
        lines.append(f"- `{one.name}`: {', '.join(facts)}.")
    return lines


def _placing(config: RunConfig) -> list[str]:
    """How a prediction places and turns its images."""
    lines = []
    if config.views.recentre_mm:
        lines.append(
            f"- Images are moved from the mark to the middle of the outline that the run sees there, by at most "
            f"{config.views.recentre_mm:g} mm."
        )
    if config.views.turns > 1:
        lines.append(f"- Predictions are averaged over the {config.views.turns} quarter turns and mirror images.")
    return lines


def _design(config: RunConfig) -> list[str]:
    """Differences from a plain transformer with linear heads."""
    backbone, heads, erase, lines = config.backbone, config.heads, config.augment.erase, []
    if backbone.stem:
        widths = ", ".join(map(str, backbone.stem))
        lines.append(
            f"- A convolutional stem of widths {widths} before the tokens; tokens {backbone.width or 'as usual'} wide."
        )
    if backbone.coarse_margin:
        lines.append("- Tokens around the middle half of the images' rows and columns are of twice the side.")
    if heads.readout == "ordinal":
        lines.append("- Malignancy is the mean of four cumulative logits, of the readers above 1, 2, 3 and 4.")
    beside = {
        "a soft label": heads.soft,
        "one rank score (CORAL)": heads.rank,
        "the readers' outline": heads.outline,
        "radiomic features in that outline": heads.features,
    }
    learnt = [name for name, weight in beside.items() if weight]
    if learnt:
        lines.append(f"- Learnt beside the targets: {', '.join(learnt)}.")
    if erase.share:
        lines.append(
            f"- {erase.share:.0%} of the training images lose up to {erase.most:.0%} of their area, filled with "
            f"{' or '.join(erase.fills)}."
        )
        if erase.grounded:
            lines.append("- Malignancy targets move to their mean by the part of the outline that an image lost.")
    return lines


def _start(config: RunConfig) -> str:
    if config.backbone.pretrained:
        return "started from timm's published weights"
    return "from random weights" if config.backbone.weights is None else f"from {config.backbone.weights.name}"


def _figures(metrics: Mapping[str, Any]) -> list[str]:
    test = metrics.get("test")
    if not test:
        return ["## Figures", "", "Not evaluated yet: `ctxai evaluate RUN_DIR STORE_DIR`.", ""]
    lines = ["## Figures on the test fold", "", "In brackets: 95 % intervals, bootstrap over patients.", ""]
    if "own_targets" in test:
        return [*lines, *_own(test["own_targets"]), "", *_decisions(test, metrics)]
    if "malignancy" in test:
        lines += _malignancy(test["malignancy"])
    lines += [
        "Against the readers' mean; beside it, one reader against the mean of the others.",
        "",
        "| target | nodules | mean absolute error | a reader's | Spearman | a reader's | interval coverage | width |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for target, row in test["targets"].items():
        reader = row.get("readers", {}).get("reader", {})
        figures = (row["mae"], reader.get("mae"), row["spearman"], reader.get("spearman"), row["coverage"])
        cells = [target, str(row["nodules"]), *map(_interval, figures), _number(row["interval_width"])]
        lines.append("| " + " | ".join(cells) + " |")
    for attribute, groups in test.get("subgroups", {}).items():
        cells = [f"{name}: {_interval(row['auc'])} (n {row['nodules']})" for name, row in groups.items()]
        lines += ["", f"AUC by {attribute}: {'; '.join(cells)}."]
    return [*lines, "", *_decisions(test, metrics)]


def _decisions(test: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    """A row for each operating point."""
    rows = decision_rows(test, metrics.get("validation", {}))
    if not rows:
        return []
    lines = [
        "Decisions at probabilities that were chosen on the validation fold.",
        "",
        f"| target | chosen for | probability | {' | '.join(RATES.values())} |",
        "|---" * (3 + len(RATES)) + "|",
    ]
    for target, criterion, threshold, rates in rows:
        lines.append("| " + " | ".join([target, criterion, _number(threshold), *map(_interval, rates)]) + " |")
    return [*lines, ""]


def _external(metrics: Mapping[str, Any]) -> list[str]:
    """One row for each collection that the run was validated on."""
    validations = metrics.get("external", {})
    if not validations:
        return []
    lines = [
        "## External validation",
        "",
        "All nodules of collections that the run has learnt nothing from; nothing was fitted there.",
        "",
    ]
    own = {name: found["own_targets"] for name, found in sorted(validations.items()) if "own_targets" in found}
    if own:
        for name, found in own.items():
            lines += [f"### {name}", "", *_own(found), "", *_decisions({"own_targets": found}, metrics)]
        return lines
    lines += [
        "| collection | nodules | AUC | Brier score | calibration error | calibration slope | intercept |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, found in sorted(validations.items()):
        malignancy = found.get("malignancy", {})
        drift = malignancy.get("calibration_drift", {})
        figures = [_interval(malignancy.get(key)) for key in ("auc", "brier", "ece")]
        drifts = [_number(drift.get(key)) for key in ("slope", "intercept")]
        lines.append("| " + " | ".join([name, str(found["store"]["nodules"]), *figures, *drifts]) + " |")
    return [*lines, ""]


def _own(found: Mapping[str, Any]) -> list[str]:
    """A row for each figure of targets of one's own."""
    lines = ["| target | nodules | figure | value |", "|---|---|---|---|"]
    for target, nodules, title, value in figure_rows(found, subgroups=True):
        lines.append(f"| {target} | {nodules} | {title} | {_interval(value)} |")
    for name, row in found.items():
        drift = row.get("calibration_drift", {})
        for label, figures in {"": drift}.items() if "slope" in drift else drift.items():
            told = f"{_number(figures['slope'])}, {_number(figures['intercept'])}"
            what = f"{name}: {label}" if label else name
            lines.append(f"| {what} | {row['nodules']} | calibration slope, intercept | {told} |")
    return lines


def _maps(methods: Mapping[str, Any], members: int) -> list[str]:
    """One row for each explanation method whose maps of malignancy were judged on nodules that the run never saw."""
    if not methods:
        return []
    whose = "Nodules of patients that the run has learnt nothing from (`benchmarks/map_reliability.py`)."
    if members > 1:
        whose = "Maps of each network alone, of nodules of its own test fold (`benchmarks/lidc2d_maps.py`)."
    others = any("others_lung" in row for row in methods.values())
    harder = " Harder: ahead of the maps of ten other nodules." if others else ""
    titles = [
        "method",
        "nodules",
        "passes, lung",
        "passes, blur",
        *(["harder, lung", "harder, blur"] if others else []),
    ]
    lines = [
        "## Maps of malignancy",
        "",
        f"{whose} Passes: share of the maps that are ahead of all 20 random maps when what they mark is replaced by "
        f"lung or by blur; a map without information passes in about 5 %.{harder} Moved: the mark lies 2 mm aside, "
        "median rank correlation. In brackets: 95 % intervals.",
        "",
        "| " + " | ".join([*titles, "moved", "positive evidence inside the outline"]) + " |",
        "|---" * (len(titles) + 2) + "|",
    ]
    for name, row in methods.items():
        keys = ("passes_lung", "passes_blur", *(("others_lung", "others_blur") if others else ()))
        figures = [_interval(row.get(key)) for key in keys]
        cells = [name, str(row["nodules"]), *figures, _number(row.get("rho")), _number(row.get("inside"))]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def _maps_of_targets(targets: Mapping[str, Any]) -> list[str]:
    """One row for each other target whose maps were judged so."""
    if not targets:
        return []
    lines = ["The same share for the other targets:", "", "| target | method | nodules | passes, lung | passes, blur |"]
    lines.append("|---|---|---|---|---|")
    for target, row in targets.items():
        figures = [_interval(row["passes_lung"]), _interval(row["passes_blur"])]
        lines.append("| " + " | ".join([target, row["method"], str(row["nodules"]), *figures]) + " |")
    return [*lines, ""]


def _malignancy(malignancy: Mapping[str, Any]) -> list[str]:
    lines = [
        f"{malignancy['nodules']} nodules of {malignancy['patients']} patients with a median rating other than 3 "
        f"({malignancy['malignant']} above 3).",
        "",
        "| | AUC | this run's minus it, paired |",
        "|---|---|---|",
        f"| this run | {_interval(malignancy['auc'])} | |",
    ]
    for key in malignancy:
        if key.startswith("auc_minus_"):
            name = key.removeprefix("auc_minus_")
            area, difference = _interval(malignancy[f"{name}_auc"]), _interval(malignancy[key], "+")
            lines.append(f"| {BASELINE_TITLES.get(name, name)} | {area} | {difference} |")
    return [
        *lines,
        "",
        f"Area under the precision-recall curve {_interval(malignancy['pr_auc'])}. Accuracy "
        f"{_interval(malignancy['accuracy'])} at a probability of 0.5, Brier score {_interval(malignancy['brier'])}, "
        f"expected calibration error {_interval(malignancy['ece'])}.",
        "",
    ]


def _interval(figure: Mapping[str, float | None] | None, sign: str = "") -> str:
    if figure is None or figure["value"] is None:
        return "–"
    return f"{figure['value']:{sign}.3f} ({_number(figure['low'], sign)} – {_number(figure['high'], sign)})"


def _number(value: float | None, sign: str = "") -> str:
    return "–" if value is None else f"{value:{sign}.3f}"
