"""The page that shows how good a run is: discrimination, decisions, calibration, readers, subgroups, worst cases."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from ctxai.disclaimer import NOTICE
from ctxai.evaluate.predictions.operating_points import POINTS, RATES
from ctxai.evaluate.predictions.plots import CALIBRATION_TITLES
from ctxai.files import write_text
from ctxai.run.model_card import BASELINE_TITLES, NOT_A_DIAGNOSIS

_TEMPLATE = Path(__file__).with_name("evaluation.html")
_BESIDE_READERS = {"mae": "mean absolute error", "spearman": "Spearman", "within_one": "within one point", "auc": "AUC"}
_INTERVALS = "95 % intervals from a bootstrap over patients."


def write_evaluation_report(path: Path, name: str, metrics: Mapping[str, Any], plots: Path) -> None:
    """Write the page; self-contained, no server.

    Args:
        path: HTML file to write.
        name: of the run.
        metrics: the run's, with ``test`` as `ctxai.evaluate.predictions.evaluation.evaluate_predictions` gives it.
        plots: folder of the figures; those that are missing are left out.
    """
    test = metrics["test"]
    sections, subject = [], ""
    if "malignancy" in test:
        malignancy = test["malignancy"]
        subject = (
            f"Test fold: {malignancy['nodules']} nodules of {malignancy['patients']} patients with a median malignancy "
            f"rating other than 3, {malignancy['malignant']} above it."
        )
        thresholds = metrics.get("validation", {}).get("thresholds", {})
        sections = [
            _discrimination(malignancy, plots),
            _decisions(malignancy, thresholds),
            _calibration(malignancy, plots),
        ]
    sections.append(_ratings(test["targets"], plots))
    if "subgroups" in test:
        sections.append(_subgroups(test["subgroups"]))
    if (plots / "worst_cases.png").is_file():
        text = (
            "Nodules with the largest errors of the malignancy rating, worst first: axial slice through the centre as "
            "wide as the run's field of view, outline in green, each reader's rating, the prediction."
        )
        sections.append(_section("Worst cases", _figure(plots, "worst_cases.png", text)))
    limits = "".join(f"<li>{html.escape(line)}</li>" for line in NOT_A_DIAGNOSIS)
    sections.append(_section("What a rating is not", f"<ul>{limits}</ul>"))
    page = Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        name=html.escape(name), notice=html.escape(NOTICE), subject=subject, sections="\n".join(sections)
    )
    write_text(path, page)


def _discrimination(malignancy: Mapping[str, Any], plots: Path) -> str:
    rows = [["this run", _interval(malignancy["auc"]), ""]]
    for key in malignancy:
        if key.startswith("auc_minus_"):
            name = key.removeprefix("auc_minus_")
            title = BASELINE_TITLES.get(name, name)
            rows.append([title, _interval(malignancy[f"{name}_auc"]), _interval(malignancy[key], signed=True)])
    table = _table(
        f"Area under the ROC curve; difference: this run's minus the baseline's on the same nodules. {_INTERVALS}",
        ("", "AUC", "difference, paired"),
        rows,
    )
    others = f"<p>Area under the precision-recall curve {_interval(malignancy['pr_auc'])}; accuracy at a probability "
    others += f"of 0.5 {_interval(malignancy['accuracy'])}.</p>"
    pictures = _pair(
        _figure(plots, "roc.png", "Sensitivity against 1 − specificity."),
        _figure(plots, "precision_recall.png", "Positive predictive value against sensitivity."),
    )
    return _section("Malignant against benign", table + others + pictures)


def _decisions(malignancy: Mapping[str, Any], thresholds: Mapping[str, float]) -> str:
    points = malignancy.get("operating_points", {})
    rows = [
        [POINTS[name], _number(thresholds.get(name)), *(_interval(rates[rate]) for rate in RATES)]
        for name, rates in points.items()
    ]
    headings = (
        "chosen for",
        "probability",
        "sensitivity",
        "specificity",
        "positive pred. value",
        "negative pred. value",
    )
    caption = f"Thresholds were chosen on the validation fold and are evaluated on the test fold. {_INTERVALS}"
    return _section("Decisions", _table(caption, headings, rows))


def _calibration(malignancy: Mapping[str, Any], plots: Path) -> str:
    rows = [
        [CALIBRATION_TITLES[name], _interval(figures["brier"]), _interval(figures["ece"])]
        for name, figures in malignancy["calibration"].items()
    ]
    caption = f"Each was fitted on the validation fold; lower is better. {_INTERVALS}"
    table = _table(caption, ("calibration", "Brier score", "expected calibration error"), rows)
    picture = _figure(plots, "reliability.png", "Share rated malignant against the predicted probability, in ten bins.")
    return _section("Calibration", _pair(table, picture))


def _ratings(targets: Mapping[str, Any], plots: Path) -> str:
    rows, beside = [], []
    for name, row in targets.items():
        figures = [_interval(row.get(key)) for key in ("mae", "macro_mae", "spearman", "within_one", "coverage")]
        rows.append([name, str(row["nodules"]), *figures, _number(row["interval_width"])])
        if "readers" in row:
            readers = row["readers"]
            for key, what in _BESIDE_READERS.items():
                if key in readers["run"]:
                    pair = [_interval(readers[who][key]) for who in ("run", "reader")]
                    beside.append([name, what, *pair, _interval(readers["difference"][key], signed=True)])
    caption = (
        "Against the mean of all readers, in rating points (diameter: mm). Macro: the mean over the rating's levels, "
        "each counting the same, since most nodules have the same few ratings. Coverage: share of nodules whose 90 % "
        f"interval holds the readers' mean. {_INTERVALS}"
    )
    headings = ("target", "nodules", "MAE", "macro MAE", "Spearman", "within one point", "coverage", "width")
    content = _table(caption, headings, rows)
    if beside:
        caption = (
            "Each reader in turn is compared with the mean of the nodule's other readers, and so is the run. A reader "
            "gives whole numbers, the run any; LIDC-IDRI's readers differ from nodule to nodule and are not named. "
            + _INTERVALS
        )
        content += _table(caption, ("target", "figure", "this run", "one reader", "run minus reader"), beside)
    picture = _figure(plots, "biomarkers.png", "Predicted against the readers' mean.")
    return _section("Ratings, beside the readers' own disagreement", content + picture)


def _subgroups(subgroups: Mapping[str, Any]) -> str:
    rows = [
        [attribute, name, str(row["nodules"]), str(row["malignant"]), str(row["patients"])]
        + [_interval(row[key]) for key in ("auc", "brier", "mae")]
        for attribute, groups in subgroups.items()
        for name, row in groups.items()
    ]
    headings = ("", "subgroup", "nodules", "malignant", "patients", "AUC", "Brier score", "MAE of malignancy")
    caption = (
        f"No AUC below 5 nodules of either class. {_INTERVALS} Several are looked at: one may stand out by chance."
    )
    return _section("Subgroups", _table(caption, headings, rows))


def _section(title: str, content: str) -> str:
    return f"<section><h2>{html.escape(title)}</h2>\n{content}</section>"


def _table(caption: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows of cells; a first cell that repeats the one above is left empty."""
    words = 1 + (headings[1] in {"figure", "subgroup"})
    kinds = ["" if place < words else ' class="number"' for place in range(len(headings))]
    head = "".join(f"<th{kind}>{html.escape(heading)}</th>" for kind, heading in zip(kinds, headings, strict=True))
    lines, above = [], None
    for row in rows:
        first = "" if row[0] == above and words == 2 else html.escape(row[0])
        cells = [first, *row[1:]] if words == 1 else [first, html.escape(row[1]), *row[2:]]
        start = ' class="first"' if words == 2 and first else ""
        lines.append(f"<tr{start}>" + "".join(f"<td{k}>{c}</td>" for k, c in zip(kinds, cells, strict=True)) + "</tr>")
        above = row[0]
    return f"<table><caption>{html.escape(caption)}</caption>\n<tr>{head}</tr>\n" + "\n".join(lines) + "</table>"


def _interval(figure: Mapping[str, float | None] | None, signed: bool = False) -> str:
    if figure is None or figure["value"] is None:
        return "–"
    if figure["low"] is None:
        return _number(figure["value"], signed)
    ends = f"{_number(figure['low'], signed)} to {_number(figure['high'], signed)}"
    return f"{_number(figure['value'], signed)} <small>({ends})</small>"


def _number(value: float | None, signed: bool = False) -> str:
    return "–" if value is None else f"{value:{'+' if signed else ''}.3f}".replace("-", "−")


def _pair(*parts: str) -> str:
    return (
        '<div class="pair">'
        + "".join(part if part.startswith("<fig") else f"<figure>{part}</figure>" for part in parts)
        + "</div>"
    )


def _figure(plots: Path, name: str, caption: str) -> str:
    if not (plots / name).is_file():
        return ""
    data = base64.b64encode((plots / name).read_bytes()).decode()
    text = html.escape(caption)
    return f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'
