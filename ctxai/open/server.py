"""The page's server: what the browser asks for, and what a click changes."""

from __future__ import annotations

import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from ctxai import __version__
from ctxai.data.targets import Target
from ctxai.disclaimer import NOTICE
from ctxai.errors import InputError
from ctxai.evaluate.verdicts import READER
from ctxai.open.answers import DONE, FAILED, NUMBERS, WAITING, Answer, Answers, Question
from ctxai.open.guard import Guard
from ctxai.open.marks import Mark, Verdict
from ctxai.open.planes import PLANES
from ctxai.open.reader_values import asked_targets, check_values, field_of, review_values
from ctxai.open.session import Session
from ctxai.open.study import OpenedSeries, Study
from ctxai.report.own_targets import own_predictions

if TYPE_CHECKING:
    from ctxai.open.finished import FinishedStudy

HOST = "127.0.0.1"
_PAGE = Path(__file__).parent / "page"
_TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript"}
#: CTs whose voxels are kept in memory: the one that is read, and one beside it.
_IN_MEMORY = 2


class OpenServer:
    """A study, its session and the model behind one page.

    Args:
        study: the CTs.
        session: what the reader does.
        answers: the model, or finished results.
    """

    def __init__(self, study: Study | FinishedStudy, session: Session, answers: Answers | FinishedStudy) -> None:
        self.study, self.session, self.answers = study, session, answers
        self._recent: list[OpenedSeries] = []
        posted: dict[str, Callable[[Mapping[str, Any]], Any]] = {
            "/marks": self.mark,
            "/marks/change": self.change,
            "/marks/remove": self.remove,
            "/answers": self.answer,
            "/map": self.map,
            "/verdicts": self.judge,
            "/objects": self.write_objects,
        }
        self.app = Starlette(
            routes=[
                Route("/", _file("open.html")),
                *(
                    Route(f"/{path.name}", _file(path.name))
                    for path in sorted(_PAGE.iterdir())
                    if path.suffix in (".js", ".css")
                ),
                Route("/state", lambda request: JSONResponse(self.state())),
                Route("/series/{key}", self._series),
                Route("/series/{key}/{plane}/{index:int}", self._plane),
                *(Route(path, _posted(function), methods=["POST"]) for path, function in posted.items()),
            ],
            exception_handlers={InputError: _told},
        )

    def serve(self, port: int, ready: Callable[[str], None]) -> None:
        """Listen until told to end.

        Args:
            port: 0 takes a free one.
            ready: called with the address, which holds the one-time token.

        Raises:
            InputError: when the port is taken.
        """
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
        except (OSError, OverflowError) as error:
            listening.close()
            raise InputError(
                f"--port {port}: cannot listen there ({error}); give another, or 0 for a free one"
            ) from None
        host = f"{HOST}:{listening.getsockname()[1]}"
        guard = Guard(self.app, host)
        config = uvicorn.Config(
            guard,
            log_level="warning",
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            http="h11",
            loop="asyncio",
            timeout_graceful_shutdown=1,
        )
        listening.listen(128)
        ready(f"http://{host}/?token={guard.token}")
        try:
            uvicorn.Server(config).run(sockets=[listening])
        finally:
            listening.close()
            self.answers.end()

    def state(self) -> dict[str, Any]:
        """All that the page shows beside images and answers."""
        owners = list(dict.fromkeys(one.owner for one in self.study.series.values()))
        return {
            "version": __version__,
            "notice": NOTICE,
            "fault": self.answers.fault,
            "run": self.answers.described(),
            "fields": [field_of(one) for one in self._asked()],
            "series": [
                {
                    "key": one.key,
                    "texts": dict(one.texts),
                    "patient": owners.index(one.owner),
                    "read": one.share_read,
                    "fault": one.fault,
                }
                for one in self.study.series.values()
            ],
            "marks": [self._marked(mark) for mark in list(self.session.marks.values())],
        }

    def _marked(self, mark: Mark) -> dict[str, Any]:
        names = ("verdict", "rating", "text", "map_shown")
        return {
            **mark.to_json(),
            **self._numbers(self.session.answers.get(mark.key, {})),
            "verdicts": [{name: one[name] for name in names} | {"values": _values(one)} for one in self._said(mark)],
        }

    def _asked(self) -> list[Target]:
        described = self.answers.described() or {}
        return asked_targets(self.answers.own, described.get("targets", ()))

    def _numbers(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row of predictions.csv, and, of targets of one's own, what it says in words, by their outputs."""
        own = self.answers.own
        if own is None or not row:
            return {"row": dict(row), "own": []}
        told = zip(own, own_predictions(row, own), strict=True)
        return {"row": dict(row), "own": [{"outputs": target.outputs, **asdict(one)} for target, one in told]}

    def _said(self, mark: Mark) -> list[Mapping[str, Any]]:
        uid = self.session.series.get(mark.series, {}).get("uid")
        return [one for one in self.session.reviews if (one["nodule_id"], one["series_uid"]) == (mark.nodule_id, uid)]

    def _known(self, content: Mapping[str, Any]) -> Mark:
        mark = self.session.marks.get((str(content.get("series")), str(content.get("nodule_id"))))
        if mark is None:
            raise InputError("there is no such mark")
        return mark

    def _opened(self, key: str) -> OpenedSeries:
        series = self.study.series.get(key)
        if series is None:
            raise InputError("there is no such series")
        return series

    def mark(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Keep a click as a new mark.

        Raises:
            InputError: for a position outside of the CT.
        """
        series = self._opened(str(content.get("series")))
        nodule_id = self.session.new_id(series.key)
        mark = Mark(series.key, nodule_id, *(_rounded(content.get(axis)) for axis in "xyz"))
        self._put(series, mark)
        return self._marked(mark)

    def _put(self, series: OpenedSeries, mark: Mark) -> None:
        if not series.ct.grid.contains(np.array(mark.lps)):
            raise InputError("the mark lies outside of the CT")
        self.session.know_series(series.key, series.uid, series.patient)
        self.session.put(mark)

    def change(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Move a mark, or accept or reject it."""
        mark = self._known(content)
        if "x" in content:
            x, y, z = (_rounded(content.get(axis)) for axis in "xyz")
            mark = replace(mark, x=x, y=y, z=z)
        if "state" in content:
            mark = replace(mark, state=str(content["state"]))
        self._put(self._opened(mark.series), mark)
        return self._marked(mark)

    def remove(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Take a mark away."""
        self.session.remove(self._known(content).key)
        return {}

    def _question(self, content: Mapping[str, Any]) -> tuple[OpenedSeries, Question]:
        mark = self._known(content)
        question = Question(replace(mark, state="marked"), str(content.get("method")), str(content.get("target")))
        return self._opened(mark.series), question

    def answer(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Ask the model, or how far it is."""
        self.answers.start()
        if self.answers.fault:
            raise InputError(self.answers.fault)
        answer = self.answers.ask(*self._question(content))
        return _as_json(answer) | self._numbers(answer.row)

    def map(self, content: Mapping[str, Any]) -> Response:
        """The map of an answer, float32 little-endian."""
        answer = self.answers.ask(*self._question(content))
        if answer.values is None:
            raise InputError("there is no map yet")
        return _binary(answer.values.astype("<f4"))

    def judge(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Keep a verdict."""
        verdict, asked = Verdict.from_json(content), self._asked()
        check_values(verdict.values, asked)
        self.session.judge(verdict, partial(review_values, verdict.values, asked, self.answers.own))
        return self._marked(self._known(content))

    def write_objects(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Write the nodules and verdicts of a series as DICOM objects, and tell where."""
        from ctxai.open.objects import write_objects  # with torch, which the first image does without

        series = self._opened(str(content.get("series")))
        marks = [mark for mark in self.session.kept if mark.series == series.key]
        reviews = {mark.nodule_id: said[-1] for mark in marks if (said := self._said(mark))}
        folder = self.session.folder / series.key
        with self.answers.model() as run:
            files = write_objects(folder, series.ct, marks, reviews, run)
        return {"folder": str(folder), "files": files}

    def _series(self, request: Request) -> Response:
        series = self._opened(request.path_params["key"])
        planes = series.planes
        self._recent = [series, *(one for one in self._recent if one is not series)]
        for old in self._recent[_IN_MEMORY:]:
            old.release()
        del self._recent[_IN_MEMORY:]
        series.fill()
        shape, affine = planes.grid.shape, planes.grid.affine
        return JSONResponse(
            {"shape": list(shape), "affine": affine.tolist(), "spacing": planes.grid.spacing_mm.tolist()}
        )

    def _plane(self, request: Request) -> Response:
        name = request.path_params["plane"]
        if name not in PLANES:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        try:
            plane = self._opened(request.path_params["key"]).planes.plane(name, request.path_params["index"])
        except IndexError:
            raise HTTPException(HTTPStatus.NOT_FOUND) from None
        response = _binary(plane.astype("<i2", copy=False))
        response.background = BackgroundTask(self.answers.start)  # not before: loading torch delays the first image
        return response


def _as_json(answer: Answer) -> dict[str, Any]:
    known = answer.stage not in (WAITING, NUMBERS)
    return {
        "stage": answer.stage,
        "ended": answer.stage in (DONE, FAILED),
        "error": answer.error,
        "middle": answer.middle,
        "outlines": {plane: [line.tolist() for line in lines] for plane, lines in answer.outlines.items()}
        if known
        else {},
        "diameter": None if answer.diameter is None else answer.diameter.tolist(),
        "map": None
        if answer.values is None or answer.start is None
        else {"start": list(answer.start), "shape": list(answer.values.shape)},
        "warnings": [list(one) for one in answer.warnings],
    }


def _values(review: Mapping[str, Any]) -> dict[str, Any]:
    """The reader's values in a row of review.csv, by target."""
    given = {name.removeprefix(READER): value for name, value in review.items() if name.startswith(READER)}
    return {name: value for name, value in given.items() if value is not None}


def _rounded(value: Any) -> Any:
    """A position to a micrometre; what is no number is left to :class:`Mark`."""
    return round(float(value), 3) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _binary(array: np.ndarray) -> Response:
    return Response(array.tobytes(), media_type="application/octet-stream")


def _file(name: str) -> Callable[[Request], Response]:
    def answered(request: Request) -> Response:
        return FileResponse(_PAGE / name, media_type=_TYPES[Path(name).suffix])

    return answered


def _posted(function: Callable[[Mapping[str, Any]], Any]) -> Callable[[Request], Awaitable[Response]]:
    """A route that takes a JSON object."""

    async def answered(request: Request) -> Response:
        if request.headers.get("content-type") != "application/json":
            raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        try:
            content = json.loads(await request.body())
        except ClientDisconnect:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE) from None
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise InputError("expected a JSON object")
        answer = await run_in_threadpool(function, content)
        return answer if isinstance(answer, Response) else JSONResponse(answer)

    return answered


async def _told(request: Request, error: Exception) -> Response:
    """Bad input in one line."""
    return JSONResponse({"error": str(error)}, HTTPStatus.UNPROCESSABLE_ENTITY)
