"""Jobs that worker processes import."""

import os
import time
from pathlib import Path


def square(number: int) -> tuple[int, int]:
    """The square, and the process that worked it out."""
    return number * number, os.getpid()


def fail_at_three(number: int) -> int:
    if number == 3:
        raise ValueError("job three")
    return number


def touch_after_failure(folder: Path, number: int) -> int:
    if number == 0:
        raise ValueError("the first job")
    time.sleep(0.05)
    (folder / str(number)).touch()
    return number
