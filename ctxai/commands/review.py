"""``ctxai review``: the results on a CT, in a viewer."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ctxai.commands.serving import open_browser, say, until_told_to_end
from ctxai.errors import InputError
from ctxai.folder_kinds import describe_kind
from ctxai.progress import track
from ctxai.results_folder import REPORT

if TYPE_CHECKING:
    from ctxai.viewer.results import ReviewedSeries


def review(
    out_dir: Path,
    /,
    *,
    ct: Path | None = None,
    series: list[str] | None = None,
    overlay: str = "bands",
    port: int = 0,
    browser: bool = True,
) -> None:
    """Open the results of `ctxai explain` in a viewer: the CT with an overlay up, all objects beside it.

    The viewer is OHIF on an Orthanc that runs on this machine, answers this machine alone, and is gone with its copy of
    the images on Ctrl-C; `make viewer` installs both. Where they are not installed, the results' report is opened.
    For research use only.

    Args:
        out_dir: results of `ctxai explain`.
        ct: where the CT is, a folder or a zip, if it is no longer where `ctxai explain` read it, or was named there by
            a path that leads nowhere from here.
        series: names of series folders in OUT_DIR to open; without it, the first.
        overlay: what is up first: bands (of evidence), map (Parametric Map), nodules, report (PDF), or the name of a
            DICOM file in OUT_DIR without .dcm.
        port: port of the viewer; 0 takes a free one.
        browser: open a browser; --no-browser only prints the address.
    """
    from ctxai.viewer.ohif import find_ohif, viewer_url
    from ctxai.viewer.orthanc import Orthanc, find_orthanc
    from ctxai.viewer.results import reviewed_series
    from ctxai.viewer.server import ViewerServer

    ohif = find_ohif()
    if find_orthanc() is None or ohif is None:
        _open_report(out_dir, browser)
        return
    chosen, count = reviewed_series(out_dir, series)
    with until_told_to_end(), contextlib.ExitStack() as stack:
        first = [one.overlay(overlay) for one in chosen]
        files = [file for one in chosen for file in [*stack.enter_context(_ct_images(one, ct)), *one.files]]
        orthanc = stack.enter_context(Orthanc(locked=True))
        for file in track(files, "Loading the viewer"):
            orthanc.upload([file])
        server = stack.enter_context(ViewerServer(ohif, orthanc.address, port, orthanc.authorization))
        for one, shown in zip(chosen, first, strict=True):
            url = viewer_url(server.url, one.study_uid, shown.series_uid if shown else None)
            say(f"{one.key}  {url}")
            open_browser(url, browser)
        if count > len(chosen):
            say(f"{count - len(chosen)} more series in {out_dir}; choose with --series FOLDER …")
        say("Ctrl-C ends the viewer. Research use only, not for diagnosis.")
        threading.Event().wait()


@contextlib.contextmanager
def _ct_images(one: ReviewedSeries, ct: Path | None) -> Iterator[list[Path]]:
    """Files of the very CT series that was explained."""
    from ctxai.ct.archive import unpacked
    from ctxai.ct.header import series_key
    from ctxai.ct.series import find_series

    place = ct or one.ct
    if place is None or not place.exists():
        where = f"{place} is not there" if place else "it is not recorded where it was"
        raise InputError(f"{one.key}: its CT is not found, {where}; say where it is with --ct FOLDER")
    with unpacked(place) as folder:
        damaged: dict[Path, str] = {}
        for series_uid, headers in find_series(folder, damaged).items():
            if series_key(series_uid) == one.key:
                yield list(dict.fromkeys(header.path for header in headers))
                return
    raise InputError(f"{place}: the CT series of {one.key} is not among its images; say where it is with --ct FOLDER")


def _open_report(out_dir: Path, browser: bool) -> None:
    """Files to open without a viewer."""
    report = out_dir / REPORT
    if not report.is_file():
        raise InputError(
            f"{out_dir}: no report.html in it{describe_kind(out_dir)}; give a result folder of `ctxai explain`"
        )
    say("Orthanc and OHIF are not installed here: `make viewer` installs them. The report, without them:")
    say(str(report))
    open_browser(report.resolve().as_uri(), browser)
