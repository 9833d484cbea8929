import numpy as np
import pandas as pd
from matplotlib.image import imread
from scipy.special import expit

from ctxai.data.labels import TARGETS
from ctxai.evaluate.predictions.evaluation import evaluate_predictions
from ctxai.evaluate.predictions.plots import (
    biomarker_figure,
    precision_recall_figure,
    reliability_figure,
    roc_figure,
    write_plots,
)


def table(n=60):
    generator = np.random.default_rng(0)
    label = (np.arange(n) % 2).astype(float)
    logit = generator.normal(2 * label - 1, 1)
    columns = {
        "patient_id": [f"P{i}" for i in range(n)],
        "label_malignancy": label,
        "diameter_mm": generator.uniform(4, 30, n),
        "malignancy_logit": logit,
        "malignancy_probability": expit(logit),
    }
    for target in TARGETS:
        values = generator.uniform(1, 5, n)
        columns |= {target: values, f"{target}_low": values - 1, f"{target}_high": values + 1}
        columns[f"{target}_readers"] = values + generator.normal(0, 0.3, n)
    return pd.DataFrame(columns)


def test_the_plots_are_written_and_the_same_every_time(tmp_path):
    predictions = table()
    metrics = evaluate_predictions(predictions, resamples=20)
    files = write_plots(predictions, metrics, tmp_path / "a")
    assert [file.name for file in files] == ["roc.png", "precision_recall.png", "reliability.png", "biomarkers.png"]
    assert all(imread(file).std() > 0.01 for file in files)
    again = write_plots(predictions, metrics, tmp_path / "b")
    assert [file.read_bytes() for file in files] == [file.read_bytes() for file in again]


def test_figures_show_the_measured_values():
    predictions = table().assign(probability_isotonic=lambda t: t["malignancy_probability"].round(1))
    predictions["features_score"] = predictions["malignancy_logit"]
    metrics = evaluate_predictions(predictions, resamples=20)
    malignancy = metrics["malignancy"]
    labels = legend(roc_figure(predictions, malignancy))
    assert labels[0].startswith(f"this run: {malignancy['auc']['value']:.3f}")
    assert len(labels) == 3
    assert legend(precision_recall_figure(predictions, malignancy))[0].startswith(
        f"this run: {malignancy['pr_auc']['value']:.3f}"
    )
    upper, lower = reliability_figure(predictions, malignancy).axes
    assert sum(bar.get_height() for bar in lower.patches) == len(predictions)
    assert f"{malignancy['brier']['value']:.3f}" in upper.get_title()
    assert [text.get_text() for text in upper.get_legend().texts] == ["Platt (the run's own)", "isotonic"]
    assert sum(axes.get_visible() for axes in biomarker_figure(predictions, metrics["targets"]).axes) == 8


def test_a_run_of_some_targets_has_the_figures_of_those(tmp_path):
    predictions = table()
    some = [name for name in predictions if name == "patient_id" or name.startswith(("margin", "texture"))]
    metrics = evaluate_predictions(predictions[some], resamples=5)
    assert [file.name for file in write_plots(predictions[some], metrics, tmp_path)] == ["biomarkers.png"]
    shown = [axes for axes in biomarker_figure(predictions[some], metrics["targets"]).axes if axes.get_visible()]
    assert [axes.get_title().splitlines()[0] for axes in shown] == ["margin", "texture"]


def legend(figure):
    """Texts of a figure's one legend."""
    return [text.get_text() for text in figure.legends[0].texts]
