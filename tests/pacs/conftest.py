"""A CT series on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synthetic_ct import write_ct


@pytest.fixture
def ct_files(tmp_path: Path) -> list[Path]:
    """Five slices."""
    return write_ct(tmp_path / "ct", np.arange(5 * 8 * 8, dtype=np.int16).reshape(5, 8, 8))
