"""``ctxai report``: the HTML report of a result folder, written again."""

from __future__ import annotations

from pathlib import Path


def report(out: Path, /) -> None:
    """Write the report of a result folder of ctxai explain again: OUT/report.html, to open in a browser.

    It is one file that works without a network: the CT about each nodule in three planes and in 3-D under its maps,
    predictions with their intervals beside the readers, and how far each map can be believed. Where the images take
    more than 10 MB, report.html is a table that sorts and filters, and each series has a page in its own folder.
    For research use only.

    Args:
        out: the folder that ctxai explain wrote its results into.
    """
    from ctxai.report.explanation import write_report

    write_report(out)
