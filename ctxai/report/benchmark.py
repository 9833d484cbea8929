"""The page of a benchmark of explanations: claims, chance, cost, examples, every figure with its interval."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

import numpy as np
import pandas as pd

from ctxai.disclaimer import NOTICE
from ctxai.evaluate.explanations.comparison import CONTROLS, direction_of, order_methods
from ctxai.files import write_text

_TEMPLATE = Path(__file__).with_name("benchmark.html")
_SIGNIFICANT = 0.05


@dataclass(frozen=True, eq=False)
class Findings:
    """Everything that a benchmark found.

    Attributes:
        title: which run and store.
        facts: what was run, by name, for a reader.
        table: as :func:`ctxai.evaluate.explanations.comparison.compare` gives it, with a column ``forward_passes``.
        claims: verdicts on claims and on readers' expectations.
        controls: the controls' figures where chance is 0.
        blind: which metrics cannot tell a method from chance.
        outline: what the outline in the pictures is.
    """

    title: str
    facts: Mapping[str, str]
    table: pd.DataFrame
    claims: pd.DataFrame
    controls: pd.DataFrame
    blind: pd.DataFrame
    outline: str


def write_page(path: Path, findings: Findings, pareto: Path, examples: Path) -> None:
    """Write the page; self-contained, no server."""
    targets = list(findings.table["target"].unique())
    parts = [
        f"<details{' open' if not place else ''}><summary><b>{html.escape(target)}</b></summary>"
        f'<div class="scroll">{_table_html(findings.table[findings.table["target"] == target])}</div></details>'
        for place, target in enumerate(targets)
    ]
    page = Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        subtitle=html.escape(findings.title),
        notice=html.escape(NOTICE),
        run=_facts_html(findings.facts),
        claims=_plain_html(findings.claims[findings.claims["verdict"].notna()]),
        chance=html.escape(chance_sentence(findings.blind)),
        controls=_plain_html(findings.controls),
        pareto=_embedded(pareto),
        examples=_embedded(examples),
        target=html.escape(targets[0]),
        outline=html.escape(findings.outline),
        tables="\n".join(parts),
    )
    write_text(path, page)


def write_markdown(path: Path, findings: Findings) -> None:
    """Write the same figures as Markdown, a table for every target."""
    lines = ["# Benchmark of explanations", "", f"{findings.title}. For {NOTICE}.", ""]
    lines += [f"- {name}: {value}" for name, value in findings.facts.items()]
    lines += ["", "## Claims", "", *_plain_markdown(findings.claims[findings.claims["verdict"].notna()])]
    lines += ["", "## Chance", "", chance_sentence(findings.blind), "", *_plain_markdown(findings.controls)]
    for target, group in findings.table.groupby("target", sort=False):
        lines += ["", f"## {target}", ""]
        columns = _columns(group)
        lines.append(f"| method | {' | '.join(_heading(*column) for column in columns)} | forward passes |")
        lines.append("|---|" + "---:|" * (len(columns) + 1))
        cells = {key: rows.iloc[0] for key, rows in group.groupby(["method", "metric", "place"])}
        for method in order_methods(group["method"].unique()):
            shown = [_cell(cells.get((method, *column))) for column in columns]
            lines.append(f"| {method} | {' | '.join(shown)} | {_passes(group, method)} |")
    lines += ["", "Mean over nodules (95 % interval over patients); * differs from CDAM after Holm's correction.", ""]
    write_text(path, "\n".join(lines))


def chance_sentence(blind: pd.DataFrame) -> str:
    """Which metrics no method passes."""
    lost = blind[blind["blind"]]
    if lost.empty:
        return "For every metric at least one method differs from a random map in the right direction."
    names = [
        f"{row.metric}{f' ({row.place})' if row.place else ''} for {row.target}" for row in lost.itertuples(index=False)
    ]
    return f"These metrics tell no method from a random map, and nothing follows from them here: {'; '.join(names)}."


def _columns(group: pd.DataFrame) -> list[tuple[str, str]]:
    found = group[["metric", "place"]].drop_duplicates()
    return [(row.metric, row.place) for row in found.itertuples(index=False)]


def _heading(metric: str, place: str) -> str:
    arrow = {True: " ↑", False: " ↓", None: ""}[direction_of(metric)]
    return f"{metric}{f' ({place})' if place else ''}{arrow}"


def _cell(row: pd.Series | None) -> str:
    if row is None:
        return "–"
    star = "*" if row["p_holm"] < _SIGNIFICANT else ""
    return f"{row['value']:.3f}{star} ({row['low']:.3f}–{row['high']:.3f})"


def _passes(group: pd.DataFrame, method: str) -> str:
    return f"{group.loc[group['method'] == method, 'forward_passes'].iloc[0]:.1f}"


def _table_html(group: pd.DataFrame) -> str:
    columns = _columns(group)
    head = "".join(f"<th>{html.escape(_heading(*column)).replace('[', '<br>[')}</th>" for column in columns)
    best = {}
    for column in columns:
        rows = group[(group["metric"] == column[0]) & (group["place"] == column[1]) & ~group["method"].isin(CONTROLS)]
        direction = direction_of(column[0])
        if direction is not None and len(rows):
            best[column] = rows.loc[rows["value"].idxmax() if direction else rows["value"].idxmin(), "method"]
    cells = {key: rows.iloc[0] for key, rows in group.groupby(["method", "metric", "place"])}
    lines = []
    for method in order_methods(group["method"].unique()):
        shown = []
        for column in columns:
            row = cells.get((method, *column))
            if row is None:
                shown.append("<td>–</td>")
                continue
            star = "*" if row["p_holm"] < _SIGNIFICANT else ""
            kind = ' class="best"' if best.get(column) == method else ""
            interval = f"<small>{row['low']:.3f} – {row['high']:.3f}</small>"
            shown.append(f"<td{kind}>{row['value']:.3f}{star}{interval}</td>")
        control = ' class="control"' if method in CONTROLS else ""
        passes = f"<td>{_passes(group, method)}</td>"
        lines.append(f"<tr{control}><th>{html.escape(method)}</th>{''.join(shown)}{passes}</tr>")
    return f"<table><thead><tr><th>method</th>{head}<th>forward passes</th></tr></thead>{''.join(lines)}</table>"


def _facts_html(facts: Mapping[str, str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(k)}: {html.escape(v)}</li>" for k, v in facts.items()) + "</ul>"


def _plain_html(table: pd.DataFrame) -> str:
    if table.empty:
        return "<p>nothing to show</p>"
    head = "".join(f"<th>{html.escape(name.replace('_', ' '))}</th>" for name in table)
    lines = []
    for row in table.itertuples(index=False):
        texts = [_text(value) for value in row]
        lines.append("<tr>" + "".join(f'<td class="{text}">{html.escape(text)}</td>' for text in texts) + "</tr>")
    return f"<table><thead><tr>{head}</tr></thead>{''.join(lines)}</table>"


def _plain_markdown(table: pd.DataFrame) -> Sequence[str]:
    if table.empty:
        return ["nothing to show"]
    head = [f"| {' | '.join(name.replace('_', ' ') for name in table)} |", "|---" * len(table.columns) + "|"]
    return [*head, *(f"| {' | '.join(map(_text, row))} |" for row in table.itertuples(index=False))]


def _text(value: object) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _embedded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode("ascii")
