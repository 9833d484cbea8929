import io
import os

import pytest
from rich.console import Console

from ctxai import progress
from ctxai.progress import run_jobs, track

from progress_jobs import fail_at_three, square, touch_after_failure

JOBS = [(number,) for number in range(8)]


def test_workers_give_the_same_results_from_other_processes():
    alone = list(run_jobs(square, JOBS, "squares"))
    together = list(run_jobs(square, JOBS, "squares", workers=2))
    assert [result for result, _ in alone] == [number * number for number in range(8)]
    assert sorted(result for result, _ in together) == [result for result, _ in alone]
    assert {process for _, process in alone} == {os.getpid()}
    assert os.getpid() not in {process for _, process in together}


@pytest.mark.parametrize("workers", [0, 2])
def test_an_exception_of_a_job_reaches_the_caller(workers):
    with pytest.raises(ValueError, match="job three"):
        list(run_jobs(fail_at_three, JOBS, "jobs", workers=workers))


def test_after_a_failure_the_jobs_that_wait_are_not_begun(tmp_path):
    jobs = [(tmp_path, number) for number in range(100)]
    with pytest.raises(ValueError, match="the first job"):
        list(run_jobs(touch_after_failure, jobs, "jobs", workers=2))
    assert len(list(tmp_path.iterdir())) < 50


def test_nothing_to_do_is_no_fault():
    assert list(run_jobs(square, [], "nothing", workers=2)) == []


def test_track_yields_what_it_is_given_with_or_without_a_length():
    assert list(track([3, 1, 2], "list")) == [3, 1, 2]
    assert list(track(iter("abc"), "iterator")) == ["a", "b", "c"]


def test_silent_when_stderr_is_no_terminal(capfd):
    list(track(range(3), "quiet"))
    list(run_jobs(square, JOBS, "quiet"))
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_a_terminal_gets_the_name_and_the_count_on_stderr(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=screen, force_terminal=True, width=100))
    list(track(range(3), "Reading"))
    assert "Reading" in screen.getvalue()
    assert "3/3" in screen.getvalue()


def test_the_bar_belongs_to_stderr_so_that_results_can_be_piped():
    assert progress.console.stderr
