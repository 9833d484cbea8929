"""The course of a training as a picture."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from ctxai.disclaimer import PNG_TEXTS


def learning_curve(losses: Sequence[float], monitored: Sequence[Mapping[str, float]] = ()) -> bytes:
    """PNG of the training loss and, where patients were monitored, of their loss and AUC, by epoch.

    Args:
        losses: mean training loss of every epoch.
        monitored: ``loss`` and ``auc`` of every epoch; none where nothing was monitored.
    """
    figure = Figure(figsize=(6, 4), dpi=100, layout="constrained")
    axes = figure.subplots()
    epochs = range(1, len(losses) + 1)
    axes.plot(epochs, losses, color="tab:blue", label="training loss")
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    if monitored:
        axes.plot(range(1, len(monitored) + 1), [each["loss"] for each in monitored], "--", color="tab:blue")
        axes.plot([], [], "--", color="tab:blue", label="loss of the monitored patients")
        right = axes.twinx()
        right.plot(range(1, len(monitored) + 1), [each["auc"] for each in monitored], color="tab:orange")
        axes.plot([], [], color="tab:orange", label="their AUC (right)")
        right.set_ylabel("AUC")
    axes.legend()
    picture = io.BytesIO()
    figure.savefig(picture, format="png", metadata=PNG_TEXTS)
    return picture.getvalue()
