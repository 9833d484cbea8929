"""Page of a benchmark of explanations: claims, chance, cost, examples, every metric with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ctxai.disclaimer import NOTICE
from ctxai.evaluate.explanations.comparison import CONTROLS, direction_of, order_methods
from ctxai.files import write_text
from ctxai.report.page import render_page

_SIGNIFICANT = 0.05


@dataclass(frozen=True, eq=False)
class Findings:
    """Results of a benchmark.

    Attributes:
        title: run and store.
        facts: settings of the benchmark, by name.
        table: as :func:`ctxai.evaluate.explanations.comparison.compare` gives it, with a column ``forward_passes``.
        claims: verdicts on claims and on readers' expectations.
        controls: scores of the controls where chance is 0.
        blind: metrics that cannot tell a method from chance.
        outline: meaning of the outline in the pictures.
    """

    title: str
    facts: Mapping[str, str]
    table: pd.DataFrame
    claims: pd.DataFrame
    controls: pd.DataFrame
    blind: pd.DataFrame
    outline: str


def write_page(path: Path, findings: Findings, pareto: Path, examples: Path) -> None:
    """Write the page; self-contained, no server.

    Args:
        path: HTML file to write.
        findings: results of the benchmark.
        pareto: PNG of faithfulness against cost.
        examples: PNG of maps on some nodules.
    """
    page = render_page(
        "benchmark.html",
        style="tables.css",
        title=findings.title,
        facts=findings.facts,
        claims=_plain(findings.claims[findings.claims["verdict"].notna()]),
        chance=chance_sentence(findings.blind),
        controls=_plain(findings.controls),
        pareto=pareto.read_bytes(),
        examples=examples.read_bytes(),
        outline=findings.outline,
        tables=_target_tables(findings.table),
    )
    write_text(path, page)


def write_markdown(path: Path, findings: Findings) -> None:
    """Write the same numbers as Markdown, a table for every target."""
    lines = ["# Benchmark of explanations", "", f"{findings.title}. For {NOTICE}.", ""]
    lines += [f"- {name}: {value}" for name, value in findings.facts.items()]
    lines += ["", "## Claims", "", *_markdown(_plain(findings.claims[findings.claims["verdict"].notna()]))]
    lines += ["", "## Chance", "", chance_sentence(findings.blind), "", *_markdown(_plain(findings.controls))]
    for table in _target_tables(findings.table):
        lines += ["", f"## {table.target}", ""]
        lines.append(f"| method | {' | '.join(table.headings)} | forward passes |")
        lines.append("|---|" + "---:|" * (len(table.headings) + 1))
        for row in table.rows:
            cells = ["–" if cell is None else f"{cell.value} ({cell.low}–{cell.high})" for cell in row.cells]
            lines.append(f"| {row.method} | {' | '.join(cells)} | {row.passes} |")
    lines += ["", "Mean over nodules (95 % interval over patients); * differs from CDAM after Holm's correction.", ""]
    write_text(path, "\n".join(lines))


def chance_sentence(blind: pd.DataFrame) -> str:
    """Metrics that no method passes, as a sentence."""
    lost = blind[blind["blind"]]
    if lost.empty:
        return "For every metric at least one method differs from a random map in the right direction."
    names = [
        f"{metric}{f' ({place})' if place else ''} for {target}"
        for metric, place, target in lost[["metric", "place", "target"]].astype(str).to_numpy()
    ]
    return f"These metrics tell no method from a random map, and nothing follows from them here: {'; '.join(names)}."


@dataclass(frozen=True)
class _Plain:
    """A table of texts."""

    headings: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class _Cell:
    """A mean with its interval, as texts; ``best`` of the methods in its column."""

    value: str
    low: str
    high: str
    best: bool


@dataclass(frozen=True)
class _Row:
    """All metrics of one method; None where it has no score."""

    method: str
    control: bool
    cells: list[_Cell | None]
    passes: str


@dataclass(frozen=True)
class _TargetTable:
    """All methods on one target."""

    target: str
    headings: list[str]
    rows: list[_Row]


def _target_tables(table: pd.DataFrame) -> list[_TargetTable]:
    return [_target_table(str(target), group) for target, group in table.groupby("target", sort=False)]


def _target_table(target: str, group: pd.DataFrame) -> _TargetTable:
    pairs = group[["metric", "place"]].drop_duplicates()
    columns = [(str(metric), str(place)) for metric, place in zip(pairs["metric"], pairs["place"], strict=True)]
    best = {column: _best_method(group, *column) for column in columns}
    found = {(str(row["method"]), str(row["metric"]), str(row["place"])): row for row in group.to_dict("records")}
    rows = []
    for method in order_methods([str(name) for name in group["method"].unique()]):
        cells = [_cell(found.get((method, *column)), best[column] == method) for column in columns]
        passes = group.loc[group["method"] == method, "forward_passes"].iloc[0]
        rows.append(_Row(method, method in CONTROLS, cells, f"{passes:.1f}"))
    return _TargetTable(target, [_heading(*column) for column in columns], rows)


def _best_method(group: pd.DataFrame, metric: str, place: str) -> str | None:
    """The best of the methods that are no controls; None for a metric without a direction."""
    higher = direction_of(metric)
    rows = group[(group["metric"] == metric) & (group["place"] == place) & ~group["method"].isin(CONTROLS)]
    if higher is None or rows.empty:
        return None
    values = rows["value"].to_numpy(float)
    return str(rows["method"].iloc[int(np.nanargmax(values if higher else -values))])


def _heading(metric: str, place: str) -> str:
    arrow = {True: " ↑", False: " ↓", None: ""}[direction_of(metric)]
    return f"{metric}{f' ({place})' if place else ''}{arrow}"


def _cell(row: Mapping[Any, Any] | None, best: bool) -> _Cell | None:
    if row is None:
        return None
    star = "*" if row["p_holm"] < _SIGNIFICANT else ""
    return _Cell(f"{row['value']:.3f}{star}", f"{row['low']:.3f}", f"{row['high']:.3f}", best)


def _plain(table: pd.DataFrame) -> _Plain:
    headings = [str(name).replace("_", " ") for name in table]
    return _Plain(headings, [[_text(value) for value in row] for row in table.itertuples(index=False)])


def _markdown(table: _Plain) -> Sequence[str]:
    if not table.rows:
        return ["nothing to show"]
    head = [f"| {' | '.join(table.headings)} |", "|---" * len(table.headings) + "|"]
    return [*head, *(f"| {' | '.join(row)} |" for row in table.rows)]


def _text(value: object) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
