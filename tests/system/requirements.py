"""What a system test needs from the machine."""

from __future__ import annotations

import os

import pytest


def require(present: bool, what: str, how: str) -> None:
    """Skip the test where something is absent; in CI, fail.

    Args:
        present: whether it is there.
        what: name of what is needed.
        how: what to install; ``make test-system`` does.
    """
    if not present:
        message = f"{what} is absent: install {how} (make test-system does)"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
