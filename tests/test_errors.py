"""What is told of an error that nobody expected."""

from __future__ import annotations

import pytest

from ctxai.errors import fault_of
from ctxai.progress import run_jobs

from progress_jobs import fail_at_three


def test_the_causes_of_a_fault_are_told_too():
    try:
        try:
            raise KeyError("DOE^JANE")
        except KeyError as cause:
            raise TypeError("DOE^JANE") from cause
    except TypeError as error:
        told = fault_of(error)
    assert [line for line in told.splitlines() if not line.startswith(" ")] == [
        "unexpected TypeError",
        "after unexpected KeyError",
    ]
    assert told.count(f"  {__name__}, line ") == 2
    assert "DOE" not in told


def test_the_place_in_a_worker_process_is_told():
    with pytest.raises(ValueError) as failed:
        list(run_jobs(fail_at_three, [(2,), (3,)], "jobs", workers=2))
    assert "  progress_jobs.py, line " in fault_of(failed.value)
