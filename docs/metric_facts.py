"""Table of the metrics of explanations, from their classes; made when the site is built."""

from __future__ import annotations

import inspect

from ctxai.evaluate.explanations.metric import METRICS, Metric

BETTER = {True: "↑", False: "↓", None: "–"}


def table() -> str:
    """Table of all metrics that come with the package."""
    lines = [
        "| name | what it is | better | units | needs | published variant | source |",
        "|---|---|---|---|---|---|---|",
    ]
    own = [metric for metric in METRICS if metric.__module__.startswith("ctxai.")]
    return "\n".join([*lines, *(_row(metric) for metric in own)])


def _row(metric: type[Metric]) -> str:
    published = ", ".join(f"{option}={value}" for option, value in metric.published.items())
    cells = [f"`{metric.name}`", _summary(metric), BETTER[metric.higher_is_better], metric.units]
    cells += [", ".join(sorted(metric.needs)) or "–", published or "–", metric.reference]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _summary(metric: type[Metric]) -> str:
    """First line of a metric's docstring."""
    return (inspect.getdoc(metric) or "").splitlines()[0]
