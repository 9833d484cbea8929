"""One picture of many nodules: CT beside overlay, with what was predicted and what the readers said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from PIL import Image

from ctxai.disclaimer import PNG_TEXTS
from ctxai.files import atomic_path
from ctxai.results_folder import picture_of

_WIDTH_INCHES = 11.0


def write_contact_sheet(path: Path, out_dir: Path, rows: Sequence[dict[str, Any]], columns: int = 2) -> None:
    """Lay the nodules' pictures out in a grid.

    Args:
        path: PNG to write.
        out_dir: results of ``ctxai explain``, where the pictures are.
        rows: lines of predictions.csv, in the order to show.
        columns: nodules beside each other.
    """
    lines = -(-len(rows) // columns)
    with matplotlib.rc_context({"font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(_WIDTH_INCHES, 0.9 + lines * 3.95), layout="constrained", facecolor="white")
        figure.suptitle(
            "Axial, coronal, sagittal: CT above, map of the evidence below\n"
            "yellow to red speaks for malignancy, blue against; green: the readers' consensus. Research use only.",
            fontsize=10,
        )
        for axes, row in zip(figure.subplots(lines, columns, squeeze=False).flat, rows, strict=False):
            with Image.open(picture_of(out_dir / row["series"], row["nodule_id"])) as picture:
                axes.imshow(picture)
            axes.set_title(_caption(row), fontsize=9)
        for axes in figure.axes:
            axes.axis("off")
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=110, metadata=PNG_TEXTS)


def _caption(row: dict[str, Any]) -> str:
    readers = row.get("readers_malignancy")
    said = "no reader" if readers is None else f"readers {readers:.1f}"
    return (
        f"{row['nodule_id']}   malignancy: {said}, predicted {row['malignancy']:.1f} "
        f"[{row['malignancy_low']:.1f}, {row['malignancy_high']:.1f}]"
    )
