"""``ctxai open``: a CT on a page of this machine, with answers to clicks."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ctxai.commands.serving import open_browser, say, until_told_to_end
from ctxai.errors import InputError
from ctxai.folder_kinds import RESULTS, kind_of
from ctxai.run.device import AUTO


def open(
    input: Path,
    /,
    *,
    run: Path | None = None,
    points: Path | None = None,
    out: Path = Path("ctxai-session"),
    reader: str = "",
    device: str = AUTO,
    port: int = 0,
    browser: bool = True,
) -> None:
    """Open a CT on a page of this machine: click a nodule, see the answer with its map, keep your verdict.

    A result folder of `ctxai explain` shows its nodules and maps the same way, without a model.

    The page answers the browser that opens the printed address first, and nobody else. Every click is on the disk
    before the page shows it. Ctrl-C ends the page; the same command goes on where it stopped. For research use only.

    Args:
        input: a folder of a series, a study or many, a zip or tar of one, a NIfTI, NRRD or MetaImage file, or a result
            folder of `ctxai explain`.
        run: run folder of the model, or the name of one that comes with the package: hybrid_vit_lidc2d, the default, or
            hybrid_ensemble_lidc2d, the mean of five networks.
        points: marks to begin with, of any kind that `ctxai explain --points` takes; those with a score, as of a
            detector, are proposals to accept or reject.
        out: folder of the session: points.csv for `ctxai explain`, markups for 3D Slicer, review.csv with every
            verdict.
        reader: name in review.csv, for a study of several readers.
        device: what the model runs on: auto (a GPU where there is one), cpu, cuda or cuda:1.
        port: port of the page; 0 takes a free one.
        browser: open a browser; --no-browser only prints the address.
    """
    from ctxai.open.answers import Answers
    from ctxai.open.finished import FinishedStudy
    from ctxai.open.server import OpenServer
    from ctxai.open.session import Session
    from ctxai.open.study import Study

    def ready(url: str) -> None:
        say(url)
        say("Ctrl-C ends the page. Research use only, not for diagnosis.")
        open_browser(url, browser)

    finished = kind_of(input) == RESULTS
    if finished and (run is not None or points is not None):
        raise InputError(f"{input}: is {RESULTS}, shown without --run and --points; open the CT itself with them")
    opened = FinishedStudy(input) if finished else Study(input, points)
    with contextlib.closing(opened) as study, contextlib.closing(Session(out, reader)) as session:
        for mark in study.given:
            if mark.key not in session.marks:
                series = study.series[mark.series]
                session.know_series(mark.series, series.uid, series.patient)
                session.put(mark)
        if isinstance(study, FinishedStudy):
            answers: Answers | FinishedStudy = study
        else:
            answers = Answers(run, lambda mark, row: session.answer(mark.key, row), device)
        with until_told_to_end():
            OpenServer(study, session, answers).serve(port, ready)
