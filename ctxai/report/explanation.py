"""Report of a result folder of ``ctxai explain``: every nodule to scroll through, with its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ctxai.generations import recorded_files
from ctxai.own_files import own_files
from ctxai.report.cohort_table import cohort_table
from ctxai.report.crops import Crops, find_crops
from ctxai.report.nodule_section import nodule_section
from ctxai.report.page import render_page
from ctxai.report.results import Results, read_results
from ctxai.report.tiles import evidence_colours
from ctxai.results_folder import REPORT, WRITTEN, picture_of

#: Up to about this many bytes the nodules stand in one page, beyond it in a page for each series.
ONE_PAGE_BYTES = 10_000_000
_SECTION_BYTES = 8_000
#: In the order in which they build on each other.
_VIEWER_SCRIPTS = ("volume.js", "planes.js", "three_d.js", "viewer.js")
_COHORT_SCRIPT = "cohort.js"


def write_report(out_dir: Path, one_page_bytes: int = ONE_PAGE_BYTES, newer_than: str | None = None) -> None:
    """Write ``report.html`` and, where there are many nodules, ``<series>/report.html`` for each series.

    The same results give the same bytes, wherever the folder lies.

    Args:
        out_dir: results of ``ctxai explain``.
        one_page_bytes: size up to which all nodules stand in ``report.html`` itself.
        newer_than: a file in each series' folder; pages of series that are newer than it are left, so that many calls
            that add some series each do not write all pages again.

    Raises:
        InputError: when the folder holds no predictions, or a file is damaged or cannot be written.
    """
    results = read_results(out_dir)
    crops = [find_crops(out_dir / row["series"], row) for row in results.rows]
    by_series: dict[str, list[int]] = {}
    for number, row in enumerate(results.rows):
        by_series.setdefault(row["series"], []).append(number)
    anchors = {number: f"{series}-{k}" for series, own in by_series.items() for k, number in enumerate(own, 1)}
    pictures = [None if one else _picture(results, number) for number, one in enumerate(crops)]
    models = [results.model_of(row) if len(results.models) > 1 else "" for row in results.rows]
    together = sum(_size(*each) for each in zip(crops, pictures, strict=True)) <= one_page_bytes
    table = ""
    if len(results.rows) > 1 or not together:
        pages = {number: "" if together else f"{row['series']}/{REPORT}" for number, row in enumerate(results.rows)}
        links = [f"{pages[number]}#{anchors[number]}" for number in pages]
        table = cohort_table(results.rows, links, [results.own_of(row) for row in results.rows])

    def page_of(title: str, counted: str, numbers: Sequence[int], **content: object) -> str:
        sections = [
            nodule_section(row, crops[n], anchors[n], pictures[n], models[n], results.own_of(row))
            for n, row in ((n, results.rows[n]) for n in numbers)
        ]
        return render_page(
            "explanation.html",
            style="explanation.css",
            scripts=[*(_VIEWER_SCRIPTS if numbers else ()), _COHORT_SCRIPT],
            viewer=bool(numbers),
            title=title,
            counted=counted,
            results=results,
            sections=sections,
            settings={"colours": evidence_colours()},
            **content,
        )

    counted = f"{_counted(len(results.rows), 'nodule')} of {len(by_series)} series"
    shown = range(len(results.rows)) if together else ()
    own_pages = {} if together else {f"{series}/{REPORT}": series for series in by_series}
    with own_files(out_dir, WRITTEN) as files:
        files.write(REPORT, page_of("Explained nodules", counted, shown, table=table, back=None))
        for earlier in files.names:
            if earlier.endswith(f"/{REPORT}") and earlier not in own_pages:
                files.remove(earlier)
        for name, series in own_pages.items():
            if name in files.names and newer_than is not None:
                page = out_dir / name
                if _is_newer(page, page.with_name(newer_than)):
                    continue
            back = {"link": f"../{REPORT}", "nodules": len(results.rows)}
            numbers = by_series[series]
            counted = _counted(len(numbers), "nodule")
            files.write(name, page_of(f"Series {series}", counted, numbers, table="", back=back))


def _size(crops: Crops | None, picture: Path | None) -> int:
    """Bytes that a nodule adds to a page, roughly."""
    files = [crops.ct, *(one.path for one in crops.maps)] if crops else [picture] if picture else []
    return _SECTION_BYTES + sum(path.stat().st_size for path in files)


def _picture(results: Results, number: int) -> Path | None:
    row = results.rows[number]
    folder = results.folder / row["series"]
    path = picture_of(folder, row["nodule_id"])
    return next(iter(recorded_files(folder, path.relative_to(folder).as_posix())), None)


def _is_newer(page: Path, other: Path) -> bool:
    return page.is_file() and other.is_file() and page.stat().st_mtime_ns > other.stat().st_mtime_ns


def _counted(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"
