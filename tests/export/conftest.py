"""Scans and markers that the export tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ctxai.ct.series import CTSeries, read_series
from ctxai.export import Provenance, SourceSeries

from synthetic_ct import SCANS, ct_grid, write_ct

SHAPE = (12, 24, 32)


@pytest.fixture
def provenance() -> Provenance:
    return Provenance(
        method="CDAM",
        target="malignancy",
        options={"variant": "pre_norm", "samples": 50},
        reference="a paper",
        run="vits8",
        weights_sha256="0123456789abcdef" * 4,
        explained=("phantom/1", "phantom/2"),
    )


@pytest.fixture
def scan(tmp_path: Path) -> Callable[..., CTSeries]:
    """Write and read a scan of the given name, with the given Hounsfield units."""

    def make(name: str = "axial", hu: np.ndarray | None = None, **more: object) -> CTSeries:
        options = dict(SCANS[name])
        options |= {key: more.pop(key) for key in ("tilt_deg",) if key in more}
        file_order = options.pop("file_order", None)
        hu = np.zeros(SHAPE, dtype=np.int16) if hu is None else hu
        folder = tmp_path / f"ct-{len(list(tmp_path.glob('ct-*')))}"
        write_ct(folder, hu, ct_grid(hu.shape, **options), file_order=file_order, **more)
        return read_series(folder)

    return make


@pytest.fixture
def source(scan: Callable[..., CTSeries]) -> SourceSeries:
    return SourceSeries.from_series(scan())


@pytest.fixture
def signed_map() -> np.ndarray:
    """A map that no flip or swap of axes leaves as it is: every voxel of a block has a value of its own."""
    volume = np.zeros(SHAPE, dtype=np.float32)
    volume[2:6, 3:14, 5:25] = np.linspace(-0.6, 0.9, 4 * 11 * 20, dtype=np.float32).reshape(4, 11, 20)
    return volume
