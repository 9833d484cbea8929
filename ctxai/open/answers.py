"""Answers to marks by a worker that keeps the model, one after another: numbers, then the map, then its checks."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from threading import Condition, Lock, Thread, get_ident
from typing import TYPE_CHECKING, Any

import numpy as np

from ctxai.errors import InputError
from ctxai.open.marks import Mark
from ctxai.open.study import OpenedSeries
from ctxai.quick_imports import quick_imports
from ctxai.run.device import AUTO

if TYPE_CHECKING:
    from ctxai.data.targets import TargetTable
    from ctxai.run.run import Run

#: Stages of an answer.
WAITING, NUMBERS, MAP, CHECKS, DONE, FAILED = "waiting", "numbers", "map", "checks", "done", "failed"
#: Answers that are kept for switching back and forth.
_KEPT = 64
#: Priorities in the queue: new questions, then checks of maps, then interrupted answers.
_NEW, _CHECK, _INTERRUPTED = range(3)

logger = logging.getLogger(__name__)


class Interrupted(Exception):
    """A newer question waits."""


@dataclass(frozen=True)
class Question:
    """One mark, method and target.

    Attributes:
        mark: the nodule.
        method: name of the explanation method.
        target: an output, or a contrast of two.
    """

    mark: Mark
    method: str
    target: str


@dataclass
class Answer:
    """Results so far.

    Attributes:
        stage: what is being worked on; ``done`` or ``failed`` at the end.
        row: columns of predictions.csv.
        middle: where the model takes the nodule's middle to be, LPS mm; the mark itself for a run that stays on it.
        outlines: lines that the model measures, LPS mm (point, 3), by plane.
        diameter: ends of the longest line across the axial outline, LPS mm (2, 3); None without one.
        start: first voxel of the map in the turned CT, (superior, posterior, left).
        values: the map on the CT's own voxels, float32, in the same axes.
        warnings: level and text, about prediction and map.
        error: one line.
    """

    stage: str = WAITING
    row: Mapping[str, Any] = field(default_factory=dict)
    middle: tuple[float, ...] | None = None
    outlines: Mapping[str, Sequence[np.ndarray]] = field(default_factory=dict)
    diameter: np.ndarray | None = None
    start: tuple[int, ...] | None = None
    values: np.ndarray | None = None
    warnings: Sequence[tuple[str, str]] = ()
    error: str = ""


class Answers:
    """The worker.

    Args:
        run: run folder or name; None for the package's.
        told: called with a mark and its row as soon as there are numbers.
        device: where the model runs.

    Attributes:
        run: the model; None until it is loaded.
        fault: why it could not be loaded; empty where it could.
    """

    def __init__(
        self,
        run: Path | None,
        told: Callable[[Mark, Mapping[str, Any]], None] = lambda mark, row: None,
        device: str = AUTO,
    ) -> None:
        self.run: Run | None = None
        self.fault = ""
        self._path, self._told, self._device = run, told, device
        self._answers: dict[Question, Answer] = {}
        self._queue: list[tuple[int, int, Question, OpenedSeries]] = []
        self._numbers = count()
        self._changed = Condition()
        self._ended = False
        self._others = 0
        self._model = Lock()
        self._thread = Thread(target=self._work, name="model", daemon=True)

    def start(self) -> None:
        """Load the model and begin to answer, unless that has begun."""
        with self._changed:
            if self._thread.ident is None:
                self._thread.start()

    def end(self) -> None:
        """Stop after the work in hand."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def ask(self, series: OpenedSeries, question: Question) -> Answer:
        """The answer, finished or not; a new question interrupts the work on an older one."""
        with self._changed:
            answer = self._answers.pop(question, None)
            if answer is None:
                answer = Answer()
                self._push(_NEW, question, series)
            self._answers[question] = answer
            while len(self._answers) > _KEPT:
                del self._answers[next(iter(self._answers))]
            self._changed.notify_all()
            return answer

    @property
    def own(self) -> TargetTable | None:
        """The run's table of targets of one's own; None where it has none, or is not loaded yet."""
        return None if self.run is None else self.run.own

    def described(self) -> dict[str, Any] | None:
        """Name, weights, targets and methods of the run; None until it is loaded."""
        run = self.run
        if run is None:
            return None
        from ctxai.explain import list_methods  # with torch, which the first image does without

        return {
            "name": run.name,
            "weights_sha256": run.weights_sha256,
            "targets": list(run.target_names),
            "methods": list(dict.fromkeys([*run.default_methods, *list_methods()])),
            "own": run.own is not None,
        }

    @contextmanager
    def model(self) -> Iterator[Run]:
        """The model, for work that is no answer; answers wait.

        Raises:
            InputError: when it is not loaded.
        """
        if self.run is None:
            raise InputError(self.fault or "the model is still being loaded; try again")
        with self._changed:
            self._others += 1
        try:
            with self._model:
                yield self.run
        finally:
            with self._changed:
                self._others -= 1
                self._changed.notify_all()

    def _push(self, priority: int, question: Question, series: OpenedSeries) -> None:
        heapq.heappush(self._queue, (priority, -next(self._numbers), question, series))

    def _work(self) -> None:
        with quick_imports(for_good=True):
            from ctxai import api

        try:
            run = api.Run.open(self._path).to(self._device)
        except InputError as error:
            self.fault = str(error)
            return
        self._warm_up(run)
        self.run = run
        while True:
            with self._changed:
                while (self._others or not self._queue) and not self._ended:
                    self._changed.wait()
                if self._ended:
                    return
                _, _, question, series = heapq.heappop(self._queue)
                answer = self._answers.get(question)
            if answer is not None:
                with self._model:
                    self._advance(series, question, answer)

    def _warm_up(self, run: Run) -> None:
        """Answer about a made nodule, for nobody, so that the first click waits for no library."""
        from ctxai import api
        from ctxai.ct.volume import CTVolume
        from ctxai.open.outline import outlines_of

        side = 64
        middle = (side - 1) / 2
        inside = np.linalg.norm(np.indices((side,) * 3) - middle, axis=0) < 6
        ct = CTVolume(np.where(inside, 40, -850), (1.0, 1.0, 1.0))
        methods, targets = run.default_methods[:1], run.target_names[:1]
        try:
            points = [(middle,) * 3]
            made = api.explain(ct, points, run=run, methods=methods, targets=targets, trust=False, device=self._device)
            outlines_of(run, made.nodules[0].patch)
            dict(made.maps)
        except Exception as error:  # noqa: BLE001 (the first click tells what is wrong)
            logger.warning("a first answer for nobody failed: %s", type(error).__name__)

    def _advance(self, series: OpenedSeries, question: Question, answer: Answer) -> None:
        """Work on an answer until its map is there, or its check is done, or a newer question comes."""
        checking = answer.values is not None
        try:
            with self._interruptible():
                if checking:
                    self._check(series, question, answer)
                else:
                    self._answer(series, question, answer)
        except Interrupted:
            with self._changed:
                self._push(_CHECK if checking else _INTERRUPTED, question, series)
        except InputError as error:
            answer.error, answer.stage = str(error), FAILED
        except Exception as error:  # noqa: BLE001 (the worker goes on with the next question)
            logger.warning("an answer failed: %s", type(error).__name__)
            answer.error, answer.stage = f"unexpected {type(error).__name__}; try another method", FAILED
        else:
            if checking:
                answer.stage = DONE
                return
            with self._changed:
                self._push(_CHECK, question, series)

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Raise :class:`Interrupted` at the next layer of the model, in this thread, once a new question waits."""
        from torch.nn.modules.module import register_module_forward_pre_hook

        worker = get_ident()

        def look(module: object, inputs: object) -> None:
            newer = self._others or (self._queue and self._queue[0][0] == _NEW)
            if get_ident() == worker and (newer or self._ended):
                raise Interrupted

        hook = register_module_forward_pre_hook(look)
        try:
            yield
        finally:
            hook.remove()

    def _answer(self, series: OpenedSeries, question: Question, answer: Answer) -> None:
        from ctxai.export.overlay import to_ct_grid
        from ctxai.open.outline import longest_across, outlines_of

        assert self.run is not None
        answer.stage = NUMBERS
        found = self._explain(series, question, methods=())
        nodule = found.nodules[0]
        answer.row = found.rows[0]
        answer.middle = tuple(round(float(value), 3) for value in nodule.patch.grid.centre)
        answer.outlines = outlines_of(self.run, nodule.patch)
        answer.diameter = longest_across(answer.outlines.get("axial", ()))
        answer.warnings = warnings_about(answer.row, None)
        answer.stage = MAP
        self._told(question.mark, answer.row)
        explained = self._explain(series, question, methods=(question.method,))
        fused = explained.nodules[0].maps[explained.options.methods[0].name, question.target]
        block = to_ct_grid(fused.values, explained.nodules[0].patch.grid, explained.series.grid)
        answer.start, answer.values = series.planes.block(block.start, block.values)
        answer.stage = CHECKS

    def _check(self, series: OpenedSeries, question: Question, answer: Answer) -> None:
        found = self._explain(series, question, methods=(question.method,), trust=True)
        answer.warnings = warnings_about(found.rows[0], f"{found.options.methods[0].name}_{question.target}")

    def _explain(self, series: OpenedSeries, question: Question, methods: Sequence[str], trust: bool = False) -> Any:
        """As ``ctxai explain`` does."""
        from ctxai import api
        from ctxai.annotations import AnnotatedNodule

        mark = question.mark
        nodule = AnnotatedNodule(mark.nodule_id, np.array(mark.lps), None, mark.diameter_mm)
        return api.explain(
            series.ct,
            [nodule],
            run=self.run,
            methods=methods,
            targets=[question.target],
            trust=trust,
            device=self._device,
        )


def warnings_about(row: Mapping[str, Any], column: str | None) -> list[tuple[str, str]]:
    """Level and text of each warning.

    Args:
        row: of predictions.csv.
        column: what the columns about the map begin with; None for warnings of the prediction alone.
    """
    from ctxai.report.trust import Level, map_trust, warnings_of

    told = [(warning.level.value, warning.text) for warning in warnings_of(row)]
    if column is not None:
        told += [(Level.MAP.value, f"{text[0].upper()}{text[1:]}.") for text in map_trust(row, column).warnings]
    return told
