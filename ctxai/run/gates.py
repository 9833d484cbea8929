"""The gates of Vision DiffMask that were trained for a run, in its folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctxai.errors import RunError
from ctxai.explain.methods.vision_diffmask import VisionDiffMask
from ctxai.run.files import GATES

if TYPE_CHECKING:
    from ctxai.run.run import Run


def load_gates(run: Run) -> VisionDiffMask:
    """Vision DiffMask with the gates in the run's folder.

    Raises:
        RunError: when there are none, or those of other weights.
        InputError: when the file is damaged.
    """
    path = run.folder / GATES
    command = f"run `ctxai train-diffmask {run.folder} STORE_DIR`"
    if not path.is_file():
        raise RunError(f"vision_diffmask needs trained gates, and there is no {path}; {command} first")
    method = VisionDiffMask(run.model, path)
    if method.weights_sha256 != run.weights_sha256:
        raise RunError(f"{path}: gates of other weights than the run's; {command} again")
    return method
