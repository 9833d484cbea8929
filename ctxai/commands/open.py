"""``ctxai open``: a CT on a page of this machine, with answers to clicks."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ctxai.commands.serving import open_browser, say, until_told_to_end


def open(
    input: Path,
    /,
    *,
    run: Path | None = None,
    points: Path | None = None,
    out: Path = Path("ctxai-session"),
    reader: str = "",
    device: str = "auto",
    port: int = 0,
    browser: bool = True,
) -> None:
    """Open a CT on a page of this machine: click a nodule, see the answer with its map, keep your verdict.

    The page answers the browser that opens the printed address first, and nobody else. Every click is on the disk
    before the page shows it. Ctrl-C ends the page; the same command goes on where it stopped. For research use only.

    Args:
        input: a folder of a series, a study or many, a zip or tar of one, or a NIfTI, NRRD or MetaImage file.
        run: run folder of the model; without it, the run that comes with the package.
        points: marks to begin with, of any kind that `ctxai explain --points` takes; those with a score, as of a
            detector, are proposals to accept or reject.
        out: folder of the session: points.csv for `ctxai explain`, markups for 3D Slicer, review.csv with every
            verdict.
        reader: name in review.csv, for a study of several readers.
        device: auto (a GPU where there is one), cpu, cuda or cuda:1.
        port: port of the page; 0 takes a free one.
        browser: open a browser; --no-browser only prints the address.
    """
    from ctxai.open.answers import Answers
    from ctxai.open.server import OpenServer
    from ctxai.open.session import Session
    from ctxai.open.study import Study

    def ready(url: str) -> None:
        say(url)
        say("Ctrl-C ends the page. Research use only, not for diagnosis.")
        open_browser(url, browser)

    with contextlib.closing(Study(input, points)) as study, contextlib.closing(Session(out, reader)) as session:
        for mark in study.given:
            if mark.key not in session.marks:
                opened = study.series[mark.series]
                session.know_series(mark.series, opened.uid, opened.patient)
                session.put(mark)
        answers = Answers(run, lambda mark, row: session.answer(mark.key, row), device)
        with until_told_to_end():
            OpenServer(study, session, answers).serve(port, ready)
